//! One thread a put: takes chunks, writes and hashes them, makes the file durable and gives it its
//! name. A thread of its own, because a disk may make every single write wait, and because
//! hashing in it costs the rest of the program nothing.

use std::{fs::File, io, io::Write, os::fd::AsFd};

use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::partial::Partial;
use crate::target::{ByteStream, Stored};

/// Left free for everybody else on that disk: the event log lies beside, and has to record the
/// failure.
pub(super) const MARGIN: u64 = 32 << 20;

/// Bytes written between two looks at the free space.
const LOOK_EVERY: u64 = 8 << 20;

pub(super) enum Piece {
    Data(Bytes),
    /// That was all: without it, the end of the channel means the put was given up.
    End,
}

pub(super) enum WriteError {
    Full,
    Io(io::Error),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Hands the body over, chunk by chunk. Ends early when the writer has ended: it knows why.
pub(super) async fn feed(mut body: ByteStream, pieces: mpsc::Sender<Piece>) -> io::Result<()> {
    loop {
        let item = tokio::select! {
            item = body.next() => item,
            () = pieces.closed() => return Ok(()),
        };
        let (piece, last) = match item {
            Some(Ok(chunk)) => (Piece::Data(chunk), false),
            Some(Err(error)) => return Err(error),
            None => (Piece::End, true),
        };
        if pieces.send(piece).await.is_err() || last {
            return Ok(());
        }
    }
}

/// Runs to the durable end, or takes everything back.
pub(super) fn write(
    partial: &Partial,
    pieces: mpsc::Receiver<Piece>,
    size_hint: Option<u64>,
    margin: u64,
) -> Result<Stored, WriteError> {
    let result = write_and_publish(partial, pieces, size_hint, margin);
    if result.is_err() {
        partial.abandon();
    }
    result
}

fn write_and_publish(
    partial: &Partial,
    mut pieces: mpsc::Receiver<Piece>,
    size_hint: Option<u64>,
    margin: u64,
) -> Result<Stored, WriteError> {
    let mut file = partial.create()?;
    require_space(&file, margin.saturating_add(size_hint.unwrap_or(0)))?;
    let (mut hash, mut size, mut looked_at) = (Sha256::new(), 0, 0);
    loop {
        let chunk = match pieces.blocking_recv() {
            Some(Piece::Data(chunk)) => chunk,
            Some(Piece::End) => break,
            None => return Err(io::Error::from(io::ErrorKind::Interrupted).into()),
        };
        if size - looked_at >= LOOK_EVERY {
            require_space(&file, margin)?;
            looked_at = size;
        }
        file.write_all(&chunk)?;
        hash.update(&chunk);
        size += chunk.len() as u64;
    }
    file.sync_all()?;
    partial.publish()?;
    Ok(Stored {
        size,
        sha256: hex::encode(hash.finalize()),
    })
}

/// Refuses while there is still room to breathe. File systems that tell no sizes are believed.
pub(super) fn require_space(file: &File, bytes: u64) -> Result<(), WriteError> {
    let space = rustix::fs::fstatvfs(file.as_fd()).map_err(io::Error::from)?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if space.f_blocks > 0 && free < bytes {
        return Err(WriteError::Full);
    }
    Ok(())
}
