//! A past that pages can show: weeks of runs, as the log would have left their rows, and further apps with
//! theirs. What is under way has ids above zero; these have others.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use holdfast::domain::config::ConfigSpec;
use sea_orm::ConnectionTrait;

use crate::house::House;

const DAYS: i64 = 45;
/// Slug and name of an app, strategy and target of its config, first size in bytes and growth a day.
const OTHERS: [(&str, &str, &str, &str, i64, i64); 3] = [
    ("blog", "Blog", "mysql", "s3", 1_250_000_000, 9_000_000),
    ("wiki", "Wiki", "volume", "local", 640_000_000, 350_000),
    (
        "crm",
        "Customers",
        "mongo",
        "s3",
        5_400_000_000,
        -12_000_000,
    ),
];

/// Before the shop's own runs, which fail and succeed today.
pub async fn fill(house: &House) {
    let now = Utc::now();
    runs(house, 1, now - TimeDelta::days(1), 280_000, 3_000).await;
    for (id, (slug, name, strategy, target, size, growth)) in (2..).zip(OTHERS) {
        let at = now - TimeDelta::minutes(400 + 37 * id);
        let spec = ConfigSpec {
            service: "db".to_owned(),
            strategy: strategy.to_owned(),
            target: target.to_owned(),
            schedule_cron: format!("{} {} * * *", at.minute(), at.hour()),
            ..ConfigSpec::default()
        };
        let (millis, cron) = (now.timestamp_millis(), &spec.schedule_cron);
        let spec = serde_json::to_string(&spec).unwrap();
        run(house, &format!("INSERT INTO apps (id, slug, name, project, created_at) VALUES ({id}, '{slug}', '{name}', '{slug}', {millis})")).await;
        run(house, &format!("INSERT INTO backup_configs (id, app_id, strategy, target, schedule_cron, service, enabled, revision, spec, created_at, updated_at, slots_until) VALUES ({id}, {id}, '{strategy}', '{target}', '{cron}', 'db', 1, 1, '{spec}', {millis}, 0, {millis})")).await;
        runs(house, id, at, size, growth).await;
    }
}

/// One a day up to `last`; the eleventh before it failed, and one before that had a warning.
async fn runs(house: &House, config: i64, last: DateTime<Utc>, size: i64, growth: i64) {
    for back in (0..DAYS).rev() {
        let day = DAYS - back;
        let at = (last - TimeDelta::days(back)).timestamp_millis();
        let failed = back == 10 + config;
        let status = if failed { "failed" } else { "success" };
        let warnings = if back == 17 {
            "[\"a file changed as it was read\"]"
        } else {
            "[]"
        };
        let stored = size + growth * day + (day * 7919 % 13) * growth / 4;
        let (id, took) = (day - 1000 * config, 20_000 + stored / 60_000);
        run(house, &format!("INSERT INTO backup_runs (id, backup_config_id, app_id, status, phase, trigger, attempt, size_bytes, raw_bytes, checksum, requested_at, started_at, finished_at, warnings, cancel_requested, obligations, stages, pruned_at) VALUES ({id}, {config}, {config}, '{status}', 'done', 'schedule', 1, {size}, {raw}, 'c0ffee{day:058}', {at}, {at}, {end}, '{warnings}', 0, '[]', '[]', {gone})",
            size = if failed { "NULL".to_owned() } else { stored.to_string() },
            raw = stored * 2,
            end = at + took,
            gone = if back > 20 { at.to_string() } else { "NULL".to_owned() },
        )).await;
    }
}

async fn run(house: &House, sql: &str) {
    let db = house.holdfast.log().db();
    db.execute_unprepared(sql).await.unwrap();
}
