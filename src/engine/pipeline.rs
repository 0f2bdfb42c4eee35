//! `dump → compress → encrypt → count + SHA-256 → target`, in bounded memory and without a spool.
//!
//! ```text
//!  strategy ─write→ Pipe ─blocks→ spine ─┬─ encode (all cores) ─┐
//!                                        ├─ validator, raw hash  ├─ in order ─ stored hash ─→ put
//!                                        └───────────────────────┘
//! ```
//!
//! A `Pipe` gathers what comes (frames of some kB) into large blocks; everything after it is paid
//! once a block. The spine, one thread a pipe (`spine.rs`), keeps the order: it hands each block to
//! the compressors, judges it meanwhile, and passes results on as they were given, encrypted where there
//! are recipients. All queues are short, so a slow target slows the dump.
//!
//! The rule that makes a backup whole: the stream a target reads **ends well only after `finish`**,
//! which is called only when the strategy returned `Ok`, and succeeds only when the validator
//! accepts. Every other end (a dropped pipe, a failed tool, a cancel, a panic) is an error item in
//! that stream, and a target leaves nothing then.

mod deliver;
mod spine;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use self::deliver::deliver;
use self::spine::{Pool, Raw, Spine};
use super::{
    codec::{BLOCK, Recipients},
    progress::Progress,
};
use crate::{
    domain::{
        failure::Failure,
        manifest::{Artifact, Compression, Fingerprint},
    },
    strategy::{Sink, SinkClosed, Validator},
    target::{ByteStream, Key},
};

/// How raw bytes become what is stored.
#[derive(Clone, Default)]
pub struct Packing {
    pub compression: Compression,
    /// Encrypted to them; not at all when there are none.
    pub recipients: Recipients,
}

impl From<Compression> for Packing {
    fn from(compression: Compression) -> Self {
        Self {
            compression,
            recipients: Recipients::default(),
        }
    }
}

/// What went through a finished pipe. Sizes in bytes, digests in lower hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piped {
    pub compression: Compression,
    /// Who can read it, as `age1…`.
    pub recipients: Vec<String>,
    pub raw_bytes: u64,
    pub stored_bytes: u64,
    pub raw_sha256: String,
    pub stored_sha256: String,
    pub fingerprint: Fingerprint,
}

impl Piped {
    /// For the manifest.
    pub fn artifact(&self, key: &Key) -> Artifact {
        Artifact {
            key: key.to_string(),
            compression: self.compression,
            raw_bytes: self.raw_bytes,
            stored_bytes: self.stored_bytes,
            raw_sha256: self.raw_sha256.clone(),
            stored_sha256: self.stored_sha256.clone(),
            recipients: self.recipients.clone(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    #[error(transparent)]
    Closed(#[from] SinkClosed),
    #[error("the dump is not whole: {0}")]
    Invalid(String),
    #[error("cancelled")]
    Cancelled,
}

impl From<PipeError> for Failure {
    fn from(error: PipeError) -> Self {
        let text = error.to_string();
        match error {
            PipeError::Closed(_) => Failure::temporary(text, ""),
            PipeError::Invalid(_) => Failure::permanent(
                text,
                "The tool said it was done, but its output proves otherwise; look at the container.",
            ),
            PipeError::Cancelled => Failure::permanent(text, ""),
        }
    }
}

/// The dump's end of the pipeline. Dropped without `finish`, it ends the other end in an error.
pub struct Pipe {
    block: BytesMut,
    pool: Arc<Pool>,
    blocks: mpsc::Sender<Raw>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    /// A write is under way, failed, or was dropped half done: then bytes may be missing.
    torn: bool,
}

/// A pipe and the stream that comes out of it. Must be called inside a tokio runtime.
pub fn open(
    packing: impl Into<Packing>,
    validator: Box<dyn Validator>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> (Pipe, ByteStream) {
    let pool = Arc::new(Pool::default());
    let packing = packing.into();
    let (blocks, body) = Spine::start(packing, validator, Arc::clone(&pool), Arc::clone(&progress));
    let pipe = Pipe {
        block: pool.take(),
        pool,
        blocks,
        progress,
        stop,
        torn: false,
    };
    (pipe, body)
}

#[async_trait]
impl Sink for Pipe {
    async fn write(&mut self, mut chunk: Bytes) -> Result<(), SinkClosed> {
        if self.torn || self.stop.is_cancelled() {
            return Err(SinkClosed);
        }
        self.torn = true;
        self.progress.add_raw(chunk.len() as u64);
        while !chunk.is_empty() {
            if self.block.is_empty() && chunk.len() >= BLOCK {
                // Large enough by itself: moved, not copied.
                let block = chunk.split_to(BLOCK);
                self.send(Raw::Block(block)).await?;
                continue;
            }
            let room = BLOCK - self.block.len();
            let part = chunk.split_to(room.min(chunk.len()));
            self.block.extend_from_slice(&part);
            if self.block.len() == BLOCK {
                self.flush().await?;
            }
        }
        self.torn = false;
        Ok(())
    }
}

impl Pipe {
    /// The strategy's word that this was all. Judges the whole, and only when it is good lets the
    /// other end's stream end well.
    pub async fn finish(mut self) -> Result<Piped, PipeError> {
        let (reply, piped) = oneshot::channel();
        let finished = async {
            if self.torn {
                return Err(SinkClosed.into());
            }
            self.flush().await?;
            self.send(Raw::End(reply)).await?;
            piped.await.map_err(|_| SinkClosed)?
        };
        let result = finished.await;
        if result.is_err() && self.stop.is_cancelled() {
            return Err(PipeError::Cancelled);
        }
        result
    }

    async fn flush(&mut self) -> Result<(), SinkClosed> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::replace(&mut self.block, self.pool.take());
        self.send(Raw::Block(block.freeze())).await
    }

    /// Waits while the target is slow, but not when stopped.
    async fn send(&self, raw: Raw) -> Result<(), SinkClosed> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(SinkClosed),
            sent = self.blocks.send(raw) => sent.map_err(|_| SinkClosed),
        }
    }
}
