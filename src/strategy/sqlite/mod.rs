//! SQLite databases in files of a service.
//!
//! Backup: `sqlite3` copies each database in one read transaction (`.backup`), in a helper on the same
//! volumes, so that a service which goes on writing neither waits nor spoils the copy; the copy lies in
//! the helper, which is removed whatever happens. Each copy is checked before it counts. The helper is of
//! the service's own image when that has `sqlite3`, else of the helper image.
//!
//! Restore writes beside, checks again with the database's own means, and exchanges the files (`swap`)
//! with the service stopped. What belongs to the old file (`-wal`, `-shm`, `-journal`) goes aside with
//! it: beside another database it would be played into that one.
//!
//! One database is stored as it is, several as a tar with their paths.

mod backup;
mod by_hand;
mod find;
mod restore;
mod tool;
mod validate;

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    Detected, Dumped, Journal, Kept, Options, Probe, RawStream, RestorePlan, Restored, Settled,
    Sink, Site, Step, Strategy, StrategyError, Validator,
    swap::{self, Swap},
    volume::chosen,
};
use crate::{
    docker::Container,
    domain::{failure::FieldErrors, manifest::Manifest},
};

pub struct Sqlite;

#[async_trait]
impl Strategy for Sqlite {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn label(&self) -> &'static str {
        "SQLite database"
    }

    fn description(&self) -> &'static str {
        "Database files, copied whole while the app writes. A restore can be undone."
    }

    fn icon(&self) -> &'static str {
        "database"
    }

    fn takes_paths(&self) -> bool {
        true
    }

    fn extension(&self, options: &Options) -> &'static str {
        if options.paths.len() > 1 { "tar" } else { "db" }
    }

    /// An image does not tell; whoever runs it may, by labels, and its files do (`find`).
    fn detect(&self, container: &Container) -> Option<Detected> {
        let label = |name: &str| {
            let ours = container.label(&format!("holdfast.backup.{name}"));
            ours.or_else(|| container.label(&format!("simpledeploy.backup.{name}")))
        };
        if label("strategy")? != self.kind() {
            return None;
        }
        let paths = label("paths").unwrap_or_default().split(',').map(str::trim);
        Some(Detected {
            reason: "label of the service".to_owned(),
            paths: paths
                .filter(|p| !p.is_empty())
                .map(ToOwned::to_owned)
                .collect(),
            metadata: BTreeMap::new(),
        })
    }

    async fn find(&self, site: &Site) -> Result<Option<Detected>, StrategyError> {
        find::find(site).await
    }

    fn check(&self, options: &Options) -> Result<(), FieldErrors> {
        if options.paths.is_empty() {
            let problem = "name the database file, such as /data/app.db";
            return Err(FieldErrors::one(chosen::FIELD, problem));
        }
        chosen::check(options)
    }

    async fn probe(&self, site: &Site) -> Result<Probe, StrategyError> {
        backup::probe(site)
            .await
            .map_err(|error| site.in_its_name(error))
    }

    async fn backup(&self, site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError> {
        let dumped = backup::backup(site, sink).await;
        dumped.map_err(|error| site.in_its_name(error))
    }

    fn validator(&self) -> Box<dyn Validator> {
        Box::new(validate::Databases::default())
    }

    async fn restore(
        &self,
        site: &Site,
        plan: &RestorePlan,
        artifact: RawStream,
        journal: &dyn Journal,
    ) -> Result<Restored, StrategyError> {
        let restored = restore::restore(site, plan, artifact, journal).await;
        restored.map_err(|error| site.in_its_name(error))
    }

    async fn settle(&self, site: &Site, steps: &[Step]) -> Result<Settled, StrategyError> {
        match Swap::recorded(steps)? {
            Some((swap, last)) => swap.settle(site, last).await,
            None => Ok(Settled::AsBefore),
        }
    }

    async fn undo(
        &self,
        site: &Site,
        kept: &Kept,
        journal: &dyn Journal,
    ) -> Result<Kept, StrategyError> {
        let undone = swap::undo(site, kept, journal).await;
        undone.map_err(|error| site.in_its_name(error))
    }

    fn backs_up_stopped(&self) -> bool {
        true
    }

    fn stops_service(&self) -> bool {
        true
    }

    async fn forget(&self, site: &Site, kept: &Kept) -> Result<(), StrategyError> {
        swap::forget(site, kept).await
    }

    fn by_hand(&self, manifest: &Manifest, file: &str) -> Vec<String> {
        by_hand::commands(manifest, file)
    }
}
