//! Puts the collections of a restore in the place of those in use, and finds out afterwards, from the
//! server alone, whether that happened.
//!
//! Everything is a change of names inside one database, so it takes moments whatever the size: first
//! all collections in use get the name `hf_undo_7_00c0ffee.NAME`, then a collection with that bare
//! prefix as its name says that they are set aside as a whole, then the restored ones get their names.
//! While the mark is missing, going back is the way to be as before; when it is there, going on is the
//! way to be restored. Both ways can be gone from any point, and as often as it takes.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::server::{LONG, Server};
use crate::strategy::{Kept, Settled, Step, StrategyError, recorded};

/// Who takes whose place. It goes into every recorded step; that is all that `settle` needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The restore that all this is about.
    pub restore: i64,
    pub databases: Vec<String>,
    /// What the names of those that come begin with, up to the dot; and how many there are.
    pub incoming: String,
    pub expected: u64,
    /// The same for those that go, afterwards.
    pub aside: String,
    /// The incoming ones were made for this exchange: without it, they have no use.
    pub disposable: bool,
}

/// What `Kept::data` holds: collections that were set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    pub restore: i64,
    pub databases: Vec<String>,
    pub prefix: String,
    pub collections: u64,
}

/// What the server says of those that were set aside.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Found {
    pub collections: u64,
    /// In bytes, indexes included.
    pub size: f64,
}

impl Exchange {
    pub fn step(&self, name: &str, title: String, touches: bool) -> Step {
        Step {
            name: name.to_owned(),
            title,
            touches,
            data: json!(self),
        }
    }

    /// The exchange that a journal is about; `None` when nothing was recorded.
    pub fn recorded(steps: &[Step]) -> Result<Option<Self>, StrategyError> {
        Ok(recorded::last(steps)?.map(|(exchange, _)| exchange))
    }

    /// Exchanges the names. Returns what is kept.
    pub async fn swap(&self, server: &Server) -> Result<Kept, StrategyError> {
        let what = "exchanging the collections";
        let found: Found = server.ask("exchange", json!(self), what, LONG).await?;
        Ok(self.kept(&found))
    }

    /// Settles what has just failed or was cancelled, its programs first: one that still runs could
    /// do what it was begun for after the look.
    pub async fn settle_quietly(&self, server: &Server) -> Result<Settled, StrategyError> {
        let server = server.uncancelled();
        server.site.quiet().await?;
        self.settle(&server).await
    }

    /// Brings the server to one of the two states, from wherever it was left.
    pub async fn settle(&self, server: &Server) -> Result<Settled, StrategyError> {
        let what = "putting the collections in order";
        let found: Option<Found> = server
            .ask_patiently("settle", json!(self), what, LONG)
            .await?;
        Ok(match found {
            Some(found) => Settled::Restored(Some(self.kept(&found))),
            None => Settled::AsBefore,
        })
    }

    fn kept(&self, found: &Found) -> Kept {
        let aside = Aside {
            restore: self.restore,
            databases: self.databases.clone(),
            prefix: self.aside.clone(),
            collections: found.collections,
        };
        aside.kept(found)
    }
}

impl Aside {
    pub fn of(kept: &Kept) -> Result<Self, StrategyError> {
        Self::deserialize(&kept.data).map_err(|error| {
            let message = format!("what was kept for the undo is not understood: {error}");
            StrategyError::refused(message, "")
        })
    }

    fn kept(&self, found: &Found) -> Kept {
        let of = match self.databases.as_slice() {
            [one] => format!("database {one}"),
            several => format!("{} databases", several.len()),
        };
        Kept {
            title: format!(
                "{of} as it was before: {} collections, now {}.…",
                self.collections, self.prefix
            ),
            size: format!("{:.0}", found.size).parse().ok(),
            data: json!(self),
        }
    }
}
