//! A target around another one that fails as it is told. The faults are those of real disks and
//! stores, the silent ones included: a store that loses bytes and says it has them all.

use std::{
    io,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::target::{ByteStream, Entry, Key, Stat, Stored, Target, TargetError, Trial, layout};

/// What goes wrong. Numbers are bytes of the stored stream.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Every put is refused at once (a permission, a quota): permanent.
    Refuse,
    /// No space, known before the first byte: permanent.
    Full,
    /// No space after so many bytes: permanent.
    FullAfter(u64),
    /// The connection is gone after so many bytes: temporary.
    FailAfter(u64),
    /// Keeps only so many bytes, and says it has stored all that was sent.
    LoseAfter(u64),
    /// Flips a bit of this byte, and says that it stored
    /// what was sent.
    Corrupt(u64),
    /// The same, but says what it stored.
    CorruptOnWay(u64),
    /// Takes so many bytes, tells `reached`, then nothing more until `release` is cancelled.
    Stall {
        after: u64,
        reached: CancellationToken,
        release: CancellationToken,
    },
    /// Deletes nothing (an object lock, a policy): permanent.
    Hold,
    /// Answers a whole put with an error, though all is stored and stays: a lost answer.
    LoseAnswer,
    /// Reading breaks off with an error after so many bytes: temporary.
    FailReadAfter(u64),
    /// Reading gives a flipped bit in this byte.
    CorruptRead(u64),
}

/// Which files it happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    All,
    Artifacts,
    Manifests,
}

pub struct Faulty {
    inner: Arc<dyn Target>,
    fault: Mutex<Option<(Fault, Scope)>>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Target>) -> Self {
        Self {
            inner,
            fault: Mutex::new(None),
        }
    }

    /// From now on, until `heal`.
    pub fn inject(&self, fault: Fault, scope: Scope) {
        self.set(Some((fault, scope)));
    }

    pub fn heal(&self) {
        self.set(None);
    }

    fn set(&self, fault: Option<(Fault, Scope)>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn fault(&self, key: &Key) -> Option<Fault> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let (fault, scope) = fault.as_ref()?;
        let hit = match scope {
            Scope::All => true,
            Scope::Artifacts => layout::may_be_artifact(key),
            Scope::Manifests => layout::artifact_of(key).is_some(),
        };
        hit.then(|| fault.clone())
    }

    fn full(&self) -> TargetError {
        TargetError::Full {
            at: self.describe(),
        }
    }

    fn unavailable(&self) -> TargetError {
        TargetError::Unavailable {
            at: self.describe(),
            reason: "the connection was cut".to_owned(),
        }
    }

    /// Stores what `change` leaves of the stream and answers as if it were what was sent.
    async fn put_lying(
        &self,
        key: &Key,
        body: ByteStream,
        size_hint: Option<u64>,
        change: impl FnMut(u64, Bytes) -> Bytes + Send + 'static,
    ) -> Result<Stored, TargetError> {
        let sent = Arc::new(Mutex::new((Sha256::new(), 0)));
        let seen = Arc::clone(&sent);
        let body = body.inspect(move |item| {
            if let Ok(chunk) = item {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.0.update(chunk);
                seen.1 += chunk.len() as u64;
            }
        });
        self.inner
            .put(key, changed(body.boxed(), change), size_hint)
            .await?;
        let (hash, size) = sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Stored {
            size,
            sha256: hex::encode(hash.finalize()),
        })
    }

    /// Puts a stream that breaks off after `bytes`; the answer is `error`, if it came so far.
    async fn put_breaking(
        &self,
        key: &Key,
        body: ByteStream,
        bytes: u64,
        error: TargetError,
    ) -> Result<Stored, TargetError> {
        let broke = CancellationToken::new();
        let body = breaking(body, bytes, {
            let broke = broke.clone();
            move || {
                broke.cancel();
                io::Error::from(io::ErrorKind::ConnectionReset)
            }
        });
        let result = self.inner.put(key, body, None).await;
        if broke.is_cancelled() {
            Err(error)
        } else {
            result
        }
    }
}

#[async_trait]
impl Target for Faulty {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    async fn put(
        &self,
        key: &Key,
        body: ByteStream,
        size_hint: Option<u64>,
    ) -> Result<Stored, TargetError> {
        match self.fault(key) {
            Some(Fault::Refuse) => Err(TargetError::Refused {
                at: self.describe(),
                reason: "permission denied".to_owned(),
            }),
            Some(Fault::Full) => Err(self.full()),
            Some(Fault::FullAfter(bytes)) => self.put_breaking(key, body, bytes, self.full()).await,
            Some(Fault::FailAfter(bytes)) => {
                let error = self.unavailable();
                self.put_breaking(key, body, bytes, error).await
            }
            Some(Fault::LoseAfter(bytes)) => {
                let lose = move |from, chunk: Bytes| chunk.slice(..within(bytes, from, &chunk));
                self.put_lying(key, body, size_hint, lose).await
            }
            Some(Fault::Corrupt(byte)) => {
                let flip = move |from, chunk| flipped(byte, from, chunk);
                self.put_lying(key, body, size_hint, flip).await
            }
            Some(Fault::CorruptOnWay(byte)) => {
                let body = changed(body, move |from, chunk| flipped(byte, from, chunk));
                self.inner.put(key, body, size_hint).await
            }
            Some(Fault::Stall {
                after,
                reached,
                release,
            }) => {
                let body = stalling(body, after, reached, release);
                self.inner.put(key, body, size_hint).await
            }
            Some(Fault::LoseAnswer) => {
                self.inner.put(key, body, size_hint).await?;
                Err(self.unavailable())
            }
            Some(Fault::FailReadAfter(_) | Fault::CorruptRead(_) | Fault::Hold) | None => {
                self.inner.put(key, body, size_hint).await
            }
        }
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, TargetError> {
        let start = range.as_ref().map_or(0, |range| range.start);
        let body = self.inner.get(key, range).await?;
        Ok(match self.fault(key) {
            Some(Fault::FailReadAfter(bytes)) => breaking(body, bytes, || {
                io::Error::from(io::ErrorKind::ConnectionReset)
            }),
            Some(Fault::CorruptRead(byte)) => {
                changed(body, move |from, chunk| flipped(byte, start + from, chunk))
            }
            _ => body,
        })
    }

    async fn stat(&self, key: &Key) -> Result<Option<Stat>, TargetError> {
        self.inner.stat(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, TargetError> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &Key) -> Result<(), TargetError> {
        if matches!(self.fault(key), Some(Fault::Hold)) {
            return Err(TargetError::Refused {
                at: self.describe(),
                reason: "the object is locked".to_owned(),
            });
        }
        self.inner.delete(key).await
    }

    async fn check(&self) -> Result<(), TargetError> {
        self.inner.check().await
    }

    async fn sweep(&self) -> Result<Vec<String>, TargetError> {
        self.inner.sweep().await
    }

    fn locate(&self, key: &Key) -> String {
        self.inner.locate(key)
    }

    fn fetch_by_hand(&self, key: &Key) -> Option<String> {
        self.inner.fetch_by_hand(key)
    }

    async fn presign(&self, key: &Key, valid: Duration) -> Result<Option<String>, TargetError> {
        self.inner.presign(key, valid).await
    }

    async fn try_out(&self) -> Vec<Trial> {
        self.inner.try_out().await
    }
}

/// Each chunk through `change`, which is told where in the stream it begins.
fn changed(
    body: ByteStream,
    mut change: impl FnMut(u64, Bytes) -> Bytes + Send + 'static,
) -> ByteStream {
    let mut from = 0;
    body.map(move |item| {
        let chunk = item?;
        let start = from;
        from += chunk.len() as u64;
        Ok(change(start, chunk))
    })
    .boxed()
}

/// Passes `bytes` on, then an error. A shorter stream passes whole.
fn breaking(
    body: ByteStream,
    bytes: u64,
    error: impl Fn() -> io::Error + Send + 'static,
) -> ByteStream {
    let mut from = 0;
    body.map(move |item| {
        let chunk = item?;
        from += chunk.len() as u64;
        if from > bytes {
            Err(error())
        } else {
            Ok(chunk)
        }
    })
    .boxed()
}

fn stalling(
    body: ByteStream,
    after: u64,
    reached: CancellationToken,
    release: CancellationToken,
) -> ByteStream {
    let passed = Arc::new(AtomicU64::new(0));
    body.then(move |item| {
        let len = item.as_ref().map_or(0, |chunk| chunk.len() as u64);
        let stall = passed.fetch_add(len, Ordering::Relaxed) + len > after;
        let (reached, release) = (reached.clone(), release.clone());
        async move {
            if stall {
                reached.cancel();
                release.cancelled().await;
            }
            item
        }
    })
    .boxed()
}

/// How much of a chunk that begins at `from` lies before `end`.
fn within(end: u64, from: u64, chunk: &Bytes) -> usize {
    usize::try_from(end.saturating_sub(from)).map_or(chunk.len(), |left| left.min(chunk.len()))
}

fn flipped(byte: u64, from: u64, chunk: Bytes) -> Bytes {
    let at = usize::try_from(byte.wrapping_sub(from)).unwrap_or(usize::MAX);
    if at >= chunk.len() {
        return chunk;
    }
    let mut changed = Vec::from(chunk);
    changed[at] ^= 1;
    changed.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::memory::Memory;

    fn segment() -> Key {
        let segment = layout::Segment {
            instance: "0123456789abcdef".repeat(2),
            history: 1,
            first: 1,
            last: 9,
        };
        segment.key().unwrap()
    }

    /// The log is shipped whenever it likes: a fault that waits for a backup must not be spent on it.
    #[tokio::test]
    async fn a_fault_of_artifacts_hits_neither_manifests_nor_the_log() {
        let artifact = Key::parse("shop/1/db.sql").unwrap();
        let manifest = layout::manifest_key(&artifact).unwrap();
        for (scope, hit) in [(Scope::Artifacts, &artifact), (Scope::Manifests, &manifest)] {
            let target = Faulty::new(Arc::new(Memory::new()));
            target.inject(Fault::Refuse, scope);
            for key in [&artifact, &manifest, &segment()] {
                let body = futures_util::stream::iter([Ok(Bytes::from_static(b"x"))]);
                let put = target.put(key, body.boxed(), None).await;
                assert_eq!(put.is_err(), key == hit, "{key}: {put:?}");
            }
        }
    }
}
