//! Promises that need the whole house: one at a time on a service, retry, cancel, graceful stop, and
//! the watch over the workers. The number in a test's name is that in docs/guarantees.md.

use std::time::{Duration, Instant};

use holdfast::{
    app::RestoreInput,
    domain::{
        event::Event,
        ids::{ConfigId, RunId},
        restore::RestoreEvent,
        run::RunEvent,
    },
    readmodel::runs,
    target::memory::{Fault, Scope},
};
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    bed::Bed,
    house::{House, postgres, psql},
    server::Server,
    session::Session,
};

fn shop(name: &str) -> (Bed, String) {
    let project = format!("{name}-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    psql(
        &bed,
        "shop",
        "CREATE TABLE notes AS SELECT i, md5(i::text) t FROM generate_series(1, 20000) i",
    );
    (bed, project)
}

/// A house with that database as its only app, and a config of it.
async fn open(name: &str) -> (Bed, House, ConfigId) {
    in_house(name, House::new().await).await
}

async fn in_house(name: &str, house: House) -> (Bed, House, ConfigId) {
    let (bed, project) = shop(name);
    house.app("shop", &project).await;
    let config = house.config("shop", |_| {}).await;
    (bed, house, config)
}

/// A house where a retry that comes before its trouble is mended is not the last one.
async fn persistent(name: &str) -> (Bed, House, ConfigId) {
    in_house(name, House::with(|settings| settings.attempts = 5).await).await
}

/// A target that takes some bytes and then waits.
struct Stall {
    reached: CancellationToken,
    release: CancellationToken,
}

fn stall(house: &House) -> Stall {
    let stall = Stall {
        reached: CancellationToken::new(),
        release: CancellationToken::new(),
    };
    let fault = Fault::Stall {
        after: 0,
        reached: stall.reached.clone(),
        release: stall.release.clone(),
    };
    *house.faults.target.lock().unwrap() = Some((fault, Scope::Artifacts));
    stall
}

/// A run of the config that stands still at its target, as no later one does.
async fn stalled(house: &House, config: ConfigId) -> (RunId, Stall) {
    let stall = stall(house);
    let run = house.request(config).await;
    stall.reached.cancelled().await;
    house.heal();
    (run, stall)
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_03_one_at_a_time_on_a_service() {
    let (_bed, house, first) = open("one").await;
    let second = house.config("shop", |_| {}).await;
    let (first, stall) = stalled(&house, first).await;
    let second = house.request(second).await;
    // The second cannot start while the first holds the service, however long that takes.
    tokio::time::timeout(Duration::from_millis(700), house.run_over(second))
        .await
        .expect_err("it did not wait");
    stall.release.cancel();
    assert_eq!(house.run_over(first).await.status, "success");
    assert_eq!(house.run_over(second).await.status, "success");
    let mut at_work = 0;
    for event in house.holdfast.log().read_from(0, 1000).await.unwrap() {
        match event.event {
            Event::Run(RunEvent::Started { .. }) => at_work += 1,
            Event::Run(RunEvent::Succeeded { .. }) => at_work -= 1,
            _ => {}
        }
        assert!(at_work <= 1, "two at once at {}", event.position);
    }
    house.close().await;
}

/// With room for two: whoever waits for the first one's service takes no place, so the third, at another
/// service, gets through although it was asked for last.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_waits_for_a_service_holds_up_no_other() {
    let (_bed, project) = shop("full");
    let (_other, market) = shop("free");
    let house = House::with(|settings| settings.backups = 2).await;
    house.app("shop", &project).await;
    house.app("market", &market).await;
    let first = house.config("shop", |_| {}).await;
    let second = house.config("shop", |_| {}).await;
    let third = house.config("market", |_| {}).await;
    for config in [second, third] {
        house.back_up(config).await; // now it is known to be short
    }
    let (first, stall) = stalled(&house, first).await;
    let second = house.request(second).await;
    let third = house.request(third).await;
    assert_eq!(house.run_over(third).await.status, "success");
    assert_eq!(house.run(second).await.status, "queued");
    // One that waits is cancelled at once.
    house
        .holdfast
        .cancel_run(&house.caller, second)
        .await
        .unwrap();
    assert_eq!(house.run_over(second).await.status, "cancelled");
    stall.release.cancel();
    assert_eq!(house.run_over(first).await.status, "success");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_takes_as_many_backups_at_a_time_as_it_was_given() {
    let (_bed, project) = shop("narrow");
    let (_other, market) = shop("wait");
    let house = House::with(|settings| settings.backups_per_target = Some(1)).await;
    house.app("shop", &project).await;
    house.app("market", &market).await;
    let first = house.config("shop", |_| {}).await;
    let second = house.config("market", |_| {}).await;
    let (first, stall) = stalled(&house, first).await;
    let second = house.request(second).await;
    tokio::time::timeout(Duration::from_millis(700), house.run_over(second))
        .await
        .expect_err("it did not wait");
    assert_eq!(house.holdfast.backups_at_work(), (1, 1));
    stall.release.cancel();
    assert_eq!(house.run_over(first).await.status, "success");
    assert_eq!(house.run_over(second).await.status, "success");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_05_a_temporary_failure_is_tried_again_and_ends_green() {
    let (_bed, house, config) = persistent("retry").await;
    *house.faults.target.lock().unwrap() = Some((Fault::FailAfter(1000), Scope::Artifacts));
    let mut live = house.holdfast.log().live();
    let run = house.request(config).await;
    loop {
        let event = live.recv().await.unwrap();
        if let Event::Run(RunEvent::RetryScheduled { .. }) = event.event {
            house.heal();
            break;
        }
    }
    let run = house.run_over(run).await;
    assert_eq!(run.status, "success");
    assert!(run.attempt >= 2, "{run:?}");
    house.close().await;
}

/// The artifact is whole and stored, but the log cannot take the word for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_success_that_the_log_could_not_take_is_earned_again() {
    let (_bed, house, config) = persistent("word").await;
    let db = house.holdfast.log().db();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.name = 'run.succeeded' \
                  BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END";
    db.execute_unprepared(refuse).await.unwrap();
    let mut live = house.holdfast.log().live();
    let id = house.request(config).await;
    loop {
        let event = live.recv().await.unwrap();
        if let Event::Run(RunEvent::RetryScheduled { failure, .. }) = &event.event {
            assert!(failure.message.contains("disk I/O error"), "{failure:?}");
            break;
        }
    }
    db.execute_unprepared("DROP TRIGGER refuse").await.unwrap();
    let run = house.run_over(id).await;
    assert_eq!(run.status, "success", "{run:?}");
    let key = run.file_path.unwrap();
    let artifact = house.data.path().join("backups").join(key);
    let folder = artifact.parent().unwrap();
    let files = std::fs::read_dir(folder).unwrap().count();
    assert!(artifact.is_file() && files == 2, "{files} files");
    house.close().await;
}

/// A worker ends, and the log can take no word of it: the run must not stay at work for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_worker_ended_without_a_word_goes_on() {
    let (_bed, house, config) = open("forsaken").await;
    let db = house.holdfast.log().db();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.name LIKE 'run.%' \
                  AND NEW.version > 3 BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END";
    db.execute_unprepared(refuse).await.unwrap();
    let id = house.request(config).await;
    let at_work = || house.workers().iter().any(|worker| worker.busy > 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut begun = false;
    while !begun || at_work() {
        begun |= at_work();
        assert!(Instant::now() < deadline, "{:?}", house.workers());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let run = house.run(id).await;
    assert_eq!(run.status, "running", "by the log, and nobody is at it");
    db.execute_unprepared("DROP TRIGGER refuse").await.unwrap();
    let run = house.run_over(id).await;
    assert_eq!((run.status.as_str(), run.attempt), ("success", 2));
    house.close().await;
}

const MARK: &str = "SELECT count(*) FROM notes WHERE t = 'later'";
const OURS: &str = "SELECT count(*) FROM pg_database WHERE datname LIKE 'hf_stage%'";

/// Takes the database's container away as soon as the restore of `house` begins this step.
async fn kill_at(house: &House, bed: &Bed, wanted: &str) {
    let mut live = house.holdfast.log().live();
    loop {
        let event = live.recv().await.unwrap();
        if let Event::Restore(RestoreEvent::StepBegun { step, .. }) = &event.event
            && step.name == wanted
        {
            let name = bed.name.clone();
            let kill = move || crate::bed::docker(&["kill", &name]);
            tokio::task::spawn_blocking(kill).await.unwrap();
            return;
        }
    }
}

/// The restore has changed the service, its worker has ended, and the log has taken no word of how: whether
/// that is all of it, nobody has looked yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_waits_until_a_restore_whose_worker_ended_is_settled() {
    let (_bed, house, config) = open("half").await;
    let run = house.back_up(config).await.run_id();
    let db = house.holdfast.log().db();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.name IN \
                  ('restore.succeeded', 'restore.failed', 'restore.interrupted') \
                  BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END";
    db.execute_unprepared(refuse).await.unwrap();
    let mut live = house.holdfast.log().live();
    let ask = house
        .holdfast
        .request_restore(&house.caller, run, RestoreInput::default());
    let restore = ask.await.unwrap();
    let backup = loop {
        let event = live.recv().await.unwrap();
        if let Event::Restore(RestoreEvent::StepBegun { .. }) = &event.event {
            break house.request(config).await;
        }
    };
    let at_work = || {
        let mut workers = house.workers().into_iter();
        workers.any(|worker| worker.queue == "restore" && worker.busy > 0)
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while at_work() {
        assert!(Instant::now() < deadline, "{:?}", house.workers());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let began = house.run_when(backup, |run| run.status != "queued");
    let began = tokio::time::timeout(Duration::from_millis(700), began).await;
    let settled = house
        .holdfast
        .restore(&house.caller, restore)
        .await
        .unwrap();
    assert_eq!(settled.status, "running", "by the log, and nobody is at it");
    assert!(began.is_err(), "it began meanwhile: {began:?}");

    db.execute_unprepared("DROP TRIGGER refuse").await.unwrap();
    house.holdfast.settle_forsaken().await.unwrap();
    assert_eq!(house.restore_over(restore).await.status, "success");
    assert_eq!(house.run_over(backup).await.status, "success");
    house.close().await;
}

/// The container dies in the middle of a restore and of an undo, and comes back later: the database
/// is open again then, with what belongs there, and nothing is left beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_whose_container_died_is_put_in_order_when_it_is_back() {
    let (bed, house, config) = open("reboot").await;
    let run = house.back_up(config).await.run_id();
    psql(
        &bed,
        "shop",
        "INSERT INTO notes VALUES (0, 'later'); CHECKPOINT",
    );
    for step in ["load", "close", "swap"] {
        let ask = house
            .holdfast
            .request_restore(&house.caller, run, RestoreInput::default());
        let (id, ()) = tokio::join!(ask, kill_at(&house, &bed, step));
        let id = id.unwrap();
        // A backup that is asked for now waits until all is in order.
        let backup = house.request(config).await;
        bed.start_again();
        let restore = house.restore_over(id).await;
        let backup = house.run_over(backup).await;
        assert!(backup.status != "running", "{step}: {backup:?}");
        // Nobody holds the exchange up until the kill has come: it may be in time.
        if step == "swap" && restore.status == "success" {
            assert_eq!(psql(&bed, "shop", MARK), "0", "{step}");
            let undo = house.holdfast.undo_restore(&house.caller, id);
            undo.await.unwrap();
            let undone = house.restore_over(id).await;
            assert_eq!(undone.status, "undone", "{step}: {undone:?}");
        } else {
            assert_eq!(restore.status, "failed", "{step}: {restore:?}");
            let message = restore.error_msg.unwrap();
            assert!(message.contains("is as it was"), "{step}: {message}");
        }
        assert_eq!(psql(&bed, "shop", MARK), "1", "{step}");
        assert_eq!(psql(&bed, "shop", OURS), "0", "{step}");
    }

    let restore = house.restore(run).await;
    assert_eq!(psql(&bed, "shop", MARK), "0");
    let id = restore.restore_id();
    let undo = house.holdfast.undo_restore(&house.caller, id);
    let (asked, ()) = tokio::join!(undo, kill_at(&house, &bed, "close"));
    asked.unwrap();
    bed.start_again();
    let restore = house.restore_over(id).await;
    assert_eq!(restore.status, "undone", "{restore:?}");
    assert_eq!(psql(&bed, "shop", MARK), "1");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_07_cancel_takes_effect_at_the_next_chunk_and_leaves_nothing() {
    let (_bed, house, config) = open("cancel").await;
    let stall = stall(&house);
    let id = house.request(config).await;
    stall.reached.cancelled().await;
    let start = Instant::now();
    house.holdfast.cancel_run(&house.caller, id).await.unwrap();
    let run = house.run_over(id).await;
    assert_eq!(run.status, "cancelled");
    println!(
        "figure: promise 7: a stalled backup was cancelled in {} ms",
        start.elapsed().as_millis()
    );
    assert!(start.elapsed() < Duration::from_secs(15));
    let left = std::fs::read_dir(house.data.path().join("backups/shop"));
    assert_eq!(left.into_iter().flatten().count(), 0, "something was left");
    house.heal();
    assert_eq!(house.back_up(config).await.status, "success");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_double_click_is_one_run() {
    let (_bed, house, config) = open("double").await;
    let stall = stall(&house);
    let wishes = futures_util::future::join_all((0..20).map(|_| house.request(config))).await;
    assert!(wishes.iter().all(|id| *id == wishes[0]), "{wishes:?}");
    stall.release.cancel();
    house.heal();
    house.run_over(wishes[0]).await;
    let filter = runs::Filter {
        limit: 50,
        ..runs::Filter::default()
    };
    let all = house.holdfast.runs(&house.caller, &filter).await.unwrap();
    assert_eq!(all.len(), 1);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_08_sigterm_interrupts_after_its_grace_and_the_run_goes_on_after_the_start() {
    let (bed, project) = shop("term");
    let mut server = Server::start(&["--grace", "1", "--retry", "1"]).await;
    let app = json!({ "slug": "shop", "project": project });
    server.post("/api/apps", app).await;
    let config = json!({ "strategy": "postgres", "service": "db", "target": "local" });
    let config = server.post("/api/apps/shop/backups/configs", config).await;
    let lock = "BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE";
    let holder = Session::open(&bed.name, "postgres", "shop", lock);
    let path = format!("/api/backups/configs/{}/run", config["id"]);
    let id = server.post(&path, json!({})).await["run_id"]
        .as_i64()
        .unwrap();
    holder.until_a_dump_waits();
    let start = Instant::now();
    let code = server.terminate().await;
    let took = start.elapsed();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(20), "it took {took:?} to stop");
    println!(
        "figure: promise 8: stopped {:.1} s after SIGTERM with a grace of 1 s",
        took.as_secs_f64()
    );
    holder.end();
    server.restart().await;
    let run = server.wait_for_run(id).await;
    assert_eq!(run["status"], "success", "{run}");
    assert_eq!(run["attempt"], 2, "interrupted, not failed: {run}");
    let dumping =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LOCK TABLE%ACCESS SHARE%'";
    let left = psql(&bed, "postgres", dumping);
    assert_eq!(left, "0", "a dump runs on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ends_is_replaced_and_shows_in_health() {
    let (_bed, house, config) = open("watch").await;
    let db = house.holdfast.log().db();
    db.execute_unprepared("ALTER TABLE Jobs RENAME TO Gone")
        .await
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !house.workers().iter().all(|worker| worker.restarts > 0) {
        assert!(Instant::now() < deadline, "{:?}", house.workers());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    db.execute_unprepared("ALTER TABLE Gone RENAME TO Jobs")
        .await
        .unwrap();
    assert_eq!(house.back_up(config).await.status, "success");
    assert!(house.workers().iter().all(|worker| worker.alive));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_a_data_folder() {
    let server = Server::start(&[]).await;
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(server.data.path())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned()
        + &String::from_utf8_lossy(&second.stdout);
    assert!(said.contains("another Holdfast"), "{said}");
    let (status, _) = server
        .try_call(Method::GET, "/api/apps", None)
        .await
        .unwrap();
    assert!(status.is_success(), "the first one lives on");
}
