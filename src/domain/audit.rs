//! What is worth a line in the audit log without being the state of anything: logins, refusals,
//! downloads. One stream, no decisions.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{RunId, UserId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", content = "data")]
pub enum AuditEvent {
    #[serde(rename = "audit.logged_in")]
    LoggedIn { user: UserId },
    #[serde(rename = "audit.login_refused")]
    LoginRefused { name: String },
    #[serde(rename = "audit.logged_out")]
    LoggedOut { user: UserId },
    /// By its owner from elsewhere, or by an admin.
    #[serde(rename = "audit.session_ended")]
    SessionEnded { user: UserId },
    /// In place of a code of the second factor; `left` are unused.
    #[serde(rename = "audit.recovery_code_used")]
    RecoveryCodeUsed { user: UserId, left: u64 },
    /// Somebody was turned away. `what` is a route's form, never what was sent; `unwritten` are others since
    /// the one written before, which were only counted.
    #[serde(rename = "audit.refused")]
    Refused {
        what: String,
        why: String,
        unwritten: u64,
    },
    #[serde(rename = "audit.downloaded")]
    Downloaded { run: RunId },
    /// A copy of the server's own database.
    #[serde(rename = "audit.database_downloaded")]
    DatabaseDownloaded { compact: bool },
    /// The server began to work with a copy of its database: what was after `position` is not in it.
    #[serde(rename = "audit.database_restored")]
    DatabaseRestored {
        position: i64,
        copied_at: DateTime<Utc>,
    },
    #[serde(rename = "audit.exported")]
    Exported {},
    #[serde(rename = "audit.read_models_rebuilt")]
    Rebuilt { events: u64 },
    /// The log was brought back from a target, into an empty data folder.
    #[serde(rename = "audit.recovered")]
    Recovered { events: i64, instance: String },
}
