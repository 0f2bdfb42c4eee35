//! One block in, one gzip member or zstd frame out, from any thread.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::gzip::{Gzip, Level};
use crate::domain::manifest::Compression;

/// Bytes of a block; the last one of a stream is shorter. Larger ones gain 0.1 % of the size and
/// cost memory in every queue.
pub const BLOCK: usize = 1 << 20;

/// Stays below 0.97 × the size of `gzip -6` on dumps of databases; level 2 does not always.
const ZSTD_LEVEL: i32 = 3;

/// Shared by the threads that compress; each borrows a state for the time of one block.
pub struct Encoder {
    compression: Compression,
    level: Level,
    idle: Mutex<Vec<State>>,
}

/// Tables of some 100 KiB, too costly to make for every block, and scratch space.
struct State {
    codec: Codec,
    scratch: Vec<u8>,
}

enum Codec {
    Gzip(Gzip),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Encoder {
    pub fn new(compression: Compression) -> Self {
        Self {
            compression,
            level: Level::default(),
            idle: Mutex::default(),
        }
    }

    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// A whole member or frame, also of an empty block. Takes milliseconds: not for async threads.
    pub fn encode(&self, block: &Bytes) -> io::Result<Bytes> {
        if self.compression == Compression::None {
            return Ok(block.clone());
        }
        let mut state = self.state()?;
        let encoded = state.encode(block, &self.level);
        self.idle().push(state);
        encoded
    }

    fn state(&self) -> io::Result<State> {
        if let Some(state) = self.idle().pop() {
            return Ok(state);
        }
        let codec = if self.compression == Compression::Zstd {
            let mut zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
            zstd.include_checksum(true)?;
            Codec::Zstd(zstd)
        } else {
            Codec::Gzip(Gzip::default())
        };
        let scratch = Vec::new();
        Ok(State { codec, scratch })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<State>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Compresses into scratch space of the worst size, then copies what it came to: the stream
    /// holds on to no more memory than it needs.
    fn encode(&mut self, block: &[u8], level: &Level) -> io::Result<Bytes> {
        let scratch = &mut self.scratch;
        let size = match &mut self.codec {
            Codec::Gzip(gzip) => gzip.compress(block, level, scratch)?,
            Codec::Zstd(zstd) => {
                let bound = zstd::zstd_safe::compress_bound(block.len());
                scratch.resize(bound.max(scratch.len()), 0);
                zstd.compress_to_buffer(block, &mut scratch[..])?
            }
        };
        Ok(Bytes::copy_from_slice(&scratch[..size]))
    }
}
