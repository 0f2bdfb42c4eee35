//! What may be asked of a restore; [`super::Restore`] decides.

use chrono::{DateTime, Utc};

use super::parts::{Destination, Kept, RestoreSource, Step};
use crate::domain::{
    config::SecretRef,
    failure::Failure,
    ids::{AppId, RestoreId},
    manifest::Fingerprint,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreCommand {
    Request {
        restore: RestoreId,
        source: RestoreSource,
        app: AppId,
        service: String,
        /// What opens an encrypted backup, where somebody had to give it.
        identity: Option<SecretRef>,
    },
    Start {
        attempt: u32,
        destination: Destination,
    },
    Step {
        attempt: u32,
        step: Step,
    },
    Succeed {
        attempt: u32,
        fingerprint: Fingerprint,
        kept: Option<Kept>,
        keep_until: DateTime<Utc>,
        warnings: Vec<String>,
    },
    Fail {
        attempt: u32,
        failure: Failure,
        needs_attention: bool,
    },
    /// The worker is gone: somebody has to look what it left.
    Interrupt {
        attempt: u32,
        why: String,
    },
    /// What settling found: the service is as before.
    SettleAsBefore {
        attempt: u32,
    },
    Cancel,
    ConfirmCancelled {
        attempt: u32,
    },
    Undo {
        now: DateTime<Utc>,
    },
    StartUndo {
        attempt: u32,
    },
    FinishUndo {
        attempt: u32,
        kept: Option<Kept>,
        keep_until: DateTime<Utc>,
    },
    /// What was set aside stays for another while: somebody has just asked for it.
    FailUndo {
        attempt: u32,
        failure: Failure,
        keep_until: DateTime<Utc>,
    },
    /// What was kept has been removed. Names it: an undo may have put something else aside meanwhile.
    Forget {
        kept: Kept,
    },
}
