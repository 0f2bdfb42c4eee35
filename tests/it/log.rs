//! The event log over its real database file: gap-free, in order, tamper-evident, and the read
//! models equal to what a rebuild gives.

use std::sync::Arc;

use chrono::Utc;
use futures_util::future::join_all;
use holdfast::{
    domain::{
        app::{App, AppCommand},
        audit::AuditEvent,
        event::{Event, Scope, StreamKind},
        ids::{AppId, UserId},
    },
    log::{Cause, Log, LogError, StreamId, open_sqlite},
    readmodel,
};
use sea_orm::{ConnectionTrait, Statement};
use tempfile::TempDir;

use crate::samples;

pub async fn open(folder: &TempDir) -> Log {
    let db = open_sqlite(&folder.path().join("holdfast.db"))
        .await
        .unwrap();
    Log::open(db, readmodel::all(), Arc::new(Utc::now))
        .await
        .unwrap()
}

async fn register(log: &Log, slug: String) -> Result<App, LogError> {
    log.write(Cause::system("test"), move |unit| {
        Box::pin(async move {
            let app = AppId(unit.next_id(StreamKind::App).await?);
            let spec = samples::app_spec();
            unit.execute::<App>(app.0, AppCommand::Register { app, slug, spec })
                .await
        })
    })
    .await
}

/// A real disk that is really full, and then is not any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_full_loses_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(folder.path());
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![0; 3 << 20]).unwrap();
    let log = open(&folder).await;
    let (mut answered, mut refused) = (0, 0);
    let mut number = 0..;
    let mut next = || format!("app-{}", number.next().unwrap_or(0));
    while refused < 20 {
        match register(&log, next()).await {
            Ok(_) => answered += 1,
            Err(_) => refused += 1,
        }
    }
    std::fs::remove_file(&ballast).unwrap();
    // Often enough that every pooled connection has its turn.
    for _ in 0..200 {
        register(&log, next()).await.unwrap();
        answered += 1;
    }
    assert!(answered > 100);
    // As anybody else sees it, not the connections that wrote it.
    let other = open_sqlite(&folder.path().join("holdfast.db"))
        .await
        .unwrap();
    let count = "SELECT count(*) AS n FROM events";
    let count = Statement::from_string(other.get_database_backend(), count);
    let row = other.query_one_raw(count).await.unwrap().unwrap();
    assert_eq!(row.try_get::<i64>("", "n").unwrap(), answered);
    assert!(log.verify(|_| {}).await.unwrap().holds());
    drop(disk);
}

/// 8 MB, for as long as it lives.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(folder: &std::path::Path) -> Self {
        let options = ["-t", "tmpfs", "-o", "size=8m", "tmpfs"];
        let mut mount = std::process::Command::new("mount");
        let done = mount.args(options).arg(folder).status().unwrap();
        assert!(done.success(), "a small disk cannot be mounted");
        Self(folder.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut umount = std::process::Command::new("umount");
        let _ = umount.arg("--lazy").arg(&self.0).status();
    }
}

/// One of every event there is, in streams of its own kind.
pub async fn write_samples(log: &Log, round: i64) {
    for event in samples::all() {
        let (kind, id) = match &event {
            Event::App(_) => (StreamKind::App, 1),
            Event::Config(_) => (StreamKind::Config, 7),
            Event::Run(_) => (StreamKind::Run, 12),
            Event::Restore(_) => (StreamKind::Restore, 4),
            Event::Access(_) => (StreamKind::User, 1),
            Event::Audit(_) => (StreamKind::Audit, 1),
            Event::Webhook(_) => (StreamKind::Webhook, 1),
        };
        let stream = StreamId {
            kind,
            id: id + round * 100,
        };
        log.write(Cause::system("test"), move |unit| {
            Box::pin(async move {
                let version = unit.version(stream).await?;
                let scope = Scope::app(AppId(1));
                unit.append(stream, version, scope, vec![event]).await
            })
        })
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_leave_no_gap_and_lose_nothing() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder).await;
    let all = (0..200).map(|i| register(&log, format!("app-{i}")));
    let apps = join_all(all).await;
    let mut ids: Vec<i64> = apps.into_iter().map(|app| app.unwrap().id.0).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=200).collect::<Vec<_>>(), "each its own id");
    let events = log.read_from(0, 1000).await.unwrap();
    let positions: Vec<i64> = events.iter().map(|event| event.position).collect();
    assert_eq!(positions, (1..=200).collect::<Vec<_>>());
    assert!(log.verify(|_| {}).await.unwrap().holds());
}

#[tokio::test]
async fn a_refused_or_panicking_command_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder).await;
    register(&log, "shop".into()).await.unwrap();
    let refused = register(&log, "No Slug".into()).await;
    assert!(matches!(refused, Err(LogError::Refused(_))));
    let panicked: Result<(), LogError> = log
        .write(Cause::system("test"), |unit| {
            Box::pin(async move {
                unit.note(AuditEvent::Exported {}, Scope::default()).await?;
                panic!("a defect in a command");
            })
        })
        .await;
    assert!(matches!(panicked, Err(LogError::Closed)));
    assert_eq!(log.head(), 1);
    let user = UserId(1);
    log.write(Cause::system("test"), move |unit| {
        Box::pin(async move {
            let through = None;
            let logged_in = AuditEvent::LoggedIn { user, through };
            unit.note(logged_in, Scope::default()).await
        })
    })
    .await
    .expect("the writer lives on");
    assert_eq!(log.head(), 2);
}

#[tokio::test]
async fn a_stream_that_moved_on_is_a_conflict() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder).await;
    register(&log, "shop".into()).await.unwrap();
    let stream = StreamId {
        kind: StreamKind::App,
        id: 1,
    };
    let result = log
        .write(Cause::system("test"), move |unit| {
            Box::pin(async move {
                let removed = holdfast::domain::app::AppEvent::Removed {};
                unit.append(stream, 0, Scope::default(), vec![removed.into()])
                    .await
            })
        })
        .await;
    assert!(matches!(result, Err(LogError::Conflict("app", 1))));
}

#[tokio::test]
async fn promise_12_every_edit_is_refused_by_the_database_and_found_by_verify() {
    let edits = [
        (
            "change",
            "UPDATE events SET data = replace(data, 'Shop', 'Shoq') WHERE position = 1",
        ),
        (
            "change of who",
            "UPDATE events SET actor = '{\"kind\":\"user\",\"name\":\"eve\"}' WHERE position = 2",
        ),
        (
            "change of when",
            "UPDATE events SET at = at + 1 WHERE position = 3",
        ),
        ("delete", "DELETE FROM events WHERE position = 4"),
        (
            "insert",
            "INSERT INTO events SELECT 1000, stream_kind, stream_id, 99, name, schema, data, actor, correlation, causation, app_id, config_id, at, prev_hash, hash FROM events WHERE position = 5",
        ),
        (
            "reorder",
            "UPDATE events SET position = CASE position WHEN 6 THEN -7 ELSE -6 END WHERE position IN (6, 7); UPDATE events SET position = -position WHERE position < 0",
        ),
        (
            "another hash",
            "UPDATE events SET hash = zeroblob(32) WHERE position = 8",
        ),
        (
            "moved to another stream",
            "UPDATE events SET stream_id = stream_id + 1000 WHERE position = 9",
        ),
    ];
    let mut found = 0;
    for (what, sql) in edits {
        let folder = TempDir::new().unwrap();
        let log = open(&folder).await;
        write_samples(&log, 0).await;
        assert!(log.verify(|_| {}).await.unwrap().holds());
        if !sql.starts_with("INSERT") {
            let refused = log.db().execute_unprepared(sql).await;
            assert!(refused.is_err(), "{what} was not refused");
        }
        let unlocked =
            format!("DROP TRIGGER events_no_update; DROP TRIGGER events_no_delete; {sql}");
        log.db().execute_unprepared(&unlocked).await.unwrap();
        let verification = log.verify(|_| {}).await.unwrap();
        assert!(!verification.holds(), "{what} was not found");
        found += 1;
    }
    // A cut tail leaves a chain that holds: only a head that left the host shows it.
    let folder = TempDir::new().unwrap();
    let log = open(&folder).await;
    write_samples(&log, 0).await;
    let head = log.verify(|_| {}).await.unwrap().head;
    let cut = "DROP TRIGGER events_no_delete; DELETE FROM events WHERE position > 10";
    log.db().execute_unprepared(cut).await.unwrap();
    assert_ne!(log.verify(|_| {}).await.unwrap().head, head);
    println!(
        "figure: promise 12: edits of the log found: {} of {}",
        found + 1,
        edits.len() + 1
    );
}

#[tokio::test]
async fn a_rebuild_gives_the_live_rows_and_finds_what_is_not_from_the_log() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder).await;
    for round in 0..20 {
        write_samples(&log, round).await;
    }
    let report = log.rebuild().await.unwrap();
    assert_eq!(report.differed, Vec::<&str>::new());
    assert_eq!(report.events, 20 * samples::all().len() as u64);
    log.db()
        .execute_unprepared("UPDATE backup_runs SET status = 'queued'")
        .await
        .unwrap();
    assert_eq!(log.rebuild().await.unwrap().differed, vec!["backup_runs"]);
    assert_eq!(log.rebuild().await.unwrap().differed, Vec::<&str>::new());
}

#[tokio::test]
async fn a_read_model_of_another_version_is_rebuilt_at_the_start() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder).await;
    write_samples(&log, 0).await;
    let db = log.db().clone();
    for sql in [
        "UPDATE checkpoints SET version = 0 WHERE name = 'apps'",
        "DELETE FROM apps",
        "UPDATE checkpoints SET position = 0 WHERE name = 'users'",
        "DELETE FROM users",
    ] {
        db.execute_unprepared(sql).await.unwrap();
    }
    drop(log);
    let log = open(&folder).await;
    assert_eq!(log.rebuild().await.unwrap().differed, Vec::<&str>::new());
    let count = Statement::from_string(db.get_database_backend(), "SELECT count(*) FROM users");
    let row = db.query_one_raw(count).await.unwrap().unwrap();
    assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 1);
}

#[tokio::test]
async fn every_connection_is_durable() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder).await;
    let pool = log.db().get_sqlite_connection_pool();
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(pool.acquire().await.unwrap());
    }
    for connection in &mut connections {
        for (pragma, expected) in [("synchronous", 2), ("foreign_keys", 1)] {
            let value: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("PRAGMA {pragma}")))
                .fetch_one(&mut **connection)
                .await
                .unwrap();
            assert_eq!(value, expected, "{pragma}");
        }
    }
}
