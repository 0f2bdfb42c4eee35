//! All databases of a server in one backup: all of them come back, or none.

use std::{process::Command, sync::Arc, time::Duration};

use holdfast::strategy::{Settled, Site, StrategyError};
use tokio::sync::Notify;

use super::place::{Backup, CHANGE, Digest, Notes, POSTGRES_17, Place, Trouble, back_up, postgres};

const ODD: &str = "it's \"odd\" $(touch /tmp/owned) \\! %s - :x";

/// Looks like the way out of the database wherever a dump shows text as it is.
const TRAPS: &str = "
CREATE TABLE traps (x text);
INSERT INTO traps VALUES (E'a\\n\\\\connect \"shop\"\\n'), ('\\connect \"shop\"'), ('\\.');
COMMENT ON TABLE traps IS E'x\\n\\\\connect \"shop\"\\n-- PostgreSQL database dump complete\\n';
CREATE VIEW trap AS SELECT E'x\\n\\\\connect \"shop\"\\n'::text AS y;
";

/// A server with three databases and one that is empty, and a backup of all.
struct Scene {
    place: Place,
    site: Site,
    backup: Backup,
    original: Vec<Digest>,
    changed: Vec<Digest>,
}

const NAMES: [&str; 3] = ["postgres", "shop", ODD];

impl Scene {
    async fn set(image: &str) -> Self {
        let place = Place::start_image(image, &[]).await;
        for name in NAMES {
            place.make_small(name);
        }
        place.sql(ODD, TRAPS);
        place.sql("postgres", "CREATE DATABASE bare");
        let site = place.site_with(&[("database", "*")], None).await;
        let original = digests(&place);
        let backup = back_up(&site).await.unwrap();
        for name in NAMES {
            place.sql(name, &format!("{CHANGE}CHECKPOINT;"));
        }
        place.sql("postgres", "CREATE DATABASE later");
        let changed = digests(&place);
        Self {
            place,
            site,
            backup,
            original,
            changed,
        }
    }

    #[track_caller]
    fn is(&self, expected: &[Digest], when: &str) {
        let found = digests(&self.place);
        for ((found, expected), name) in found.iter().zip(expected).zip(NAMES) {
            found.assert_is(expected, &format!("{name} {when}"));
        }
    }

    #[track_caller]
    fn is_as_before(&self, when: &str) {
        self.is(&self.changed, when);
        let mut names = ["bare", "later", "template1"].map(str::to_owned).to_vec();
        names.extend(NAMES.map(str::to_owned));
        names.sort();
        let mut found = self.place.databases();
        found.sort();
        assert_eq!(found, names, "{when}");
    }
}

fn digests(place: &Place) -> Vec<Digest> {
    NAMES.iter().map(|name| place.digest(name)).collect()
}

async fn round_trip(image: &str) {
    let scene = Scene::set(image).await;
    let Scene {
        place,
        site,
        backup,
        original,
        changed,
    } = &scene;
    assert_eq!(backup.probe.subject, "*");
    assert!(backup.probe.size.unwrap() > 1_000_000);
    assert_eq!(backup.fingerprint.counts["shop: public.things"], 20_000);
    assert_eq!(backup.fingerprint.counts["bare: large objects"], 0);

    let notes = Notes::default();
    let restored = backup.restore(site, &notes).await.unwrap();
    scene.is(original, "restored");
    assert_eq!(restored.fingerprint, backup.fingerprint);
    assert_eq!(
        restored.warnings,
        ["not in the backup, and left as they are: later"]
    );
    assert_eq!(
        notes.names().iter().filter(|name| *name == "swap").count(),
        1
    );
    assert_eq!(
        notes.names().iter().filter(|name| *name == "load").count(),
        4
    );

    let kept = restored.kept.unwrap();
    assert!(kept.size.unwrap() > 1_000_000);
    let undone = postgres()
        .undo(site, &kept, &Notes::default())
        .await
        .unwrap();
    scene.is(changed, "undone");
    let again = postgres()
        .undo(site, &kept, &Notes::default())
        .await
        .unwrap();
    assert_eq!(again.data, undone.data, "asked for twice");
    for _ in 0..2 {
        postgres().forget(site, &undone).await.unwrap();
    }
    scene.is_as_before("undone and forgotten");

    // On a server without some of them.
    place.sql("template1", "DROP DATABASE shop; DROP DATABASE bare");
    let restored = backup.restore(site, &Notes::default()).await.unwrap();
    let content = place.content("shop");
    assert_eq!(
        place.sql("shop", "SELECT count(*) FROM things"),
        "20000",
        "{:?}",
        restored.warnings
    );
    place.sql("shop", CHANGE);
    assert!(place.content("shop") != content);
    // The databases that a restore set aside are in no backup.
    let next = back_up(site).await.unwrap();
    assert!(
        !next
            .fingerprint
            .counts
            .keys()
            .any(|key| key.contains("hf_"))
    );
    let owned = place.bed.sh("ls /tmp/owned 2>/dev/null || echo none");
    assert_eq!(owned, "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_databases_come_back_together() {
    round_trip(super::place::POSTGRES_15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_databases_come_back_together_to_a_newer_server() {
    round_trip(POSTGRES_17).await;
}

/// Taken away at each step, and cut off around the exchange: never some of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_cut_off_changes_all_databases_or_none() {
    let scene = Scene::set(super::place::POSTGRES_15).await;
    let notes = Notes::default();
    let kept = scene
        .backup
        .restore(&scene.site, &notes)
        .await
        .unwrap()
        .kept;
    scene.is(&scene.original, "restored");
    undo(&scene, &kept.unwrap()).await;
    let steps = notes.names();

    // In the middle of the second database, and where all are exchanged.
    let ends = [5, steps.len() - 2, steps.len() - 1];
    for number in ends {
        let notes = Notes::refusing_nth(number);
        let error = scene.backup.restore(&scene.site, &notes).await.unwrap_err();
        assert!(matches!(error, StrategyError::JournalClosed(_)), "{error}");
        scene.is_as_before(&steps[number]);
        let settled = postgres().settle(&scene.site, &notes.steps()).await;
        assert_eq!(settled.unwrap(), Settled::AsBefore);
    }
    let (mut before, mut after) = (0, 0);
    for number in [steps.len() - 2, steps.len() - 1] {
        for delay in [0, 60, 300] {
            let notes = cut_off(&scene, number, delay).await;
            let when = format!("{} + {delay} ms", steps[number]);
            let settled = postgres().settle(&scene.site, &notes.steps()).await;
            match settled.unwrap() {
                Settled::AsBefore => {
                    scene.is_as_before(&when);
                    before += 1;
                }
                Settled::Restored(kept) => {
                    scene.is(&scene.original, &when);
                    undo(&scene, &kept.unwrap()).await;
                    after += 1;
                }
            }
        }
    }
    assert!(before > 0);
    println!(
        "figure: postgres: all databases cut off {} times, {before} settled as before, {after} as restored",
        before + after
    );
    killed(&scene, steps.len() - 1).await;
}

/// The task is dropped, as a killed worker would be.
async fn cut_off(scene: &Scene, number: usize, delay: u64) -> Notes {
    let reached = Arc::new(Notify::new());
    let signal = reached.clone();
    let notes = Notes::at_nth(number, move || signal.notify_one());
    let cut = async {
        reached.notified().await;
        tokio::time::sleep(Duration::from_millis(delay)).await;
    };
    tokio::select! {
        _ = scene.backup.restore(&scene.site, &notes) => {}
        () = cut => {}
    }
    // As the application does before it settles.
    let _ = scene
        .place
        .engine
        .sweep(&scene.site.container.id, None)
        .await;
    notes
}

/// The server dies when the exchange is recorded.
async fn killed(scene: &Scene, number: usize) {
    let name = scene.place.bed.name.clone();
    let notes = Notes::at_nth(number, move || {
        let kill = Command::new("docker").args(["kill", &name]).output();
        assert!(kill.is_ok());
    });
    let error = scene.backup.restore(&scene.site, &notes).await.unwrap_err();
    assert!(matches!(error, StrategyError::Unsettled(_)), "{error:?}");
    scene.place.start_again().await;
    let settled = postgres().settle(&scene.site, &notes.steps()).await;
    assert_eq!(settled.unwrap(), Settled::AsBefore);
    scene.is_as_before("killed");
}

async fn undo(scene: &Scene, kept: &holdfast::strategy::Kept) {
    let notes = Notes::default();
    let kept = postgres().undo(&scene.site, kept, &notes).await.unwrap();
    postgres().forget(&scene.site, &kept).await.unwrap();
    scene.is_as_before("an undo");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_tool_takes_is_refused_before_anything_is_dumped() {
    let place = Place::start().await;
    for name in ["dbname=shop", "postgres://x", "-h", "a\nb"] {
        place
            .try_sql(
                "postgres",
                "CREATE DATABASE :\"name\";",
                &["-v", &format!("name={name}")],
            )
            .unwrap();
        let site = place.site_with(&[("database", "*")], None).await;
        match back_up(&site).await {
            Err(Trouble::Strategy(StrategyError::Option { field, message, .. })) => {
                assert_eq!(field, "options.database");
                assert!(message.contains(&format!("{name:?}")), "{message}");
            }
            other => panic!("{name}: {other:?}"),
        }
        place
            .try_sql(
                "postgres",
                "DROP DATABASE :\"name\";",
                &["-v", &format!("name={name}")],
            )
            .unwrap();
    }
    // What is left out is named.
    place.sql(
        "postgres",
        "CREATE DATABASE shut ALLOW_CONNECTIONS false; CREATE DATABASE mould IS_TEMPLATE true",
    );
    let site = place.site_with(&[("database", "*")], None).await;
    let backup = back_up(&site).await.unwrap();
    assert_eq!(
        backup.dumped.warnings,
        [
            "the database mould is a template, and is not in the backup",
            "the database shut is closed to connections, and is not in the backup",
        ]
    );
    // The dump of one database says nothing of its name.
    let one = Backup {
        probe: holdfast::strategy::Probe::default(),
        ..place.back_up("shop").await
    };
    let notes = Notes::default();
    let error = one.restore(&site, &notes).await.unwrap_err();
    assert!(error.to_string().contains("one database"), "{error}");
    assert!(notes.steps().is_empty());
}
