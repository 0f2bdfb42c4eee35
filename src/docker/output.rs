//! A program's output as the engine sends it: frames of standard output and error in one stream,
//! each behind a header of 8 bytes (stream, three zeros, length big-endian).
//!
//! Payload goes on as it comes in, without a copy and without waiting for the end of a frame, so
//! memory stays bounded whatever length a header claims. The stream may end between two frames
//! only; all else is a cut.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Chunk, DockerError};

type Chunks = BoxStream<'static, Result<Chunk, DockerError>>;

/// Bytes asked for at once. The engine sends frames of up to 32 KiB, and a reader that keeps up
/// seldom finds more than one: larger reads gain nothing.
const READ: usize = 64 * 1024;
const HEADER: usize = 8;

/// The chunks of a hijacked connection; `read` is what had been read of it already.
pub(super) fn chunks(
    reader: impl AsyncRead + Send + Unpin + 'static,
    read: &[u8],
    container: String,
) -> Chunks {
    let frames = Frames {
        reader,
        buffer: BytesMut::from(read),
        due: None,
    };
    stream::unfold(Some(frames), move |frames| {
        let container = container.clone();
        async move {
            let mut frames = frames?;
            match frames.next().await {
                Ok(chunk) => Some((Ok(chunk?), Some(frames))),
                Err(reason) => Some((Err(DockerError::Cut { container, reason }), None)),
            }
        }
    })
    .fuse()
    .boxed()
}

struct Frames<R> {
    reader: R,
    buffer: BytesMut,
    /// Stream and length of the payload that is still to come of a frame.
    due: Option<(Stream, usize)>,
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    async fn next(&mut self) -> Result<Option<Chunk>, String> {
        loop {
            if let Some(chunk) = self.take()? {
                return Ok(Some(chunk));
            }
            if self.buffer.capacity() - self.buffer.len() < READ / 4 {
                self.buffer.reserve(READ);
            }
            let count = self.reader.read_buf(&mut self.buffer).await;
            if count.map_err(|e| e.to_string())? == 0 {
                return self.end();
            }
        }
    }

    /// Payload from the buffer, if there is any.
    fn take(&mut self) -> Result<Option<Chunk>, String> {
        loop {
            match self.due {
                None | Some((_, 0)) => {
                    self.due = None;
                    if self.buffer.len() < HEADER {
                        return Ok(None);
                    }
                    self.due = Some(self.header()?);
                }
                Some(_) if self.buffer.is_empty() => return Ok(None),
                Some((stream, length)) => {
                    let now = length.min(self.buffer.len());
                    self.due = Some((stream, length - now));
                    let payload = self.buffer.split_to(now).freeze();
                    return Ok(Some(stream.chunk(payload)));
                }
            }
        }
    }

    fn header(&mut self) -> Result<(Stream, usize), String> {
        // 0 is standard input, which engines write to standard output.
        let stream = match self.buffer[..4] {
            [0 | 1, 0, 0, 0] => Stream::Stdout,
            [2, 0, 0, 0] => Stream::Stderr,
            _ => return Err("what came is not a frame".into()),
        };
        self.buffer.advance(4);
        Ok((stream, self.buffer.get_u32() as usize))
    }

    fn end(&self) -> Result<Option<Chunk>, String> {
        match self.due {
            Some((_, missing)) if missing > 0 => Err(format!(
                "it ended {missing} bytes before the end of a frame"
            )),
            _ if !self.buffer.is_empty() => Err("it ended in a frame's header".into()),
            _ => Ok(None),
        }
    }
}

impl Stream {
    fn chunk(self, payload: Bytes) -> Chunk {
        match self {
            Self::Stdout => Chunk::Stdout(payload),
            Self::Stderr => Chunk::Stderr(payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use proptest::prelude::*;
    use tokio_util::io::StreamReader;

    use super::*;

    fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0], &length[..], payload].concat()
    }

    /// Standard output, standard error and how it ended, when the bytes come in such pieces.
    fn read(bytes: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>, Option<DockerError>) {
        let pieces: Vec<_> = bytes
            .chunks(piece)
            .map(Bytes::copy_from_slice)
            .map(io::Result::Ok)
            .collect();
        let reader = StreamReader::new(stream::iter(pieces));
        let collected = chunks(reader, b"", "db".into()).collect::<Vec<_>>();
        let (mut out, mut err, mut end) = (Vec::new(), Vec::new(), None);
        for chunk in futures_util::FutureExt::now_or_never(collected).unwrap() {
            assert!(end.is_none(), "nothing comes after an error");
            match chunk {
                Ok(Chunk::Stdout(bytes)) => out.extend_from_slice(&bytes),
                Ok(Chunk::Stderr(bytes)) => err.extend_from_slice(&bytes),
                Err(error) => end = Some(error),
            }
        }
        (out, err, end)
    }

    proptest! {
        #[test]
        fn frames_come_through_however_they_are_split(
            frames in prop::collection::vec((1u8..=2, prop::collection::vec(any::<u8>(), 0..100)), 0..8),
            piece in 1usize..200,
        ) {
            let wire: Vec<u8> = frames.iter().flat_map(|(stream, payload)| frame(*stream, payload)).collect();
            let of = |wanted| -> Vec<u8> {
                frames.iter().filter(|(stream, _)| *stream == wanted).flat_map(|(_, p)| p.clone()).collect()
            };
            let (out, err, end) = read(&wire, piece);
            prop_assert!(end.is_none(), "{:?}", end);
            prop_assert_eq!(out, of(1));
            prop_assert_eq!(err, of(2));
        }
    }

    #[test]
    fn a_cut_is_seen_at_every_place_inside_a_frame() {
        let wire = [frame(1, b"first"), frame(2, b"second")].concat();
        for end in 0..=wire.len() {
            for piece in [1, 5, 64] {
                let whole = [0, 13, wire.len()].contains(&end);
                assert_eq!(read(&wire[..end], piece).2.is_none(), whole, "{end}");
            }
        }
        let (_, _, error) = read(&wire[..8], 64);
        assert_eq!(
            error.unwrap().to_string(),
            "the stream from container db was cut: it ended 5 bytes before the end of a frame"
        );
    }

    #[test]
    fn what_is_no_frame_is_an_error_not_data() {
        let wire = [frame(1, b"good"), b"HTTP/1.1 502 Bad Gateway".to_vec()].concat();
        let (out, _, error) = read(&wire, 64);
        assert_eq!(out, b"good");
        assert!(matches!(error, Some(DockerError::Cut { .. })));
    }

    #[test]
    fn a_length_that_is_a_lie_takes_no_memory() {
        let mut wire = frame(1, b"");
        wire[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        wire.extend_from_slice(b"some");
        let (out, _, error) = read(&wire, 64);
        assert_eq!(out, b"some");
        assert!(error.is_some());
    }
}
