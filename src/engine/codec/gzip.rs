//! gzip members at the fastest level that is good enough **for this data**.
//!
//! How much the low levels lose against `gzip -6` depends on what is compressed: level 1 makes
//! 1.05 × its size of text with random columns, 1.08 × of plain prose, and of a column of images
//! not even storing loses anything. So a sample of every 64th block is compressed as `gzip -6`
//! would (zlib's algorithm; libdeflate's level 6 makes 0.94 to 1.00 of it), and the first level
//! within `TOLERANCE` of that is taken for the blocks that follow. It costs 2 % of the time.

use std::{
    io,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use libdeflater::{CompressionLvl, Compressor};

/// Levels to choose from, fastest first: 0 only stores.
const LEVELS: [i32; 4] = [0, 1, 2, 3];
const FIRST: usize = 1;
const YARDSTICK: u32 = 6;

/// In thousandths of the yardstick's size. Blocks that do not know each other cost some more.
const TOLERANCE: usize = 1055;

const SAMPLE: usize = 256 * 1024;
const SAMPLE_EVERY: u64 = 64;

/// The level of one stream, for all threads that compress it.
pub(super) struct Level {
    /// Index into `LEVELS`.
    chosen: AtomicUsize,
    blocks: AtomicU64,
}

impl Default for Level {
    fn default() -> Self {
        Self {
            chosen: AtomicUsize::new(FIRST),
            blocks: AtomicU64::new(0),
        }
    }
}

/// One thread's compressors, made when first used.
#[derive(Default)]
pub(super) struct Gzip {
    levels: [Option<Compressor>; LEVELS.len()],
    yardstick: Option<flate2::Compress>,
}

impl Gzip {
    /// Writes one member to the start of `scratch`, which grows to what it needs. Returns its size.
    pub(super) fn compress(
        &mut self,
        block: &[u8],
        level: &Level,
        scratch: &mut Vec<u8>,
    ) -> io::Result<usize> {
        if level
            .blocks
            .fetch_add(1, Relaxed)
            .is_multiple_of(SAMPLE_EVERY)
        {
            let sample = &block[..block.len().min(SAMPLE)];
            level.chosen.store(self.choose(sample, scratch)?, Relaxed);
        }
        self.compress_at(level.chosen.load(Relaxed), block, scratch)
    }

    fn choose(&mut self, sample: &[u8], scratch: &mut Vec<u8>) -> io::Result<usize> {
        let best = self.measure(sample, scratch)?;
        for index in 0..LEVELS.len() - 1 {
            let size = self.compress_at(index, sample, scratch)?;
            if size * 1000 <= best * TOLERANCE {
                return Ok(index);
            }
        }
        Ok(LEVELS.len() - 1)
    }

    /// Size that `gzip -6` would make of it.
    fn measure(&mut self, sample: &[u8], scratch: &mut Vec<u8>) -> io::Result<usize> {
        let level = flate2::Compression::new(YARDSTICK);
        let make = || flate2::Compress::new(level, false);
        let yardstick = self.yardstick.get_or_insert_with(make);
        yardstick.reset();
        scratch.resize(scratch.len().max(sample.len() * 2 + 1024), 0);
        let done = yardstick.compress(sample, scratch, flate2::FlushCompress::Finish);
        done.map_err(io::Error::other)?;
        Ok(usize::try_from(yardstick.total_out()).unwrap_or(usize::MAX))
    }

    fn compress_at(
        &mut self,
        index: usize,
        block: &[u8],
        scratch: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let compressor = made(&mut self.levels[index], LEVELS[index])?;
        member(compressor, block, scratch)
    }
}

fn made(compressor: &mut Option<Compressor>, level: i32) -> io::Result<&mut Compressor> {
    if let Some(compressor) = compressor {
        return Ok(compressor);
    }
    let level = CompressionLvl::new(level).map_err(|_| io::Error::other("no such gzip level"))?;
    Ok(compressor.insert(Compressor::new(level)))
}

fn member(compressor: &mut Compressor, block: &[u8], scratch: &mut Vec<u8>) -> io::Result<usize> {
    let bound = compressor.gzip_compress_bound(block.len());
    scratch.resize(bound.max(scratch.len()), 0);
    let size = compressor.gzip_compress(block, scratch);
    size.map_err(|_| io::Error::other("the gzip compressor found too little space"))
}
