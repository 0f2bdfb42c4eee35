//! What the engine shows of an app, and what fits it.

use crate::{
    app::Service,
    readmodel::apps,
    strategy,
    web::{
        catalog::{self, Tag},
        request::Visit,
    },
};

pub struct Detection {
    pub services: Vec<Service>,
    pub picks: Vec<Pick>,
    /// Why nothing is shown, when the engine did not answer.
    pub problem: Option<String>,
}

/// A service, a strategy that fits it, and why.
pub struct Pick {
    pub service: String,
    pub kind: &'static str,
    pub tag: Tag,
    pub reason: String,
}

impl Detection {
    /// For where nobody asks what runs.
    pub fn none() -> Self {
        Self {
            services: Vec::new(),
            picks: Vec::new(),
            problem: None,
        }
    }

    /// What the form needs of it: the part that htmx asks for shows nothing of what runs, unless the strategy
    /// names paths, and looking into containers takes its time.
    pub async fn needed(visit: &Visit, app: &apps::Model, strategy: &str) -> Self {
        let paths = strategy::find(strategy).is_some_and(strategy::Strategy::takes_paths);
        if visit.browser.htmx && !paths {
            return Self::none();
        }
        Self::load(visit, app).await
    }

    pub async fn load(visit: &Visit, app: &apps::Model) -> Self {
        let (mut services, problem) = match visit.holdfast.services(&visit.caller, app).await {
            Ok(services) => (services, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        // What can be backed up now is offered first.
        services.sort_by_key(|service| !service.running);
        let picks = services
            .iter()
            .flat_map(|service| {
                service.strategies.iter().map(|(kind, detected)| Pick {
                    service: service.name.clone(),
                    kind,
                    tag: catalog::strategy_tag(kind),
                    reason: if service.running {
                        detected.reason.clone()
                    } else {
                        format!("{}; it does not run", detected.reason)
                    },
                })
            })
            .collect();
        Self {
            services,
            picks,
            problem,
        }
    }

    /// What was picked, else the first that fits.
    pub fn pick(&self, service: &str, strategy: &str) -> Option<(&str, &str)> {
        let fits = |pick: &&Pick| {
            let kind = strategy.is_empty() || pick.kind == strategy;
            service.is_empty() || (pick.service == service && kind)
        };
        self.picks
            .iter()
            .find(fits)
            .map(|pick| (pick.service.as_str(), pick.kind))
    }

    /// Paths that were seen in that service.
    pub fn paths(&self, service: &str, strategy: &str) -> &[String] {
        let mut services = self.services.iter();
        let service = services.find(|it| it.name == service);
        let detected = service.and_then(|it| it.strategies.get(strategy));
        detected.map_or(&[], |it| it.paths.as_slice())
    }
}
