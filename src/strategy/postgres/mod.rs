//! PostgreSQL: one database of the server in the container, or all of them, as a plain dump.
//!
//! Backup is the server's own `pg_dump`, streamed. Restore loads into a staging database beside the
//! one in use, counts every table, then exchanges the two by renaming (`exchange`), so that a
//! failure at any point leaves the database in use as it was, and a restore can be undone for as
//! long as the old database is kept. Of all databases, each is loaded and proved so before any is
//! exchanged, and they are exchanged together (`swap`).
//!
//! Not here yet: custom format, roles.

mod by_hand;
mod check;
mod destination;
mod discard;
mod dump;
mod errors;
mod exchange;
mod grants;
mod header;
mod kept;
mod load;
mod names;
mod plan;
mod probe;
mod profile;
mod restore;
mod sections;
mod server;
mod setting;
mod settings;
mod space;
mod survey;
mod swap;
mod timescale;
mod undo;
mod validate;

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    Detected, Dumped, Journal, Kept, Options, Probe, RawStream, RestorePlan, Restored, Settled,
    Sink, Site, Step, Strategy, StrategyError, Validator, image,
};
use crate::{
    docker::Container,
    domain::{failure::FieldErrors, form::Field, manifest::Manifest},
};

/// What images with a PostgreSQL server are called.
const IMAGES: [&str; 6] = [
    "postgres",
    "postgresql",
    "postgis",
    "timescale",
    "timescaledb",
    "pgvector",
];

pub struct Postgres;

#[async_trait]
impl Strategy for Postgres {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn label(&self) -> &'static str {
        "Database (PostgreSQL)"
    }

    fn description(&self) -> &'static str {
        "One database or all, dumped with pg_dump while the app runs. A restore can be undone."
    }

    fn icon(&self) -> &'static str {
        "database"
    }

    fn extension(&self, _options: &Options) -> &'static str {
        "sql"
    }

    fn fields(&self) -> &'static [Field] {
        settings::FIELDS
    }

    fn detect(&self, container: &Container) -> Option<Detected> {
        if !image::is_one_of(&container.image, &IMAGES) {
            return None;
        }
        let (database, source) = settings::database_of(container);
        Some(Detected {
            reason: format!(
                "image {}, database {database} from {source}",
                container.image
            ),
            paths: Vec::new(),
            metadata: BTreeMap::from([("database".to_owned(), database)]),
        })
    }

    fn check(&self, options: &Options) -> Result<(), FieldErrors> {
        settings::check(options)
    }

    async fn probe(&self, site: &Site) -> Result<Probe, StrategyError> {
        probe::probe(site).await
    }

    async fn destination(&self, site: &Site, subject: &str) -> Result<Probe, StrategyError> {
        destination::look(site, subject).await
    }

    async fn backup(&self, site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError> {
        dump::backup(site, sink).await
    }

    fn validator(&self) -> Box<dyn Validator> {
        Box::new(validate::PlainDump::default())
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

    async fn settle(&self, site: &Site, steps: &[Step]) -> Result<Settled, StrategyError> {
        let Some(swap) = swap::Swap::recorded(steps)? else {
            return Ok(Settled::AsBefore);
        };
        swap.settle(&server::Server::of(site).await?).await
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
