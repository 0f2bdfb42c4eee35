//! What could be backed up in an app: each strategy, with the services it fits.

use std::collections::BTreeMap;

use poem_openapi::{Object, OpenApi, param::Path, payload::Json};

use super::{answer::Answer, error::ApiError, visit::Visit};
use crate::{
    app::{AppError, Service},
    strategy::{self, Strategy},
};

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Detect {
    /// One entry a strategy, always in the same order.
    strategies: Vec<Detected>,
    /// Why nothing could be detected.
    error: Option<String>,
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
    paths: Vec<String>,
    metadata: BTreeMap<String, String>,
}

pub struct Detection;

#[OpenApi]
impl Detection {
    /// What could be backed up in an app, by the running engine's containers and their labels
    #[oai(
        path = "/apps/:slug/backups/detect",
        method = "get",
        operation_id = "detect"
    )]
    async fn detect(&self, visit: Visit, slug: Path<String>) -> Answer<Detect> {
        let app = visit.holdfast.app(&visit.caller, &slug).await?;
        match visit.holdfast.services(&visit.caller, &app).await {
            Ok(services) => Ok(Json(found(&services))),
            Err(AppError::Failed(failure)) => Ok(Json(Detect {
                strategies: Vec::new(),
                error: Some(failure.message),
            })),
            Err(error) => Err(ApiError::from(error)),
        }
    }
}

fn found(services: &[Service]) -> Detect {
    let strategies = strategy::ALL.iter();
    Detect {
        strategies: strategies
            .map(|strategy| fitting(*strategy, services))
            .collect(),
        error: None,
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
