//! Artifacts that are damaged, hostile or not what they say: refused, nothing of them executed, and
//! the database as it was.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use holdfast::{domain::manifest::Fingerprint, strategy::StrategyError};

use super::place::{Backup, CHANGE, Notes, POSTGRES_15, POSTGRES_17, Place, judge, postgres};

/// Puts text before the end mark of a dump.
fn with(backup: &Backup, text: &str) -> Backup {
    let dump = String::from_utf8(backup.bytes.to_vec()).unwrap();
    let mark = "--\n-- PostgreSQL database dump complete";
    assert!(dump.contains(mark));
    Backup {
        bytes: dump.replace(mark, &format!("{text}\n\n{mark}")).into(),
        ..backup.clone()
    }
}

fn cut(backup: &Backup, at: usize) -> Backup {
    Backup {
        bytes: backup.bytes.slice(..at),
        ..backup.clone()
    }
}

/// The validator would refuse these before a restore begins. Here they come all the same, as if
/// they had been changed in between: the restore itself must not believe it.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_and_damaged_artifacts_are_refused() {
    let place = Place::start().await;
    place.make_small("shop");
    let backup = place.back_up("shop").await;
    place.sql("shop", CHANGE);
    let changed = place.digest("shop");
    let site = place.site().await;

    let length = backup.bytes.len();
    let mut bad: Vec<(String, Backup)> = [
        "\\! touch /tmp/owned",
        "\\connect postgres",
        "\\i /etc/passwd",
        "\\o |touch /tmp/owned",
        "SELECT 1 \\g |touch /tmp/owned",
        "COPY things FROM PROGRAM 'touch /tmp/owned';",
        "COPY things TO PROGRAM 'touch /tmp/owned';",
        "COPY things TO '/tmp/owned';",
        "DROP DATABASE shop;",
        "ALTER DATABASE shop RENAME TO gone;",
        "ALTER ROLE app NOSUPERUSER;",
        "ALTER SYSTEM SET work_mem = '1MB';",
        // What only the server notices.
        "SELECT no_such_function();",
        "ALTER TABLE things OWNER TO nobody_there;",
        "INSERT INTO public.things VALUES (1, NULL);",
        "this is no SQL;",
        // What no error tells of.
        "DELETE FROM public.things WHERE id = 1;",
        "INSERT INTO public.things VALUES (99999, 'more');",
        "SELECT pg_catalog.lo_create('4712');",
        "CREATE TABLE public.more AS SELECT 1;",
        "DROP TABLE public.empty;",
    ]
    .into_iter()
    .map(|text| (text.to_owned(), with(&backup, text)))
    .collect();
    for at in [
        0,
        1,
        100,
        length / 2,
        length - 300,
        length - 100,
        length - 3,
    ] {
        bad.push((format!("cut at {at} of {length}"), cut(&backup, at)));
    }
    let mut flipped = backup.bytes.to_vec();
    flipped[length / 2] = b'\n';
    bad.push((
        "a row too many".into(),
        Backup {
            bytes: flipped.into(),
            ..backup.clone()
        },
    ));
    let mut counted = backup.clone();
    *counted.fingerprint.counts.get_mut("public.things").unwrap() += 1;
    bad.push(("another count".into(), counted));

    for (what, bad) in &bad {
        let notes = Notes::default();
        let error = bad.restore(&site, &notes).await.expect_err(what);
        assert!(
            !notes.names().contains(&"close".to_owned()),
            "{what}: {error}"
        );
        assert_eq!(
            place.databases(),
            ["postgres", "shop", "template1"],
            "{what}"
        );
        if let StrategyError::Tool { temporary, .. } = error {
            assert!(!temporary, "{what}");
        }
    }
    place
        .digest("shop")
        .assert_is(&changed, "after all of these");
    assert_eq!(
        place.bed.sh("ls /tmp/owned 2>/dev/null || echo none"),
        "none"
    );

    // The stream itself breaks.
    let broken = stream::iter([
        Ok(backup.bytes.slice(..length / 2)),
        Err(std::io::Error::other("checksum")),
    ]);
    let notes = Notes::default();
    let error = postgres()
        .restore(&site, &backup.plan(1), broken.boxed(), &notes)
        .await
        .unwrap_err();
    assert!(matches!(error, StrategyError::Artifact(_)), "{error}");
    place
        .digest("shop")
        .assert_is(&changed, "after a broken stream");
    assert_eq!(place.databases(), ["postgres", "shop", "template1"]);

    backup.restore(&site, &Notes::default()).await.unwrap();
    println!(
        "figure: postgres: {} bad artifacts, 0 restored, 0 executed",
        bad.len() + 1
    );
}

/// What other tools and options make of the same database.
#[tokio::test(flavor = "multi_thread")]
async fn dumps_of_other_kinds_are_taken_or_refused_with_a_reason() {
    let place = Place::start().await;
    place.make_small("shop");
    let original = place.content("shop");
    let dump = |options: &str| -> Bytes {
        let dump = std::process::Command::new("docker")
            .args(["exec", &place.bed.name, "sh", "-c"])
            .arg(format!("{options} -U app"))
            .output()
            .unwrap();
        assert!(dump.status.success(), "{options}");
        dump.stdout.into()
    };
    for (options, why) in [
        ("pg_dump -Fc shop", "--compress=0"),
        ("pg_dump -Ft shop", "tar format"),
        ("pg_dumpall", "pg_dumpall"),
        ("pg_dump --create shop", "beyond one database"),
        ("pg_dump --create --clean shop", "beyond one database"),
        ("pg_dump --encoding=SJIS shop", "encoding sjis"),
        ("pg_dump shop | gzip | cat; true", "gzip"),
    ] {
        let fault = judge(&dump(options)).unwrap_err();
        assert!(fault.contains(why), "{options}: {fault}");
    }
    for options in [
        "pg_dump shop",
        "pg_dump --inserts shop",
        "pg_dump --column-inserts --rows-per-insert=7 --on-conflict-do-nothing shop",
        "pg_dump --quote-all-identifiers shop",
        "pg_dump --load-via-partition-root shop",
        "pg_dump --encoding=LATIN1 shop",
        "pg_dump -Fc --compress=0 shop",
        "pg_dump -Fc --compress=0 --encoding=LATIN1 -U app -f /tmp/x shop && cat /tmp/x; true",
    ] {
        let bytes = dump(options);
        let fingerprint = judge(&bytes).unwrap_or_else(|fault| panic!("{options}: {fault}"));
        assert_eq!(fingerprint.counts["public.things"], 20_000, "{options}");
        let uploaded = Backup {
            bytes,
            fingerprint,
            ..place.back_up("shop").await
        };
        place.sql("shop", CHANGE);
        uploaded
            .restore(&place.site().await, &Notes::default())
            .await
            .unwrap();
        place.content("shop").assert_is(&original, options);
    }
    // Without data or without definitions.
    let schema: Fingerprint = judge(&dump("pg_dump --schema-only shop")).unwrap();
    assert!(!schema.counts.contains_key("public.things"));
    assert_eq!(
        judge(&dump("pg_dump --data-only shop")).unwrap().counts["public.things"],
        20_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_goes_to_a_newer_server_and_never_to_an_older_one() {
    let old = Place::start_image(POSTGRES_15, &[]).await;
    let new = Place::start_image(POSTGRES_17, &[]).await;
    old.load_sample("shop", 1);
    // Roles belong to the server.
    new.sql(
        "shop",
        "CREATE ROLE shop_reader; CREATE ROLE \"Night Shift\"",
    );
    let backup = old.back_up("shop").await;
    assert!(backup.probe.server.starts_with("15."), "{:?}", backup.probe);
    let restored = backup
        .restore(&new.site().await, &Notes::default())
        .await
        .unwrap();
    assert_eq!(restored.fingerprint, backup.fingerprint);

    let newer = new.back_up("shop").await;
    assert_eq!(newer.fingerprint, backup.fingerprint);
    let original = old.digest("shop");
    let notes = Notes::default();
    let error = newer.restore(&old.site().await, &notes).await.unwrap_err();
    assert!(error.to_string().contains("PostgreSQL 17"), "{error}");
    assert!(notes.steps().is_empty());
    old.digest("shop").assert_is(&original, "after a refusal");

    // Without the roles.
    new.sql("postgres", "DROP DATABASE shop");
    for database in new.databases() {
        if let Some(kept) = database.strip_suffix(" (closed)") {
            new.sql("postgres", &format!("DROP DATABASE {kept}"));
        }
    }
    new.sql("postgres", "CREATE DATABASE shop; DROP ROLE shop_reader");
    match backup
        .restore(&new.site().await, &Notes::default())
        .await
        .unwrap_err()
    {
        StrategyError::Tool { message, hint, .. } => {
            assert!(
                message.contains("role \"shop_reader\" does not exist"),
                "{message}"
            );
            assert!(hint.contains("CREATE ROLE"), "{hint}");
        }
        other => panic!("{other}"),
    }
}
