//! What the commands and events of a restore speak of.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{
    config::ConfigSpec,
    ids::RunId,
    manifest::{Artifact, Fingerprint},
};

/// Where to: a service of the app, resolved to a container when the restore starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    pub service: String,
    pub container: String,
    pub container_id: String,
}

/// What is brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RestoreSource {
    /// What a run stored.
    Run {
        run: RunId,
        /// From this place alone: 0 is the run's first target, 1 its first further one. From the first
        /// that has it when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<u32>,
        /// A backup of what the restore would replace: not before it is good, and not at all when it is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        safety: Option<RunId>,
    },
    /// A file that somebody sent.
    Upload { upload: Box<Upload> },
}

impl Default for RestoreSource {
    fn default() -> Self {
        Self::Run {
            run: RunId::default(),
            from: None,
            safety: None,
        }
    }
}

impl RestoreSource {
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Run { run, .. } => Some(*run),
            Self::Upload { .. } => None,
        }
    }

    pub fn safety(&self) -> Option<RunId> {
        match self {
            Self::Run { safety, .. } => *safety,
            Self::Upload { .. } => None,
        }
    }

    pub fn upload(&self) -> Option<&Upload> {
        match self {
            Self::Run { .. } => None,
            Self::Upload { upload } => Some(upload),
        }
    }
}

/// A file that was judged whole when it came. It lies with Holdfast until its restore is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// What it was called where it came from, for people.
    pub name: String,
    /// How to work in the service, as a run pins it.
    pub spec: ConfigSpec,
    /// Its key is a name in the place for uploads.
    pub artifact: Artifact,
    pub fingerprint: Fingerprint,
}

/// A recorded step. `data` is what the strategy needs to find its traces again; no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Stable name: stored data. `stage`, `load`, `check`, `close`, `swap`.
    pub name: String,
    /// In words, for the page: `Loading into hf_stage_12`.
    pub title: String,
    /// From this step on the destination may have been changed.
    pub touches: bool,
    pub data: Value,
}

/// What was set aside and can be put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// In words: `database shop as it was, now hf_undo_12`.
    pub title: String,
    /// In bytes, when the engine tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    pub data: Value,
}
