//! What was begun and did not end: as before, or done.

use super::{Purpose, STOP, SWAP, Swap, script};
use crate::strategy::{Kept, Settled, Site, Step, StrategyError, recorded, tar::program};

impl Swap {
    /// The swap that a journal is about, and the name of its last step; `None` when nothing was
    /// recorded.
    pub fn recorded(steps: &[Step]) -> Result<Option<(Self, &str)>, StrategyError> {
        recorded::last(steps)
    }

    /// Brings the service to one of the two states, from wherever it was left. `last`: the last step
    /// that was recorded.
    pub async fn settle(&self, site: &Site, last: &str) -> Result<Settled, StrategyError> {
        let (helper, _) = program::open(site, false, false).await?;
        let settled = self.settle_with(site, &helper.site, last).await;
        helper.remove().await?;
        settled
    }

    async fn settle_with(
        &self,
        site: &Site,
        helper: &Site,
        last: &str,
    ) -> Result<Settled, StrategyError> {
        let begun = last == SWAP;
        if begun && self.purpose == Purpose::TakeBack {
            site.stop_service().await?;
            self.turn(helper).await?;
            self.start(site).await?;
            script::discard(helper, self).await?;
            return Ok(Settled::AsBefore);
        }
        if begun && script::is_marked(helper, self).await? {
            if self.stops {
                site.stop_service().await?;
            }
            self.turn(helper).await?;
            self.start(site).await?;
            return Ok(Settled::Restored(Some(self.kept(helper).await)));
        }
        if begun {
            self.turn_back(helper).await?;
        }
        // The app first: removing what was unpacked may take a while, or fail.
        if begun || last == STOP {
            self.start(site).await?;
        }
        if self.purpose == Purpose::Restore {
            script::discard(helper, self).await?;
        }
        Ok(Settled::AsBefore)
    }

    /// After an error: settles what was recorded, and says how that ended. `Ok` when it had happened.
    pub async fn after(
        site: &Site,
        recorded: Vec<Step>,
        error: StrategyError,
    ) -> Result<Option<Kept>, StrategyError> {
        let site = site.uncancelled();
        let settled = match Self::recorded(&recorded)? {
            Some((swap, last)) => swap.settle(&site, last).await,
            None => Ok(Settled::AsBefore),
        };
        match settled {
            Ok(Settled::Restored(kept)) => Ok(kept),
            Ok(Settled::AsBefore) => Err(error),
            Err(attention @ StrategyError::NeedsAttention { .. }) => Err(attention),
            Err(_) => Err(StrategyError::Unsettled(error.into())),
        }
    }
}
