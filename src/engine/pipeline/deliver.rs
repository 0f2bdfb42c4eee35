//! Runs a dump and a put against each other and finds out whose error it was.

use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::{pin, time::timeout};
use tokio_util::sync::CancellationToken;

use super::Piped;
use crate::{
    domain::failure::Failure,
    target::{ByteStream, Key, Stored, Target, TargetError},
};

/// How long a target may take to clean up after a failed dump before it is dropped.
const GRACE: Duration = Duration::from_secs(10);

/// Puts `body` under `key` while `dump` fills it, and compares both ends' accounts. `Ok` means:
/// the dump was finished, the target stored exactly what the pipe gave. Otherwise nothing is left
/// under `key`.
///
/// `stop` is this attempt's own token, the one its `Site` and `Pipe` hold: it is cancelled from
/// outside to cancel the backup, and from here when the target fails, so that a strategy that
/// waits for a lock ends as well.
pub async fn deliver<T>(
    target: &dyn Target,
    key: &Key,
    body: ByteStream,
    size_hint: Option<u64>,
    stop: &CancellationToken,
    dump: impl Future<Output = Result<(T, Piped), Failure>>,
) -> Result<(T, Piped), Failure> {
    pin!(dump);
    let put = target.put(key, body, size_hint);
    match select(put, dump).await {
        Either::Left((Err(TargetError::Source(error)), dump)) => match dump.await {
            // The stream only told what the dump knows better.
            Err(failure) => Err(failure),
            Ok(_) => Err(TargetError::Source(error).into()),
        },
        Either::Left((Err(error), dump)) => {
            stop.cancel();
            let _ = dump.await;
            Err(error.into())
        }
        Either::Left((Ok(stored), dump)) => {
            let dumped = dump.await;
            settle(target, key, stored, dumped).await
        }
        Either::Right((Err(failure), put)) => match timeout(GRACE, put).await {
            // The target failed first, the dump only felt it.
            Ok(Err(error)) if !matches!(error, TargetError::Source(_)) => Err(error.into()),
            Ok(Ok(stored)) => settle(target, key, stored, Err(failure)).await,
            Ok(Err(_)) | Err(_) => Err(failure),
        },
        Either::Right((Ok(dumped), put)) => {
            let stored = tokio::select! {
                stored = put => stored?,
                () = stop.cancelled() => return Err(Failure::permanent("cancelled", "")),
            };
            settle(target, key, stored, Ok(dumped)).await
        }
    }
}

async fn settle<T>(
    target: &dyn Target,
    key: &Key,
    stored: Stored,
    dumped: Result<(T, Piped), Failure>,
) -> Result<(T, Piped), Failure> {
    let failure = match dumped {
        Ok((dumped, piped)) => match difference(&piped, &stored) {
            None => return Ok((dumped, piped)),
            Some(difference) => Failure::permanent(
                format!(
                    "{} did not store what was sent: {difference}",
                    target.describe()
                ),
                "Check the disk or the store: it loses or changes data.",
            ),
        },
        Err(failure) => failure,
    };
    remove(target, key).await;
    Err(failure)
}

fn difference(piped: &Piped, stored: &Stored) -> Option<String> {
    if piped.stored_bytes != stored.size {
        let (expected, found) = (piped.stored_bytes, stored.size);
        return Some(format!("{found} bytes instead of {expected}"));
    }
    let (expected, found) = (&piped.stored_sha256, &stored.sha256);
    (expected != found).then(|| format!("SHA-256 {found} instead of {expected}"))
}

/// What this put itself has stored, and nobody else: `put` never overwrites. That it may fail is
/// all the same: without a manifest it is no backup.
async fn remove(target: &dyn Target, key: &Key) {
    let _ = target.delete(key).await;
}
