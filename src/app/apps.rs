//! Apps: register, change, remove, and find what the engine shows.

use std::collections::BTreeMap;

use super::{AppError, Caller, Holdfast, Result};
use crate::{
    docker::{Container, Mount},
    domain::{
        access::Role,
        aggregate::Refusal,
        app::{App, AppCommand, AppSpec},
        event::StreamKind,
        failure::FieldErrors,
        ids::AppId,
    },
    readmodel::apps,
    strategy::{self, Detected, Strategy},
};

/// Say on a service which strategy it is for, whatever its image is called. The second is that of
/// the module that Holdfast replaces.
const LABELS: [&str; 2] = ["holdfast.backup.strategy", "simpledeploy.backup.strategy"];

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
    pub container: String,
    pub image: String,
    pub running: bool,
    pub mounts: Vec<Mount>,
    /// Strategy name → why it fits.
    pub strategies: BTreeMap<&'static str, Detected>,
}

impl Holdfast {
    pub async fn apps(&self, _caller: &Caller) -> Result<Vec<apps::Model>> {
        Ok(apps::list(self.db()).await?)
    }

    pub async fn app(&self, _caller: &Caller, slug: &str) -> Result<apps::Model> {
        apps::by_slug(self.db(), slug)
            .await?
            .ok_or_else(|| AppError::NotFound(format!("the app {}", shown(slug))))
    }

    /// Also answers removed apps, which old runs still belong to.
    pub async fn app_by_id(&self, _caller: &Caller, id: AppId) -> Result<apps::Model> {
        apps::get(self.db(), id)
            .await?
            .ok_or_else(|| AppError::NotFound(format!("the app {id}")))
    }

    pub async fn register_app(
        &self,
        caller: &Caller,
        slug: &str,
        spec: AppSpec,
    ) -> Result<apps::Model> {
        caller.must_be(Role::Operator)?;
        let wanted = slug.to_owned();
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    if apps::by_slug(unit.tx(), &wanted).await?.is_some() {
                        let taken = FieldErrors::one("slug", "an app of this name exists");
                        return Err(Refusal::Invalid(taken).into());
                    }
                    let app = AppId(unit.next_id(StreamKind::App).await?);
                    let slug = wanted;
                    unit.execute::<App>(app.0, AppCommand::Register { app, slug, spec })
                        .await
                })
            })
            .await?;
        self.app(caller, slug).await
    }

    pub async fn change_app(
        &self,
        caller: &Caller,
        slug: &str,
        spec: AppSpec,
    ) -> Result<apps::Model> {
        caller.must_be(Role::Operator)?;
        let app = self.app(caller, slug).await?;
        self.log()
            .execute::<App>(caller.cause(), app.id, AppCommand::Change { spec })
            .await?;
        self.app(caller, slug).await
    }

    /// Its configs go with it; runs and artifacts stay.
    pub async fn remove_app(&self, caller: &Caller, slug: &str) -> Result<()> {
        caller.must_be(Role::Operator)?;
        let app = self.app(caller, slug).await?;
        for config in self.configs(caller, &app).await? {
            self.remove_config(caller, config.config_id()).await?;
        }
        self.log()
            .execute::<App>(caller.cause(), app.id, AppCommand::Remove)
            .await?;
        Ok(())
    }

    /// Compose projects by the engine's labels, of compose v1 and v2.
    pub async fn discover(&self, caller: &Caller) -> Result<Vec<Project>> {
        let registered: BTreeMap<String, String> = self
            .apps(caller)
            .await?
            .into_iter()
            .map(|app| (app.project, app.slug))
            .collect();
        let mut projects: BTreeMap<String, Vec<Service>> = BTreeMap::new();
        for container in self.containers_with_mounts().await? {
            let (Some(project), Some(service)) = (container.project(), container.service()) else {
                continue;
            };
            projects
                .entry(project.to_owned())
                .or_default()
                .push(describe(service, &container));
        }
        Ok(projects
            .into_iter()
            .map(|(name, mut services)| {
                services.sort_by(|a, b| a.name.cmp(&b.name));
                Project {
                    registered: registered.get(&name).cloned(),
                    name,
                    services,
                }
            })
            .collect())
    }

    /// The services of one app, as the engine shows them.
    pub async fn services(&self, caller: &Caller, app: &apps::Model) -> Result<Vec<Service>> {
        let projects = self.discover(caller).await?;
        Ok(projects
            .into_iter()
            .find(|project| project.name == app.project)
            .map_or_else(Vec::new, |project| project.services))
    }

    /// The one service of the app that `strategy` fits, for configs that name none.
    pub(super) async fn only_service(
        &self,
        caller: &Caller,
        app: &apps::Model,
        strategy: &str,
    ) -> Result<String> {
        let services = self.services(caller, app).await?;
        let mut fitting = services
            .into_iter()
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

    async fn containers_with_mounts(&self) -> Result<Vec<Container>> {
        let all = self.0.engine.containers().await.map_err(failed)?;
        let mut full = Vec::new();
        for container in all {
            if container.service().is_none() || container.is_oneoff() {
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

fn failed(error: crate::docker::DockerError) -> AppError {
    AppError::Failed(error.into())
}

fn describe(service: &str, container: &Container) -> Service {
    Service {
        name: service.to_owned(),
        container: container.name.clone(),
        image: container.image.clone(),
        running: container.running,
        mounts: container.mounts.clone(),
        strategies: strategies(container),
    }
}

/// What fits the container by its image; or what its label says, and nothing else.
fn strategies(container: &Container) -> BTreeMap<&'static str, Detected> {
    let label = LABELS
        .iter()
        .find_map(|&name| Some((name, container.label(name)?)));
    let fitting = |strategy: &&dyn Strategy| match label {
        None => strategy.detect(container),
        Some((name, kind)) if kind == strategy.kind() => {
            Some(strategy.detect(container).unwrap_or_else(|| Detected {
                reason: format!("label {name}"),
                paths: Vec::new(),
                metadata: BTreeMap::new(),
            }))
        }
        Some(_) => None,
    };
    let all = strategy::ALL.iter();
    all.filter_map(|strategy| Some((strategy.kind(), fitting(strategy)?)))
        .collect()
}

/// A name from outside, short enough and plain enough to be said back.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
