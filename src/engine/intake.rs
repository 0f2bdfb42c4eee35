//! A file that somebody sends to be restored: how it is packed, and whether a restore would take
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
    codec::{self, Keys},
    progress::Progress,
    verify::{self, Judged},
};
use crate::{
    domain::{
        failure::Failure,
        manifest::{Artifact, Compression, Fingerprint},
    },
    strategy::{RawStream, Strategy},
    target::{ByteStream, Key, Stored, Target, TargetError},
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

/// What is wrong with what was sent.
#[derive(Debug)]
pub enum Refused {
    File(Failure),
    /// The file is encrypted, and this is wrong with the key that should open it.
    Key(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::File(failure)
    }
}

impl From<TargetError> for Refused {
    fn from(error: TargetError) -> Self {
        Self::File(error.into())
    }
}

/// What the file holds: read to its end, decrypted, unpacked, and judged by the strategy's own validator.
pub async fn judge(
    target: &dyn Target,
    key: &Key,
    stored: Stored,
    keys: &Keys,
    strategy: &dyn Strategy,
    stop: &CancellationToken,
) -> Result<(Artifact, Fingerprint), Refused> {
    let opening = opening(target, key, keys).await?;
    let compression = sniff(target, key, opening.as_ref()).await?;
    let body = target.get(key, None).await?;
    let recipients = opening.as_ref().map(Keys::recipients).unwrap_or_default();
    let raw = codec::decode(compression, opening, body, None);
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
        return Err(Failure::temporary("the server is being stopped", "").into());
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
        recipients,
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

/// Enough of a file on this host for `packed_by`, and to see whether it is encrypted.
pub fn start_of(file: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    let most = codec::MAGIC.len().max(ZSTD.len()) as u64;
    File::open(file)?.take(most).read_to_end(&mut start)?;
    Ok(start)
}

/// The one of the keys that opens the file; `None` when it is not encrypted. To whom it is encrypted, the
/// file does not tell.
async fn opening(target: &dyn Target, key: &Key, keys: &Keys) -> Result<Option<Keys>, Refused> {
    let start = start(target.get(key, None).await?, codec::MAGIC.len()).await;
    if start.map_err(unreadable)? != codec::MAGIC {
        return if keys.is_empty() {
            Ok(None)
        } else {
            let problem = "the file is not encrypted: it needs no private key";
            Err(Refused::Key(Failure::permanent(problem, "")))
        };
    }
    for key_of_many in keys.each() {
        let body = target.get(key, None).await?;
        let mut content = codec::decode(Compression::None, Some(key_of_many.clone()), body, None);
        match content.next().await {
            Some(Err(error)) if codec::is_wrong_key(&error) => {}
            _ => return Ok(Some(key_of_many)),
        }
    }
    let (problem, hint) = if keys.is_empty() {
        (
            "the file is encrypted",
            "Give the private key that opens it.",
        )
    } else {
        (
            "the private key does not open the file",
            "Give another one.",
        )
    };
    Err(Refused::Key(Failure::permanent(problem, hint)))
}

async fn sniff(
    target: &dyn Target,
    key: &Key,
    opening: Option<&Keys>,
) -> Result<Compression, Refused> {
    let mut body = target.get(key, None).await?;
    if let Some(keys) = opening {
        body = codec::decode(Compression::None, Some(keys.clone()), body, None);
    }
    let start = start(body, ZSTD.len()).await.map_err(unreadable)?;
    Ok(packed_by(&start))
}

/// The first bytes of it, as many as there are.
async fn start(mut body: ByteStream, most: usize) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    while start.len() < most
        && let Some(chunk) = body.next().await
    {
        start.extend_from_slice(&chunk?);
    }
    start.truncate(most);
    Ok(start)
}

fn unreadable(error: io::Error) -> Failure {
    Failure::permanent(
        format!("the file cannot be read: {error}"),
        "It may have been cut on its way; compare its checksum, and send it again.",
    )
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
