//! What a dashboard asks of all apps at once. No table of its own: narrow looks at the others, one
//! statement each however many apps there are, because a query an app would cost more than the page.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};
use serde::{Deserialize, Deserializer};

use crate::domain::ids::AppId;

/// A run, as narrow as a strip of many needs it.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult, Deserialize)]
pub struct Beat {
    pub id: i64,
    pub app_id: i64,
    pub backup_config_id: i64,
    pub status: String,
    #[serde(deserialize_with = "from_number")]
    pub warned: bool,
    /// A further target does not hold it, and the last try failed.
    #[serde(deserialize_with = "from_number")]
    pub lacks_copy: bool,
    pub size_bytes: Option<i64>,
    pub requested_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
}

impl Beat {
    /// Its artifact was found damaged or gone.
    pub fn is_damaged(&self) -> bool {
        matches!(self.status.as_str(), "damaged" | "missing")
    }
}

const BEAT: &str = "r.id, r.app_id, r.backup_config_id, r.status, r.warnings <> '[]' OR r.copies LIKE '%\"failure\":{%' AS warned, \
                    r.copies LIKE '%\"failure\":{%' AS lacks_copy, \
                    r.size_bytes, r.requested_at, r.started_at, r.finished_at";

/// Figures over everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub stored_bytes: u64,
    pub succeeded: u64,
    pub failed: u64,
}

/// By app that is not removed: its newest `each` runs, newest first. A row an app with all of them as one
/// text: to hand over thousands of rows takes many times longer than to find them.
pub async fn beats(
    db: &impl ConnectionTrait,
    each: u32,
) -> Result<BTreeMap<i64, Vec<Beat>>, DbErr> {
    #[derive(FromQueryResult)]
    struct OfApp {
        app_id: i64,
        beats: String,
    }
    let rows: Vec<OfApp> = select(
        db,
        format!(
            "SELECT a.id AS app_id, (SELECT json_group_array(json_array(b.id, b.app_id, \
             b.backup_config_id, b.status, b.warned, b.lacks_copy, b.size_bytes, b.requested_at, \
             b.started_at, b.finished_at) ORDER BY b.id DESC) FROM (SELECT {BEAT} FROM backup_runs r WHERE r.app_id = a.id \
             ORDER BY r.id DESC LIMIT {each}) b) AS beats FROM apps a WHERE a.removed_at IS NULL"
        ),
    )
    .await?;
    let rows = rows.into_iter().map(|row| {
        let beats = serde_json::from_str(&row.beats);
        let beats = beats.map_err(|error| DbErr::Json(error.to_string()))?;
        Ok((row.app_id, beats))
    });
    rows.collect()
}

/// `SQLite` knows no other truth.
fn from_number<'de, D: Deserializer<'de>>(number: D) -> Result<bool, D::Error> {
    Ok(i64::deserialize(number)? != 0)
}

/// The runs of an app that were asked for in that time (Unix milliseconds, `to` not included), newest
/// first; of more than `most` the newest.
pub async fn beats_between(
    db: &impl ConnectionTrait,
    app: AppId,
    (from, to): (i64, i64),
    most: u32,
) -> Result<Vec<Beat>, DbErr> {
    let AppId(app) = app;
    select(
        db,
        format!(
            "SELECT {BEAT} FROM backup_runs r WHERE r.app_id = {app} \
             AND r.requested_at >= {from} AND r.requested_at < {to} ORDER BY r.id DESC LIMIT {most}"
        ),
    )
    .await
}

/// The newest run of every config that is not removed.
pub async fn newest(db: &impl ConnectionTrait) -> Result<Vec<Beat>, DbErr> {
    newest_where(db, "").await
}

/// The newest successful run of every config that is not removed, damaged ones aside: its newest
/// restore point.
pub async fn newest_successes(db: &impl ConnectionTrait) -> Result<Vec<Beat>, DbErr> {
    newest_where(db, "AND n.status = 'success'").await
}

/// Of lists with one run a config.
pub fn by_config(beats: Vec<Beat>) -> BTreeMap<i64, Beat> {
    let pairs = beats.into_iter().map(|beat| (beat.backup_config_id, beat));
    pairs.collect()
}

/// Bytes of all artifacts, and the outcomes since `since` (Unix milliseconds); of these apps alone, when
/// they are named.
pub async fn totals(
    db: &impl ConnectionTrait,
    since: i64,
    apps: Option<&[AppId]>,
) -> Result<Totals, DbErr> {
    let figure = |value: i64| u64::try_from(value).unwrap_or(0);
    let mut totals = Totals::default();
    for row in app_totals(db, since).await? {
        if apps.is_none_or(|apps| apps.contains(&AppId(row.app_id))) {
            totals.stored_bytes += figure(row.stored_bytes);
            totals.succeeded += figure(row.succeeded);
            totals.failed += figure(row.failed);
        }
    }
    Ok(totals)
}

/// What an app's artifacts come to, and its outcomes since a moment.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct AppTotals {
    pub app_id: i64,
    pub stored_bytes: i64,
    pub succeeded: i64,
    pub failed: i64,
}

/// `totals` by app; apps of which nothing is kept and nothing ended have no row. Each half reads an
/// index that holds no more than what it counts: named, because with a long history the planner takes one
/// that groups for nothing and reads all of it.
pub async fn app_totals(db: &impl ConnectionTrait, since: i64) -> Result<Vec<AppTotals>, DbErr> {
    select(
        db,
        format!(
            "SELECT app_id, CAST(SUM(stored) AS BIGINT) AS stored_bytes, \
             CAST(SUM(succeeded) AS BIGINT) AS succeeded, CAST(SUM(failed) AS BIGINT) AS failed FROM (\
             SELECT app_id, COALESCE(SUM(size_bytes), 0) AS stored, 0 AS succeeded, 0 AS failed \
             FROM backup_runs INDEXED BY backup_runs_kept \
             WHERE status = 'success' AND pruned_at IS NULL GROUP BY app_id \
             UNION ALL SELECT app_id, 0, SUM(CASE WHEN status = 'success' THEN 1 ELSE 0 END), \
             SUM(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) \
             FROM backup_runs INDEXED BY backup_runs_ended \
             WHERE finished_at >= {since} GROUP BY app_id) AS halves GROUP BY app_id"
        ),
    )
    .await
}

async fn newest_where(db: &impl ConnectionTrait, and: &str) -> Result<Vec<Beat>, DbErr> {
    select(
        db,
        format!(
            "SELECT {BEAT} FROM backup_configs c JOIN backup_runs r ON r.id = \
             (SELECT n.id FROM backup_runs n WHERE n.backup_config_id = c.id {and} \
             ORDER BY n.id DESC LIMIT 1) WHERE c.removed_at IS NULL"
        ),
    )
    .await
}

/// Only numbers of our own go into these texts, never anything from outside.
async fn select<R: FromQueryResult>(
    db: &impl ConnectionTrait,
    sql: String,
) -> Result<Vec<R>, DbErr> {
    R::find_by_statement(Statement::from_string(db.get_database_backend(), sql))
        .all(db)
        .await
}
