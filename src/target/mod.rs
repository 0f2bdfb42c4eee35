//! Where artifacts are kept. One file a target, its name in `ALL`; `tests/targets` proves each
//! against the same contract.

pub mod layout;
mod local;
pub mod memory;
mod s3;

use std::{collections::BTreeMap, io, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

pub use self::layout::Key;
pub use crate::domain::form::{Field, Preset};
use crate::domain::{
    failure::{Failure, FieldErrors},
    secret::Secret,
};

/// Every kind of target there is.
pub const ALL: &[&dyn TargetKind] = &[
    &local::LocalKind, //
    &s3::S3Kind,
];

pub fn kind(name: &str) -> Option<&'static dyn TargetKind> {
    ALL.iter().copied().find(|kind| kind.name() == name)
}

/// Bytes on their way. An `Err` item means the source failed: whatever receives the stream must
/// leave nothing behind. The end without an error is the source's word that this was all.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// A place for whole files under keys.
///
/// Contract, kept by every implementation:
/// - `put` is whole or absent: cancelled (future dropped), failed or killed, nothing appears under
///   `key` and nothing stays behind, except partial data that `sweep` finds after a kill. It never
///   overwrites: an existing key is `TargetError::Exists`. When it returns, the data is durable.
///   A store over a network is cleaned up after a drop by a task that goes on by itself.
/// - `get` of a range past the end is an error; `list` is recursive, sorted by key, and never shows
///   partial data; `delete` of what is not there is fine.
/// - No method repeats itself or logs; decorators and callers do. A single request of many may be
///   repeated: a store over a network refuses some as a matter of course.
#[async_trait]
pub trait Target: Send + Sync + 'static {
    /// For people: `Local storage (/srv/backups)`. No secrets.
    fn describe(&self) -> String;

    /// Stores the stream under `key`. `size_hint` in bytes, when known, lets a target refuse early.
    async fn put(
        &self,
        key: &Key,
        body: ByteStream,
        size_hint: Option<u64>,
    ) -> Result<Stored, TargetError>;

    /// The stored bytes, or those of `range` (end exclusive).
    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, TargetError>;

    /// `None` when there is nothing under `key`.
    async fn stat(&self, key: &Key) -> Result<Option<Stat>, TargetError>;

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, TargetError>;

    /// Also ends what a dead process left unfinished under this very key.
    async fn delete(&self, key: &Key) -> Result<(), TargetError>;

    /// Can it be written to, now? Leaves nothing behind.
    async fn check(&self) -> Result<(), TargetError>;

    /// Removes partial data of dead processes; answers what it removed. Called at start, when no
    /// put of this process is under way.
    async fn sweep(&self) -> Result<Vec<String>, TargetError>;

    /// Where a person finds `key` with stock tools: a path, or `s3://…`. For manifests and pages.
    fn locate(&self, key: &Key) -> String;

    /// The command that brings `key` into the present folder under its own name, where `locate` is
    /// nothing a shell can read.
    fn fetch_by_hand(&self, _key: &Key) -> Option<String> {
        None
    }

    /// A link under which anybody can read `key` for so long; `None` where there are none.
    async fn presign(&self, _key: &Key, _valid: Duration) -> Result<Option<String>, TargetError> {
        Ok(None)
    }

    /// Everything a backup and a restore will ask of it, tried one by one. Leaves nothing behind.
    async fn try_out(&self) -> Vec<Trial> {
        vec![Trial::of("write", self.check().await)]
    }
}

/// One thing that was tried on a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Stable: `put`, `list`, …
    pub name: &'static str,
    pub ok: bool,
    /// What was found; what went wrong and what to do, when it failed. May be empty.
    pub detail: String,
    /// Backups work without it.
    pub optional: bool,
}

impl Trial {
    pub fn of(name: &'static str, result: Result<(), TargetError>) -> Self {
        match result {
            Ok(()) => Self::passed(name, ""),
            Err(error) => Self::failed(name, format!("{error}. {}", error.hint())),
        }
    }

    pub fn passed(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            ok: true,
            detail: detail.into(),
            optional: false,
        }
    }

    pub fn failed(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            ok: false,
            ..Self::passed(name, detail)
        }
    }

    #[must_use]
    pub fn optional(self) -> Self {
        Self {
            optional: true,
            ..self
        }
    }
}

/// What a target says it stored: counted and hashed while writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub size: u64,
    /// Lower hex.
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    pub size: u64,
}

/// A kind of target: what a form asks for, and how to open one.
pub trait TargetKind: Send + Sync {
    /// Stable name, as stored in configs: `local`.
    fn name(&self) -> &'static str;
    fn label(&self) -> &'static str;
    fn description(&self) -> &'static str;
    fn icon(&self) -> &'static str;
    fn fields(&self) -> &'static [Field];

    /// Providers whose settings are known, the best known first.
    fn presets(&self) -> &'static [Preset] {
        &[]
    }

    /// The same for all settings that lead to one disk or one store, whatever the folder in it: what
    /// writes there shares its speed.
    fn shared(&self, _plain: &BTreeMap<String, String>) -> String {
        self.name().to_owned()
    }

    /// Checks the settings without touching anything outside.
    fn check(&self, place: &Place, settings: &Settings) -> Result<(), FieldErrors>;

    fn open(&self, place: &Place, settings: &Settings) -> Result<Arc<dyn Target>, FieldErrors>;
}

/// A target's settings as configured; secrets come from the vault, beside the plain values.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub plain: BTreeMap<String, String>,
    pub secrets: BTreeMap<String, Secret>,
}

/// What the server gives every target kind.
#[derive(Debug, Clone)]
pub struct Place {
    /// Folder of the local target: `{data}/backups`.
    pub local_root: PathBuf,
    /// A connection that moves no byte for this long has failed.
    pub stall: Duration,
    /// Whether a target may lie at a private address, in the server's own network.
    pub private_addresses: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("{key} already exists in {at}")]
    Exists { key: String, at: String },
    #[error("{key} is not in {at}")]
    Missing { key: String, at: String },
    #[error("no space left in {at}")]
    Full { at: String },
    #[error("{at} refused: {reason}")]
    Refused { at: String, reason: String },
    #[error("{at} did not answer as it should: {reason}")]
    Unavailable { at: String, reason: String },
    /// As `Refused` or, when `temporary`, as `Unavailable`, where more is known about what to do.
    #[error("{at}: {reason}")]
    Failed {
        at: String,
        reason: String,
        hint: &'static str,
        temporary: bool,
    },
    /// The stream given to `put` ended with an error: the cause lies with its sender.
    #[error("the data stopped coming: {0}")]
    Source(io::Error),
    #[error("{0:?} is no usable name: {1}")]
    BadKey(String, &'static str),
}

impl TargetError {
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Source(_) => true,
            Self::Failed { temporary, .. } => *temporary,
            _ => false,
        }
    }

    pub fn hint(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "Holdfast never overwrites a backup; try again in a second.",
            Self::Missing { .. } => {
                "It was moved or deleted outside Holdfast; look for it, or choose another backup."
            }
            Self::Full { .. } => "Free some space, or keep fewer backups.",
            Self::Refused { .. } => "Check the permissions of that place.",
            Self::Unavailable { .. } => {
                "It is tried again; check the disk or the network if it stays."
            }
            Self::Failed { hint, .. } => hint,
            Self::Source(_) => "",
            Self::BadKey(..) => "Use letters, digits, dots, dashes and underscores.",
        }
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        if error.is_temporary() {
            Failure::temporary(error.to_string(), error.hint())
        } else {
            Failure::permanent(error.to_string(), error.hint())
        }
    }
}
