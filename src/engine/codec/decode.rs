//! Stored bytes back to raw ones, as a stream, on a thread of its own: decompressing a chunk
//! takes longer than an async thread may be held, and this way it goes on while the one before is
//! used. Decrypting goes before it.

use std::{io, pin::Pin};

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use bytes::BytesMut;
use futures_util::{StreamExt, stream};
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncReadExt, BufReader},
    runtime::Handle,
    sync::mpsc,
};
use tokio_util::io::StreamReader;

use super::{decrypt::decrypted, keys::Keys};
use crate::{domain::manifest::Compression, strategy::RawStream, target::ByteStream};

/// Raw bytes a chunk.
const CHUNK: usize = 256 * 1024;

/// The raw bytes of an artifact. Ends in an error when it is cut, when something other than
/// another member or frame follows, when a checksum is wrong, and when it does not come to
/// `raw_bytes`, if those are known: neither a bomb nor a cut between two members passes. `keys` are
/// those of an encrypted one.
///
/// Must be called inside a tokio runtime. Dropping the stream ends the work.
pub fn decode(
    compression: Compression,
    keys: Option<Keys>,
    stored: ByteStream,
    raw_bytes: Option<u64>,
) -> RawStream {
    let (chunks, received) = mpsc::channel(2);
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || {
        handle.block_on(async {
            let closed = chunks.clone();
            tokio::select! {
                () = closed.closed() => {}
                result = unpack(compression, keys, stored, raw_bytes, &chunks) => {
                    let end = result.map(|()| None);
                    let _ = chunks.send(end).await;
                }
            }
        });
    });
    stream::unfold(Some(received), |received| async {
        let mut received = received?;
        match received.recv().await {
            Some(Ok(Some(chunk))) => Some((Ok(chunk), Some(received))),
            Some(Ok(None)) => None,
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Err(io::Error::other("the decompressor died")), None)),
        }
    })
    .boxed()
}

type Reader = Pin<Box<dyn AsyncRead + Send>>;
type Chunks = mpsc::Sender<io::Result<Option<bytes::Bytes>>>;

async fn unpack(
    compression: Compression,
    keys: Option<Keys>,
    stored: ByteStream,
    raw_bytes: Option<u64>,
    chunks: &Chunks,
) -> io::Result<()> {
    let stored = StreamReader::new(stored);
    let reader = match keys {
        None => reader(compression, stored),
        Some(keys) => {
            let packed = decrypted(stored, &keys).await?;
            reader(compression, BufReader::with_capacity(CHUNK, packed))
        }
    };
    pump(reader, raw_bytes, chunks).await
}

fn reader(compression: Compression, stored: impl AsyncBufRead + Send + 'static) -> Reader {
    match compression {
        Compression::Gzip => {
            let mut decoder = GzipDecoder::new(stored);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        Compression::Zstd => {
            let mut decoder = ZstdDecoder::new(stored);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        Compression::None => Box::pin(stored),
    }
}

/// Sends `None` last, only after the whole.
async fn pump(mut reader: Reader, raw_bytes: Option<u64>, chunks: &Chunks) -> io::Result<()> {
    let mut total = 0;
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        while chunk.len() < CHUNK && reader.read_buf(&mut chunk).await? > 0 {}
        total += chunk.len() as u64;
        if chunk.is_empty() {
            break;
        }
        if let Some(expected) = raw_bytes.filter(|&expected| total > expected) {
            return Err(wrong_size(expected, "more"));
        }
        if chunks.send(Ok(Some(chunk.freeze()))).await.is_err() {
            return Ok(());
        }
    }
    match raw_bytes {
        Some(expected) if total != expected => Err(wrong_size(expected, "less")),
        _ => Ok(()),
    }
}

fn wrong_size(expected: u64, than: &str) -> io::Error {
    let text = format!("it holds {than} than the {expected} bytes it was made of");
    io::Error::new(io::ErrorKind::InvalidData, text)
}
