//! The thread that keeps the order of one pipe.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

use super::{Packing, PipeError, Piped};
use crate::{
    domain::manifest::{Compression, Fingerprint},
    engine::{
        codec::{BLOCK, Encoder, Encryptor},
        progress::Progress,
    },
    strategy::{SinkClosed, Validator},
    target::ByteStream,
};

/// Most blocks at the compressors at once, whatever the number of cores: bounds memory.
const MAX_PARALLEL: usize = 8;

/// Blocks that wait for the spine, and encoded ones that wait for the target.
const QUEUE: usize = 2;

pub(super) enum Raw {
    Block(Bytes),
    End(oneshot::Sender<Result<Piped, PipeError>>),
}

enum Out {
    Data(Bytes),
    End,
    Failed(io::Error),
}

type Encoded = oneshot::Receiver<io::Result<Bytes>>;

pub(super) struct Spine {
    encoder: Arc<Encoder>,
    recipients: Vec<String>,
    /// `None` when nothing is encrypted; an error when it could not begin, told with the first block.
    encryptor: io::Result<Option<Encryptor>>,
    parallel: usize,
    encoding: VecDeque<Encoded>,
    pool: Arc<Pool>,
    /// Taken at the end.
    validator: Option<Box<dyn Validator>>,
    raw: Tally,
    stored: Tally,
    out: mpsc::Sender<Out>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Tally {
    bytes: u64,
    hash: Sha256,
}

impl Tally {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn sha256(self) -> String {
        hex::encode(self.hash.finalize())
    }
}

impl Spine {
    pub(super) fn start(
        packing: Packing,
        validator: Box<dyn Validator>,
        pool: Arc<Pool>,
        progress: Arc<Progress>,
    ) -> (mpsc::Sender<Raw>, ByteStream) {
        let (blocks, received) = mpsc::channel(QUEUE);
        let (out, body) = mpsc::channel(QUEUE);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let spine = Self {
            encoder: Arc::new(Encoder::new(packing.compression)),
            recipients: packing.recipients.names(),
            encryptor: encryptor(&packing),
            parallel: cores.min(MAX_PARALLEL),
            encoding: VecDeque::new(),
            pool,
            validator: Some(validator),
            raw: Tally::default(),
            stored: Tally::default(),
            out,
            progress,
        };
        spawn_blocking(move || spine.run(received));
        (blocks, stream_of(body))
    }

    fn run(mut self, mut blocks: mpsc::Receiver<Raw>) {
        loop {
            let step = match blocks.blocking_recv() {
                Some(Raw::Block(block)) => self.take(block),
                Some(Raw::End(reply)) => {
                    let _ = reply.send(self.end());
                    return;
                }
                // The pipe was dropped; so is `out` now, which the stream tells as an error.
                None => return,
            };
            if step.is_err() {
                return;
            }
        }
    }

    /// Compressing begins before judging, so that both go on at once.
    fn take(&mut self, block: Bytes) -> Result<(), SinkClosed> {
        if self.encoding.len() > self.parallel {
            self.pass_on()?;
        }
        self.encode(block.clone());
        if let Some(validator) = &mut self.validator {
            validator.feed(&block);
        }
        self.raw.add(&block);
        self.pool.give(block);
        Ok(())
    }

    fn encode(&mut self, block: Bytes) {
        let (answer, waiting) = oneshot::channel();
        self.encoding.push_back(waiting);
        if self.encoder.compression() == Compression::None {
            let _ = answer.send(Ok(block));
            return;
        }
        let (encoder, pool) = (Arc::clone(&self.encoder), Arc::clone(&self.pool));
        spawn_blocking(move || {
            let _ = answer.send(encoder.encode(&block));
            pool.give(block);
        });
    }

    /// Sends the oldest block's result, waiting for it.
    fn pass_on(&mut self) -> Result<(), SinkClosed> {
        let Some(oldest) = self.encoding.pop_front() else {
            return Ok(());
        };
        let encoded = oldest.blocking_recv().map_err(io::Error::other).flatten();
        let packed = encoded.and_then(|encoded| match &mut self.encryptor {
            Ok(None) => Ok(encoded),
            Ok(Some(encryptor)) => encryptor.encrypt(&encoded),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        });
        self.store(packed)
    }

    /// Sends what is stored next, or why there is no more.
    fn store(&mut self, packed: io::Result<Bytes>) -> Result<(), SinkClosed> {
        let out = match packed {
            Ok(packed) => {
                self.stored.add(&packed);
                self.progress.add_stored(packed.len() as u64);
                Out::Data(packed)
            }
            Err(error) => Out::Failed(error),
        };
        let failed = matches!(out, Out::Failed(_));
        self.out.blocking_send(out).map_err(|_| SinkClosed)?;
        if failed { Err(SinkClosed) } else { Ok(()) }
    }

    fn judged(&mut self) -> Result<Fingerprint, String> {
        match self.validator.take() {
            Some(validator) => validator.finish(),
            None => Err("it was judged already".to_owned()),
        }
    }

    fn end(mut self) -> Result<Piped, PipeError> {
        if self.raw.bytes == 0 {
            self.encode(Bytes::new()); // an empty file would be no gzip file
        }
        while !self.encoding.is_empty() {
            self.pass_on()?;
        }
        let fingerprint = match self.judged() {
            Ok(fingerprint) => fingerprint,
            Err(reason) => {
                let failed = Out::Failed(io::Error::other("the dump is not whole"));
                let _ = self.out.blocking_send(failed);
                return Err(PipeError::Invalid(reason));
            }
        };
        // Only now the chunk without which nobody can read it to its end.
        if let Ok(Some(encryptor)) = std::mem::replace(&mut self.encryptor, Ok(None)) {
            self.store(encryptor.finish())?;
        }
        self.out.blocking_send(Out::End).map_err(|_| SinkClosed)?;
        Ok(Piped {
            compression: self.encoder.compression(),
            recipients: self.recipients,
            raw_bytes: self.raw.bytes,
            stored_bytes: self.stored.bytes,
            raw_sha256: self.raw.sha256(),
            stored_sha256: self.stored.sha256(),
            fingerprint,
        })
    }
}

fn encryptor(packing: &Packing) -> io::Result<Option<Encryptor>> {
    if packing.recipients.is_empty() {
        return Ok(None);
    }
    Encryptor::new(&packing.recipients).map(Some)
}

/// Ends well only on `Out::End`.
fn stream_of(body: mpsc::Receiver<Out>) -> ByteStream {
    stream::unfold(Some(body), |body| async {
        let mut body = body?;
        match body.recv().await {
            Some(Out::Data(bytes)) => Some((Ok(bytes), Some(body))),
            Some(Out::End) => None,
            Some(Out::Failed(error)) => Some((Err(error), None)),
            None => {
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the dump did not finish");
                Some((Err(error), None))
            }
        }
    })
    .boxed()
}

/// Blocks to use again: a dump of any size goes through the same few.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<BytesMut>>);

impl Pool {
    pub(super) fn take(&self) -> BytesMut {
        let free = self.free().pop();
        free.unwrap_or_else(|| BytesMut::with_capacity(BLOCK))
    }

    /// Called by each holder of a block; the last one's is kept.
    fn give(&self, block: Bytes) {
        if let Ok(mut block) = block.try_into_mut()
            && block.capacity() >= BLOCK
        {
            block.clear();
            self.free().push(block);
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
