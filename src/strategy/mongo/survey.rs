//! One look at the server: what it is, and which databases and collections it has.

use serde::Deserialize;
use serde_json::json;

use super::{
    archive::names::{is_ours, is_the_servers, unmovable},
    server::{SHORT, Server},
};
use crate::strategy::StrategyError;

const WHAT: &str = "looking at the server";
const INSTEAD: &str = "Back up its volume instead (Files & volumes), with the service stopped.";

#[derive(Debug, Clone, Deserialize)]
pub struct Survey {
    /// `7.0.14`.
    pub version: String,
    /// Whether it can be written to.
    pub primary: bool,
    /// In front of a sharded cluster.
    pub router: bool,
    /// Bytes left on the server's disk; `None` when it does not say.
    pub free: Option<f64>,
    pub databases: Vec<Database>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Database {
    pub name: String,
    /// Of its documents, in bytes.
    pub size: f64,
    pub collections: Vec<Collection>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Collection {
    pub name: String,
    /// `collection`, `view` or `timeseries`.
    pub kind: String,
}

impl Survey {
    /// Of one database, whether it exists or not, or of all.
    pub async fn of(server: &Server, database: Option<&str>) -> Result<Self, StrategyError> {
        let request = json!({"databases": database.map(|name| [name])});
        server.ask("look", request, WHAT, SHORT).await
    }

    /// Of these and, when asked for, of all others; waits for a server that is just coming up.
    pub async fn for_restore(
        server: &Server,
        databases: &[String],
        others: bool,
    ) -> Result<Self, StrategyError> {
        let request = if others {
            json!({"also": databases})
        } else {
            json!({"databases": databases})
        };
        server.ask_patiently("look", request, WHAT, SHORT).await
    }

    /// Refuses a server that is only the way to others.
    pub fn check_kind(&self) -> Result<(), StrategyError> {
        if self.router {
            return Err(StrategyError::refused(
                "this is the router of a sharded cluster, which cannot be backed up as one",
                "Back up each of its shards.",
            ));
        }
        Ok(())
    }

    /// Refuses what a restore could not put in its place.
    pub fn check_movable(&self) -> Result<(), StrategyError> {
        for database in &self.databases {
            for collection in database.own() {
                let Collection { name, kind } = collection;
                if let Some(why) = unmovable(name, kind == "timeseries") {
                    let message = format!("{}.{name} {why}", database.name);
                    return Err(StrategyError::refused(message, INSTEAD));
                }
            }
        }
        Ok(())
    }

    /// Of all documents, in bytes.
    pub fn size(&self) -> u64 {
        let size: f64 = self.databases.iter().map(|database| database.size).sum();
        // Where a float ends, so does the estimate.
        format!("{size:.0}").parse().unwrap_or(0)
    }

    pub fn free(&self) -> Option<u64> {
        format!("{:.0}", self.free?).parse().ok()
    }

    /// Prefixes of what restores have made or set aside: their collections are no part of a dump.
    pub fn traces(&self) -> Vec<&str> {
        let collections = self.databases.iter().flat_map(|d| &d.collections);
        let ours = collections.filter(|collection| is_ours(&collection.name));
        let mut found: Vec<&str> = ours
            .map(|c| c.name.split('.').next().unwrap_or(&c.name))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Database {
    /// Collections and views of an app. Of the system's own, those that a dump would hold.
    pub fn own(&self) -> impl Iterator<Item = &Collection> {
        self.collections.iter().filter(|Collection { name, .. }| {
            let internal = name.starts_with("system.") && name != "system.js";
            !internal && !is_the_servers(&self.name, name) && !is_ours(name)
        })
    }
}
