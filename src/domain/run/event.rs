//! What happened to a run. Stored data: a name or a field that is here stays readable for ever.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::parts::{FoundBackup, Obligation, Pin, RequestKey, Stage, Trigger};
use crate::domain::{
    failure::Failure,
    hook::HookReport,
    ids::{AppId, ConfigId, RunId},
    manifest::{Artifact, Fingerprint},
    retention::Retention,
    verification::{CopyFinding, Damage},
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", content = "data")]
pub enum RunEvent {
    #[serde(rename = "run.requested")]
    Requested {
        run: RunId,
        app: AppId,
        config: ConfigId,
        trigger: Trigger,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<RequestKey>,
        /// The due time of the schedule that it is the run of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slot: Option<DateTime<Utc>>,
    },
    #[serde(rename = "run.started")]
    Started { attempt: u32, pin: Box<Pin> },
    #[serde(rename = "run.stage_reached")]
    StageReached { attempt: u32, stage: Stage },
    #[serde(rename = "run.obliged")]
    Obliged {
        attempt: u32,
        obligation: Obligation,
    },
    #[serde(rename = "run.obligation_settled")]
    ObligationSettled { obligation: Obligation },
    #[serde(rename = "run.hook_ran")]
    HookRan { attempt: u32, hook: HookReport },
    #[serde(rename = "run.succeeded")]
    Succeeded {
        attempt: u32,
        artifact: Artifact,
        fingerprint: Fingerprint,
        warnings: Vec<String>,
    },
    #[serde(rename = "run.retry_scheduled")]
    RetryScheduled {
        attempt: u32,
        failure: Failure,
        retry_at: DateTime<Utc>,
    },
    #[serde(rename = "run.failed")]
    Failed { attempt: u32, failure: Failure },
    #[serde(rename = "run.interrupted")]
    Interrupted {
        attempt: u32,
        counts: bool,
        why: String,
    },
    #[serde(rename = "run.cancel_requested")]
    CancelRequested {},
    #[serde(rename = "run.cancelled")]
    Cancelled {},
    /// It is over without success, and its attempts may have left something in the target; the removal
    /// follows. Runs that ended before there was this event have none: nothing more is done about them.
    #[serde(rename = "run.leftovers_due")]
    LeftoversDue {},
    #[serde(rename = "run.leftovers_removed")]
    LeftoversRemoved {},
    /// The rule, as it was, let the artifact go; its deletion follows.
    #[serde(rename = "run.expired")]
    Expired { rule: Retention },
    /// Its config was removed, and its artifact was to go with it; its deletion follows.
    #[serde(rename = "run.discarded")]
    Discarded {},
    #[serde(rename = "run.pruned")]
    Pruned {},
    /// The target holds it fast: an object lock, or a policy without the right to delete. Nothing failed by it.
    #[serde(rename = "run.deletion_refused")]
    DeletionRefused {
        /// How often by now.
        refused: u32,
        failure: Failure,
        retry_at: DateTime<Utc>,
    },
    #[serde(rename = "run.verification_requested")]
    VerificationRequested {
        verification: u32,
        /// Whether the first target's artifact is to be copied back from a further one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        mend: bool,
    },
    #[serde(rename = "run.verification_passed")]
    VerificationPassed {
        verification: u32,
        /// What was found in the further targets that hold a copy.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        copies: Vec<CopyFinding>,
    },
    /// The artifact is damaged or gone; one that passes later is whole again.
    #[serde(rename = "run.verification_failed")]
    VerificationFailed {
        verification: u32,
        damage: Damage,
        failure: Failure,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        copies: Vec<CopyFinding>,
    },
    #[serde(rename = "run.verification_retry_scheduled")]
    VerificationRetryScheduled {
        verification: u32,
        failure: Failure,
        retry_at: DateTime<Utc>,
    },
    /// Its target did not give it: that says nothing about the artifact.
    #[serde(rename = "run.artifact_unreadable")]
    ArtifactUnreadable {
        verification: u32,
        failure: Failure,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        copies: Vec<CopyFinding>,
    },
    #[serde(rename = "run.adopted")]
    Adopted {
        run: RunId,
        app: AppId,
        config: ConfigId,
        found: Box<FoundBackup>,
    },
    /// `copy` is the index of the pin's further target, from 0.
    #[serde(rename = "run.copy_requested")]
    CopyRequested { copy: u32 },
    /// Artifact and manifest lie there, with the bytes that were proved.
    #[serde(rename = "run.copy_made")]
    CopyMade { copy: u32, attempt: u32 },
    #[serde(rename = "run.copy_failed")]
    CopyFailed {
        copy: u32,
        attempt: u32,
        failure: Failure,
        retry_at: DateTime<Utc>,
    },
    /// Somebody wants it now: `attempt` is given up, if it waited, and the next one begins.
    #[serde(rename = "run.copy_retried")]
    CopyRetried { copy: u32, attempt: u32 },
}
