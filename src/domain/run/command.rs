//! What may be asked of a run; [`super::Run`] decides.

use chrono::{DateTime, Utc};

use super::parts::{FoundBackup, Obligation, Pin, RequestKey, Stage, Trigger};
use crate::domain::{
    copies::CopyCommand,
    failure::Failure,
    hook::HookReport,
    ids::{AppId, ConfigId, RunId},
    manifest::{Artifact, Fingerprint},
    retention::Retention,
    verification::VerificationCommand,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunCommand {
    Request {
        run: RunId,
        app: AppId,
        config: ConfigId,
        trigger: Trigger,
        key: Option<RequestKey>,
        slot: Option<DateTime<Utc>>,
    },
    Start {
        attempt: u32,
        pin: Box<Pin>,
    },
    Reach {
        attempt: u32,
        stage: Stage,
    },
    Oblige {
        attempt: u32,
        obligation: Obligation,
    },
    Settle {
        obligation: Obligation,
    },
    TellHook {
        attempt: u32,
        hook: HookReport,
    },
    Succeed {
        attempt: u32,
        artifact: Artifact,
        fingerprint: Fingerprint,
        warnings: Vec<String>,
    },
    /// `retry_at` is when a temporary failure may be tried again, if at all; the caller adds the jitter.
    Fail {
        attempt: u32,
        failure: Failure,
        retry_at: Option<DateTime<Utc>>,
    },
    /// Nobody knows how the attempt ended: what it stored, if anything, may be good, and stays.
    GiveUp {
        attempt: u32,
        failure: Failure,
    },
    /// The attempt ended without an outcome: a crash (`counts`) or a graceful stop.
    Interrupt {
        attempt: u32,
        counts: bool,
        why: String,
    },
    Cancel,
    /// The worker of `attempt` has stopped and removed what it left.
    ConfirmCancelled {
        attempt: u32,
    },
    /// The run is over, and nothing of its attempts is in the target any more.
    ConfirmLeftoversRemoved,
    /// Retention lets the artifact go: from here on nobody may count on it.
    Expire {
        rule: Retention,
    },
    /// Somebody removes the config and its artifacts with it.
    Discard,
    /// The artifact is gone from the target.
    ConfirmPruned,
    /// The target does not let it go.
    TellHeld {
        failure: Failure,
        now: DateTime<Utc>,
    },
    Verify(VerificationCommand),
    Copy(CopyCommand),
    /// A backup was found in a target, and no run of it is known.
    Adopt {
        run: RunId,
        app: AppId,
        config: ConfigId,
        found: Box<FoundBackup>,
    },
}
