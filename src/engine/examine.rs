//! An artifact looked at long after its backup: does its manifest say what the log says, are the
//! stored bytes those that were stored, and would a restore take what is in them?

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{
    codec::Keys,
    progress::Job,
    verify::{self, Flaw, damaged, unreadable},
};
use crate::{
    domain::{
        manifest::{Artifact, FORMAT, Fingerprint, Manifest},
        run::Stage,
    },
    strategy::Validator,
    target::{Key, Target, layout},
};

/// A manifest is some kB; more than this is not one.
const MANIFEST_MAX: usize = 16 << 20;

/// `artifact` and `fingerprint` are what the log says of it. An encrypted one that none of `keys` opens
/// is compared byte for byte, no more: its content was judged on its way in.
pub async fn run(
    target: &dyn Target,
    artifact: &Artifact,
    fingerprint: &Fingerprint,
    keys: &Keys,
    validator: Box<dyn Validator>,
    job: &Job,
    stop: &CancellationToken,
) -> Result<(), Flaw> {
    job.enter(Stage::Verify.title(), Some(artifact.raw_bytes));
    let manifest = manifest(target, artifact).await?;
    verify::compare_contents(fingerprint, &manifest.fingerprint)?;
    if !keys.opens(artifact) {
        return verify::read_back(target, artifact, stop).await;
    }
    let found = verify::verify(target, artifact, keys, validator, job.progress(), stop).await?;
    verify::compare_contents(fingerprint, &found)
}

/// The manifest of `artifact`, as it lies in the target; it must speak of this very artifact.
pub async fn manifest(target: &dyn Target, artifact: &Artifact) -> Result<Manifest, Flaw> {
    let key = Key::parse(&artifact.key)?;
    let manifest = found(target, &key).await?;
    if manifest.artifact != *artifact {
        let other = "its manifest speaks of another artifact than the log";
        return Err(damaged(target, &key, other));
    }
    Ok(manifest)
}

/// The manifest beside `artifact`, of which the log knows nothing.
pub async fn found(target: &dyn Target, artifact: &Key) -> Result<Manifest, Flaw> {
    let key = layout::manifest_key(artifact)?;
    let bytes = collect(target, &key).await?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|error| damaged(target, &key, &format!("it is no manifest: {error}")))?;
    if manifest.format > FORMAT {
        let newer = "a newer version of Holdfast wrote it";
        return Err(damaged(target, &key, newer));
    }
    if manifest.artifact.key != artifact.as_str() {
        return Err(damaged(target, &key, "it speaks of another artifact"));
    }
    Ok(manifest)
}

async fn collect(target: &dyn Target, key: &Key) -> Result<Vec<u8>, Flaw> {
    let mut body = target.get(key, None).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| unreadable(target, key, &error.to_string()))?;
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MANIFEST_MAX {
            return Err(damaged(target, key, "it is too long for a manifest"));
        }
    }
    Ok(bytes)
}
