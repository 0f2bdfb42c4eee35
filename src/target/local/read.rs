//! One file, or a part of it, as a stream.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::target::ByteStream;

/// Bytes a chunk: large, for every chunk changes threads.
const CHUNK: usize = 512 * 1024;

/// The bytes of `range`, which must lie inside the file. The next chunk is read while the last
/// one is used. A file that has become shorter ends in an error.
pub(super) fn stream(file: File, range: &Range<u64>) -> ByteStream {
    let left = range.end - range.start;
    stream::unfold(Some(read_next(file, left)), |reading| async {
        let read = reading?.await.map_err(io::Error::other).flatten();
        match read {
            Ok(None) => None,
            Ok(Some((chunk, file, left))) => Some((Ok(chunk), Some(read_next(file, left)))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

type Next = io::Result<Option<(Bytes, File, u64)>>;

fn read_next(mut file: File, left: u64) -> JoinHandle<Next> {
    spawn_blocking(move || {
        if left == 0 {
            return Ok(None);
        }
        let size = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        let mut chunk = vec![0; size];
        file.read_exact(&mut chunk)?;
        Ok(Some((chunk.into(), file, left - size as u64)))
    })
}
