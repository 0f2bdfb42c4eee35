//! What is worth a line in the audit log without being the state of anything: logins, refusals,
//! downloads. One stream, no decisions.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{RunId, UserId};

/// Stable names of the events whose detail may be pruned: nothing is folded from them, and no command, page or
/// start asks what they said. What is not named here keeps its detail for ever.
pub const PRUNABLE: [&str; 9] = [
    "audit.logged_in",
    "audit.login_refused",
    "audit.logged_out",
    "audit.session_ended",
    "audit.recovery_code_used",
    "audit.refused",
    "audit.downloaded",
    "audit.database_downloaded",
    "audit.exported",
];

/// What an event of that name is called in [`PRUNABLE`].
pub fn prunable(name: &str) -> Option<&'static str> {
    PRUNABLE.into_iter().find(|known| *known == name)
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", content = "data")]
pub enum AuditEvent {
    #[serde(rename = "audit.logged_in")]
    LoggedIn {
        user: UserId,
        /// The issuer that vouched for them, when they did not log in here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        through: Option<String>,
    },
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
    /// Every secret was sealed anew, under another key; `from` and `to` are the ids of keys, which give nothing
    /// away. The log goes on in targets under the name `instance`.
    #[serde(rename = "audit.master_key_rotated")]
    MasterKeyRotated {
        from: String,
        to: String,
        secrets: u64,
        instance: String,
    },
    #[serde(rename = "audit.exported")]
    Exported {},
    #[serde(rename = "audit.read_models_rebuilt")]
    Rebuilt { events: u64 },
    /// The log was brought back from a target, into an empty data folder.
    #[serde(rename = "audit.recovered")]
    Recovered { events: i64, instance: String },
    /// Something that looked like a backup and belonged to no run is deleted from a target. Follows this.
    #[serde(rename = "audit.stray_deleted")]
    StrayDeleted {
        /// The target, in words.
        place: String,
        key: String,
        size: u64,
    },
    /// The detail of old events was taken out of the database. Their rows stay, and what is left of them.
    #[serde(rename = "log.pruned")]
    LogPruned(Pruning),
    /// What is read of an event whose detail was pruned; its stable name. Never stored.
    #[serde(skip)]
    DetailPruned(String),
}

/// Which events lost their detail, by what rule, and where it lies since. Signed by the log's key: whoever can
/// only write the database cannot empty a row and say that it was pruned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruning {
    /// What had happened before this time.
    pub before: DateTime<Utc>,
    /// Events of these names.
    pub names: Vec<String>,
    /// Ranges of positions that do not overlap, in order.
    pub pieces: Vec<PrunedPiece>,
    /// Ed25519, lower hex.
    pub public_key: String,
    /// Over all above but the key.
    pub signature: String,
}

/// The events of one sealed segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunedPiece {
    pub first: i64,
    pub last: i64,
    /// How many from `first` to `last` have one of the names.
    pub events: u64,
    /// SHA-256 over what is left of them, lower hex.
    pub skeletons: String,
    /// A target that held the segment whole, in words.
    pub place: String,
    /// Of the segment there.
    pub key: String,
    /// Of the segment as it lies there, lower hex.
    pub sha256: String,
}

impl Pruning {
    pub fn events(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.events).sum()
    }

    /// What holds the detail of that event, if this pruning took it.
    pub fn piece_of(&self, position: i64, name: &str) -> Option<&PrunedPiece> {
        let mut pieces = self.pieces.iter();
        let piece = pieces.find(|it| (it.first..=it.last).contains(&position))?;
        self.names.iter().any(|it| it == name).then_some(piece)
    }
}
