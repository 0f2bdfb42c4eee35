//! Reads a stored artifact back and compares it with what its manifest says. `read_back` is cheap
//! (stored size and digest), `verify` proves that it can be restored: it decompresses, compares
//! the raw size and digest, and lets the strategy's validator judge, as a restore would. Of an encrypted
//! one that takes a key; without, `read_back` is what can be done: the content was judged on its way in.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::{runtime::Handle, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::{
    codec::{self, Keys},
    progress::Progress,
};
use crate::{
    domain::{
        failure::Failure,
        manifest::{Artifact, Fingerprint},
        verification::Damage,
    },
    strategy::{RawStream, Validator},
    target::{ByteStream, Key, Stored, Target, TargetError},
};

/// Why an artifact was not found whole.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// It is not what was backed up, or no restore would take it.
    #[error("{}", .0.message)]
    Damaged(Failure),
    #[error("{}", .0.message)]
    Missing(Failure),
    /// Its target did not give it: that says nothing about the artifact.
    #[error("{}", .0.message)]
    Unreadable(Failure),
    #[error("cancelled")]
    Cancelled,
}

impl Flaw {
    /// What it says about the artifact, if anything.
    pub fn damage(&self) -> Option<Damage> {
        match self {
            Self::Damaged(_) => Some(Damage::Altered),
            Self::Missing(_) => Some(Damage::Missing),
            Self::Unreadable(_) | Self::Cancelled => None,
        }
    }
}

impl From<TargetError> for Flaw {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Missing { .. } => Self::Missing(error.into()),
            other => Self::Unreadable(other.into()),
        }
    }
}

impl From<Flaw> for Failure {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Damaged(failure) | Flaw::Missing(failure) | Flaw::Unreadable(failure) => failure,
            Flaw::Cancelled => Failure::permanent("cancelled", ""),
        }
    }
}

/// Every mismatch says what differs; that none of `keys` opens what is encrypted says nothing about it.
pub async fn verify(
    target: &dyn Target,
    artifact: &Artifact,
    keys: &Keys,
    validator: Box<dyn Validator>,
    progress: Arc<Progress>,
    stop: &CancellationToken,
) -> Result<Fingerprint, Flaw> {
    let opening = keys.opening(artifact).map_err(Flaw::Unreadable)?;
    let key = Key::parse(&artifact.key)?;
    let stored = target.get(&key, None).await?;
    let (stored, account) = accounted(stored);
    let size = Some(artifact.raw_bytes);
    let raw = codec::decode(artifact.compression, opening, stored, size);
    // Ends the thread also when this future is dropped.
    let halt = stop.child_token();
    let _guard = halt.clone().drop_guard();
    let judged = judge(raw, validator, progress, halt).await;
    if stop.is_cancelled() {
        return Err(Flaw::Cancelled);
    }
    let account = account.take();
    if let Some(error) = account.error {
        return Err(unreadable(target, &key, &error));
    }
    let judged = match judged {
        Ok(judged) => judged,
        // Which half is wrong? Read to the end what the decompressor gave up.
        Err(error) => {
            read_back(target, artifact, stop).await?;
            let what = if artifact.is_encrypted() {
                "decrypt and decompress"
            } else {
                "decompress"
            };
            return Err(damaged(
                target,
                &key,
                &format!("it does not {what}: {error}"),
            ));
        }
    };
    compare(target, &key, artifact, &account.stored())?;
    if judged.sha256 != artifact.raw_sha256 {
        let (found, expected) = (judged.sha256, &artifact.raw_sha256);
        let text = format!("decompressed, its SHA-256 is {found} instead of {expected}");
        return Err(damaged(target, &key, &text));
    }
    judged
        .fingerprint
        .map_err(|reason| damaged(target, &key, &reason))
}

/// Compares stored size and digest only.
pub async fn read_back(
    target: &dyn Target,
    artifact: &Artifact,
    stop: &CancellationToken,
) -> Result<(), Flaw> {
    let key = Key::parse(&artifact.key)?;
    let stored = target.get(&key, None).await?;
    let (stored, account) = accounted(stored);
    let all = stored.for_each(|_| async {});
    tokio::select! {
        () = all => {}
        () = stop.cancelled() => return Err(Flaw::Cancelled),
    }
    let account = account.take();
    match account.error {
        Some(error) => Err(unreadable(target, &key, &error)),
        None => compare(target, &key, artifact, &account.stored()),
    }
}

/// What was counted must be what was recorded.
pub fn compare_contents(expected: &Fingerprint, found: &Fingerprint) -> Result<(), Flaw> {
    let differences = expected.differences(found, 5);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Flaw::Damaged(Failure::permanent(
        format!(
            "the backup does not hold what was recorded: {}",
            differences.join("; ")
        ),
        "Do not rely on this backup; restore another one.",
    )))
}

fn compare(
    target: &dyn Target,
    key: &Key,
    artifact: &Artifact,
    stored: &Stored,
) -> Result<(), Flaw> {
    let text = if stored.size != artifact.stored_bytes {
        let (found, expected) = (stored.size, artifact.stored_bytes);
        format!("it has {found} bytes instead of {expected}")
    } else if stored.sha256 != artifact.stored_sha256 {
        let (found, expected) = (&stored.sha256, &artifact.stored_sha256);
        format!("its SHA-256 is {found} instead of {expected}")
    } else {
        return Ok(());
    };
    Err(damaged(target, key, &text))
}

/// What was found by reading raw bytes to their end.
pub(super) struct Judged {
    pub raw_bytes: u64,
    pub sha256: String,
    pub fingerprint: Result<Fingerprint, String>,
}

/// Hashes and validates on a thread of its own, beside the one that decompresses.
pub(super) async fn judge(
    mut raw: RawStream,
    mut validator: Box<dyn Validator>,
    progress: Arc<Progress>,
    halt: CancellationToken,
) -> io::Result<Judged> {
    let handle = Handle::current();
    let judging = spawn_blocking(move || {
        let (mut hash, mut raw_bytes) = (Sha256::new(), 0);
        while let Some(chunk) = handle
            .block_on(halt.run_until_cancelled(raw.next()))
            .flatten()
        {
            let chunk = chunk?;
            hash.update(&chunk);
            validator.feed(&chunk);
            raw_bytes += chunk.len() as u64;
            progress.add_raw(chunk.len() as u64);
        }
        Ok(Judged {
            raw_bytes,
            sha256: hex::encode(hash.finalize()),
            fingerprint: validator.finish(),
        })
    });
    judging.await.map_err(io::Error::other).flatten()
}

/// What passed through a stream, and how it broke off, if it did.
#[derive(Clone, Default)]
struct Account {
    size: u64,
    hash: Sha256,
    error: Option<String>,
}

impl Account {
    fn stored(self) -> Stored {
        Stored {
            size: self.size,
            sha256: hex::encode(self.hash.finalize()),
        }
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Account>>);

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut Account) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self) -> Account {
        self.with(std::mem::take)
    }
}

fn accounted(stored: ByteStream) -> (ByteStream, Shared) {
    let account = Shared::default();
    let writer = account.clone();
    let stored = stored.inspect(move |item| {
        writer.with(|account| match item {
            Ok(chunk) => {
                account.size += chunk.len() as u64;
                account.hash.update(chunk);
            }
            Err(error) => account.error = Some(error.to_string()),
        });
    });
    (stored.boxed(), account)
}

pub(super) fn damaged(target: &dyn Target, key: &Key, what: &str) -> Flaw {
    Flaw::Damaged(Failure::permanent(
        format!(
            "{key} in {} is not what was backed up: {what}",
            target.describe()
        ),
        "Do not rely on this backup; restore another one, and check the disk or the store.",
    ))
}

pub(super) fn unreadable(target: &dyn Target, key: &Key, error: &str) -> Flaw {
    Flaw::Unreadable(Failure::temporary(
        format!(
            "{key} in {} could not be read to its end: {error}",
            target.describe()
        ),
        "It is tried again; check the disk or the network if it stays.",
    ))
}
