//! What there is to back up: services as the running engine shows them and as the app's compose
//! file describes them, and which strategies fit each.

use std::collections::BTreeMap;

use super::{AppError, Caller, Holdfast, Result};
use crate::{
    compose::Composition,
    docker::{Container, DockerError, Mount},
    domain::access::Role,
    readmodel::apps,
    strategy::{self, Detected, Strategy},
};

/// What labels of services begin with; the second is that of the module that Holdfast replaces.
const PREFIXES: [&str; 2] = ["holdfast.backup.", "simpledeploy.backup."];
/// What a label may say beside the strategy. `paths` goes to the strategies' own paths.
const ASKED: [&str; 3] = ["schedule", "target", "retention"];
/// What the label of the strategy says where there is nothing to back up.
const DECLINED: [&str; 2] = ["none", "off"];

/// A compose project that the engine shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub name: String,
    /// Slug of the app that looks after it already.
    pub registered: Option<String>,
    pub services: Vec<Service>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    /// Of one that was never started: the name that it would get.
    pub container: String,
    pub image: String,
    pub running: bool,
    pub mounts: Vec<Mount>,
    /// Strategy name → why it fits.
    pub strategies: BTreeMap<&'static str, Detected>,
    pub origin: Origin,
    /// Profiles of the compose file that it belongs to: without one of them it is not started.
    pub profiles: Vec<String>,
    pub label: Label,
}

/// What the label of the strategy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// There is none.
    Absent,
    /// There is nothing to back up.
    Declined,
    /// That strategy, and nothing else.
    Named,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It has a container.
    Engine,
    /// It stands in the compose file only.
    File,
}

/// What could be found out about an app.
#[derive(Debug, Clone, Default)]
pub struct Detection {
    pub services: Vec<Service>,
    /// Why it is not all: the compose file cannot be read, or the engine does not answer.
    pub problem: Option<String>,
    /// What of the compose file could not be followed.
    pub notes: Vec<String>,
}

impl Holdfast {
    /// Compose projects by the engine's labels, of compose v1 and v2.
    pub async fn discover(&self, caller: &Caller) -> Result<Vec<Project>> {
        caller.must_be_everywhere(Role::Operator)?;
        let registered: BTreeMap<String, String> = self
            .apps(caller)
            .await?
            .into_iter()
            .map(|app| (app.project, app.slug))
            .collect();
        let mut projects: BTreeMap<String, Vec<Container>> = BTreeMap::new();
        for container in self.service_containers(None).await.map_err(failed)? {
            if let Some(project) = container.project() {
                let project = project.to_owned();
                projects.entry(project).or_default().push(container);
            }
        }
        Ok(projects
            .into_iter()
            .map(|(name, containers)| Project {
                registered: registered.get(&name).cloned(),
                services: merged(&name, containers, None),
                name,
            })
            .collect())
    }

    /// The services of one app, from its compose file and from the engine. Of a compose file that
    /// cannot be read nothing is answered, as clients of the replaced module expect it.
    pub async fn detect(&self, _caller: &Caller, app: &apps::Model) -> Result<Detection> {
        let described = match self.composition(app).await? {
            None => None,
            Some(Ok(described)) => Some(described),
            Some(Err(error)) => {
                return Ok(Detection {
                    problem: Some(format!("the compose file cannot be used: {error}")),
                    ..Detection::default()
                });
            }
        };
        let (containers, problem) = match self.service_containers(Some(&app.project)).await {
            Ok(containers) => (containers, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        Ok(Detection {
            services: self.known(app, containers, described.as_ref()).await,
            problem,
            notes: described
                .map(|described| described.notes)
                .unwrap_or_default(),
        })
    }

    /// The services of one app, for offers: those of the engine alone when the compose file cannot
    /// be read. Fails when the engine does not answer.
    pub async fn services(&self, _caller: &Caller, app: &apps::Model) -> Result<Vec<Service>> {
        let described = self.composition(app).await?.and_then(Result::ok);
        let containers = self.service_containers(Some(&app.project)).await;
        let containers = containers.map_err(failed)?;
        Ok(self.known(app, containers, described.as_ref()).await)
    }

    /// With what a look into them adds.
    async fn known(
        &self,
        app: &apps::Model,
        containers: Vec<Container>,
        described: Option<&Composition>,
    ) -> Vec<Service> {
        let mut services = merged(&app.project, containers.clone(), described);
        self.look_inside(&mut services, &containers).await;
        services
    }

    /// The one service of the app that `strategy` fits, for configs that name none. One that was never
    /// started can have no config yet.
    pub(super) async fn only_service(
        &self,
        caller: &Caller,
        app: &apps::Model,
        strategy: &str,
    ) -> Result<String> {
        let services = self.services(caller, app).await?;
        let mut fitting = services
            .into_iter()
            .filter(|service| service.origin == Origin::Engine)
            .filter(|service| service.strategies.contains_key(strategy))
            .map(|service| service.name);
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(AppError::field(
                "service",
                "name a service of the app: none of them looks like one for this strategy",
            )),
            (Some(first), Some(second)) => Err(AppError::field(
                "service",
                format!("name one of the services: {first}, {second}, …"),
            )),
        }
    }

    /// Containers of services with their mounts and environment, of one project or of all.
    pub(super) async fn service_containers(
        &self,
        project: Option<&str>,
    ) -> Result<Vec<Container>, DockerError> {
        let all = self.0.engine.containers().await?;
        let mut full = Vec::new();
        for container in all {
            let wanted = project.is_none_or(|project| container.project() == Some(project));
            if !wanted || container.service().is_none() || container.is_oneoff() {
                continue;
            }
            // One that vanished between the two looks is simply not there.
            if let Ok(container) = self.0.engine.container(&container.id).await {
                full.push(container);
            }
        }
        Ok(full)
    }
}

/// One entry a service, by name: its container where it has one (a running one first, as a scaled
/// service may have stopped siblings), with the labels that stand in the compose file today.
pub(super) fn merged(
    project: &str,
    mut containers: Vec<Container>,
    described: Option<&Composition>,
) -> Vec<Service> {
    containers.sort_by_key(|c| (!c.running, c.name.clone()));
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    for mut container in containers {
        let Some(name) = container.service().map(str::to_owned) else {
            continue;
        };
        if services.contains_key(&name) {
            continue;
        }
        let written = described.and_then(|d| d.container(project, &name));
        for (key, value) in written.into_iter().flat_map(|written| written.labels) {
            if PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
                container.labels.insert(key, value);
            }
        }
        services.insert(name.clone(), describe(&name, &container, Origin::Engine));
    }
    for (name, written) in described.iter().flat_map(|described| &described.services) {
        match services.get_mut(name) {
            Some(service) => service.profiles.clone_from(&written.profiles),
            None => {
                let Some(container) = described.and_then(|d| d.container(project, name)) else {
                    continue;
                };
                let mut service = describe(name, &container, Origin::File);
                service.profiles.clone_from(&written.profiles);
                services.insert(name.clone(), service);
            }
        }
    }
    services.into_values().collect()
}

fn describe(service: &str, container: &Container, origin: Origin) -> Service {
    let (strategies, label) = strategies(container);
    Service {
        name: service.to_owned(),
        container: container.name.clone(),
        image: container.image.clone(),
        running: container.running,
        mounts: container.mounts.clone(),
        strategies,
        origin,
        profiles: Vec::new(),
        label,
    }
}

/// What fits the container by its image; or what its label says, and nothing else. And what kind of
/// label that is.
pub(super) fn strategies(container: &Container) -> (BTreeMap<&'static str, Detected>, Label) {
    let label = label(container, "strategy");
    let asked: Vec<(&str, &str)> = ASKED
        .iter()
        .filter_map(|key| Some((*key, label_of(container, key)?)))
        .collect();
    let paths = label_of(container, "paths").map(listed);
    let fitting = |strategy: &&dyn Strategy| match &label {
        None => strategy.detect(container),
        Some((name, kind)) if *kind == strategy.kind() => {
            Some(strategy.detect(container).unwrap_or_else(|| Detected {
                reason: format!("label {name}"),
                paths: Vec::new(),
                metadata: BTreeMap::new(),
            }))
        }
        Some(_) => None,
    };
    let all = strategy::ALL.iter();
    let found: BTreeMap<&'static str, Detected> = all
        .filter_map(|strategy| {
            let mut detected = fitting(strategy)?;
            for (key, value) in &asked {
                detected
                    .metadata
                    .insert((*key).to_owned(), (*value).to_owned());
            }
            if let Some(paths) = &paths {
                detected.paths.clone_from(paths);
            }
            Some((strategy.kind(), detected))
        })
        .collect();
    let kind = match label {
        None => Label::Absent,
        Some((_, kind)) if DECLINED.contains(&kind) => Label::Declined,
        Some(_) => Label::Named,
    };
    (found, kind)
}

/// The label's full name and its value.
fn label<'a>(container: &'a Container, key: &str) -> Option<(String, &'a str)> {
    PREFIXES.iter().find_map(|prefix| {
        let name = format!("{prefix}{key}");
        let value = container.label(&name)?.trim();
        Some((name, value))
    })
}

fn label_of<'a>(container: &'a Container, key: &str) -> Option<&'a str> {
    label(container, key).map(|(_, value)| value)
}

/// `a, b` or one a line.
fn listed(text: &str) -> Vec<String> {
    let parts = text.split([',', '\n']).map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn failed(error: DockerError) -> AppError {
    AppError::Failed(error.into())
}
