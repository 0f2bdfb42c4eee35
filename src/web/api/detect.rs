//! What could be backed up in an app: each strategy, with the services it fits.

use std::collections::BTreeMap;

use poem_openapi::{Object, OpenApi, param::Path, payload::Json};

use super::{answer::Answer, visit::Visit};
use crate::{
    app::{Detection as Found, Origin, Service},
    strategy::{self, Strategy},
};

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Detect {
    /// One entry a strategy, always in the same order.
    strategies: Vec<Detected>,
    /// Why this is nothing, or not all.
    error: Option<String>,
    /// What of the compose file could not be followed.
    notes: Vec<String>,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct Detected {
    strategy_type: String,
    label: String,
    description: String,
    /// Some service fits.
    available: bool,
    services: Vec<DetectedService>,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct DetectedService {
    service_name: String,
    container_name: String,
    label: String,
    /// Why it fits.
    reason: String,
    running: bool,
    /// False for a service that stands in the compose file and was never started.
    has_container: bool,
    /// Without one of these profiles the service is not started.
    profiles: Vec<String>,
    /// What the service's label says, else what was found.
    paths: Vec<String>,
    /// What was found out, and what labels ask for: `schedule`, `target`, `retention`.
    metadata: BTreeMap<String, String>,
}

pub struct Detection;

#[OpenApi]
impl Detection {
    /// What could be backed up in an app, by its compose file and by the running engine
    #[oai(
        path = "/apps/:slug/backups/detect",
        method = "get",
        operation_id = "detect"
    )]
    async fn detect(&self, visit: Visit, slug: Path<String>) -> Answer<Detect> {
        let app = visit.holdfast.app(&visit.caller, &slug).await?;
        let found = visit.holdfast.detect(&visit.caller, &app).await?;
        Ok(Json(found.into()))
    }
}

impl From<Found> for Detect {
    fn from(found: Found) -> Self {
        // Nothing is known of the services: an empty list, not strategies that fit none.
        let nothing = found.problem.is_some() && found.services.is_empty();
        let strategies = strategy::ALL.iter().filter(|_| !nothing);
        Self {
            strategies: strategies
                .map(|strategy| fitting(*strategy, &found.services))
                .collect(),
            error: found.problem,
            notes: found.notes,
        }
    }
}

fn fitting(strategy: &dyn Strategy, services: &[Service]) -> Detected {
    let services: Vec<DetectedService> = services
        .iter()
        .filter_map(|service| {
            let detected = service.strategies.get(strategy.kind())?;
            Some(DetectedService {
                service_name: service.name.clone(),
                container_name: service.container.clone(),
                label: format!("{} ({})", service.name, service.image),
                reason: detected.reason.clone(),
                running: service.running,
                has_container: service.origin == Origin::Engine,
                profiles: service.profiles.clone(),
                paths: detected.paths.clone(),
                metadata: detected.metadata.clone(),
            })
        })
        .collect();
    Detected {
        strategy_type: strategy.kind().to_owned(),
        label: strategy.label().to_owned(),
        description: strategy.description().to_owned(),
        available: !services.is_empty(),
        services,
    }
}
