//! Files and folders of a service, as a tar archive.
//!
//! Backup: the tar of the service's own image, in a helper on the same volumes (so whatever state the
//! service is in), or that of the helper image. Restore unpacks beside, on each mount, packs that
//! again to compare what came out, and exchanges the files (`swap`), so that files made since do not
//! stay and a failure at any point leaves the files as they were.
//!
//! Paths that are on no volume are read in the running container. They can be backed up, but not
//! restored: nothing but the service itself reaches them.

mod by_hand;
pub mod chosen;
pub mod pack;
mod restore;
mod sieve;
pub mod unpack;
mod validate;

use async_trait::async_trait;

use super::{
    Detected, Dumped, Journal, Kept, Options, Probe, RawStream, RestorePlan, Restored, Settled,
    Sink, Site, Step, Strategy, StrategyError, Validator,
    swap::{self, Swap},
};
use crate::{
    docker::Container,
    domain::{failure::FieldErrors, form::Field, manifest::Manifest},
};

use validate::Archive;

/// Whether a restore stops the service for the moment of the exchange.
const STOP: &str = "restore_stop";

const FIELDS: &[Field] = &[Field {
    name: STOP,
    label: "Stop the service while restored files are put in place",
    help: "yes (the default) or no. A service that runs may have files open, and goes on writing \
           to those that are set aside.",
    required: false,
    secret: false,
}];

pub struct Volume;

#[async_trait]
impl Strategy for Volume {
    fn kind(&self) -> &'static str {
        "volume"
    }

    fn label(&self) -> &'static str {
        "Files & volumes"
    }

    fn description(&self) -> &'static str {
        "Folders and files of the service, as a tar archive. A restore can be undone."
    }

    fn icon(&self) -> &'static str {
        "folder"
    }

    fn takes_paths(&self) -> bool {
        true
    }

    fn extension(&self, _options: &Options) -> &'static str {
        "tar"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn detect(&self, container: &Container) -> Option<Detected> {
        let paths = chosen::mounted(container);
        let volumes = match paths.len() {
            0 => return None,
            1 => "a volume".to_owned(),
            number => format!("{number} volumes"),
        };
        Some(Detected {
            reason: format!("{volumes}: {}", paths.join(", ")),
            paths,
            metadata: std::collections::BTreeMap::new(),
        })
    }

    fn check(&self, options: &Options) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::default();
        errors.merge(chosen::check(options));
        let stop = options.plain.get(STOP).map_or("", String::as_str);
        if !["", "yes", "no"].contains(&stop) {
            errors.add(format!("options.{STOP}"), "say yes or no");
        }
        errors.into_result()
    }

    async fn probe(&self, site: &Site) -> Result<Probe, StrategyError> {
        pack::probe(site)
            .await
            .map_err(|error| site.in_its_name(error))
    }

    async fn backup(&self, site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError> {
        let dumped = pack::backup(site, sink).await;
        dumped.map_err(|error| site.in_its_name(error))
    }

    fn validator(&self) -> Box<dyn Validator> {
        Box::new(Archive::default())
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

/// Whether another strategy knows better how to back this container up; its label.
fn better(container: &Container) -> Option<&'static str> {
    let mut others = super::ALL.iter().filter(|other| other.kind() != "volume");
    let fits = others.find(|other| other.detect(container).is_some())?;
    Some(fits.label())
}
