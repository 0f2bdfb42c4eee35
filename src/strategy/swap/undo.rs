//! Undo and forget of what a swap set aside.

use serde::Deserialize;

use super::{Recorder, Swap, script};
use crate::strategy::{Journal, Kept, Site, StrategyError, tar::program};

/// Puts back what was set aside; what was there is set aside in turn.
pub async fn undo(site: &Site, kept: &Kept, journal: &dyn Journal) -> Result<Kept, StrategyError> {
    let mut swap = recorded(kept)?;
    swap.ran = site.container.running;
    let (helper, _) = program::open(site, false, false).await?;
    if !script::is_there(&helper.site, &swap).await? {
        return Err(gone(&swap));
    }
    // Called again after it was done.
    if script::is_marked(&helper.site, &swap).await? {
        return Ok(swap.kept(&helper.site).await);
    }
    let recorder = Recorder::new(journal);
    match swap.exchange(site, &helper.site, &recorder).await {
        Ok(()) => Ok(swap.kept(&helper.site).await),
        Err(error) => {
            helper.remove().await?;
            let kept = Swap::after(site, recorder.steps(), error).await?;
            kept.ok_or_else(|| gone(&swap))
        }
    }
}

pub async fn forget(site: &Site, kept: &Kept) -> Result<(), StrategyError> {
    let swap = recorded(kept)?;
    let (helper, _) = program::open(site, false, false).await?;
    script::discard(&helper.site, &swap).await?;
    helper.remove().await
}

fn recorded(kept: &Kept) -> Result<Swap, StrategyError> {
    Swap::deserialize(&kept.data).map_err(|error| {
        let message = format!("what was kept for the undo is not understood: {error}");
        StrategyError::refused(message, "")
    })
}

fn gone(swap: &Swap) -> StrategyError {
    StrategyError::refused(
        format!("the files kept in {} are no longer there", swap.folder),
        "They were removed; restore another backup.",
    )
}
