//! What lies in the targets against what the log says: in a folder and in a bucket, each difference is
//! found and can be mended, a place that is away is not called empty, and a copy that is damaged is found,
//! made again, and meanwhile not chosen.

use std::{fs, path::Path};

use futures_util::TryStreamExt;
use holdfast::{
    app::{AppError, Compared, Difference, Lack, Remains, RestoreInput},
    domain::{
        config::{ConfigSpec, Retention},
        ids::RunId,
        manifest::Manifest,
    },
    readmodel::runs::{self, Found},
};

use crate::{
    bucket::{Bucket, Operation, Trouble},
    house::House,
    note,
    shelf::{Shelf, dump, spec},
};

fn only(mut places: Vec<Compared>) -> (String, Difference) {
    assert_eq!(places.len(), 1, "{places:?}");
    let place = places.remove(0);
    (place.id, place.found.unwrap())
}

/// What lies under one key, again under another, as a backup of nobody's.
pub fn stray(artifact: &Path, from: &str, to: &str) -> String {
    let key = from.replace(".gz", &format!("-{to}.gz"));
    let at = |name: &str| artifact.with_file_name(name.rsplit('/').next().unwrap());
    fs::copy(artifact, at(&key)).unwrap();
    let manifest = fs::read(format!("{}.json", artifact.display())).unwrap();
    let mut manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
    manifest.artifact.key.clone_from(&key);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    fs::write(at(&format!("{key}.json")), manifest).unwrap();
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_folder_each_difference_is_found_and_mended() {
    let mut shelf = Shelf::of(ConfigSpec {
        retention: Retention::Count { count: 100 },
        ..spec()
    })
    .await;
    let (holdfast, caller) = (shelf.holdfast.clone(), shelf.caller.clone());
    let compared = async || holdfast.reconcile(&caller).await.unwrap();
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(shelf.store(dump(100)).await);
    }
    holdfast.ship_log().await.unwrap();
    let (place, found) = only(compared().await);
    assert_eq!(
        (found.present, found.strays.len(), found.lacking.len()),
        (4, 0, 0)
    );

    // One is gone, one lost its manifest, one is short; and three lie there that no run knows.
    let paths = [0, 1, 2, 3].map(|i| shelf.artifact(runs[i]));
    let [good, gone, mute, short] = futures_util::future::join_all(paths)
        .await
        .try_into()
        .unwrap();
    let key = shelf.run(runs[0]).await.file_path.unwrap();
    let whole = stray(&good, &key, "whole");
    let bare = stray(&good, &key, "bare");
    fs::remove_file(shelf.path(&format!("{bare}.json"))).unwrap();
    let alone = stray(&good, &key, "alone");
    fs::remove_file(shelf.path(&alone)).unwrap();
    fs::write(shelf.path("notes.txt"), "somebody's").unwrap();
    fs::remove_file(&gone).unwrap();
    fs::remove_file(format!("{}.json", mute.display())).unwrap();
    let bytes = fs::read(&short).unwrap();
    fs::write(&short, &bytes[1..]).unwrap();
    let (_, found) = only(compared().await);
    assert_eq!(found.present, 1);
    let lacking: Vec<_> = found
        .lacking
        .iter()
        .map(|(it, lack)| (it.run, *lack, it.told))
        .collect();
    let length = Lack::Length {
        found: bytes.len() as u64 - 1,
    };
    assert_eq!(
        lacking,
        [
            (runs[1], Lack::Artifact, false),
            (runs[2], Lack::Manifest, false),
            (runs[3], length, false)
        ]
    );
    let strays: Vec<_> = found
        .strays
        .iter()
        .map(|it| (it.key.to_string(), it.remains))
        .collect();
    assert_eq!(
        strays,
        [
            (alone.clone(), Remains::Manifest),
            (bare.clone(), Remains::Artifact),
            (whole.clone(), Remains::Whole),
        ]
    );

    // Nothing stays green that cannot be restored.
    assert_eq!(holdfast.verify_lacking(&caller, &place).await.unwrap(), 3);
    for &run in &runs[1..] {
        shelf
            .until(run, |run| run.is_damaged() && run.verifying.is_none())
            .await;
    }
    let (_, found) = only(compared().await);
    assert!(found.lacking.iter().all(|(it, _)| it.told), "{found:?}");
    assert_eq!(holdfast.verify_lacking(&caller, &place).await.unwrap(), 0);

    let kept = holdfast.delete_stray(&caller, &place, &key).await;
    assert!(matches!(kept, Err(AppError::Conflict(_))), "{kept:?}");
    for name in [
        "notes.txt",
        "../escape",
        "shop/1/never.sql.gz",
        "holdfast-log/1/1/x",
    ] {
        assert!(
            holdfast.delete_stray(&caller, &place, name).await.is_err(),
            "{name}"
        );
        assert!(
            holdfast.adopt_stray(&caller, &place, name).await.is_err(),
            "{name}"
        );
    }
    let elsewhere = holdfast.delete_stray(&caller, "nowhere", &bare).await;
    assert!(
        matches!(elsewhere, Err(AppError::NotFound(_))),
        "{elsewhere:?}"
    );
    for name in [&bare, &alone] {
        let adopted = holdfast.adopt_stray(&caller, &place, name).await;
        assert!(adopted.is_err(), "{name}");
        holdfast.delete_stray(&caller, &place, name).await.unwrap();
    }
    let adopted = holdfast.adopt_stray(&caller, &place, &whole).await.unwrap();
    shelf.until(adopted, |run| run.verified_at.is_some()).await;
    let again = holdfast.adopt_stray(&caller, &place, &whole).await;
    assert!(again.is_err(), "twice is once: {again:?}");
    let (_, found) = only(compared().await);
    assert_eq!((found.present, found.strays.len()), (2, 0), "{found:?}");
    assert!(shelf.path("notes.txt").exists());
    let events = holdfast.log().read_from(0, 1_000).await.unwrap();
    let deleted = events
        .iter()
        .filter(|event| event.name == "audit.stray_deleted");
    assert_eq!(deleted.count(), 2);
    shelf.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_away_is_not_called_empty_and_what_is_at_work_is_no_stray() {
    let mut shelf = Shelf::new().await;
    let done = shelf.store(dump(100)).await;
    shelf.stop().await;
    shelf.holdfast.ship_log().await.unwrap();
    let compared = async || shelf.holdfast.reconcile(&shelf.caller).await.unwrap();
    let (root, away) = (shelf.path(""), shelf.data.path().join("away"));
    fs::rename(&root, &away).unwrap();
    // A disk that is not mounted leaves the folder that it is mounted on.
    for empty in [true, false] {
        if empty {
            fs::create_dir(&root).unwrap();
        } else {
            fs::write(shelf.data.path().join("backups"), "").unwrap();
        }
        let places = compared().await;
        let failure = places[0].found.as_ref().unwrap_err();
        assert!(!failure.hint.is_empty(), "{failure:?}");
        let _ = fs::remove_dir(&root);
        let _ = fs::remove_file(shelf.data.path().join("backups"));
    }
    let none = shelf.holdfast.reconcile(&shelf.caller).await.unwrap();
    assert!(
        none[0].found.is_err(),
        "the folder itself is gone: {none:?}"
    );
    fs::rename(&away, &root).unwrap();

    // Of an attempt that has stored its artifact, and has not said so yet.
    let running = shelf.begin(done).await;
    let pin = shelf.run(running).await.pin().unwrap();
    let from = shelf.artifact(done).await;
    fs::copy(&from, shelf.path(&pin.key)).unwrap();
    assert_eq!(only(compared().await).1.strays, []);
    let other = pin.key.replace(".sql", "-other.sql");
    fs::copy(&from, shelf.path(&other)).unwrap();
    assert_eq!(only(compared().await).1.strays.len(), 1);
}

async fn verified(house: &House, run: RunId) -> runs::Model {
    let asked = house.holdfast.request_verification(&house.caller, run);
    asked.await.unwrap();
    looked_at(house, run).await
}

async fn looked_at(house: &House, run: RunId) -> runs::Model {
    house.run_when(run, |run| run.verifying.is_none()).await
}

async fn stored(house: &House, run: RunId) -> runs::Model {
    house.run_when(run, |run| run.copies()[0].stored).await
}

async fn restore_from(house: &House, run: RunId, from: u32) -> Result<String, AppError> {
    let input = RestoreInput {
        from: Some(from),
        ..RestoreInput::default()
    };
    let id = house
        .holdfast
        .request_restore(&house.caller, run, input)
        .await?;
    let restore = house.restore_over(id).await;
    assert_eq!(restore.warnings(), Vec::<String>::new());
    Ok(restore.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_read_like_the_first_and_made_again_where_it_is_damaged() {
    let (project, bed) = note::service("copy-read");
    let (house, bucket) = (House::new().await, Bucket::serve());
    house.app("shop", &project).await;
    let config = house.config("shop", note::copied_to(&bucket)).await;
    let run = house.back_up(config).await.run_id();
    let key = stored(&house, run).await.file_path.unwrap();
    let object = fs::read(bucket.path(&key)).unwrap();

    bucket.seen();
    let row = verified(&house, run).await;
    assert_eq!(row.verification().unwrap().found, Found::Whole);
    assert!(
        row.copies()[0].stored && row.copies()[0].unread.is_none(),
        "{row:?}"
    );
    assert!(bucket.seen().contains(&Operation::Get), "the copy was read");

    // A place that was chosen is the only one.
    assert_eq!(restore_from(&house, run, 1).await.unwrap(), "success");
    assert_eq!(note::read(&bed), note::FIRST);
    let path = house.data.path().join("backups").join(&key);
    let away = path.with_extension("away");
    fs::rename(&path, &away).unwrap();
    assert_eq!(restore_from(&house, run, 0).await.unwrap(), "failed");
    let link = house.holdfast.download_link(&house.caller, run).await;
    let link = link.unwrap().expect("the bucket gives a link");
    let given = reqwest::get(&link).await.unwrap().bytes().await.unwrap();
    assert_eq!(
        given, object,
        "of the copy, because the first lost its file"
    );
    fs::rename(&away, &path).unwrap();
    for wrong in [2, u32::MAX] {
        let refused = restore_from(&house, run, wrong).await.unwrap_err();
        assert!(matches!(&refused, AppError::Invalid(it) if it.0.contains_key("from")));
    }

    // Away is not damaged.
    for operation in [Operation::Get, Operation::Head] {
        bucket.inject(operation, Trouble::Busy, usize::MAX);
    }
    let row = verified(&house, run).await;
    assert_eq!(row.verification().unwrap().found, Found::Whole);
    assert!(
        row.copies()[0].stored && row.copies()[0].unread.is_some(),
        "{row:?}"
    );
    bucket.heal();

    for spoil in [
        &|| bucket.damage(&key) as (),
        &|| fs::remove_file(bucket.path(&format!("{key}.json"))).unwrap(),
        &|| fs::remove_file(bucket.path(&key)).unwrap(),
    ] as [&dyn Fn(); 3]
    {
        spoil();
        let row = verified(&house, run).await;
        assert_eq!(row.status, "success", "the first is good");
        assert!(
            row.is_warned() && row.copies()[0].damage.is_some(),
            "{row:?}"
        );
        let refused = restore_from(&house, run, 1).await.unwrap_err();
        assert!(matches!(refused, AppError::Invalid(_)), "{refused:?}");
        house
            .holdfast
            .copy_again(&house.caller, run, 1)
            .await
            .unwrap();
        let row = stored(&house, run).await;
        assert!(!row.is_warned(), "{row:?}");
        assert_eq!(fs::read(bucket.path(&key)).unwrap(), object);
        let row = verified(&house, run).await;
        assert!(row.copies()[0].stored, "{row:?}");
    }

    // And the other way round.
    let mend = async || house.holdfast.copy_again(&house.caller, run, 0).await;
    let refused = mend().await.unwrap_err();
    assert!(
        refused.to_string().contains("not known to be damaged"),
        "{refused}"
    );
    let manifest = path.with_file_name(format!(
        "{}.json",
        path.file_name().unwrap().to_str().unwrap()
    ));
    for spoil in [
        &|| fs::write(&path, b"spoilt") as std::io::Result<()>,
        &|| fs::remove_file(&manifest),
        &|| fs::remove_file(&path),
    ] as [&dyn Fn() -> std::io::Result<()>; 3]
    {
        spoil().unwrap();
        assert!(verified(&house, run).await.is_damaged());
        mend().await.unwrap();
        let row = looked_at(&house, run).await;
        assert_eq!(row.status, "success", "{row:?}");
        assert_eq!(fs::read(&path).unwrap(), object);
        assert!(manifest.exists());
        assert_eq!(restore_from(&house, run, 0).await.unwrap(), "success");
    }
    fs::remove_file(&path).unwrap();
    assert!(verified(&house, run).await.is_damaged());
    bucket.inject(Operation::Get, Trouble::Busy, usize::MAX);
    mend().await.unwrap();
    let row = looked_at(&house, run).await;
    assert!(row.is_damaged() && row.copies()[0].stored, "{row:?}");
    bucket.heal();
    bucket.damage(&key);
    verified(&house, run).await;
    let refused = mend().await.unwrap_err();
    assert!(refused.to_string().contains("has no copy"), "{refused}");
    let rebuilt = house.holdfast.rebuild().await.unwrap();
    assert_eq!(rebuilt.differed, Vec::<&str>::new());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_bucket_each_difference_is_found_and_mended() {
    let (project, bed) = note::service("reconciled");
    let (house, bucket) = (House::new().await, Bucket::serve());
    house.app("shop", &project).await;
    let config = house.config("shop", note::copied_to(&bucket)).await;
    let run = house.back_up(config).await.run_id();
    let key = stored(&house, run).await.file_path.unwrap();
    house.holdfast.ship_log().await.unwrap();
    let (holdfast, caller) = (&house.holdfast, &house.caller);
    let of_bucket = async || {
        let places = holdfast.reconcile(caller).await.unwrap();
        assert_eq!(places.len(), 2, "{places:?}");
        let mut of_bucket = places
            .into_iter()
            .filter(|it| !it.place.starts_with("Local"));
        of_bucket.next().unwrap()
    };
    let place = of_bucket().await;
    let (id, found) = (place.id, place.found.unwrap());
    assert_eq!((found.present, found.strays.len()), (1, 0), "{found:?}");

    let whole = stray(&bucket.path(&key), &key, "whole");
    let bare = stray(&bucket.path(&key), &key, "bare");
    fs::remove_file(bucket.path(&format!("{bare}.json"))).unwrap();
    fs::remove_file(bucket.path(&key)).unwrap();
    let found = of_bucket().await.found.unwrap();
    assert_eq!(found.strays.len(), 2, "{found:?}");
    let [(lacking, Lack::Artifact)] = &found.lacking[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (lacking.run, lacking.copy, lacking.elsewhere),
        (run, Some(0), 1)
    );
    assert_eq!(holdfast.verify_lacking(caller, &id).await.unwrap(), 1);
    house
        .run_when(run, |run| run.copies()[0].damage.is_some())
        .await;
    assert!(of_bucket().await.found.unwrap().lacking[0].0.told);
    holdfast.copy_again(caller, run, 1).await.unwrap();
    stored(&house, run).await;

    // Adopted where it lies, whatever its config stores in first; and good enough to restore.
    let adopted = holdfast.adopt_stray(caller, &id, &whole).await.unwrap();
    let row = house.run_when(adopted, |run| run.verifying.is_none()).await;
    assert_eq!(row.verification().unwrap().found, Found::Whole, "{row:?}");
    assert_eq!(row.pin().unwrap().spec.target, "s3");
    bed.sh("rm /data/app.db");
    assert_eq!(house.restore(adopted).await.status, "success");
    assert_eq!(note::read(&bed), note::FIRST);
    holdfast.delete_stray(caller, &id, &bare).await.unwrap();
    assert!(!bucket.path(&bare).exists());
    let found = of_bucket().await.found.unwrap();
    assert_eq!(
        (found.present, found.lacking.len(), found.strays.len()),
        (2, 0, 0)
    );

    bucket.inject(Operation::Other, Trouble::Busy, usize::MAX);
    let away = of_bucket().await.found.unwrap_err();
    assert!(away.is_temporary(), "{away:?}");
    bucket.heal();

    // A download says which place it came from when the first is of no use.
    fs::remove_file(house.data.path().join("backups").join(&key)).unwrap();
    let download = holdfast.download(caller, run, None).await.unwrap();
    let bytes: Vec<bytes::Bytes> = download.body.try_collect().await.unwrap();
    assert_eq!(bytes.concat(), fs::read(bucket.path(&key)).unwrap());
    house.close().await;
}
