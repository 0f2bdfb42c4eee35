//! MySQL and MariaDB: databases of the server in the container, as one dump by its own tool, with the
//! server's accounts as statements before it.
//!
//! Backup is `mariadb-dump` or `mysqldump`, streamed. Every statement commits there, so a restore
//! loads into staging databases beside those in use, counts every table, then exchanges all tables
//! in one RENAME (`exchange`) and makes the code anew: a failure at any point leaves the databases
//! in use as they were, and a restore can be undone for as long as the old tables are kept.

mod accounts;
mod book;
mod by_hand;
mod check;
mod code;
mod dump;
mod errors;
mod exchange;
mod load;
mod look;
mod names;
mod read;
mod restore;
mod server;
mod settings;
mod space;
mod survey;
mod tools;
mod undo;

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

/// What images with such a server are called.
const IMAGES: [&str; 3] = ["mysql", "mariadb", "percona"];

pub struct MySql;

#[async_trait]
impl Strategy for MySql {
    fn kind(&self) -> &'static str {
        "mysql"
    }

    fn label(&self) -> &'static str {
        "Database (MySQL / MariaDB)"
    }

    fn description(&self) -> &'static str {
        "All databases of the server, or chosen ones, dumped while the app runs. A restore can be undone."
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
        // Percona makes servers of MongoDB, too.
        if !image::is_one_of(&container.image, &IMAGES)
            || image::is_one_of(&container.image, &["mongodb"])
        {
            return None;
        }
        let database = settings::database_of(container);
        let reason = match &database {
            Some(name) => format!("image {}, database {name} among others", container.image),
            None => format!("image {}, all databases", container.image),
        };
        let metadata = database.map(|name| ("database".to_owned(), name));
        Some(Detected {
            reason,
            paths: Vec::new(),
            metadata: metadata.into_iter().collect::<BTreeMap<_, _>>(),
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
        Box::new(read::Dump::judged())
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
        let Some((exchange, last)) = exchange::Exchange::recorded(steps)? else {
            return Ok(Settled::AsBefore);
        };
        exchange
            .settle(&server::Server::of(site).await?, last)
            .await
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
