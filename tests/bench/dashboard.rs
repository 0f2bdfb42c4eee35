//! The first page of a house with many apps and a long history: is it as quick as with a short one?

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use holdfast::domain::access::Role;
use sea_orm::ConnectionTrait;

use super::{
    Reach,
    house::House,
    runtime,
    site::{Site, Visitor, add_user},
    verdicts,
};

const APPS: usize = 200;
/// Artifacts that retention would have left of each app.
const KEPT: usize = 30;
const LOOKS: usize = 200;

pub fn run() {
    let [(short, _), (long, bytes)] = [100, 10_000].map(|runs| runtime().block_on(looked_at(runs)));
    let flat = long.as_secs_f64() / short.as_secs_f64();
    verdicts(&[
        (
            "p95 of the dashboard, ms",
            long.as_secs_f64() * 1e3,
            Reach::AtMost(50.0),
        ),
        ("10,000 runs an app, against 100", flat, Reach::AtMost(1.5)),
        (
            "a first visit, compressed, kB",
            bytes as f64 / 1e3,
            Reach::AtMost(100.0),
        ),
    ]);
}

/// The 95th percentile, and the bytes that a first visit loads.
async fn looked_at(runs: usize) -> (Duration, usize) {
    let house = House::new().await;
    add_user(&house, "ada", Role::Admin).await;
    fill(&house, runs).await;
    let site = Site::of(&house);
    let ada = Visitor::logged_in(&site, "ada").await;
    let page = ada.page("/").await;
    assert!(page.contains("app 200"), "all apps are on the page");
    let mut took = Vec::new();
    for _ in 0..LOOKS {
        let start = Instant::now();
        ada.page("/").await;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    let (half, most) = (took[LOOKS / 2], took[LOOKS * 95 / 100]);
    println!("{APPS} apps x {runs:6} runs   p50 {half:8.1?}   p95 {most:8.1?}");
    let mut bytes = ada.packed("/").await;
    let named = page.split('"').filter(|text| text.starts_with("/static/"));
    let files: BTreeSet<&str> = named
        .map(|name| name.split('#').next().unwrap_or(name))
        .collect();
    for file in files {
        bytes += ada.packed(file).await;
    }
    house.close().await;
    (most, bytes)
}

/// Rows as the log would have left them; two million runs by way of the log would take hours.
async fn fill(house: &House, runs: usize) {
    let now = chrono::Utc::now().timestamp_millis();
    let numbers = |count: usize| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
        )
    };
    let spec = serde_json::to_string(&holdfast::domain::config::ConfigSpec {
        service: "db".to_owned(),
        strategy: "postgres".to_owned(),
        schedule_cron: "0 2 * * *".to_owned(),
        ..Default::default()
    })
    .unwrap();
    let (all, hour) = (APPS * runs, 3_600_000);
    for sql in [
        format!(
            "{} INSERT INTO apps (id, slug, name, project, created_at) SELECT i, 'app-' || i, 'app ' || i, 'app-' || i, {now} FROM n",
            numbers(APPS)
        ),
        format!(
            "{} INSERT INTO backup_configs (id, app_id, strategy, target, schedule_cron, service, enabled, revision, spec, created_at, updated_at, slots_until) SELECT i, i, 'postgres', 'local', '0 2 * * *', 'db', 1, 1, '{spec}', {now}, {now}, {now} FROM n",
            numbers(APPS)
        ),
        // Run by run round all apps, an hour between two of the same app; every 50th failed, so that
        // four apps have never had a good one.
        format!(
            "{} INSERT INTO backup_runs (id, backup_config_id, app_id, status, phase, trigger, attempt, size_bytes, raw_bytes, checksum, requested_at, started_at, finished_at, warnings, cancel_requested, obligations, stages, pruned_at) \
            SELECT i, (i - 1) % {APPS} + 1, (i - 1) % {APPS} + 1, CASE WHEN i % 50 = 0 THEN 'failed' ELSE 'success' END, 'done', 'schedule', 1, 1000000 + i % 5000, 3000000, 'c0ffee', \
            at, at, at + 20000, '[]', 0, '[]', '[]', CASE WHEN i <= {all} - {APPS} * {KEPT} THEN at END \
            FROM (SELECT i, {now} - (({all} - i) / {APPS}) * {hour} - 60000 AS at FROM n)",
            numbers(all)
        ),
        "ANALYZE".to_owned(),
    ] {
        house
            .holdfast
            .log()
            .db()
            .execute_unprepared(&sql)
            .await
            .unwrap();
    }
}

impl Visitor {
    /// Bytes on the wire.
    async fn packed(&self, path: &str) -> usize {
        let answer = self
            .request(reqwest::Method::GET, path)
            .header("accept-encoding", "gzip")
            .send()
            .await;
        let answer = answer.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.bytes().await.unwrap().len()
    }
}
