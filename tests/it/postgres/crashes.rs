//! A restore that fails, is taken away, is killed or loses its server, at every step: what was
//! there stays there, nothing is left behind, and settling says so as often as it is asked.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use holdfast::strategy::{Settled, Site, Step, StrategyError};
use tokio::{sync::Notify, time::timeout};

use super::place::{Backup, CHANGE, Digest, Notes, Place, USER, postgres};
use crate::session::Session;

const STEPS: [&str; 5] = ["stage", "load", "check", "close", "swap"];

/// A small database, a backup of it, and then other content.
struct Scene {
    place: Place,
    backup: Backup,
    original: Digest,
    changed: Digest,
    site: Site,
}

impl Scene {
    async fn set() -> Self {
        let place = Place::start().await;
        place.make_small("shop");
        let original = place.digest("shop");
        let backup = place.back_up("shop").await;
        // A server that recovers from a crash skips numbers of sequences used since the last one.
        place.sql("shop", &format!("{CHANGE}CHECKPOINT;"));
        let changed = place.digest("shop");
        let site = place.site().await;
        Self {
            place,
            backup,
            original,
            changed,
            site,
        }
    }

    #[track_caller]
    fn is_as_before(&self, when: &str) {
        self.place.digest("shop").assert_is(&self.changed, when);
        assert_eq!(
            self.place.databases(),
            ["postgres", "shop", "template1"],
            "{when}"
        );
    }

    async fn settle(&self, steps: &[Step]) -> Settled {
        postgres().settle(&self.site, steps).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_taken_away_leaves_everything_as_it_was() {
    let scene = Scene::set().await;
    for step in STEPS {
        let notes = Notes::refusing(step);
        let error = scene.backup.restore(&scene.site, &notes).await.unwrap_err();
        assert!(
            matches!(error, StrategyError::JournalClosed(_)),
            "{step}: {error}"
        );
        scene.is_as_before(step);
        for _ in 0..2 {
            assert_eq!(scene.settle(&notes.steps()).await, Settled::AsBefore);
        }
        scene.is_as_before(step);
    }
    let restored = scene
        .backup
        .restore(&scene.site, &Notes::default())
        .await
        .unwrap();
    scene
        .place
        .digest("shop")
        .assert_is(&scene.original, "a restore afterwards");

    // The same for the undo.
    let kept = restored.kept.unwrap();
    for step in ["close", "swap"] {
        let notes = Notes::refusing(step);
        postgres()
            .undo(&scene.site, &kept, &notes)
            .await
            .unwrap_err();
        assert_eq!(scene.settle(&notes.steps()).await, Settled::AsBefore);
        scene
            .place
            .digest("shop")
            .assert_is(&scene.original, "an undo taken away");
    }
    postgres()
        .undo(&scene.site, &kept, &Notes::default())
        .await
        .unwrap();
    scene
        .place
        .digest("shop")
        .assert_is(&scene.changed, "an undo afterwards");
    println!(
        "figure: postgres: {} steps refused, the original intact each time",
        STEPS.len() + 2
    );
}

/// Hours may lie between the look at the server and the exchange. What somebody else has put in the
/// place meanwhile is neither set aside under a wrong number nor left closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_made_anew_during_the_restore_is_left_alone() {
    let scene = Arc::new(Scene::set().await);
    let there = scene.clone();
    let notes = Notes::with(move |at| {
        if at.name == "close" {
            let anew = "DROP DATABASE shop WITH (FORCE);\nCREATE DATABASE shop;\n";
            there.place.sql("postgres", anew);
            there.place.sql("shop", "CREATE TABLE theirs (x int)");
        }
        Ok(())
    });
    let error = scene.backup.restore(&scene.site, &notes).await.unwrap_err();
    assert!(
        matches!(&error, StrategyError::NeedsAttention { message, .. } if message.contains("dropped by somebody else")),
        "{error:?}"
    );
    let tables =
        "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(scene.place.sql("shop", tables), "theirs");
    let left = scene.place.databases();
    assert!(
        !left.iter().any(|name| name.starts_with("hf_undo")),
        "{left:?}"
    );
}

/// Milliseconds after the record of a step.
const CUTS: [(&str, &[u64]); 5] = [
    ("stage", &[0, 60]),
    ("load", &[0, 120, 300]),
    ("check", &[0, 100, 250]),
    ("close", &[0, 30, 60, 90]),
    ("swap", &[0, 20, 40, 60, 80, 100, 150, 5_000]),
];

/// The task is dropped, as a killed worker would be, and a session that a real kill would leave
/// running goes on in the staging database.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_cut_off_at_any_instant_is_settled() {
    let scene = Scene::set().await;
    let (mut before, mut after) = (0, 0);
    for (step, delay) in CUTS
        .iter()
        .flat_map(|(step, delays)| delays.iter().map(move |d| (*step, *d)))
    {
        let reached = Arc::new(Notify::new());
        let signal = reached.clone();
        let notes = Arc::new(Notes::with(move |at| {
            if at.name == step {
                signal.notify_one();
            }
            Ok(())
        }));
        let cut = async {
            reached.notified().await;
            tokio::time::sleep(Duration::from_millis(delay)).await;
        };
        tokio::select! {
            _ = scene.backup.restore(&scene.site, &notes) => {}
            () = cut => {}
        }
        // As the application does before it settles.
        let (engine, id) = (&scene.place.engine, &scene.site.container.id);
        let _ = engine.sweep(id, None).await;
        let steps = notes.steps();
        if step == "load" || step == "check" {
            let staging = steps[0].data["incoming"].as_str().unwrap();
            // Unless it is closed already.
            let sleeper = format!(
                "psql -X -q -U app -d {staging} -c 'SELECT pg_sleep(600)' >/dev/null 2>&1 & sleep 0.2"
            );
            scene.place.bed.sh(&sleeper);
        }
        let settled = scene.settle(&steps).await;
        assert_eq!(scene.settle(&steps).await, settled, "{step} + {delay} ms");
        match settled {
            Settled::AsBefore => {
                scene.is_as_before(&format!("{step} + {delay} ms"));
                before += 1;
            }
            Settled::Restored(kept) => {
                scene.place.digest("shop").assert_is(&scene.original, step);
                let kept = postgres()
                    .undo(&scene.site, &kept.unwrap(), &Notes::default())
                    .await;
                postgres()
                    .forget(&scene.site, &kept.unwrap())
                    .await
                    .unwrap();
                scene.is_as_before("the undo");
                after += 1;
            }
        }
    }
    println!(
        "figure: postgres: cut off {} times, {before} settled as before, {after} as restored",
        before + after
    );
    // The first cut is before all else, the last one after it; where the others fall is the machine's.
    assert!(before > 0 && after > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_during_a_restore_keeps_its_database() {
    let scene = Scene::set().await;
    for step in STEPS {
        let name = scene.place.bed.name.clone();
        let notes = Notes::with(move |reached| {
            if reached.name == step {
                let kill = std::process::Command::new("docker")
                    .args(["kill", &name])
                    .output();
                assert!(kill.unwrap().status.success());
            }
            Ok(())
        });
        let limit = Duration::from_secs(20);
        let restore = timeout(limit, scene.backup.restore(&scene.site, &notes)).await;
        let error = restore.expect("it ends at once").unwrap_err();
        assert!(
            matches!(error, StrategyError::Unsettled(_)),
            "{step}: {error:?}"
        );
        scene.place.start_without_waiting();
        // The server is still coming up, and recovering.
        assert_eq!(
            scene.settle(&notes.steps()).await,
            Settled::AsBefore,
            "{step}"
        );
        scene.is_as_before(step);
    }
    println!(
        "figure: postgres: killed at {} steps, the original intact each time",
        STEPS.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_the_middle_of_loading_keeps_its_database() {
    let scene = Scene::set().await;
    // Far more than the pipes between us and the server hold.
    scene.place.sql(
        "shop",
        "CREATE TABLE much AS SELECT repeat(md5(i::text), 30) FROM generate_series(1, 60000) i",
    );
    let scene = Scene {
        backup: scene.place.back_up("shop").await,
        changed: scene.place.digest("shop"),
        ..scene
    };
    let notes = Notes::default();
    let plan = scene.backup.plan(3);
    let name = scene.place.bed.name.clone();
    let mut left = scene.backup.bytes.len() / 64 / 1024 / 2;
    let killing = futures_util::StreamExt::map(scene.backup.stream(), move |piece| {
        left = left.saturating_sub(1);
        if left == 1 {
            std::process::Command::new("docker")
                .args(["kill", &name])
                .output()
                .unwrap();
        }
        piece
    });
    let error = postgres()
        .restore(&scene.site, &plan, Box::pin(killing), &notes)
        .await
        .unwrap_err();
    assert!(matches!(error, StrategyError::Unsettled(_)), "{error:?}");
    assert_eq!(notes.names(), ["stage", "load"]);
    scene.place.start_without_waiting();
    assert_eq!(scene.settle(&notes.steps()).await, Settled::AsBefore);
    scene.is_as_before("loading");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_restore_stops_and_tidies_up() {
    let scene = Scene::set().await;
    for step in STEPS {
        let site = Site {
            cancel: tokio_util::sync::CancellationToken::new(),
            ..scene.site.clone()
        };
        let cancel = site.cancel.clone();
        let notes = Notes::with(move |reached| {
            if reached.name == step {
                cancel.cancel();
            }
            Ok(())
        });
        let error = scene.backup.restore(&site, &notes).await.unwrap_err();
        assert!(matches!(error, StrategyError::Cancelled), "{step}: {error}");
        scene.is_as_before(step);
    }
}

/// An index that takes long moves no byte; a lock that nobody gives back moves none either.
#[tokio::test(flavor = "multi_thread")]
async fn work_is_waited_for_and_a_standstill_is_not() {
    let scene = Scene::set().await;
    scene.place.sql(
        "shop",
        "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.01); RETURN $1; END';
        CREATE TABLE indexed AS SELECT i FROM generate_series(1, 800) i; CREATE INDEX ON indexed (slow(i)); CHECKPOINT;",
    );
    let scene = Scene {
        backup: scene.place.back_up("shop").await,
        changed: scene.place.digest("shop"),
        site: Site {
            stall: Duration::from_secs(2),
            ..scene.site.clone()
        },
        ..scene
    };
    let started = std::time::Instant::now();
    let restored = scene
        .backup
        .restore(&scene.site, &Notes::default())
        .await
        .unwrap();
    assert!(started.elapsed() > Duration::from_secs(8));
    postgres()
        .forget(&scene.site, &restored.kept.unwrap())
        .await
        .unwrap();

    let name = scene.place.bed.name.clone();
    let holder = Mutex::new(None);
    let notes = Notes::with(move |step| {
        if step.name == "load" {
            let staging = step.data["incoming"].as_str().unwrap();
            let hold = Session::open(&name, USER, staging, "BEGIN; LOCK pg_namespace");
            *holder.lock().unwrap() = Some(hold);
        }
        Ok(())
    });
    let started = std::time::Instant::now();
    let error = scene.backup.restore(&scene.site, &notes).await.unwrap_err();
    assert!(
        matches!(
            error,
            StrategyError::Docker(holdfast::docker::DockerError::Stalled { .. })
        ),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(60));
    scene.is_as_before("a standstill");
}
