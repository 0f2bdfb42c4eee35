//! One restore: prove the whole artifact first, then let the strategy bring it in on the side and
//! swap. Nothing of the destination is touched before the last byte has been judged.

use std::sync::Arc;

use super::{codec, progress::Job, verify};
use crate::{
    domain::{
        failure::Failure,
        manifest::{Artifact, Fingerprint, Manifest},
    },
    strategy::{Journal, RestorePlan, Restored, Site, Strategy, StrategyError},
    target::{Key, Target},
};

pub struct Order {
    pub restore: i64,
    pub strategy: &'static dyn Strategy,
    /// Its `cancel` token is this restore's own.
    pub site: Site,
    pub target: Arc<dyn Target>,
    pub manifest: Manifest,
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
        order.strategy.validator(),
        job.progress(),
        &order.site.cancel,
    )
    .await?;
    let differences = order.manifest.fingerprint.differences(&fingerprint, 5);
    if differences.is_empty() {
        return Ok(fingerprint);
    }
    Err(Failure::permanent(
        format!(
            "the backup does not hold what was recorded: {}",
            differences.join("; ")
        ),
        "Do not rely on this backup; restore another one.",
    ))
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
    let raw = codec::decode(artifact.compression, stored, Some(artifact.raw_bytes));
    Ok(order
        .strategy
        .restore(&order.site, &plan, raw, journal)
        .await?)
}

async fn open(
    target: &dyn Target,
    artifact: &Artifact,
) -> Result<crate::target::ByteStream, Failure> {
    Ok(target.get(&Key::parse(&artifact.key)?, None).await?)
}
