//! Runs, under the table name of the module that Holdfast replaces.

mod queries;
mod row;

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::queries::{
    Filter, count_good, get, has_key, has_later_owner, kept, keys, list, longest_unseen,
    newest_ended, newest_success, newest_triggered, requested_as, to_copy, to_prune, unfinished,
    unfinished_of, unfinished_of_configs, verifying, with_artifact, with_damage, with_leftovers,
    with_obligations,
};
use super::{table::ReadModel, to_json};
use crate::{
    domain::{
        copies,
        event::{Event, StreamKind},
        failure::Failure,
        ids::{AppId, ConfigId, RunId},
        run::{FoundBackup, RunEvent, Stage},
        verification::Damage,
    },
    log::Recorded,
};

/// The trigger of a run that nobody asked for here: its artifact was found in a target.
pub const FOUND: &str = "found";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "backup_runs")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    pub backup_config_id: i64,
    pub app_id: i64,
    /// `queued|running|success|failed|cancelled`; a success whose artifact was found damaged later is
    /// `damaged` or `missing`.
    pub status: String,
    /// Name of the stage that the present attempt reached; empty before.
    pub phase: String,
    pub trigger: String,
    pub attempt: i32,
    /// Of the stored artifact.
    pub size_bytes: Option<i64>,
    pub raw_bytes: Option<i64>,
    /// SHA-256 of the stored bytes, lower hex.
    pub checksum: Option<String>,
    /// Key in the target.
    pub file_path: Option<String>,
    pub requested_at: i64,
    /// Start of the present attempt.
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
    /// When the next attempt may start.
    pub retry_at: Option<i64>,
    pub error_msg: Option<String>,
    pub hint: Option<String>,
    pub error_detail: Option<String>,
    /// JSON list of texts.
    pub warnings: String,
    /// `Pin` as JSON.
    pub pin: Option<String>,
    /// `Artifact` as JSON.
    pub artifact: Option<String>,
    /// `Fingerprint` as JSON.
    pub fingerprint: Option<String>,
    pub cancel_requested: bool,
    /// JSON list of open `Obligation`s.
    pub obligations: String,
    /// JSON list of `StageTime`s of the present attempt.
    pub stages: String,
    /// `RequestKey` of whoever asked for it.
    pub request_key: Option<String>,
    /// JSON list of `CopyState`, one for each further target of the pin.
    pub copies: String,
    /// Those of them that are tried until they are made.
    pub copies_open: i32,
    /// When retention, or whoever removed the config, let the artifact go: it counts for nothing since.
    pub expired_at: Option<i64>,
    /// When it was deleted.
    pub pruned_at: Option<i64>,
    /// Why its target still holds what was let go.
    pub held: Option<String>,
    /// When the stored artifact was last read and found whole.
    pub verified_at: Option<i64>,
    /// The try to verify it that is due or at work.
    pub verifying: Option<i32>,
    /// When that may start.
    pub verify_at: Option<i64>,
    /// `Verified` as JSON: what came out last.
    pub verification: Option<String>,
    /// When a good artifact was last looked at, or tried to: rolling verification goes by it.
    pub looked_at: Option<i64>,
    /// What it may have left in its target is still to be removed.
    pub leftovers_due: bool,
}

/// What a verification came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub found: Found,
    /// Unix milliseconds.
    pub at: i64,
    /// Absent when all is well.
    pub failure: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    Whole,
    Damaged,
    Missing,
    /// Its target did not give it.
    Unreadable,
}

impl Found {
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
        }
    }
}

impl From<Damage> for Found {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Altered => Self::Damaged,
            Damage::Missing => Self::Missing,
        }
    }
}

/// When the present attempt reached a stage, Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTime {
    pub stage: Stage,
    pub at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub struct Runs;

impl ReadModel for Runs {
    type Entity = Entity;
    const NAME: &'static str = "backup_runs";
    const VERSION: i32 = 6;

    fn key(event: &Recorded) -> Option<i64> {
        (event.stream.kind == StreamKind::Run).then_some(event.stream.id)
    }

    fn id(row: &Model) -> i64 {
        row.id
    }

    fn apply(row: Option<Model>, event: &Recorded) -> Option<Model> {
        let Event::Run(change) = &event.event else {
            return row;
        };
        let at = event.at.timestamp_millis();
        if let RunEvent::Requested {
            app,
            config,
            trigger,
            key,
            ..
        } = change
        {
            let run = RunId(event.stream.id);
            let mut row = requested(run, *app, *config, trigger.name(), at);
            row.request_key = key.as_ref().map(|key| key.0.clone());
            return Some(row);
        }
        if let RunEvent::Adopted {
            app, config, found, ..
        } = change
        {
            return Some(adopted(RunId(event.stream.id), *app, *config, found));
        }
        row.map(|mut row| {
            row.evolve(change, at);
            row
        })
    }
}

fn requested(run: RunId, app: AppId, config: ConfigId, trigger: &str, at: i64) -> Model {
    Model {
        id: run.0,
        backup_config_id: config.0,
        app_id: app.0,
        status: "queued".to_owned(),
        phase: String::new(),
        trigger: trigger.to_owned(),
        attempt: 0,
        size_bytes: None,
        raw_bytes: None,
        checksum: None,
        file_path: None,
        requested_at: at,
        started_at: None,
        finished_at: None,
        retry_at: None,
        error_msg: None,
        hint: None,
        error_detail: None,
        warnings: "[]".to_owned(),
        pin: None,
        artifact: None,
        fingerprint: None,
        cancel_requested: false,
        obligations: "[]".to_owned(),
        stages: "[]".to_owned(),
        request_key: None,
        copies: "[]".to_owned(),
        copies_open: 0,
        expired_at: None,
        pruned_at: None,
        held: None,
        verified_at: None,
        verifying: None,
        verify_at: None,
        verification: None,
        looked_at: None,
        leftovers_due: false,
    }
}

/// As if it had been run here; that it was found whole is for a verification to say.
fn adopted(run: RunId, app: AppId, config: ConfigId, found: &FoundBackup) -> Model {
    let (start, end) = (found.started_at, found.finished_at);
    let artifact = &found.artifact;
    Model {
        status: "success".to_owned(),
        attempt: 1,
        size_bytes: i64::try_from(artifact.stored_bytes).ok(),
        raw_bytes: i64::try_from(artifact.raw_bytes).ok(),
        checksum: Some(artifact.stored_sha256.clone()),
        file_path: Some(artifact.key.clone()),
        started_at: Some(start.timestamp_millis()),
        finished_at: Some(end.timestamp_millis()),
        warnings: to_json(&found.warnings),
        pin: Some(to_json(&found.pin)),
        artifact: Some(to_json(artifact)),
        fingerprint: Some(to_json(&found.fingerprint)),
        looked_at: Some(0),
        ..requested(run, app, config, FOUND, start.timestamp_millis())
    }
}

impl Model {
    fn evolve(&mut self, change: &RunEvent, at: i64) {
        match change {
            RunEvent::Requested { .. } | RunEvent::Adopted { .. } | RunEvent::HookRan { .. } => {}
            RunEvent::Started { attempt, pin } => {
                "running".clone_into(&mut self.status);
                self.phase.clear();
                self.set_attempt(*attempt);
                self.started_at = Some(at);
                self.retry_at = None;
                self.pin = Some(to_json(pin));
                "[]".clone_into(&mut self.stages);
            }
            RunEvent::StageReached { stage, .. } => {
                stage.name().clone_into(&mut self.phase);
                let mut stages = self.stages();
                stages.push(StageTime { stage: *stage, at });
                self.stages = to_json(&stages);
            }
            RunEvent::Obliged { obligation, .. } => {
                let mut open = self.obligations();
                open.push(obligation.clone());
                self.obligations = to_json(&open);
            }
            RunEvent::ObligationSettled { obligation } => {
                let mut open = self.obligations();
                open.retain(|other| other != obligation);
                self.obligations = to_json(&open);
            }
            RunEvent::Succeeded {
                artifact,
                fingerprint,
                warnings,
                ..
            } => {
                self.finish("success", at);
                self.size_bytes = i64::try_from(artifact.stored_bytes).ok();
                self.raw_bytes = i64::try_from(artifact.raw_bytes).ok();
                self.checksum = Some(artifact.stored_sha256.clone());
                self.file_path = Some(artifact.key.clone());
                self.artifact = Some(to_json(artifact));
                self.fingerprint = Some(to_json(fingerprint));
                self.warnings = to_json(warnings);
                self.clear_failure();
                // Reading back is over when the next stage begins.
                let mut stages = self.stages().into_iter();
                let commit = stages.find(|time| time.stage == Stage::Commit);
                self.verified_at = Some(commit.map_or(at, |time| time.at));
                self.looked_at = self.verified_at;
            }
            RunEvent::RetryScheduled {
                attempt,
                failure,
                retry_at,
            } => {
                self.set_attempt(*attempt);
                "queued".clone_into(&mut self.status);
                self.retry_at = Some(retry_at.timestamp_millis());
                self.set_failure(failure);
            }
            RunEvent::Failed { attempt, failure } => {
                self.set_attempt(*attempt);
                self.finish("failed", at);
                self.set_failure(failure);
            }
            RunEvent::Interrupted { why, .. } => {
                "queued".clone_into(&mut self.status);
                self.error_msg = Some(format!("interrupted: {why}"));
                self.hint = Some("It is tried again.".to_owned());
            }
            RunEvent::CancelRequested {} => self.cancel_requested = true,
            RunEvent::Cancelled {} => {
                self.finish("cancelled", at);
                self.clear_failure();
            }
            RunEvent::LeftoversDue {} => self.leftovers_due = true,
            RunEvent::LeftoversRemoved {} => self.leftovers_due = false,
            RunEvent::Expired { .. } | RunEvent::Discarded {} => {
                self.expired_at = Some(at);
                self.verifying = None;
                self.verify_at = None;
                self.looked_at = None;
            }
            RunEvent::CopyRequested { .. }
            | RunEvent::CopyMade { .. }
            | RunEvent::CopyFailed { .. }
            | RunEvent::CopyRetried { .. } => self.follow_copies(change),
            RunEvent::Pruned {} => {
                self.pruned_at = Some(at);
                self.held = None;
            }
            RunEvent::DeletionRefused { failure, .. } => self.held = Some(failure.message.clone()),
            RunEvent::VerificationRequested { verification, .. } => {
                self.verifying = i32::try_from(*verification).ok();
            }
            RunEvent::VerificationRetryScheduled {
                verification,
                retry_at,
                ..
            } => {
                self.verifying = i32::try_from(verification + 1).ok();
                self.verify_at = Some(retry_at.timestamp_millis());
            }
            RunEvent::VerificationPassed { .. } => {
                "success".clone_into(&mut self.status);
                self.verified_at = Some(at);
                self.conclude_verification(Found::Whole, at, None);
                self.follow_copies(change);
            }
            RunEvent::VerificationFailed {
                damage, failure, ..
            } => {
                damage.status().clone_into(&mut self.status);
                self.conclude_verification((*damage).into(), at, Some(failure));
                self.follow_copies(change);
            }
            RunEvent::ArtifactUnreadable { failure, .. } => {
                self.conclude_verification(Found::Unreadable, at, Some(failure));
                self.follow_copies(change);
            }
        }
    }

    fn conclude_verification(&mut self, found: Found, at: i64, failure: Option<&Failure>) {
        self.verifying = None;
        self.verify_at = None;
        self.looked_at = (self.status == "success").then_some(at);
        self.verification = Some(to_json(&Verified {
            found,
            at,
            failure: failure.cloned(),
        }));
    }

    fn follow_copies(&mut self, change: &RunEvent) {
        let mut copies = self.copies();
        copies::evolve(&mut copies, change);
        let open = copies.iter().filter(|copy| copy.is_open()).count();
        self.copies_open = i32::try_from(open).unwrap_or(i32::MAX);
        self.copies = to_json(&copies);
    }

    fn set_attempt(&mut self, attempt: u32) {
        self.attempt = i32::try_from(attempt).unwrap_or(i32::MAX);
    }

    fn finish(&mut self, status: &str, at: i64) {
        status.clone_into(&mut self.status);
        self.finished_at = Some(at);
        self.retry_at = None;
    }

    fn set_failure(&mut self, failure: &Failure) {
        self.error_msg = Some(failure.message.clone());
        self.hint = (!failure.hint.is_empty()).then(|| failure.hint.clone());
        self.error_detail = (!failure.detail.is_empty()).then(|| failure.detail.clone());
    }

    fn clear_failure(&mut self) {
        self.error_msg = None;
        self.hint = None;
        self.error_detail = None;
    }
}

/// A status as the API says it, whose words are older than `damaged` and `missing`: green must mean
/// that it can be restored.
pub fn answered(status: &str) -> &str {
    match status {
        "damaged" | "missing" => "failed",
        status => status,
    }
}

/// The statuses that are answered as this one.
pub fn answered_as(status: &str) -> Vec<String> {
    let damaged = ["damaged", "missing"].into_iter();
    let damaged = damaged.filter(|_| status == "failed");
    std::iter::once(status)
        .chain(damaged)
        .map(ToOwned::to_owned)
        .collect()
}
