//! Deleting an artifact that retention let go. Repeating it is harmless: what is gone is gone.

use crate::{
    domain::failure::Failure,
    failpoint,
    target::{Key, Target, layout},
};

/// The manifest first, so that at no instant one stands without its artifact: what a kill leaves
/// in between looks like no backup to anybody, and the next call takes it away.
pub async fn run(target: &dyn Target, key: &Key) -> Result<(), Failure> {
    target.delete(&layout::manifest_key(key)?).await?;
    failpoint::hit("prune.after_manifest");
    target.delete(key).await?;
    Ok(())
}
