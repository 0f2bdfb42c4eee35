//! Puts other files in the place of a server's data while the server is stopped, and finds out
//! afterwards, from the files alone, how far that came.
//!
//! Everything needed for that goes into each recorded step. A folder that is there says that something
//! was begun; what lies where says the rest; without the folder nothing was, or it was put back.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    client::{Client, Info},
    files::{Files, Found},
    layout::{HIDDEN, Layout},
    load, save,
};
use crate::{
    docker::Tools,
    strategy::{Journal, Kept, Settled, Site, Step, StrategyError, recorded},
};

/// Names of recorded steps, in their order. Stored data.
pub const STAGE: &str = "stage";
pub const LOAD: &str = "load";
pub const CHECK: &str = "check";
pub const SAVE: &str = "save";
pub const STOP: &str = "stop";
pub const SWAP: &str = "swap";
pub const START: &str = "start";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The restore that all this is about.
    pub restore: i64,
    pub layout: Layout,
    /// The hidden folder, in the data folder.
    pub folder: String,
    /// The folder in it that holds what comes, and the one for what goes.
    pub incoming: String,
    pub outgoing: String,
    /// Known from the step `swap` on.
    pub entries: Vec<Entry>,
    /// Whether the service ran before.
    pub ran: bool,
    /// There was no dump file, and the server makes none by itself: one that is there was made by us.
    pub made_dump: bool,
    /// How many keys the server has to load, at least and at most.
    pub keys: Option<(u64, u64)>,
    /// What comes was made for this exchange: without it, it has no use.
    pub disposable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub name: String,
    pub comes: bool,
    pub before: bool,
}

/// What `Kept::data` holds: data that were set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    pub restore: i64,
    pub layout: Layout,
    pub folder: String,
    /// The folder in it that holds them.
    pub held: String,
}

impl Exchange {
    pub fn step(&self, name: &str, title: String) -> Step {
        Step {
            name: name.to_owned(),
            title,
            touches: [STOP, SWAP, START].contains(&name),
            data: json!(self),
        }
    }

    /// The exchange that a journal is about, and its last step; `None` when nothing was recorded.
    pub fn recorded(steps: &[Step]) -> Result<Option<(Self, &str)>, StrategyError> {
        recorded::last(steps)
    }

    pub fn path(&self) -> String {
        self.layout.path(&self.folder)
    }

    pub fn incoming(&self) -> String {
        format!("{}/{}", self.path(), self.incoming)
    }

    fn outgoing(&self) -> String {
        format!("{}/{}", self.path(), self.outgoing)
    }

    fn names(&self) -> [&str; 2] {
        [&self.layout.dump, self.layout.log.name()]
    }

    async fn look(&self, files: &Files) -> Result<Option<[Found; 2]>, StrategyError> {
        let [incoming, outgoing] = [self.incoming(), self.outgoing()];
        let found = files
            .look(&self.layout.dir, &incoming, &outgoing, &self.names())
            .await?;
        Ok(found.and_then(|found| found.try_into().ok()))
    }

    /// Saves, stops, exchanges, starts. The service is up again when this returns; after an error
    /// somebody has to `roll_back`.
    pub async fn perform(
        &mut self,
        site: &Site,
        client: Option<&Client>,
        files: &Files,
        journal: &dyn Journal,
    ) -> Result<(), StrategyError> {
        let name = &site.container.name;
        if let Some(client) = client
            && !self.layout.log_is_on
        {
            let found = self.look(files).await?;
            let has_dump = found.is_some_and(|[dump, _]| dump.in_place);
            self.made_dump = !has_dump && !self.layout.saves;
            let title = "Saving the data as they are now".to_owned();
            journal.record(self.step(SAVE, title)).await?;
            save::of(client).await?;
        }
        journal
            .record(self.step(STOP, format!("Stopping {name}")))
            .await?;
        site.stop_service().await?;

        let mut found = self.look(files).await?.ok_or_else(|| self.gone())?;
        let [dump, _] = &mut found;
        if self.disposable && self.layout.log_is_on && !dump.in_place {
            // The server starts from its log and had no dump: it needs none now.
            let path = format!("{}/{}", self.incoming(), self.layout.dump);
            files.remove_file(&path).await?;
            dump.in_incoming = false;
        }
        let entries = self
            .names()
            .into_iter()
            .zip(found)
            .map(|(name, found)| Entry {
                name: name.to_owned(),
                comes: found.in_incoming,
                before: found.in_place,
            });
        self.entries = entries.collect();
        if self.disposable {
            files
                .dress(&self.layout.dir, &self.incoming(), &self.names())
                .await?;
        }
        let title = format!("Exchanging the data in {}", self.layout.dir);
        journal.record(self.step(SWAP, title)).await?;
        let [incoming, outgoing] = [self.incoming(), self.outgoing()];
        files
            .swap(&self.layout.dir, &incoming, &outgoing, &self.names())
            .await?;

        journal
            .record(self.step(START, format!("Starting {name}")))
            .await?;
        site.start_service().await?;
        self.check(&Client::up(site).await?)
    }

    /// The server must have loaded what was put in its place: its own settings may say otherwise.
    fn check(&self, info: &Info) -> Result<(), StrategyError> {
        let Some((least, most)) = self.keys else {
            return Ok(());
        };
        match load::loaded(info) {
            Some((loaded, expired)) if !(least..=most).contains(&(loaded + expired)) => {
                Err(StrategyError::refused(
                    format!("the service loaded {loaded} keys when it started, instead of {most}"),
                    "Its settings may say something else than it does while it runs: look at dir, dbfilename and appendonly.",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Takes everything back, from wherever it was left after this step, and has the service run if it
    /// ran before.
    pub async fn roll_back(&self, site: &Site, last: &str) -> Result<(), StrategyError> {
        let helper = site.helper(Tools::Own, false).await?;
        let files = Files {
            site: helper.site.clone(),
        };
        let reached = |step: &str| ORDER.iter().position(|known| *known == step);
        let stopped = reached(last) >= reached(STOP);
        if self.look(&files).await?.is_some() {
            if stopped {
                // A stop that was asked for may still be under way, or somebody may have started it.
                site.stop_service().await?;
                let pairs: Vec<(&str, bool)> = self
                    .entries
                    .iter()
                    .map(|entry| (entry.name.as_str(), entry.before))
                    .collect();
                let [incoming, outgoing] = [self.incoming(), self.outgoing()];
                files
                    .back(&self.layout.dir, &incoming, &outgoing, &pairs)
                    .await?;
            }
            if self.disposable {
                files.remove(&self.path()).await?;
            }
        }
        if stopped && self.ran {
            site.start_service().await?;
            Client::up(site).await?;
        }
        // Where it is not running, that file is all there is.
        let runs = site.engine.container(&site.container.id).await?.running;
        if self.made_dump && runs {
            files
                .remove_file(&self.layout.path(&self.layout.dump))
                .await?;
        }
        helper.remove().await
    }

    /// Brings the service to one of the two states.
    pub async fn settle(&self, site: &Site, last: &str) -> Result<Settled, StrategyError> {
        let helper = site.helper(Tools::Own, false).await?;
        let files = Files {
            site: helper.site.clone(),
        };
        if self.is_swapped(self.look(&files).await?) {
            let kept = self.kept(&files).await;
            helper.remove().await?;
            match self.bring_up(site).await {
                Ok(()) => return Ok(Settled::Restored(Some(kept))),
                Err(StrategyError::Cancelled) => return Err(StrategyError::Cancelled),
                Err(error) => {
                    tracing::warn!(%error, "the service does not work with the restored data");
                }
            }
        } else {
            helper.remove().await?;
        }
        self.roll_back(site, last).await?;
        Ok(Settled::AsBefore)
    }

    fn is_swapped(&self, found: Option<[Found; 2]>) -> bool {
        let Some(found) = found else {
            return false;
        };
        let mut pairs = self.entries.iter().zip(found);
        !self.entries.is_empty()
            && pairs.all(|(entry, found)| {
                let came = !entry.comes || (found.in_place && !found.in_incoming);
                came && (!entry.before || found.in_outgoing)
            })
    }

    /// What was loaded is only asked of a server that was started here: one that already ran may have
    /// been started again since, with other data.
    async fn bring_up(&self, site: &Site) -> Result<(), StrategyError> {
        let ran = site.engine.container(&site.container.id).await?.running;
        site.start_service().await?;
        let info = Client::up(site).await?;
        if ran { Ok(()) } else { self.check(&info) }
    }

    pub async fn kept(&self, files: &Files) -> Kept {
        let held = self.outgoing();
        let aside = Aside {
            restore: self.restore,
            layout: self.layout.clone(),
            folder: self.folder.clone(),
            held: self.outgoing.clone(),
        };
        Kept {
            title: format!("the data as they were before, in {held}"),
            size: files.size(&held).await,
            data: json!(aside),
        }
    }

    /// What was there before the exchange is in its place: for an undo that is called again.
    pub async fn was_done(&self, files: &Files) -> Result<bool, StrategyError> {
        let found = self.look(files).await?;
        Ok(found.is_some_and(|found| {
            found.iter().all(|found| !found.in_incoming)
                && found.iter().any(|found| found.in_outgoing)
        }))
    }

    pub async fn is_there(&self, files: &Files) -> Result<bool, StrategyError> {
        let found = self.look(files).await?;
        Ok(found.is_some_and(|found| found.iter().any(|found| found.in_incoming)))
    }

    pub fn gone(&self) -> StrategyError {
        StrategyError::refused(
            format!("{} is no longer there", self.incoming()),
            "It was removed or renamed; restore another backup.",
        )
    }
}

const ORDER: [&str; 7] = [STAGE, LOAD, CHECK, SAVE, STOP, SWAP, START];

impl Aside {
    pub fn of(kept: &Kept) -> Result<Self, StrategyError> {
        let aside = Self::deserialize(&kept.data).ok().filter(|aside| {
            let plain = |name: &str| !name.contains('/') && name != "..";
            aside.folder.starts_with(HIDDEN) && plain(&aside.folder) && plain(&aside.held)
        });
        aside.ok_or_else(|| {
            StrategyError::refused("what was kept for the undo is not understood", "")
        })
    }
}
