//! What was begun and did not end: as before, or done.

use super::{Purpose, STOP, SWAP, Swap, does_not_start, script};
use crate::{
    docker::DockerError,
    strategy::{Kept, Settled, Site, Step, StrategyError, recorded, tar::program},
};

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
            return self.end_as_before(site, helper).await;
        }
        if begun && script::is_marked(helper, self).await? {
            if self.stops {
                site.stop_service().await?;
            }
            self.turn(helper).await?;
            return match self.start(site).await {
                Ok(()) => Ok(Settled::Restored(Some(self.kept(helper).await))),
                Err(error) if does_not_start(&error) => {
                    tracing::warn!(%error, "the service does not start with what was put in its place");
                    self.give_up(site, helper).await
                }
                Err(error) => Err(error),
            };
        }
        if begun {
            self.turn_back(helper).await?;
        }
        if begun || last == STOP {
            return self.end_as_before(site, helper).await;
        }
        self.tidy(helper).await?;
        Ok(Settled::AsBefore)
    }

    /// Takes back what had come in. Cut off, it is found with the mark, and tried again, or without it,
    /// and what is missing moves back.
    async fn give_up(&self, site: &Site, helper: &Site) -> Result<Settled, StrategyError> {
        site.stop_service().await?;
        self.reversed(Purpose::TakeBack).turn(helper).await?;
        self.end_as_before(site, helper).await
    }

    /// A service that does not even run with its own files may be what another restore is to mend: so
    /// nothing goes on waiting for it.
    async fn end_as_before(&self, site: &Site, helper: &Site) -> Result<Settled, StrategyError> {
        // The app first: removing what was unpacked may take a while, or fail.
        let started = self.start(site).await;
        if let Err(StrategyError::Docker(DockerError::NotRunning(name))) = started {
            self.tidy(helper).await?;
            return Err(StrategyError::NeedsAttention {
                message: format!("{name} does not start, with the files as they were before"),
                hint: "Its own log may say what it misses; start it, or restore another backup."
                    .to_owned(),
            });
        }
        started?;
        self.tidy(helper).await?;
        Ok(Settled::AsBefore)
    }

    /// What an undo would bring stays for another one.
    async fn tidy(&self, helper: &Site) -> Result<(), StrategyError> {
        match self.purpose {
            Purpose::Restore | Purpose::TakeBack => script::discard(helper, self).await,
            Purpose::Undo => Ok(()),
        }
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
