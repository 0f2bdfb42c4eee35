//! A file that somebody sends to be restored: how it is compressed, and whether a restore would take
//! it. Judged here as a whole before anybody says yes to it, and once more by the restore itself.

use std::{
    fs::File,
    io::{self, Read},
    ops::ControlFlow,
    path::Path,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    codec,
    progress::Progress,
    verify::{self, Judged},
};
use crate::{
    domain::{
        failure::Failure,
        manifest::{Artifact, Compression, Fingerprint},
    },
    strategy::{RawStream, Strategy},
    target::{ByteStream, Key, Stored, Target},
};

/// gzip packs no tighter than this; what claims to be tighter is made to fill a disk.
const RATIO_MAX: u64 = 1_100;
/// Of any file, however small: in bytes.
const RAW_MIN: u64 = 64 << 20;

/// Stores what comes under `key`, as it comes. A sender that is silent for `stall` has gone.
pub async fn take(
    target: &dyn Target,
    key: &Key,
    body: ByteStream,
    size_hint: Option<u64>,
    stall: Duration,
) -> Result<Stored, Failure> {
    let stored = target.put(key, impatient(body, stall), size_hint).await?;
    if stored.size == 0 {
        return Err(Failure::permanent(
            "the file is empty",
            "Send the whole file.",
        ));
    }
    Ok(stored)
}

/// What the file holds: read to its end, unpacked, and judged by the strategy's own validator.
pub async fn judge(
    target: &dyn Target,
    key: &Key,
    stored: Stored,
    strategy: &dyn Strategy,
    stop: &CancellationToken,
) -> Result<(Artifact, Fingerprint), Failure> {
    let compression = sniff(target, key).await?;
    let body = target.get(key, None).await?;
    let raw = codec::decode(compression, body, None);
    let most = (stored.size.saturating_mul(RATIO_MAX)).max(RAW_MIN);
    let halt = stop.child_token();
    let _guard = halt.clone().drop_guard();
    let judged = verify::judge(
        at_most(raw, most),
        strategy.validator(),
        Arc::new(Progress::default()),
        halt,
    )
    .await;
    if stop.is_cancelled() {
        return Err(Failure::temporary("the server is being stopped", ""));
    }
    let Judged {
        raw_bytes,
        sha256,
        fingerprint,
    } = judged.map_err(|error| {
        Failure::permanent(
            format!("the file cannot be unpacked: {error}"),
            "It may have been cut on its way; compare its checksum, and send it again.",
        )
    })?;
    let fingerprint = fingerprint.map_err(|reason| {
        Failure::permanent(
            format!("the file is no backup of this kind: {reason}"),
            format!(
                "{} is restored from what its own backups hold; choose the kind that the file is.",
                strategy.label()
            ),
        )
    })?;
    let artifact = Artifact {
        key: key.as_str().to_owned(),
        compression,
        raw_bytes,
        stored_bytes: stored.size,
        raw_sha256: sha256,
        stored_sha256: stored.sha256,
    };
    Ok((artifact, fingerprint))
}

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// How a file that begins so is packed, whatever it is called.
pub fn packed_by(start: &[u8]) -> Compression {
    if start.starts_with(GZIP) {
        Compression::Gzip
    } else if start.starts_with(ZSTD) {
        Compression::Zstd
    } else {
        Compression::None
    }
}

/// Enough of a file on this host for `packed_by`.
pub fn start_of(file: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    let most = ZSTD.len() as u64;
    File::open(file)?.take(most).read_to_end(&mut start)?;
    Ok(start)
}

async fn sniff(target: &dyn Target, key: &Key) -> Result<Compression, Failure> {
    let mut body = target.get(key, None).await?;
    let mut start = Vec::new();
    while start.len() < ZSTD.len()
        && let Some(chunk) = body.next().await
    {
        let chunk = chunk.map_err(|error| {
            Failure::temporary(format!("the file cannot be read again: {error}"), "")
        })?;
        start.extend_from_slice(&chunk[..chunk.len().min(ZSTD.len())]);
    }
    Ok(packed_by(&start))
}

/// Fails when nothing comes for too long.
fn impatient(body: ByteStream, stall: Duration) -> ByteStream {
    let waited = stream::try_unfold(body, move |mut body| async move {
        match timeout(stall, body.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(chunk)) => Ok(Some((chunk?, body))),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("nothing came for {} s", stall.as_secs()),
            )),
        }
    });
    waited.boxed()
}

/// Fails when more comes.
fn at_most(raw: RawStream, most: u64) -> RawStream {
    let counted = raw.scan(ControlFlow::Continue(0_u64), move |seen, chunk| {
        let next = match (&seen, chunk) {
            (ControlFlow::Break(()), _) => None,
            (ControlFlow::Continue(sum), Ok(chunk)) if sum + chunk.len() as u64 <= most => {
                *seen = ControlFlow::Continue(sum + chunk.len() as u64);
                Some(Ok(chunk))
            }
            (ControlFlow::Continue(_), Err(error)) => Some(Err(error)),
            (ControlFlow::Continue(_), Ok(_)) => {
                *seen = ControlFlow::Break(());
                Some(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it unpacks to more than any backup does",
                )))
            }
        };
        std::future::ready(next)
    });
    counted.boxed()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn chunks(text: &'static str) -> RawStream {
        stream::iter(text.as_bytes().chunks(2).map(|c| Ok(Bytes::from_static(c)))).boxed()
    }

    #[tokio::test]
    async fn more_than_is_allowed_is_an_error_and_the_end() {
        let all = at_most(chunks("abcdef"), 6).collect::<Vec<_>>().await;
        assert!(all.len() == 3 && all.iter().all(Result::is_ok));
        let cut = at_most(chunks("abcdef"), 5).collect::<Vec<_>>().await;
        assert_eq!(cut.len(), 3);
        assert!(cut[2].is_err());
        let cut = at_most(chunks("abcdef"), 1).collect::<Vec<_>>().await;
        assert!(cut.len() == 1 && cut[0].is_err());
    }

    #[tokio::test]
    async fn a_silent_sender_is_not_waited_for() {
        let silent = stream::iter([Ok(Bytes::from_static(b"x"))]).chain(stream::pending());
        let got = impatient(silent.boxed(), Duration::from_millis(20));
        let got = got.collect::<Vec<_>>().await;
        assert!(got.len() == 2 && got[0].is_ok());
        let error = got[1].as_ref().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
