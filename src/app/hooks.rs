//! The hooks of a run, carried out around its dump: the turns at all services they name, what they
//! hold until the data is out, what they owe, and what is told of them.
//!
//! A container that a hook stopped is started by whoever has the turn at it: by its run as soon as
//! the data is out, else by the clock, which never takes a turn that somebody has. So no run starts
//! what another one, or a restore, keeps stopped.

mod check;
mod ledger;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use async_trait::async_trait;
use futures_util::future::{pending, select_all};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

pub(super) use self::check::{check, named};
use self::ledger::RunLedger;
use super::Holdfast;
use crate::{
    docker::{Container, DockerError},
    domain::{
        config::ConfigSpec,
        failure::Failure,
        hook::{Hook, HookOutcome, HookReport, Phase},
        ids::RunId,
        run::RunCommand,
    },
    engine::backup::{Aftermath, Around},
    hook::{self, Held, Kind, Ledger, Place, Ran},
    readmodel::apps,
    strategy::{Options, Site},
};

/// The turn at a container, with its id.
type Turn = (String, OwnedMutexGuard<()>);

/// The containers of each service that the hooks of a config name, by their ids.
#[derive(Debug, Default)]
pub(super) struct Services(BTreeMap<String, Vec<String>>);

impl Services {
    /// All containers, and this one.
    pub fn with(&self, container: &str) -> BTreeSet<String> {
        let named = self.0.values().flatten().cloned();
        named.chain([container.to_owned()]).collect()
    }

    fn of(&self, hook: &Hook) -> &[String] {
        self.0.get(&hook.service).map_or(&[], Vec::as_slice)
    }
}

impl Holdfast {
    /// Finds the services that the hooks of a config name. One that a pre-hook needs must be there.
    pub(super) async fn hooked_services(
        &self,
        app: &apps::Model,
        spec: &ConfigSpec,
    ) -> Result<Services, Failure> {
        let mut services = Services::default();
        for phase in [Phase::Before, Phase::After] {
            for (index, hook) in spec.hooks(phase).iter().enumerate() {
                match self.containers_of(app, &hook.service).await {
                    Ok(found) => {
                        let ids = found.into_iter().map(|container| container.id);
                        services.0.insert(hook.service.clone(), ids.collect());
                    }
                    // Told as a warning when its turn comes.
                    Err(failure) if phase == Phase::After => {
                        tracing::warn!(hook = phase.place(index), error = %failure.message, "a hook without a service");
                    }
                    Err(failure) => return Err(told(phase, index, hook, failure)),
                }
            }
        }
        Ok(services)
    }

    /// The turns at several containers; always in the same order, so that no two runs wait for each
    /// other.
    pub(super) async fn turns(
        &self,
        containers: &BTreeSet<String>,
    ) -> Result<Vec<Turn>, DockerError> {
        let mut turns = Vec::with_capacity(containers.len());
        for container in containers {
            turns.push((container.clone(), self.turn(container).await?));
        }
        Ok(turns)
    }

    /// The same, if nobody has one of them.
    pub(super) async fn free_turns(
        &self,
        containers: &BTreeSet<String>,
    ) -> Result<Option<Vec<Turn>>, DockerError> {
        let free = containers.iter().map(|container| {
            let turn = self.free_turn(container)?;
            Some((container.clone(), turn))
        });
        let Some(turns) = free.collect::<Option<Vec<Turn>>>() else {
            return Ok(None);
        };
        for container in containers {
            self.0.engine.sweep_helpers(container).await?;
        }
        Ok(Some(turns))
    }
}

/// The hooks of one attempt.
pub(super) struct RunHooks {
    holdfast: Holdfast,
    run: RunId,
    attempt: u32,
    spec: ConfigSpec,
    /// Of the service that is backed up.
    options: Options,
    services: Services,
    cancel: CancellationToken,
    /// Id of the container that is backed up.
    own: String,
    state: Mutex<State>,
    ledger: Arc<dyn Ledger>,
}

#[derive(Default)]
struct State {
    turns: Vec<Turn>,
    /// In the order in which they were taken.
    held: Vec<Box<dyn Held>>,
    warnings: Vec<String>,
}

/// What an attempt gives to its hooks.
pub(super) struct Given<'a> {
    pub run: RunId,
    pub attempt: u32,
    pub spec: &'a ConfigSpec,
    pub services: Services,
    /// At the service that is backed up, and at those that hooks name.
    pub turns: Vec<Turn>,
    /// What is backed up.
    pub site: &'a Site,
}

impl RunHooks {
    pub fn new(holdfast: &Holdfast, of: Given<'_>) -> Self {
        let ledger = RunLedger::new(holdfast.clone(), of.run, of.attempt);
        Self {
            holdfast: holdfast.clone(),
            run: of.run,
            attempt: of.attempt,
            spec: of.spec.clone(),
            options: of.site.options.clone(),
            services: of.services,
            own: of.site.container.id.clone(),
            cancel: of.site.cancel.clone(),
            state: Mutex::new(State {
                turns: of.turns,
                ..State::default()
            }),
            ledger: Arc::new(ledger),
        }
    }

    /// Runs one hook and tells the log of it.
    async fn run(
        &self,
        phase: Phase,
        index: usize,
        hook: &Hook,
        cancel: &CancellationToken,
    ) -> Result<Ran, Failure> {
        let begun = Instant::now();
        let ran = self.carry_out(phase, hook, cancel).await;
        let (outcome, said) = match &ran {
            Ok(ran) => (ran.outcome, ran.said.clone()),
            Err(failure) if failure.detail.is_empty() => {
                (HookOutcome::Failed, failure.message.clone())
            }
            Err(failure) => (
                HookOutcome::Failed,
                format!("{}\n{}", failure.message, failure.detail),
            ),
        };
        let report = HookReport {
            phase,
            index,
            kind: hook.kind.clone(),
            service: hook.service.clone(),
            outcome,
            took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            said,
        };
        let command = RunCommand::TellHook {
            attempt: self.attempt,
            hook: report,
        };
        // What it did counts; that it cannot be told is found by the next command of the attempt.
        if let Err(failure) = self.holdfast.tell(self.run, command).await {
            tracing::warn!(error = %failure.message, "a hook could not be told of");
        }
        ran
    }

    async fn carry_out(
        &self,
        phase: Phase,
        hook: &Hook,
        cancel: &CancellationToken,
    ) -> Result<Ran, Failure> {
        let kind = hook::find(&hook.kind).ok_or_else(|| {
            Failure::permanent(
                format!("this version of Holdfast knows no hook {}", hook.kind),
                "Edit the config, or use the version that made it.",
            )
        })?;
        if kind.takes_command() && !self.holdfast.settings().exec_hooks {
            return Err(Failure::permanent(
                check::COMMANDS_ARE_OFF,
                "Take the hook out of the config, or allow it on the server.",
            ));
        }
        if phase == Phase::After && self.is_paired(hook, kind) {
            return self.fulfilled(hook).await;
        }
        let containers = self.look(hook).await?;
        let own = hook.service == self.spec.service;
        kind.run(&Place {
            engine: self.holdfast.engine(),
            hook,
            containers: &containers,
            options: own.then_some(&self.options),
            ledger: &self.ledger,
            cancel,
        })
        .await
    }

    /// The containers of its service as they are now, the running ones first.
    async fn look(&self, hook: &Hook) -> Result<Vec<Container>, Failure> {
        let mut containers = Vec::new();
        for id in self.services.of(hook) {
            match self.holdfast.engine().container(id).await {
                Ok(container) => containers.push(container),
                Err(DockerError::NoSuchContainer(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if containers.is_empty() {
            return Err(Failure::permanent(
                format!("there is no service {}", hook.service),
                "It was removed or renamed; edit the hooks of this config.",
            ));
        }
        containers.sort_by_key(|container| !container.running);
        Ok(containers)
    }

    /// Others may work on the services that hooks named. On its own the run still works, unless that
    /// has to be started by the clock.
    async fn give_back(&self, mut turns: Vec<Turn>) {
        let owed = self.ledger.is_owed_start(&self.own).await.unwrap_or(true);
        turns.retain(|(container, _)| *container == self.own && !owed);
        self.state.lock().await.turns = turns;
    }

    /// A start of what a stop of the same config stops.
    fn is_paired(&self, hook: &Hook, kind: &dyn Kind) -> bool {
        let containers = self.services.of(hook);
        let stops = |other: &&Hook| {
            hook::find(&other.kind).is_some_and(Kind::stops_service)
                && self
                    .services
                    .of(other)
                    .iter()
                    .any(|id| containers.contains(id))
        };
        kind.starts_service() && self.spec.pre_hooks.iter().any(|other| stops(&other))
    }

    /// What was stopped has been started again by now, or is owed; what had not run stays so.
    async fn fulfilled(&self, hook: &Hook) -> Result<Ran, Failure> {
        let running = self
            .look(hook)
            .await?
            .iter()
            .any(|container| container.running);
        Ok(if running {
            Ran::done("it runs since the data was out")
        } else {
            Ran::skipped("the stop before the backup sees to it")
        })
    }
}

#[async_trait]
impl Around for RunHooks {
    async fn before(&self, site: &Site) -> Result<Site, Failure> {
        for (index, hook) in self.spec.pre_hooks.iter().enumerate() {
            if self.cancel.is_cancelled() {
                return Err(Failure::permanent("cancelled", ""));
            }
            let ran = self.run(Phase::Before, index, hook, &self.cancel).await;
            let ran = ran.map_err(|failure| told(Phase::Before, index, hook, failure))?;
            let mut state = self.state.lock().await;
            state.held.extend(ran.held);
            state.warnings.extend(ran.warning.map(|warning| {
                let place = called(Phase::Before, index, hook);
                format!("{place}: {warning}")
            }));
        }
        let mut site = site.clone();
        if !self.spec.pre_hooks.is_empty() {
            site.container = site.engine.container(&site.container.id).await?;
        }
        Ok(site)
    }

    async fn lost(&self) {
        let mut state = self.state.lock().await;
        let watched = state.held.iter_mut().map(|held| held.lost());
        let watched: Vec<_> = watched.collect();
        if watched.is_empty() {
            pending::<()>().await;
        }
        select_all(watched).await;
    }

    async fn after(&self) -> Aftermath {
        let State {
            turns,
            held,
            warnings,
        } = std::mem::take(&mut *self.state.lock().await);
        let mut aftermath = Aftermath {
            warnings,
            broken: None,
        };
        for held in held.into_iter().rev() {
            let released = held.release().await;
            aftermath.warnings.extend(released.warnings);
            aftermath.broken = aftermath.broken.or(released.broken);
        }
        // Whatever becomes of the run: what was begun by a hook is ended by one.
        let never = CancellationToken::new();
        for (index, hook) in self.spec.post_hooks.iter().enumerate() {
            let ran = self.run(Phase::After, index, hook, &never).await;
            let warning = match ran {
                Ok(ran) => ran.warning,
                Err(failure) => Some(failure.message),
            };
            aftermath.warnings.extend(warning.map(|warning| {
                let place = called(Phase::After, index, hook);
                format!("{place}: {warning}")
            }));
        }
        self.give_back(turns).await;
        aftermath
    }
}

/// `pre_hooks[1] (exec in web)`.
fn called(phase: Phase, index: usize, hook: &Hook) -> String {
    let place = phase.place(index);
    format!("{place} ({} of {})", hook.kind, hook.service)
}

fn told(phase: Phase, index: usize, hook: &Hook, mut failure: Failure) -> Failure {
    failure.message = format!("{}: {}", called(phase, index, hook), failure.message);
    failure
}
