//! Redis, and what works like it: Valkey, KeyDB. All keys of one server, as an RDB file.
//!
//! Backup is the server's own snapshot, handed out as to a replica (`dump`). Restore writes the file
//! beside the server's data and loads it into a server of its own first (`load`), then stops the service
//! and exchanges the files (`exchange`); what was there before is kept for the undo.
//!
//! Not here yet: clusters, data of modules, TLS.

mod by_hand;
mod client;
mod diskless;
mod dump;
mod errors;
mod exchange;
mod files;
mod layout;
mod load;
mod rdb;
mod restore;
mod save;
mod scripts;
mod settings;
mod undo;

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    Detected, Dumped, Journal, Kept, Options, Probe, RawStream, RestorePlan, Restored, Settled,
    Sink, Site, Step, Strategy, StrategyError, Validator, image,
};
use crate::{
    docker::Container,
    domain::{
        failure::FieldErrors,
        form::Field,
        manifest::{Fingerprint, Manifest},
    },
};

pub use self::save::save;

/// What images with such a server are called.
const IMAGES: [&str; 4] = ["redis", "valkey", "keydb", "dragonfly"];
/// A sentinel watches servers, and holds no data.
const SENTINEL: [&str; 1] = ["sentinel"];

/// What is counted of a dump, database by database.
const UNIT: &str = "keys";

pub struct Redis;

#[async_trait]
impl Strategy for Redis {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn label(&self) -> &'static str {
        "Redis"
    }

    fn description(&self) -> &'static str {
        "All keys of a Redis, Valkey or KeyDB server, while the app runs. A restore stops the server for a moment and can be undone."
    }

    fn icon(&self) -> &'static str {
        "database"
    }

    fn extension(&self, _: &Options) -> &'static str {
        "rdb"
    }

    fn fields(&self) -> &'static [Field] {
        settings::FIELDS
    }

    fn detect(&self, container: &Container) -> Option<Detected> {
        let name = &container.image;
        if !image::is_one_of(name, &IMAGES) || image::is_one_of(name, &SENTINEL) {
            return None;
        }
        Some(Detected {
            reason: format!("image {name}"),
            paths: Vec::new(),
            metadata: BTreeMap::new(),
        })
    }

    fn check(&self, options: &Options) -> Result<(), FieldErrors> {
        settings::check(options)
    }

    async fn probe(&self, site: &Site) -> Result<Probe, StrategyError> {
        dump::probe(site).await
    }

    async fn backup(&self, site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError> {
        dump::backup(site, sink).await
    }

    fn validator(&self) -> Box<dyn Validator> {
        Box::new(Rdb::default())
    }

    async fn restore(
        &self,
        site: &Site,
        plan: &RestorePlan,
        artifact: RawStream,
        journal: &dyn Journal,
    ) -> Result<Restored, StrategyError> {
        restore::restore(site, plan, artifact, journal).await
    }

    fn stops_service(&self) -> bool {
        true
    }

    async fn settle(&self, site: &Site, steps: &[Step]) -> Result<Settled, StrategyError> {
        let Some((exchange, last)) = exchange::Exchange::recorded(steps)? else {
            return Ok(Settled::AsBefore);
        };
        site.engine.sweep_helpers(&site.container.id).await?;
        exchange.settle(site, last).await
    }

    async fn undo(
        &self,
        site: &Site,
        kept: &Kept,
        journal: &dyn Journal,
    ) -> Result<Kept, StrategyError> {
        undo::undo(site, kept, journal).await
    }

    async fn forget(&self, site: &Site, kept: &Kept) -> Result<(), StrategyError> {
        undo::forget(site, kept).await
    }

    fn by_hand(&self, manifest: &Manifest, file: &str) -> Vec<String> {
        by_hand::commands(manifest, file)
    }
}

/// Judges an RDB file by its bytes alone.
#[derive(Default)]
struct Rdb(rdb::Reader);

impl Validator for Rdb {
    fn feed(&mut self, chunk: &[u8]) {
        self.0.feed(chunk);
    }

    fn finish(self: Box<Self>) -> Result<Fingerprint, String> {
        Ok(fingerprint(&self.0.finish()?))
    }
}

fn fingerprint(contents: &rdb::Contents) -> Fingerprint {
    let count = |(database, keys): (&u64, &u64)| (format!("db{database}"), *keys);
    Fingerprint {
        unit: UNIT.to_owned(),
        counts: contents.keys.iter().map(count).collect(),
    }
}

/// `valkey-cli 8.1.1` → `valkey-cli`: the client program that made a backup, which says how the server
/// is called.
fn program_of(tool: &str) -> &'static str {
    let name = tool.split(' ').next().unwrap_or_default();
    let known = client::CLIENTS.iter().find(|known| **known == name);
    known.unwrap_or(&client::CLIENTS[0])
}
