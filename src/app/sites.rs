//! Where work happens: which container a service is, which strategy and target a spec names, with
//! their secrets from the vault; who holds a service right now; and the stop signal of each job.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use super::{AppError, Holdfast, Result};
use crate::{
    docker::{Container, DockerError},
    domain::{
        config::{ConfigSpec, SecretRef},
        copies::FurtherTarget,
        failure::{Failure, FieldErrors},
        ids::ConfigId,
        secret::Secret,
    },
    readmodel::{apps, configs},
    strategy::{self, Options, Site, Strategy},
    target::{self, Settings, Target},
};

impl Holdfast {
    /// Waits until nobody else works on the container, then removes the helpers that somebody who
    /// died left there. The guard gives the turn back.
    pub(super) async fn turn(
        &self,
        container_id: &str,
    ) -> Result<OwnedMutexGuard<()>, DockerError> {
        let turn = self.0.services.lock(container_id).await;
        self.0.engine.sweep_helpers(container_id).await?;
        Ok(turn)
    }

    /// The turn, and the container as it then is: whoever had it before may have stopped it, and started it
    /// again.
    pub(super) async fn turn_at(
        &self,
        site: &mut Site,
    ) -> Result<OwnedMutexGuard<()>, DockerError> {
        let turn = self.turn(&site.container.id).await?;
        site.container = self.0.engine.container(&site.container.id).await?;
        Ok(turn)
    }

    /// The turn, if nobody has it.
    pub(super) fn free_turn(&self, container_id: &str) -> Option<OwnedMutexGuard<()>> {
        self.0.services.try_lock(container_id)
    }

    /// The container of that service of the app; a running one, when there are several.
    pub(super) async fn container_of(
        &self,
        app: &apps::Model,
        service: &str,
    ) -> Result<Container, Failure> {
        let found = self.containers_of(app, service).await?;
        let first = found.first().map_or("", |container| container.id.as_str());
        Ok(self.0.engine.container(first).await?)
    }

    /// The containers of that service of the app, by the engine's compose labels; by the compose
    /// name `<project>-<service>-1` when no container carries the labels. At least one, the running
    /// ones first: a scaled service may have stopped siblings.
    pub(super) async fn containers_of(
        &self,
        app: &apps::Model,
        service: &str,
    ) -> Result<Vec<Container>, Failure> {
        let containers = self.0.engine.containers().await?;
        let labelled = |c: &&Container| {
            c.project() == Some(&app.project)
                && !c.is_oneoff()
                && (c.service() == Some(service) || c.name == service)
        };
        let mut found: Vec<Container> = containers.iter().filter(labelled).cloned().collect();
        if found.is_empty() {
            let fallback = format!("{}-{service}-1", app.project);
            let by_name = containers.iter().find(|c| c.name == fallback);
            found.extend(by_name.cloned());
        }
        if found.is_empty() {
            return Err(no_such_service(app, service, &containers));
        }
        found.sort_by_key(|c| (!c.running, c.name.clone()));
        Ok(found)
    }

    /// A strategy's working place. Fails when a secret cannot be read.
    pub(super) async fn site(
        &self,
        container: Container,
        spec: &ConfigSpec,
        cancel: CancellationToken,
    ) -> Result<Site, Failure> {
        Ok(Site {
            engine: self.0.engine.clone(),
            container,
            options: self.options(spec).await?,
            cancel,
            stall: self.0.settings.stall,
        })
    }

    pub(super) async fn options(&self, spec: &ConfigSpec) -> Result<Options, Failure> {
        Ok(Options {
            plain: spec.options.clone(),
            credentials: self.secrets(&spec.credentials).await?,
            paths: spec.paths.clone(),
        })
    }

    /// Where a config stores first.
    pub(super) async fn target(&self, spec: &ConfigSpec) -> Result<Arc<dyn Target>, Failure> {
        self.target_at(&spec.first_target()).await
    }

    pub(super) async fn target_at(&self, at: &FurtherTarget) -> Result<Arc<dyn Target>, Failure> {
        let settings = Settings {
            plain: at.settings.clone(),
            secrets: self.secrets(&at.secrets).await?,
        };
        let kind = target::kind(&at.target).ok_or_else(|| unknown("target", &at.target))?;
        let target = kind.open(&self.0.place, &settings).map_err(|errors| {
            let problems: Vec<String> = errors.0.into_values().collect();
            Failure::permanent(
                format!("the target cannot be used: {}", problems.join("; ")),
                "Edit the config.",
            )
        })?;
        Ok(self.decorated(target))
    }

    /// One of the places where a run of `config` stored. A secret of it may have been entered anew since,
    /// and the old one be gone: after a recovery all of them are. Then it is that of the present target in
    /// the same store.
    pub(super) async fn target_of_run(
        &self,
        config: ConfigId,
        pinned: &FurtherTarget,
    ) -> Result<Arc<dyn Target>, Failure> {
        let mut at = pinned.clone();
        let present = configs::get(self.db(), config).await;
        let present = present.map_err(super::backup::internal)?;
        let same = present.and_then(|present| {
            let spec = present.spec();
            spec.targets()
                .find(|present| is_same_store(present, pinned))
        });
        for (name, entered) in same.map(|same| same.secrets).unwrap_or_default() {
            if let Some(pinned) = at.secrets.get_mut(&name)
                && self.0.vault.get(self.db(), pinned).await.is_err()
            {
                *pinned = entered;
            }
        }
        self.target_at(&at).await
    }

    /// With what this process puts around every target.
    pub(super) fn decorated(&self, target: Arc<dyn Target>) -> Arc<dyn Target> {
        match &self.0.decorate {
            Some(decorate) => decorate(target),
            None => target,
        }
    }

    pub(super) async fn secrets(
        &self,
        references: &BTreeMap<String, SecretRef>,
    ) -> Result<BTreeMap<String, Secret>, Failure> {
        let mut secrets = BTreeMap::new();
        for (key, reference) in references {
            let secret = self.0.vault.get(self.db(), reference).await?;
            secrets.insert(key.clone(), secret);
        }
        Ok(secrets)
    }
}

/// Whatever the folder in it, and whoever may enter.
fn is_same_store(one: &FurtherTarget, other: &FurtherTarget) -> bool {
    let shared = |at: &FurtherTarget| target::kind(&at.target).map(|it| it.shared(&at.settings));
    one.target == other.target && shared(one) == shared(other)
}

fn no_such_service(app: &apps::Model, service: &str, containers: &[Container]) -> Failure {
    let mut known: Vec<&str> = containers
        .iter()
        .filter(|c| c.project() == Some(&app.project) && !c.is_oneoff())
        .filter_map(Container::service)
        .collect();
    known.sort_unstable();
    known.dedup();
    let hint = if known.is_empty() {
        format!(
            "The engine shows no container of the project {}; start the app first.",
            app.project
        )
    } else {
        format!("The project {} has: {}.", app.project, known.join(", "))
    };
    Failure::permanent(
        format!("the app {} has no service {service}", app.slug),
        hint,
    )
}

pub(super) fn strategy_of(spec: &ConfigSpec) -> Result<&'static dyn Strategy, Failure> {
    strategy::find(&spec.strategy).ok_or_else(|| unknown("strategy", &spec.strategy))
}

fn unknown(what: &str, name: &str) -> Failure {
    Failure::permanent(
        format!("this version of Holdfast knows no {what} {name}"),
        "Edit the config, or use the version that made it.",
    )
}

/// A failure to find or look at the source, told as a problem of the config's fields.
pub(super) fn as_field(field: &str, failure: Failure) -> AppError {
    AppError::Invalid(FieldErrors::one(field, as_sentence(failure)))
}

/// What went wrong and what to do, in one text.
pub(super) fn as_sentence(failure: Failure) -> String {
    if failure.hint.is_empty() {
        return failure.message;
    }
    format!("{}. {}", failure.message, failure.hint)
}

/// A strategy that stops its service itself can restore one that does not run: on the worst day it
/// may not even start.
pub(super) fn must_run_for(
    strategy: &dyn Strategy,
    container: &Container,
) -> Result<(), DockerError> {
    if strategy.stops_service() {
        Ok(())
    } else {
        must_run(container)
    }
}

pub(super) fn must_run(container: &Container) -> Result<(), DockerError> {
    if container.running {
        Ok(())
    } else {
        Err(DockerError::NotRunning(container.name.clone()))
    }
}

/// At most one backup or restore works on a container at a time; the others wait in line.
#[derive(Default)]
pub(super) struct ServiceLocks {
    locks: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
}

impl ServiceLocks {
    /// Waits for the container's turn; the guard gives it back.
    pub async fn lock(&self, container_id: &str) -> OwnedMutexGuard<()> {
        self.of(container_id).lock_owned().await
    }

    /// The turn, if nobody has it.
    pub fn try_lock(&self, container_id: &str) -> Option<OwnedMutexGuard<()>> {
        self.of(container_id).try_lock_owned().ok()
    }

    fn of(&self, container_id: &str) -> Arc<AsyncMutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(container_id.to_owned()).or_default().clone()
    }
}

/// The stop signals of jobs at work in this process, by name: `run-12`.
#[derive(Default)]
pub(super) struct RunningJobs {
    tokens: Mutex<HashMap<String, CancellationToken>>,
}

impl RunningJobs {
    /// Marks the job as at work until the returned value is dropped; its token is cancelled with
    /// `parent` too. `None` when it is at work already: the queue brought it twice.
    pub fn begin(self: &Arc<Self>, name: &str, parent: &CancellationToken) -> Option<RunningJob> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.contains_key(name) {
            return None;
        }
        let cancel = parent.child_token();
        tokens.insert(name.to_owned(), cancel.clone());
        Some(RunningJob {
            name: name.to_owned(),
            cancel,
            jobs: self.clone(),
        })
    }

    pub fn is_running(&self, name: &str) -> bool {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.contains_key(name)
    }

    /// Takes effect at the job's next chunk.
    pub fn stop(&self, name: &str) {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = tokens.get(name) {
            token.cancel();
        }
    }
}

/// A job at work in this process.
pub(super) struct RunningJob {
    name: String,
    pub cancel: CancellationToken,
    jobs: Arc<RunningJobs>,
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        let mut tokens = self
            .jobs
            .tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tokens.remove(&self.name);
    }
}
