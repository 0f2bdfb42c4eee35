//! The server's own database: how it is backed up, what became of it, and a copy for whoever asks.

use std::collections::BTreeMap;

use poem::{
    Body as Bytes, Response,
    http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH},
};
use poem_openapi::{Object, OpenApi, param::Query, payload::Json};
use serde::Deserialize;

use super::{
    answer::{Accepted, Answer, Stream},
    body::{Body, Loose, MaybeBody, Nothing},
    configs::{
        input::{Encryption, Setting, or_none},
        output::{encryption, next_run, target_settings},
    },
    error::ApiError,
    runs::{RunRequested, output::Run, page_size},
    values::Time,
    visit::Visit,
};
use crate::{
    app::{AppError, ConfigInput, KeepInput, own},
    domain::{
        ids::{ConfigId, RunId},
        retention::{Gfs, Retention},
        secret::Secret,
    },
    readmodel::runs,
};

/// Absent fields keep their value.
#[derive(Object, Deserialize, Default)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields, default)]
pub struct OwnConfigInput {
    enabled: Option<bool>,
    /// Without what a start makes anew from the log: the queue and the read models.
    compact: Option<bool>,
    /// Five POSIX fields or an `@` word; empty means manual only.
    schedule_cron: Option<String>,
    /// IANA name the schedule is evaluated in.
    time_zone: Option<String>,
    /// Where to store: `local`, …
    target: Option<String>,
    /// The target's settings, secrets among them.
    target_config_json: Option<Loose<BTreeMap<String, Setting>>>,
    /// `gzip`, `zstd` or `none`.
    compression: Option<String>,
    /// `{"recipients": ["age1…"], "server_key": true}`, as in a config. The server's own key lies in what
    /// is backed up: only the private half of a recipient brings it back.
    #[serde(deserialize_with = "or_none")]
    encryption: Option<Loose<Encryption>>,
    /// `count`, `time` or `gfs`.
    retention_mode: Option<String>,
    retention_count: Option<u32>,
    retention_days: Option<u32>,
    keep_last: Option<u32>,
    keep_daily: Option<u32>,
    keep_weekly: Option<u32>,
    keep_monthly: Option<u32>,
    keep_yearly: Option<u32>,
    /// `skip`, `one` or `all`.
    missed_policy: Option<String>,
    /// With `all`: only those of the last so many hours.
    missed_window: Option<u32>,
}

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct OwnConfig {
    enabled: bool,
    compact: bool,
    schedule_cron: String,
    time_zone: String,
    /// Of the schedule, counted from now; absent when it is manual or paused.
    next_run_at: Option<Time>,
    target: String,
    /// JSON object, as text; secrets are masked.
    target_config_json: String,
    compression: String,
    /// JSON object `{recipients, server_key}`, as text; without recipients nothing is encrypted.
    encryption: String,
    retention_mode: String,
    retention_count: u32,
    retention_days: u32,
    /// This one and the next four: only with `gfs`.
    keep_last: Option<u32>,
    keep_daily: Option<u32>,
    keep_weekly: Option<u32>,
    keep_monthly: Option<u32>,
    keep_yearly: Option<u32>,
    missed_policy: String,
    /// 0 while nobody has said anything, one more with each change.
    revision: i32,
    updated_at: Option<Time>,
}

/// One backup of the server's own database.
#[derive(Object)]
#[oai(read_only_all)]
pub struct OwnRun {
    #[oai(flatten)]
    run: Run,
    /// It is without what a start makes anew.
    compact: bool,
    created_at: Time,
}

pub struct OwnBackups;

#[OpenApi]
impl OwnBackups {
    /// How the server's own database is backed up
    #[oai(
        path = "/system/backup/config",
        method = "get",
        operation_id = "get_system_backup"
    )]
    async fn get_system_backup(&self, visit: Visit) -> Answer<OwnConfig> {
        config(&visit).await
    }

    /// Changes it; absent fields and masked secrets keep their value
    #[oai(
        path = "/system/backup/config",
        method = "post",
        operation_id = "set_system_backup"
    )]
    async fn set_system_backup(
        &self,
        visit: Visit,
        body: Body<OwnConfigInput>,
    ) -> Answer<OwnConfig> {
        let compact = body.0.compact;
        visit
            .holdfast
            .set_own_config(&visit.caller, body.0.into(), compact)
            .await?;
        config(&visit).await
    }

    /// The backups of the server's own database, newest first
    #[oai(
        path = "/system/backup/runs",
        method = "get",
        operation_id = "list_system_backups"
    )]
    async fn list_system_backups(
        &self,
        visit: Visit,
        /// At most this many, 50 when absent, 1,000 at most
        limit: Query<Option<u64>>,
        /// Only runs with a smaller id: the last of the page before
        before: Query<Option<i64>>,
    ) -> Answer<Vec<OwnRun>> {
        let limit = page_size(limit.0)?;
        let runs = visit
            .holdfast
            .own_runs(&visit.caller, before.0.map(RunId), limit)
            .await?;
        Ok(Json(runs.into_iter().map(Into::into).collect()))
    }

    /// Backs the server's own database up now
    ///
    /// While such a run is not over, that one is answered instead of a new one.
    #[oai(
        path = "/system/backup/run",
        method = "post",
        operation_id = "run_system_backup"
    )]
    async fn run_system_backup(
        &self,
        visit: Visit,
        _nothing: MaybeBody<Nothing>,
    ) -> Result<Accepted<RunRequested>, ApiError> {
        let run = visit
            .holdfast
            .back_up_own(&visit.caller, visit.trigger())
            .await?;
        Ok(Accepted(RunRequested { run_id: run.0 }))
    }

    /// A copy of the server's own database as of now, judged to be whole
    ///
    /// The master key is not in it: without that, the secrets in the copy cannot be read.
    #[oai(
        path = "/system/backup/download",
        method = "post",
        operation_id = "download_system_backup"
    )]
    async fn download_system_backup(
        &self,
        visit: Visit,
        /// Without what a start makes anew from the log
        #[oai(default)]
        compact: Query<bool>,
        _nothing: MaybeBody<Nothing>,
    ) -> Result<Stream, ApiError> {
        let copy = visit.holdfast.own_copy(&visit.caller, *compact).await?;
        Ok(Stream(respond(copy).await?))
    }
}

/// The copy as a file to be saved.
pub async fn respond(copy: own::OwnCopy) -> Result<Response, AppError> {
    let head = copy.examined.head.clone();
    let name = format!("attachment; filename=\"{}\"", copy.name());
    let response = Response::builder()
        .content_type("application/octet-stream")
        .header(CONTENT_LENGTH, copy.size)
        .header(CONTENT_DISPOSITION, name)
        .header("x-holdfast-head", head);
    let unread = |error| AppError::Internal(format!("the copy cannot be read: {error}"));
    let body = copy.body().await.map_err(unread)?;
    Ok(response.body(Bytes::from_bytes_stream(body)))
}

async fn config(visit: &Visit) -> Answer<OwnConfig> {
    let (spec, row) = visit.holdfast.own_config(&visit.caller).await?;
    let now = visit.holdfast.log().now();
    let (mut count, mut days, mut gfs): (u32, u32, Option<Gfs>) = (7, 30, None);
    match spec.retention {
        Retention::Count { count: kept } => count = kept,
        Retention::Time { days: kept } => days = kept,
        Retention::Gfs(kept) => gfs = Some(kept),
    }
    Ok(Json(OwnConfig {
        enabled: spec.enabled,
        compact: own::is_compact(&spec),
        next_run_at: next_run(ConfigId::OWN, &spec, now).map(Into::into),
        target_config_json: target_settings(&spec),
        encryption: encryption(&spec),
        compression: spec.compression.name().to_owned(),
        retention_mode: spec.retention.mode().to_owned(),
        retention_count: count,
        retention_days: days,
        keep_last: gfs.map(|gfs| gfs.keep_last),
        keep_daily: gfs.map(|gfs| gfs.keep_daily),
        keep_weekly: gfs.map(|gfs| gfs.keep_weekly),
        keep_monthly: gfs.map(|gfs| gfs.keep_monthly),
        keep_yearly: gfs.map(|gfs| gfs.keep_yearly),
        missed_policy: spec.missed_policy.name().to_owned(),
        schedule_cron: spec.schedule_cron,
        time_zone: spec.time_zone,
        target: spec.target,
        revision: row.as_ref().map_or(0, |row| row.revision),
        updated_at: row.map(|row| Time::of(row.updated_at)),
    }))
}

impl From<OwnConfigInput> for ConfigInput {
    fn from(sent: OwnConfigInput) -> Self {
        let settings = sent.target_config_json.map(|settings| {
            let pairs = settings.0.into_iter();
            pairs
                .map(|(key, value)| (key, Secret::new(value.0)))
                .collect()
        });
        Self {
            target: sent.target,
            target_settings: settings,
            schedule_cron: sent.schedule_cron,
            time_zone: sent.time_zone,
            missed_policy: sent.missed_policy.filter(|policy| !policy.is_empty()),
            missed_window: sent.missed_window,
            enabled: sent.enabled,
            compression: sent.compression,
            encryption: sent.encryption.map(|Loose(sent)| sent.into()),
            retention_mode: sent.retention_mode,
            retention_count: sent.retention_count,
            retention_days: sent.retention_days,
            keep: KeepInput {
                last: sent.keep_last,
                daily: sent.keep_daily,
                weekly: sent.keep_weekly,
                monthly: sent.keep_monthly,
                yearly: sent.keep_yearly,
            },
            ..Self::default()
        }
    }
}

impl From<runs::Model> for OwnRun {
    fn from(run: runs::Model) -> Self {
        let pinned = run.pin().map(|pin| pin.spec);
        Self {
            compact: pinned.as_ref().is_some_and(own::is_compact),
            created_at: Time::of(run.requested_at),
            run: run.into(),
        }
    }
}
