//! What happened to a restore. Stored data: a name or a field that is here stays readable for ever.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::parts::{Destination, Kept, RestoreSource, Step};
use crate::domain::{
    config::SecretRef,
    failure::Failure,
    ids::{AppId, RestoreId},
    manifest::Fingerprint,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", content = "data")]
pub enum RestoreEvent {
    #[serde(rename = "restore.requested")]
    Requested {
        restore: RestoreId,
        source: RestoreSource,
        app: AppId,
        service: String,
        /// Of a value that is forgotten when the restore is over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<SecretRef>,
    },
    #[serde(rename = "restore.started")]
    Started {
        attempt: u32,
        destination: Destination,
    },
    #[serde(rename = "restore.step_begun")]
    StepBegun { attempt: u32, step: Step },
    #[serde(rename = "restore.succeeded")]
    Succeeded {
        attempt: u32,
        fingerprint: Fingerprint,
        kept: Option<Kept>,
        keep_until: DateTime<Utc>,
        warnings: Vec<String>,
    },
    #[serde(rename = "restore.failed")]
    Failed { attempt: u32, failure: Failure },
    #[serde(rename = "restore.attention_needed")]
    AttentionNeeded { attempt: u32, failure: Failure },
    #[serde(rename = "restore.interrupted")]
    Interrupted { attempt: u32, why: String },
    #[serde(rename = "restore.cancel_requested")]
    CancelRequested {},
    #[serde(rename = "restore.cancelled")]
    Cancelled {},
    #[serde(rename = "restore.undo_requested")]
    UndoRequested { attempt: u32 },
    #[serde(rename = "restore.undo_started")]
    UndoStarted { attempt: u32 },
    #[serde(rename = "restore.undone")]
    Undone {
        attempt: u32,
        kept: Option<Kept>,
        keep_until: DateTime<Utc>,
    },
    #[serde(rename = "restore.undo_failed")]
    UndoFailed {
        attempt: u32,
        failure: Failure,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep_until: Option<DateTime<Utc>>,
    },
    #[serde(rename = "restore.kept_removed")]
    KeptRemoved {},
}
