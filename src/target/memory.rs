//! A target that is only memory, and one that fails on demand: what tests put in the place of a
//! disk or a bucket to see things no real one does when asked to.

mod faulty;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};

pub use self::faulty::{Fault, Faulty, Scope};
use super::{ByteStream, Entry, Key, Stat, Stored, Target, TargetError, layout};

/// Bytes a chunk of `get`.
const CHUNK: usize = 256 * 1024;

#[derive(Default)]
pub struct Memory {
    files: Mutex<BTreeMap<Key, Bytes>>,
    partials: Mutex<Vec<String>>,
}

impl Memory {
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores `bytes` as if they had always been there: to damage a backup, or to swap two.
    pub fn plant(&self, key: &Key, bytes: impl Into<Bytes>) {
        self.files().insert(key.clone(), bytes.into());
    }

    /// Leaves partial data as a killed process would.
    pub fn plant_partial(&self, name: &str) {
        lock(&self.partials).push(name.to_owned());
    }

    /// What is stored under `key`, as it is.
    pub fn bytes(&self, key: &Key) -> Option<Bytes> {
        self.files().get(key).cloned()
    }

    /// Name and size of everything, partial data included.
    pub fn contents(&self) -> Vec<(String, u64)> {
        let files = self.files();
        let whole = files
            .iter()
            .map(|(key, bytes)| (key.to_string(), bytes.len() as u64));
        let partials = lock(&self.partials);
        whole
            .chain(partials.iter().map(|name| (name.clone(), 0)))
            .collect()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<Key, Bytes>> {
        lock(&self.files)
    }

    fn exists(&self, key: &Key) -> TargetError {
        TargetError::Exists {
            key: key.to_string(),
            at: self.describe(),
        }
    }
}

#[async_trait]
impl Target for Memory {
    fn describe(&self) -> String {
        "Memory".to_owned()
    }

    async fn put(
        &self,
        key: &Key,
        mut body: ByteStream,
        _size_hint: Option<u64>,
    ) -> Result<Stored, TargetError> {
        if self.files().contains_key(key) {
            return Err(self.exists(key));
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk.map_err(TargetError::Source)?);
        }
        let bytes = bytes.freeze();
        let stored = Stored {
            size: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(&bytes)),
        };
        let mut files = self.files();
        if files.contains_key(key) {
            return Err(self.exists(key));
        }
        files.insert(key.clone(), bytes);
        Ok(stored)
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, TargetError> {
        let bytes = self.bytes(key).ok_or_else(|| TargetError::Missing {
            key: key.to_string(),
            at: self.describe(),
        })?;
        let size = bytes.len() as u64;
        let range = range.unwrap_or(0..size);
        if range.start > range.end || range.end > size {
            return Err(TargetError::Refused {
                at: self.describe(),
                reason: format!("{key} has {size} bytes, {range:?} were asked for"),
            });
        }
        let bounds = usize::try_from(range.start).unwrap_or(usize::MAX)
            ..usize::try_from(range.end).unwrap_or(usize::MAX);
        let mut left = bytes.slice(bounds);
        let chunks = std::iter::from_fn(move || {
            let chunk = left.split_to(left.len().min(CHUNK));
            (!chunk.is_empty()).then_some(Ok(chunk))
        });
        Ok(stream::iter(chunks).boxed())
    }

    async fn stat(&self, key: &Key) -> Result<Option<Stat>, TargetError> {
        Ok(self.bytes(key).map(|bytes| Stat {
            size: bytes.len() as u64,
        }))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, TargetError> {
        layout::split_prefix(prefix)?;
        let files = self.files();
        let found = files
            .iter()
            .filter(|(key, _)| key.as_str().starts_with(prefix));
        Ok(found
            .map(|(key, bytes)| Entry {
                key: key.clone(),
                size: bytes.len() as u64,
            })
            .collect())
    }

    async fn delete(&self, key: &Key) -> Result<(), TargetError> {
        self.files().remove(key);
        Ok(())
    }

    async fn check(&self) -> Result<(), TargetError> {
        Ok(())
    }

    async fn sweep(&self) -> Result<Vec<String>, TargetError> {
        Ok(std::mem::take(&mut lock(&self.partials)))
    }

    fn locate(&self, key: &Key) -> String {
        format!("memory:{key}")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
