//! One restore: prove the whole artifact first, then let the strategy bring it in on the side and
//! swap. Nothing of the destination is touched before the last byte has been judged.

use std::{io, sync::Arc};

use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};

use super::{
    codec::{self, Keys},
    progress::Job,
    verify,
};
use crate::{
    domain::{
        failure::Failure,
        manifest::{Artifact, Fingerprint, Manifest},
    },
    strategy::{Journal, RawStream, RestorePlan, Restored, Site, Strategy, StrategyError},
    target::{Key, Target},
};

pub struct Order {
    pub restore: i64,
    pub strategy: &'static dyn Strategy,
    /// Its `cancel` token is this restore's own.
    pub site: Site,
    pub target: Arc<dyn Target>,
    pub manifest: Manifest,
    /// What opens it, when it is encrypted.
    pub keys: Keys,
}

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Somebody else has or had this attempt; nothing to tell.
    #[error("another worker has this restore")]
    Superseded,
    /// The artifact did not pass; nothing has been touched.
    #[error("{}", .0.message)]
    Artifact(Failure),
    #[error(transparent)]
    Strategy(#[from] StrategyError),
}

/// Reads the artifact to its end and judges it as a restore would: sizes, digests, format, counts.
pub async fn validate(order: &Order, job: &Job) -> Result<Fingerprint, Failure> {
    let artifact = &order.manifest.artifact;
    job.enter("Check the backup", Some(artifact.raw_bytes));
    let fingerprint = verify::verify(
        &*order.target,
        artifact,
        &order.keys,
        order.strategy.validator(),
        job.progress(),
        &order.site.cancel,
    )
    .await?;
    verify::compare_contents(&order.manifest.fingerprint, &fingerprint)?;
    Ok(fingerprint)
}

pub async fn run(
    order: &Order,
    journal: &dyn Journal,
    job: &Job,
) -> Result<Restored, RestoreError> {
    let fingerprint = validate(order, job).await.map_err(RestoreError::Artifact)?;
    let artifact = &order.manifest.artifact;
    let plan = RestorePlan {
        id: order.restore,
        manifest: order.manifest.clone(),
        fingerprint,
    };
    let stored = open(&*order.target, artifact)
        .await
        .map_err(RestoreError::Artifact)?;
    let keys = order.keys.opening(artifact);
    let keys = keys.map_err(RestoreError::Artifact)?;
    let size = Some(artifact.raw_bytes);
    let raw = codec::decode(artifact.compression, keys, stored, size);
    let raw = ending_as(raw, artifact.raw_sha256.clone());
    Ok(order
        .strategy
        .restore(&order.site, &plan, raw, journal)
        .await?)
}

/// Ends well only when all that passed is what was validated before: the artifact is read once more, and a
/// disk may give something else then.
pub(super) fn ending_as(raw: RawStream, sha256: String) -> RawStream {
    let start = Some((raw, Sha256::new()));
    let hashed = stream::try_unfold(start, move |state| {
        let sha256 = sha256.clone();
        async move {
            let Some((mut raw, mut hash)) = state else {
                return Ok(None);
            };
            if let Some(chunk) = raw.next().await {
                let chunk = chunk?;
                hash.update(&chunk);
                return Ok(Some((chunk, Some((raw, hash)))));
            }
            if hex::encode(hash.finalize()) == sha256 {
                return Ok(None);
            }
            let differs = "what was read now is not what was validated before";
            Err(io::Error::new(io::ErrorKind::InvalidData, differs))
        }
    });
    hashed.boxed()
}

async fn open(
    target: &dyn Target,
    artifact: &Artifact,
) -> Result<crate::target::ByteStream, Failure> {
    Ok(target.get(&Key::parse(&artifact.key)?, None).await?)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn a_second_reading_that_differs_never_ends_well() {
        let read = |text: &'static str| {
            let chunks = text.as_bytes().chunks(3).map(|c| Ok(Bytes::from_static(c)));
            let validated = hex::encode(Sha256::digest("COPY t; 1; 2; end"));
            ending_as(stream::iter(chunks).boxed(), validated)
        };
        let all = read("COPY t; 1; 2; end").collect::<Vec<_>>().await;
        assert!(all.iter().all(Result::is_ok) && all.len() == 6);
        for other in ["COPY t; 1; 3; end", "COPY t; 1; 2;", ""] {
            let last = read(other).collect::<Vec<_>>().await.pop();
            assert!(last.unwrap().is_err(), "{other}");
        }
    }
}
