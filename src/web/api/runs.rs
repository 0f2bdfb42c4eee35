//! Runs: one backup each, from the wish for it to its proven end.

mod download;
mod log;
pub(super) mod output;

use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};

use self::output::Run;
use super::{
    answer::{Accepted, Answer, Events, Stream},
    body::{MaybeBody, Nothing},
    error::ApiError,
    visit::Visit,
};
use crate::{
    app::AppError,
    domain::{
        failure::one_of,
        ids::{ConfigId, RunId},
    },
    readmodel::runs::{self, Filter},
    web::Web,
};

const STATUSES: [&str; 5] = ["queued", "running", "success", "failed", "cancelled"];
const LIMIT: u64 = 50;
const LIMIT_MAX: u64 = 1000;

#[derive(Object)]
#[oai(read_only_all)]
pub struct RunRequested {
    pub run_id: i64,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct RunsRequested {
    run_ids: Vec<i64>,
}

pub struct Runs;

#[OpenApi]
impl Runs {
    /// The runs of an app, newest first
    #[oai(
        path = "/apps/:slug/backups/runs",
        method = "get",
        operation_id = "list_runs"
    )]
    async fn list_runs(
        &self,
        visit: Visit,
        slug: Path<String>,
        /// Of this config only
        config: Query<Option<i64>>,
        /// `queued`, `running`, `success`, `failed` or `cancelled`
        status: Query<Option<String>>,
        /// At most this many, 50 when absent, 1,000 at most
        limit: Query<Option<u64>>,
        /// Only runs with a smaller id: the last of the page before
        before: Query<Option<i64>>,
    ) -> Answer<Vec<Run>> {
        let app = visit.holdfast.app(&visit.caller, &slug).await?;
        let filter = Filter {
            app: Some(app.app_id()),
            config: config.0.map(ConfigId),
            statuses: known_status(status.0)?,
            before: before.0.map(RunId),
            limit: page_size(limit.0)?,
            ..Filter::default()
        };
        let runs = visit.holdfast.runs(&visit.caller, &filter).await?;
        Ok(Json(runs.into_iter().map(Run::from).collect()))
    }

    /// Backs up an app: its first config, or all of them
    ///
    /// While a run of a config is not over, that one is answered instead of a new one.
    #[oai(
        path = "/apps/:slug/backups/run",
        method = "post",
        operation_id = "run_app"
    )]
    async fn run_app(
        &self,
        visit: Visit,
        slug: Path<String>,
        /// All configs, not only the first
        #[oai(default)]
        all: Query<bool>,
        _nothing: MaybeBody<Nothing>,
    ) -> Result<Accepted<RunsRequested>, ApiError> {
        let app = visit.holdfast.app(&visit.caller, &slug).await?;
        let mut configs = visit.holdfast.configs(&visit.caller, &app).await?;
        if configs.is_empty() {
            let nothing = format!("the app {} has no backup config; add one first", app.slug);
            return Err(AppError::Conflict(nothing).into());
        }
        if !*all {
            configs.truncate(1);
        }
        let mut run_ids = Vec::new();
        for config in configs {
            let run = visit
                .holdfast
                .request_run(&visit.caller, config.config_id(), visit.trigger())
                .await?;
            run_ids.push(run.0);
        }
        Ok(Accepted(RunsRequested { run_ids }))
    }

    /// Backs up one config
    ///
    /// While a run of it is not over, that one is answered instead of a new one; so is the run that was
    /// asked for with the same `Idempotency-Key`, over or not.
    #[oai(
        path = "/backups/configs/:id/run",
        method = "post",
        operation_id = "run_config"
    )]
    async fn run_config(
        &self,
        visit: Visit,
        id: Path<i64>,
        /// What the client calls this wish, to say it again without a second run
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        _nothing: MaybeBody<Nothing>,
    ) -> Result<Accepted<RunRequested>, ApiError> {
        let (config, trigger) = (ConfigId(*id), visit.trigger());
        let key = key.0.as_deref();
        let run = visit
            .holdfast
            .request_run_as(&visit.caller, config, trigger, key)
            .await?;
        Ok(Accepted(RunRequested { run_id: run.0 }))
    }

    /// One run, with its progress while it is at work
    #[oai(path = "/backups/runs/:id", method = "get", operation_id = "get_run")]
    async fn get_run(&self, visit: Visit, id: Path<i64>) -> Answer<Run> {
        let run = visit.holdfast.run(&visit.caller, RunId(*id)).await?;
        let progress = visit.holdfast.progress().snapshot(&format!("run-{}", *id));
        Ok(Json(Run::from(run).at(progress)))
    }

    /// What a run does, as it does it
    ///
    /// Server-sent events: first what happened, then what happens. `entry` is an event of the log, as in
    /// `/activity`, with its position as the id; `progress` says how far the run is; `end`, the run as it then
    /// is, comes last. A client that comes back with `Last-Event-ID` gets what came after it.
    #[oai(
        path = "/backups/runs/:id/log",
        method = "get",
        operation_id = "follow_run"
    )]
    async fn follow_run(
        &self,
        visit: Visit,
        web: Data<&Web>,
        id: Path<i64>,
        /// `false`: only what happened until now
        #[oai(default = "yes")]
        follow: Query<bool>,
        /// Position of the last entry that is known
        #[oai(name = "Last-Event-ID")]
        last: Header<Option<i64>>,
    ) -> Result<Events, ApiError> {
        log::answer(visit, web.0, RunId(*id), last.0, *follow).await
    }

    /// The artifact, as it is stored
    #[oai(
        path = "/backups/runs/:id/download",
        method = "get",
        operation_id = "download_run"
    )]
    async fn download_run(
        &self,
        visit: Visit,
        id: Path<i64>,
        /// One range of bytes
        range: Header<Option<String>>,
        /// Take the range only when this is still the `ETag`
        #[oai(name = "If-Range")]
        if_range: Header<Option<String>>,
        /// A redirect to the store itself, where the target is one: for a quarter of an hour
        #[oai(default)]
        presign: Query<bool>,
    ) -> Result<Stream, ApiError> {
        if *presign {
            return download::elsewhere(&visit, RunId(*id)).await;
        }
        download::answer(
            &visit,
            RunId(*id),
            range.0.as_deref(),
            if_range.0.as_deref(),
        )
        .await
    }

    /// Cancels a run; takes effect at its next chunk
    #[oai(
        path = "/backups/runs/:id/cancellation",
        method = "post",
        operation_id = "cancel_run"
    )]
    async fn cancel_run(
        &self,
        visit: Visit,
        id: Path<i64>,
        _nothing: MaybeBody<Nothing>,
    ) -> Result<Accepted<RunRequested>, ApiError> {
        visit.holdfast.cancel_run(&visit.caller, RunId(*id)).await?;
        Ok(Accepted(RunRequested { run_id: *id }))
    }

    /// Makes a copy of the artifact now, or anew
    ///
    /// `copy` is the place among the run's `copies`, from 1. One that waits for its next attempt begins at once;
    /// one that was found damaged or missing is made again, and what is left of it goes only when what takes
    /// its place was read whole. 0 is the first target: what was found damaged or missing there is brought back
    /// from a copy, and read again; `verification` tells when that is over.
    #[oai(
        path = "/backups/runs/:id/copies/:copy",
        method = "post",
        operation_id = "copy_run"
    )]
    async fn copy_run(
        &self,
        visit: Visit,
        id: Path<i64>,
        copy: Path<u32>,
        _nothing: MaybeBody<Nothing>,
    ) -> Result<Accepted<RunRequested>, ApiError> {
        visit
            .holdfast
            .copy_again(&visit.caller, RunId(*id), *copy)
            .await?;
        Ok(Accepted(RunRequested { run_id: *id }))
    }

    /// Reads the stored artifact again and judges it as a restore would
    ///
    /// So is every copy of it that is stored.
    /// What came out stands in `verification` of the run once it is over.
    #[oai(
        path = "/backups/runs/:id/verification",
        method = "post",
        operation_id = "verify_run"
    )]
    async fn verify_run(
        &self,
        visit: Visit,
        id: Path<i64>,
        _nothing: MaybeBody<Nothing>,
    ) -> Result<Accepted<RunRequested>, ApiError> {
        visit
            .holdfast
            .request_verification(&visit.caller, RunId(*id))
            .await?;
        Ok(Accepted(RunRequested { run_id: *id }))
    }
}

/// The statuses of rows that are answered as `status`.
fn known_status(status: Option<String>) -> Result<Vec<String>, ApiError> {
    match status {
        None => Ok(vec![]),
        Some(status) if STATUSES.contains(&status.as_str()) => Ok(runs::answered_as(&status)),
        Some(_) => Err(ApiError::invalid("status", one_of(STATUSES))),
    }
}

fn yes() -> bool {
    true
}

/// How many to answer.
pub fn page_size(limit: Option<u64>) -> Result<u64, ApiError> {
    match limit.unwrap_or(LIMIT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        _ => Err(ApiError::invalid("limit", "use 1 to 1,000")),
    }
}
