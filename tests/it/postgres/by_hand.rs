//! The commands that a manifest gives restore the artifact without Holdfast.

use std::{io::Write as _, process::Command};

use flate2::{Compression as Level, write::GzEncoder};
use holdfast::domain::manifest::Compression;

use super::place::{CHANGE, Place, back_up, postgres};

#[tokio::test(flavor = "multi_thread")]
async fn the_manifests_own_commands_restore_the_artifact() {
    let place = Place::start().await;
    let folder = tempfile::tempdir().unwrap();
    place.make_small("it's \"odd\" $(id) \\ %s");
    place.make_small("postgres");
    place.load_sample("shop", 1);
    for (database, compression, name) in [
        ("shop", Compression::Gzip, "shop.sql.gz"),
        ("shop", Compression::None, "it's $(id) odd.sql"),
        ("it's \"odd\" $(id) \\ %s", Compression::Gzip, "-odd.sql.gz"),
        ("postgres", Compression::None, "postgres.sql"),
    ] {
        let original = place.content(database);
        let backup = back_up(&place.site_with(&[("database", database)], None).await)
            .await
            .unwrap();
        let mut stored = backup.bytes.to_vec();
        if compression == Compression::Gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
            encoder.write_all(&stored).unwrap();
            stored = encoder.finish().unwrap();
        }
        std::fs::write(folder.path().join(name), stored).unwrap();
        let mut manifest = backup.plan(1).manifest;
        manifest.source.container.clone_from(&place.bed.name);
        manifest.artifact.compression = compression;

        if database == "shop" {
            place.sql(
                database,
                "DELETE FROM shop.order_items; CREATE TABLE public.later (x int)",
            );
        } else {
            place.sql(database, CHANGE);
        }
        for line in postgres().by_hand(&manifest, name) {
            let run = Command::new("sh")
                .args(["-c", &line])
                .current_dir(folder.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&run.stderr);
            assert!(run.status.success(), "{line}: {said}");
        }
        place.content(database).assert_is(&original, database);
        // On a server without the database.
        let before = place
            .databases()
            .into_iter()
            .find(|name| name.ends_with("_before"))
            .unwrap();
        for name in [&before, database] {
            let name = name.replace('"', "\"\"");
            place.sql("template1", &format!("DROP DATABASE \"{name}\""));
        }
        for line in postgres().by_hand(&manifest, name) {
            let run = Command::new("sh")
                .args(["-c", &line])
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(
                run.status.success(),
                "{line}: {}",
                String::from_utf8_lossy(&run.stderr)
            );
        }
        place
            .content(database)
            .assert_is(&original, "without the database");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifests_own_commands_restore_all_databases() {
    let place = Place::start().await;
    let folder = tempfile::tempdir().unwrap();
    let odd = "it's \"odd\" $(id) \\ %s";
    let names = ["postgres", "shop", odd];
    for name in names {
        place.make_small(name);
    }
    let original = names.map(|name| place.content(name));
    let backup = back_up(&place.site_with(&[("database", "*")], None).await)
        .await
        .unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
    encoder.write_all(&backup.bytes).unwrap();
    let file = "it's all.sql.gz";
    std::fs::write(folder.path().join(file), encoder.finish().unwrap()).unwrap();
    let mut manifest = backup.plan(1).manifest;
    manifest.source.container.clone_from(&place.bed.name);
    manifest.artifact.compression = Compression::Gzip;

    place.sql("shop", CHANGE);
    place.sql("postgres", "DROP TABLE things CASCADE");
    place.sql(
        "template1",
        "DROP DATABASE \"it's \"\"odd\"\" $(id) \\ %s\"",
    );
    for line in postgres().by_hand(&manifest, file) {
        let run = Command::new("sh")
            .args(["-c", &line])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{line}: {said}");
    }
    for (name, original) in names.iter().zip(&original) {
        place.content(name).assert_is(original, name);
    }
}
