//! The event log: durable appends beside a bare SQLite loop that makes the same writes, and a
//! rebuild of the read models.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use futures_util::future::join_all;
use holdfast::{
    domain::{
        event::StreamKind,
        ids::{AppId, ConfigId, RunId},
        run::{Run, RunCommand, Trigger},
    },
    log::{Cause, Log, open_sqlite},
    readmodel,
};
use sqlx::Connection;

use super::{Reach::AtLeast, runtime, verdicts};

const SPAN: Duration = Duration::from_secs(4);
const ROUNDS: usize = 5;

pub fn run() {
    runtime().block_on(async {
        let (one, many) = appends().await;
        let few = rebuild(10_000).await;
        let more = rebuild(100_000).await;
        verdicts(&[
            ("one client, of the bare loop", one, AtLeast(0.5)),
            ("32 clients, of the bare loop", many, AtLeast(1.0)),
            ("rebuild, events a second", more, AtLeast(100_000.0)),
            (
                "the same for a tenth of them, of it",
                few / more,
                AtLeast(0.8),
            ),
        ]);
    });
}

/// One client and many, of the bare loop.
async fn appends() -> (f64, f64) {
    let mut rows = Vec::new();
    for _ in 0..ROUNDS {
        let bare = bare_loop().await;
        let one = ours(1).await;
        let many = ours(32).await;
        rows.push((bare, one, many));
    }
    let middle = |pick: fn(&(f64, f64, f64)) -> f64| {
        let mut values: Vec<f64> = rows.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!("\n| durable appends | a second | of the bare loop |\n|---|---|---|");
    println!(
        "| bare loop: event and row, one transaction each, prepared | {:.0} | 1.00 |",
        middle(|r| r.0)
    );
    println!(
        "| one client: command, event, row, checkpoint | {:.0} | {:.2} |",
        middle(|r| r.1),
        middle(|r| r.1 / r.0)
    );
    println!(
        "| 32 clients | {:.0} | {:.2} |",
        middle(|r| r.2),
        middle(|r| r.2 / r.0)
    );
    println!();
    (middle(|r| r.1 / r.0), middle(|r| r.2 / r.0))
}

async fn open() -> (tempfile::TempDir, Log) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let db = open_sqlite(&folder.path().join("bench.db")).await.unwrap();
    let log = Log::open(db, readmodel::all(), Arc::new(Utc::now))
        .await
        .unwrap();
    (folder, log)
}

/// The same two writes into the same tables, through one connection, `synchronous=FULL`.
async fn bare_loop() -> f64 {
    let (_folder, log) = open().await;
    let pool = log.db().get_sqlite_connection_pool();
    let mut connection = pool.acquire().await.unwrap();
    let start = Instant::now();
    let mut count = 0_i64;
    while start.elapsed() < SPAN {
        count += 1;
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
        sqlx::query("INSERT INTO events VALUES (?, 'run', ?, 1, 'run.requested', 1, '{\"run\":1,\"app\":1,\"config\":1,\"trigger\":\"manual\"}', '{\"kind\":\"system\",\"name\":\"bench\"}', 'bench', NULL, 1, 1, 1795000000000, zeroblob(32), zeroblob(32))")
            .bind(count)
            .bind(count)
            .execute(&mut *tx)
            .await
            .unwrap();
        sqlx::query("INSERT INTO backup_runs(id, backup_config_id, app_id, status, phase, \"trigger\", attempt, requested_at, warnings, cancel_requested, obligations, stages) VALUES (?, 1, 1, 'queued', '', 'manual', 0, 1795000000000, '[]', 0, '[]', '[]')")
            .bind(count)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
    count as f64 / start.elapsed().as_secs_f64()
}

async fn request(log: &Log) {
    log.write(Cause::system("bench"), |unit| {
        Box::pin(async move {
            let run = RunId(unit.next_id(StreamKind::Run).await?);
            let command = RunCommand::Request {
                run,
                app: AppId(1),
                config: ConfigId(1),
                trigger: Trigger::Manual,
                key: None,
                slot: None,
            };
            unit.execute::<Run>(run.0, command).await.map(|_| ())
        })
    })
    .await
    .unwrap();
}

async fn ours(clients: usize) -> f64 {
    let (_folder, log) = open().await;
    let start = Instant::now();
    let work = (0..clients).map(|_| async {
        let mut count = 0;
        while start.elapsed() < SPAN {
            request(&log).await;
            count += 1;
        }
        count
    });
    let count: usize = join_all(work).await.into_iter().sum();
    count as f64 / start.elapsed().as_secs_f64()
}

/// Events a second.
async fn rebuild(events: usize) -> f64 {
    let (_folder, log) = open().await;
    let mut left = events;
    while left > 0 {
        let group = left.min(2_000);
        join_all((0..group).map(|_| request(&log))).await;
        left -= group;
    }
    let report = log.rebuild().await.unwrap();
    assert_eq!(report.differed, Vec::<&str>::new());
    let a_second = report.events as f64 * 1000.0 / report.milliseconds as f64;
    println!(
        "- rebuild of {events} events: {} ms, {a_second:.0} events/s",
        report.milliseconds
    );
    a_second
}
