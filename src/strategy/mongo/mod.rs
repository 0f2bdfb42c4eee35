//! MongoDB: one database of the server in the container, or all, as an archive of `mongodump`.
//!
//! A restore loads into collections beside those in use (`load`), counts every document, then
//! exchanges the two by renaming (`exchange`), so that a failure at any point leaves what is in use
//! as it was, and a restore can be undone for as long as the old collections are kept.
//!
//! Not here yet: the oplog of a replica set, time series, accounts.

mod archive;
mod by_hand;
mod dump;
mod errors;
mod exchange;
mod load;
mod restore;
mod server;
mod settings;
mod survey;
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

/// What images with a MongoDB server are called.
const IMAGES: [&str; 2] = ["mongo", "mongodb"];

pub struct Mongo;

#[async_trait]
impl Strategy for Mongo {
    fn kind(&self) -> &'static str {
        "mongo"
    }

    fn label(&self) -> &'static str {
        "Database (MongoDB)"
    }

    fn description(&self) -> &'static str {
        "One database or all, dumped with mongodump while the app runs. A restore can be undone."
    }

    fn icon(&self) -> &'static str {
        "mongo"
    }

    fn extension(&self, _: &Options) -> &'static str {
        "archive"
    }

    fn fields(&self) -> &'static [Field] {
        settings::FIELDS
    }

    fn detect(&self, container: &Container) -> Option<Detected> {
        if !image::is_one_of(&container.image, &IMAGES) {
            return None;
        }
        Some(Detected {
            reason: format!("image {}, all databases", container.image),
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
        Box::new(archive::ArchiveCheck::default())
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
        let Some(exchange) = exchange::Exchange::recorded(steps)? else {
            return Ok(Settled::AsBefore);
        };
        exchange.settle(&server::Server::of(site).await?).await
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
