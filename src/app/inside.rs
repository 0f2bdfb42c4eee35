//! What images do not tell: services are looked into for it, those that run and have files.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    Holdfast,
    detect::{Label, Origin, Service},
};
use crate::{
    docker::Container,
    strategy::{self, Detected, Options, Site},
};

/// How long one look into one service may take; a page waits for it.
const LIMIT: Duration = Duration::from_secs(5);

impl Holdfast {
    /// Adds what strategies find in services that nothing but a copy of their files fits. What cannot be
    /// looked at stays as it is: this is an offer, not a promise.
    pub(super) async fn look_inside(&self, services: &mut [Service], containers: &[Container]) {
        let mut looks = Vec::new();
        for (at, service) in services.iter().enumerate() {
            let container = containers.iter().find(|c| c.name == service.container);
            if let Some(container) = container.filter(|_| is_unknown(service)) {
                looks.push(self.look_into(at, container.clone()));
            }
        }
        for (at, found) in join_all(looks).await {
            services[at].strategies.extend(found);
        }
    }

    /// What strategies find in it; `at` comes back as it is.
    async fn look_into(
        &self,
        at: usize,
        container: Container,
    ) -> (usize, Vec<(&'static str, Detected)>) {
        let site = Site {
            engine: self.0.engine.clone(),
            container,
            options: Options::default(),
            cancel: CancellationToken::new(),
            stall: self.0.settings.stall,
        };
        let service = &site.container.name;
        let mut all = Vec::new();
        for strategy in strategy::ALL {
            match timeout(LIMIT, strategy.find(&site)).await {
                Ok(Ok(Some(found))) => all.push((strategy.kind(), found)),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!(service, %error, "could not be looked into"),
                Err(_) => tracing::debug!(service, "looking into it took too long"),
            }
        }
        (at, all)
    }
}

fn is_unknown(service: &Service) -> bool {
    service.origin == Origin::Engine
        && service.running
        && service.label == Label::Absent
        && service.strategies.keys().all(|kind| *kind == "volume")
        && !service.mounts.is_empty()
}
