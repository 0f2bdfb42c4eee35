//! The manifest that lies beside each artifact, `<artifact>.json`: written last, so it is the
//! commit point of a backup, and enough to restore without Holdfast. Read back from a target it
//! is untrusted input like any other.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Format of the manifest itself; a reader refuses what is newer than it knows.
pub const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub run: i64,
    pub attempt: u32,
    pub app: String,
    pub service: String,
    pub config: i64,
    pub config_revision: u32,
    pub strategy: String,
    pub source: Source,
    pub artifact: Artifact,
    pub fingerprint: Fingerprint,
    pub warnings: Vec<String>,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    /// Shell commands, in order, that restore the artifact with stock tools.
    pub restore_by_hand: Vec<String>,
}

/// Where the bytes came from, pinned when the run started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub container: String,
    pub container_id: String,
    pub image: String,
    pub image_id: String,
    /// What was dumped inside it: a database name, `*` for all, paths.
    pub subject: String,
    /// Version of the server (`15.20`) and of the tool that dumped (`pg_dump (PostgreSQL) 15.20`).
    pub server: String,
    pub tool: String,
}

/// The stored file. Sizes in bytes, digests in lower hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    pub key: String,
    pub compression: Compression,
    pub raw_bytes: u64,
    pub stored_bytes: u64,
    pub raw_sha256: String,
    pub stored_sha256: String,
    /// Who can read it, as `age1…`; nobody in particular when it is not encrypted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
}

/// What encryption adds to a file's name.
pub const ENCRYPTED: &str = ".age";

impl Artifact {
    pub fn is_encrypted(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// Its key without what compression and encryption added to it.
    pub fn unpacked_key(&self) -> &str {
        let key = self.key.strip_suffix(ENCRYPTED).unwrap_or(&self.key);
        key.strip_suffix(self.compression.suffix()).unwrap_or(key)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    #[default]
    Gzip,
    Zstd,
    None,
}

impl Compression {
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Zstd, Self::None];

    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::None => "none",
        }
    }

    /// What it adds to a file's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::None => "",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }
}

/// What a person would count to believe that a restore is complete: table → rows, collection →
/// documents, `files` → number. Taken from the dump itself, so it is as consistent as the dump.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// What is counted: `rows`, `documents`, `keys`, `files`.
    pub unit: String,
    pub counts: BTreeMap<String, u64>,
}

impl Fingerprint {
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Differences of `found` from this one, at most `limit`, in words; empty when they agree.
    pub fn differences(&self, found: &Fingerprint, limit: usize) -> Vec<String> {
        let missing = self.counts.iter().filter_map(|(name, &expected)| {
            match found.counts.get(name).copied() {
                Some(count) if count == expected => None,
                Some(count) => Some(format!("{name}: {count} instead of {expected}")),
                None => Some(format!("{name}: missing, {expected} expected")),
            }
        });
        let extra = found
            .counts
            .iter()
            .filter(|(name, _)| !self.counts.contains_key(*name))
            .map(|(name, count)| format!("{name}: {count}, not in the backup"));
        missing.chain(extra).take(limit).collect()
    }
}
