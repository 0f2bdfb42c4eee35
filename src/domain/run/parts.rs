//! What the commands and events of a run speak of.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::{
    config::ConfigSpec,
    manifest::{Artifact, Fingerprint, Source},
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    Manual,
    Schedule,
    Api,
    Cli,
    /// The config's own address was called from outside.
    Hook,
    /// A restore is to replace what is there: that is backed up first.
    Restore,
}

impl Trigger {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Schedule => "schedule",
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Hook => "hook",
            Self::Restore => "restore",
        }
    }
}

/// What a client calls one wish of its, to say it again without a second run: the digest of its
/// `Idempotency-Key`, because keys are as long as their clients like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestKey(pub String);

/// What an attempt works on, fixed when it starts. Restores use this, never today's config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub config_revision: u32,
    pub spec: ConfigSpec,
    pub source: Source,
    /// Key of the artifact in the target; the manifest lies beside it.
    pub key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Looking at the source and the target.
    Prepare,
    /// Moving the bytes.
    Dump,
    /// Reading them back.
    Verify,
    /// Writing the manifest.
    Commit,
}

impl Stage {
    pub const ALL: [Self; 4] = [Self::Prepare, Self::Dump, Self::Verify, Self::Commit];

    pub fn title(self) -> &'static str {
        match self {
            Self::Prepare => "Prepare",
            Self::Dump => "Dump and store",
            Self::Verify => "Read back and verify",
            Self::Commit => "Write manifest",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Dump => "dump",
            Self::Verify => "verify",
            Self::Commit => "commit",
        }
    }
}

/// Something that must be made good whatever becomes of the run: a service that was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Obligation {
    /// Start this container again.
    Start {
        service: String,
        /// Its id.
        container: String,
        /// The engine may need as long to end it: that it runs before then proves nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends_by: Option<DateTime<Utc>>,
    },
}

impl Obligation {
    /// Id of the container it is about.
    pub fn container(&self) -> &str {
        let Self::Start { container, .. } = self;
        container
    }

    pub fn service(&self) -> &str {
        let Self::Start { service, .. } = self;
        service
    }
}

/// A backup as its manifest tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundBackup {
    pub pin: Pin,
    pub artifact: Artifact,
    pub fingerprint: Fingerprint,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
}
