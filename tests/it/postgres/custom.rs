//! Dumps in custom format: the same counts as a plain dump, judged to their last block, restored by
//! `pg_restore`.

use holdfast::strategy::{Settled, Site};

use super::place::{
    Backup, CHANGE, Notes, POSTGRES_15, POSTGRES_17, Place, back_up, judge, postgres,
};

async fn site(place: &Place) -> Site {
    let options = [("database", "shop"), ("format", "custom")];
    place.site_with(&options, None).await
}

async fn round_trip(image: &str) {
    let place = Place::start_image(image, &[]).await;
    place.load_sample("shop", 1);
    let original = place.digest("shop");
    let plain = place.back_up("shop").await;
    let site = site(&place).await;
    assert_eq!(postgres().extension(&site.options), "dump");
    let backup = back_up(&site).await.unwrap();
    assert!(backup.bytes.starts_with(b"PGDMP"));
    assert_eq!(backup.fingerprint, plain.fingerprint);

    place.sql(
        "shop",
        "DELETE FROM shop.order_items; CREATE TABLE public.later (x int)",
    );
    let changed = place.digest("shop");
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    place.digest("shop").assert_is(&original, "restored");
    assert_eq!(restored.fingerprint, backup.fingerprint);
    assert_eq!(restored.warnings, Vec::<String>::new());
    let kept = restored.kept.unwrap();
    let kept = postgres()
        .undo(&site, &kept, &Notes::default())
        .await
        .unwrap();
    place.digest("shop").assert_is(&changed, "undone");
    postgres().forget(&site, &kept).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_comes_back() {
    round_trip(POSTGRES_15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_a_newer_version_comes_back() {
    round_trip(POSTGRES_17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_archive_is_refused_and_changes_nothing() {
    let place = Place::start().await;
    place.make_small("shop");
    let site = site(&place).await;
    let backup = back_up(&site).await.unwrap();
    place.sql("shop", CHANGE);
    let changed = place.digest("shop");
    let length = backup.bytes.len();

    let mut bad: Vec<(String, Backup)> = Vec::new();
    for at in [0, 4, 30, 500, length / 2, length - 6, length - 1] {
        assert!(judge(&backup.bytes[..at]).is_err(), "{at}");
        let bytes = backup.bytes.slice(..at);
        let cut = Backup {
            bytes,
            ..backup.clone()
        };
        bad.push((format!("cut at {at}"), cut));
    }
    let foreign = [&backup.bytes[..], b"more"].concat();
    assert!(judge(&foreign).is_err());
    let bytes = foreign.into();
    let foreign = Backup {
        bytes,
        ..backup.clone()
    };
    bad.push(("followed by something".to_owned(), foreign));
    // The same length, another statement.
    let view = b"SELECT count(*) AS count";
    let at = memchr::memmem::find(&backup.bytes, view).unwrap();
    let mut bytes = backup.bytes.to_vec();
    bytes[at..at + view.len()].copy_from_slice(b"SELECT count(+) AS count");
    bad.push((
        "no SQL".to_owned(),
        Backup {
            bytes: bytes.into(),
            ..backup.clone()
        },
    ));
    for (what, bad) in &bad {
        let notes = Notes::default();
        let error = bad.restore(&site, &notes).await.expect_err(what);
        let closed = notes.names().contains(&"close".to_owned());
        assert!(!closed, "{what}: {error}");
        assert_eq!(
            place.databases(),
            ["postgres", "shop", "template1"],
            "{what}"
        );
        let settled = postgres().settle(&site, &notes.steps()).await.unwrap();
        assert_eq!(settled, Settled::AsBefore);
    }
    place
        .digest("shop")
        .assert_is(&changed, "after all of these");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_holds_one_database_and_nothing_else() {
    let place = Place::start().await;
    for more in [("database", "*"), ("roles", "yes")] {
        let site = place.site_with(&[("format", "custom"), more], None).await;
        let errors = postgres().check(&site.options).unwrap_err();
        assert!(errors.0["options.format"].contains("plain"), "{errors:?}");
    }
    let site = place.site_with(&[("format", "tar")], None).await;
    let errors = postgres().check(&site.options).unwrap_err();
    assert!(errors.0["options.format"].contains("custom"), "{errors:?}");
}
