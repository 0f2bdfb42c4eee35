//! A restore as it is answered.

use chrono::{DateTime, Utc};
use poem_openapi::Object;

use crate::{
    domain::restore::Step,
    engine::progress::Snapshot,
    readmodel::restores,
    web::api::{
        runs::output::{Contents, Progress},
        values::Time,
    },
};

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Restore {
    id: i64,
    /// Absent when it is of a file that was sent.
    run_id: Option<i64>,
    /// The safety backup that goes before it.
    safety_run_id: Option<i64>,
    /// What that file was called.
    upload_name: Option<String>,
    app_id: i64,
    service: String,
    /// `queued`, `running`, `success`, `failed`, `needs_attention`, `cancelled`, `undoing` or
    /// `undone`.
    status: String,
    /// Its worker died; what it left is being looked at.
    settling: bool,
    attempt: i32,
    container: Option<String>,
    steps: Vec<StepDone>,
    /// In words: what an undo would put back.
    kept: Option<String>,
    /// Until when an undo is possible.
    keep_until: Option<Time>,
    can_undo: bool,
    contents: Option<Contents>,
    warnings: Vec<String>,
    requested_at: Time,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    error_msg: Option<String>,
    /// What to do about the error.
    hint: Option<String>,
    /// The last of what the tool itself said.
    error_detail: Option<String>,
    cancel_requested: bool,
    /// Only of one restore, and only while it is at work.
    progress: Option<Progress>,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct StepDone {
    name: String,
    /// In words.
    title: String,
    /// From this step on the service may have been changed.
    touches: bool,
}

impl From<Step> for StepDone {
    fn from(step: Step) -> Self {
        Self {
            name: step.name,
            title: step.title,
            touches: step.touches,
        }
    }
}

impl Restore {
    pub fn new(restore: restores::Model, now: DateTime<Utc>) -> Self {
        Self {
            steps: restore.steps().into_iter().map(Into::into).collect(),
            kept: restore.kept().map(|kept| kept.title),
            can_undo: restore.can_undo(now),
            contents: restore.fingerprint().map(Into::into),
            warnings: restore.warnings(),
            progress: None,
            id: restore.id,
            upload_name: restore.upload().map(|upload| upload.name),
            run_id: restore.run_id,
            safety_run_id: restore.safety_run_id,
            app_id: restore.app_id,
            service: restore.service,
            status: restore.status,
            settling: restore.settling,
            attempt: restore.attempt,
            container: restore.container,
            keep_until: restore.keep_until.map(Time::of),
            requested_at: Time::of(restore.requested_at),
            started_at: restore.started_at.map(Time::of),
            finished_at: restore.finished_at.map(Time::of),
            error_msg: restore.error_msg,
            hint: restore.hint,
            error_detail: restore.error_detail,
            cancel_requested: restore.cancel_requested,
        }
    }
}

impl Restore {
    /// With how far it is, unless it is over.
    #[must_use]
    pub fn at(mut self, progress: Option<Snapshot>) -> Self {
        if self.finished_at.is_none() {
            self.progress = progress.map(Into::into);
        }
        self
    }
}
