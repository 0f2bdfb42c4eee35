//! A restore's work, from the queue's hint to its end, and settling what a dead worker left. Each of
//! these may be called again at any time.

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::{
    AppError, Holdfast, Result,
    journal::RestoreJournal,
    restores::{DestinationNow, job_name},
    sites,
};
use crate::{
    docker::DockerError,
    domain::{
        aggregate::Refusal,
        config::ConfigSpec,
        failure::{Failure, FailureKind},
        ids::{AppId, ConfigId, RestoreId, RunId},
        restore::{Destination, Restore, RestoreCommand, RestoreStatus},
    },
    engine::{
        progress::Job,
        restore::{self, Order, RestoreError},
    },
    failpoint,
    log::{Cause, LogError},
    readmodel::{apps, configs, runs},
    strategy::{Probe, Restored, Settled, Site, Strategy, StrategyError},
};

impl Holdfast {
    /// Works off the restore. `Err` only when the log itself failed.
    pub async fn bring_back(&self, id: RestoreId, attempt: u32) -> Result<()> {
        let (state, _) = self.log().load::<Restore>(id.0).await?;
        if state.status != RestoreStatus::Queued || state.next_attempt() != attempt {
            return Ok(());
        }
        let name = job_name(id);
        let Some(working) = self.0.jobs.begin(&name, &self.0.interrupt) else {
            return Ok(());
        };
        match self.restore_attempt(&state, attempt, &working.cancel).await {
            Err(RestoreError::Superseded) => Ok(()),
            Ok(restored) => {
                failpoint::hit("restore.before_success");
                let command = RestoreCommand::Succeed {
                    attempt,
                    fingerprint: restored.fingerprint,
                    kept: restored.kept,
                    keep_until: self.keep_until(),
                    warnings: restored.warnings,
                };
                self.tell_restore(id, command).await?;
                failpoint::hit("restore.after_success");
                Ok(())
            }
            Err(error) => self.conclude_restore(id, attempt, error).await,
        }
    }

    async fn restore_attempt(
        &self,
        state: &Restore,
        attempt: u32,
        cancel: &CancellationToken,
    ) -> Result<Restored, RestoreError> {
        let place = self
            .restore_place(state, cancel)
            .await
            .map_err(RestoreError::Artifact)?;
        sites::must_run_for(place.strategy, &place.site.container)
            .map_err(|error| RestoreError::Artifact(error.into()))?;
        let manifest = self
            .read_manifest(&place.run)
            .await
            .map_err(RestoreError::Artifact)?;
        let target = self
            .target(&place.spec)
            .await
            .map_err(RestoreError::Artifact)?;
        let turn = self.turn(&place.site.container.id);
        let _turn = tokio::select! {
            turn = turn => turn.map_err(StrategyError::from)?,
            () = cancel.cancelled() => return Err(StrategyError::Cancelled.into()),
        };
        let container = &place.site.container;
        let command = RestoreCommand::Start {
            attempt,
            destination: Destination {
                service: state.service.clone(),
                container: container.name.clone(),
                container_id: container.id.clone(),
            },
        };
        self.claim(state.id, command).await?;
        failpoint::hit("restore.after_start");
        let job = self.0.hub.begin(job_name(state.id));
        let journal = self.journal(attempt, &job, state.id, &place);
        let order = Order {
            restore: state.id.0,
            strategy: place.strategy,
            site: place.site,
            target,
            manifest,
        };
        restore::run(&order, &journal, &job).await
    }

    /// How a restore that did not succeed ends. Whatever may have been left is settled first.
    async fn conclude_restore(
        &self,
        id: RestoreId,
        attempt: u32,
        error: RestoreError,
    ) -> Result<()> {
        let (state, _) = self.log().load::<Restore>(id.0).await?;
        let started = state.status == RestoreStatus::Running && state.attempt == attempt;
        if !started && self.0.interrupt.is_cancelled() {
            return Err(AppError::Stopping);
        }
        if started && self.0.interrupt.is_cancelled() && !state.cancel_requested {
            let why = "the server was stopped".to_owned();
            return self
                .tell_restore(id, RestoreCommand::Interrupt { attempt, why })
                .await;
        }
        if let RestoreError::Strategy(StrategyError::Unsettled(error)) = &error {
            let why = format!("the restore failed ({})", named(&state, error.to_string()));
            let interrupt = RestoreCommand::Interrupt { attempt, why };
            return self.tell_restore(id, interrupt).await;
        }
        let needs_attention = matches!(
            error,
            RestoreError::Strategy(StrategyError::NeedsAttention { .. })
        );
        let mut failure = match error {
            RestoreError::Superseded => return Ok(()),
            RestoreError::Artifact(failure) => failure,
            RestoreError::Strategy(error) => error.into(),
        };
        failure.message = named(&state, failure.message);
        let failure = failure.or_hint(
            "Nothing was changed; look at the container and its own log, then start it again.",
        );
        tracing::warn!(restore = id.0, attempt, error = %failure.message, "restore did not succeed");
        let command = if started && state.cancel_requested && !needs_attention {
            RestoreCommand::ConfirmCancelled { attempt }
        } else {
            RestoreCommand::Fail {
                attempt,
                failure,
                needs_attention,
            }
        };
        self.tell_restore(id, command).await
    }

    /// Looks what a dead worker left, and brings the service to "as before" or "restored". `Err` when
    /// the service is out of reach: the queue brings the job again until it is back.
    pub async fn settle_restore(&self, id: RestoreId, attempt: u32) -> Result<()> {
        let (state, _) = self.log().load::<Restore>(id.0).await?;
        if state.status != RestoreStatus::Settling || state.attempt != attempt {
            return Ok(());
        }
        let _working = self.work_on(id)?;
        let command = match self.settle_now(&state).await {
            Ok((Settled::AsBefore, _)) => RestoreCommand::SettleAsBefore { attempt },
            Ok((Settled::Restored(kept), run)) => RestoreCommand::Succeed {
                attempt,
                fingerprint: run.fingerprint().unwrap_or_default(),
                kept,
                keep_until: self.keep_until(),
                warnings: vec![format!("{}; it was found complete", state.broken_off())],
            },
            Err(failure) if failure.is_temporary() => return Err(AppError::Failed(failure)),
            Err(failure) => RestoreCommand::Fail {
                attempt,
                failure: out_of_order(failure),
                needs_attention: true,
            },
        };
        self.tell_restore(id, command).await
    }

    pub(super) async fn settle_now(
        &self,
        state: &Restore,
    ) -> Result<(Settled, runs::Model), Failure> {
        if state.steps.is_empty() {
            return Ok((Settled::AsBefore, self.run_of(state.run).await?));
        }
        let place = self.restore_place(state, &CancellationToken::new()).await;
        let place = place.map_err(later)?;
        let container = &place.site.container;
        sites::must_run_for(place.strategy, container).map_err(or_later)?;
        let _turn = self.turn(&container.id).await.map_err(or_later)?;
        match self.0.engine.sweep(&container.id, None).await {
            Err(DockerError::NotRunning(_)) if place.strategy.stops_service() => {}
            swept => swept.map_err(or_later)?,
        }
        let settled = place.strategy.settle(&place.site, &state.steps).await;
        Ok((settled.map_err(or_later)?, place.run))
    }

    /// Marks the restore as at work in this process. While it is already, the job comes back.
    pub(super) fn work_on(&self, id: RestoreId) -> Result<sites::RunningJob> {
        let job = self.0.jobs.begin(&job_name(id), &self.0.interrupt);
        job.ok_or_else(|| AppError::Conflict(format!("restore {id} is at work already")))
    }

    pub(super) async fn destination_now(
        &self,
        app: &apps::Model,
        run: &runs::Model,
        service: &str,
        subject: &str,
    ) -> Result<DestinationNow, Failure> {
        let pinned = pinned_spec(run)?;
        let strategy = sites::strategy_of(&pinned)?;
        let container = self.container_of(app, service).await?;
        sites::must_run_for(strategy, &container)?;
        if service != pinned.service {
            self.must_be_of_kind(app, &pinned.strategy, &container)
                .await?;
        }
        let config = ConfigId(run.backup_config_id);
        let spec = self.spec_at(app, service, pinned, config).await?;
        let site = self
            .site(container, &spec, CancellationToken::new())
            .await?;
        let probe = if site.container.running {
            strategy.destination(&site, subject).await?
        } else {
            Probe::default()
        };
        Ok(DestinationNow {
            container: site.container.name,
            image: site.container.image,
            server: probe.server,
            subject: probe.subject,
            size: probe.size,
        })
    }

    pub(super) async fn restore_place(
        &self,
        state: &Restore,
        cancel: &CancellationToken,
    ) -> Result<PlaceOfRestore, Failure> {
        let run = self.run_of(state.run).await?;
        let app = apps::get(self.db(), AppId(state.app.0))
            .await
            .map_err(internal)?
            .ok_or_else(|| Failure::permanent("the app of this restore is gone", ""))?;
        // Once started, the container is the one it started in, whatever has been renamed since;
        // the service's present one where that was made anew, with the same volumes.
        let pinned = match &state.destination {
            Some(destination) => match self.0.engine.container(&destination.container_id).await {
                Err(DockerError::NoSuchContainer(_)) => None,
                found => Some(found?),
            },
            None => None,
        };
        let container = match pinned {
            Some(container) => container,
            None => self.container_of(&app, &state.service).await?,
        };
        let (pinned, config) = (pinned_spec(&run)?, ConfigId(run.backup_config_id));
        let target_spec = pinned.clone();
        let spec = self.spec_at(&app, &state.service, pinned, config).await?;
        Ok(PlaceOfRestore {
            strategy: sites::strategy_of(&spec)?,
            site: self.site(container, &spec, cancel.clone()).await?,
            run,
            spec: target_spec,
        })
    }

    /// How to work in `service`. The pin says what was backed up and how; who may log in today, the
    /// present config knows. Another service has options and accounts of its own: those of its own
    /// config, else what its container says.
    async fn spec_at(
        &self,
        app: &apps::Model,
        service: &str,
        mut pinned: ConfigSpec,
        config: ConfigId,
    ) -> Result<ConfigSpec, Failure> {
        if service == pinned.service {
            let config = configs::get(self.db(), config).await.map_err(internal)?;
            if let Some(present) = config.filter(|config| config.removed_at.is_none()) {
                pinned.credentials.extend(present.spec().credentials);
            }
            return Ok(pinned);
        }
        let configs = configs::of_app(self.db(), app.app_id()).await;
        let own = configs.map_err(internal)?.into_iter();
        let own = own.map(|config| config.spec());
        let mut own = own.filter(|own| own.service == service && own.strategy == pinned.strategy);
        Ok(own.next().unwrap_or_else(|| ConfigSpec {
            service: service.to_owned(),
            strategy: pinned.strategy,
            paths: pinned.paths,
            ..ConfigSpec::default()
        }))
    }

    async fn run_of(&self, id: RunId) -> Result<runs::Model, Failure> {
        runs::get(self.db(), id)
            .await
            .map_err(internal)?
            .ok_or_else(|| Failure::permanent("the run of this restore is gone", ""))
    }

    pub(super) fn journal(
        &self,
        attempt: u32,
        job: &Job,
        restore: RestoreId,
        place: &PlaceOfRestore,
    ) -> RestoreJournal {
        RestoreJournal {
            holdfast: self.clone(),
            restore,
            attempt,
            progress: job.progress(),
            estimate: place.run.raw_bytes.and_then(|raw| u64::try_from(raw).ok()),
        }
    }

    pub(super) fn keep_until(&self) -> chrono::DateTime<chrono::Utc> {
        let keep = TimeDelta::from_std(self.settings().keep_undo).unwrap_or(TimeDelta::days(1));
        self.log().now() + keep
    }

    /// The fence: of two workers that got the same attempt, one is refused here.
    pub(super) async fn claim(
        &self,
        id: RestoreId,
        command: RestoreCommand,
    ) -> Result<(), RestoreError> {
        let cause = Cause::system(job_name(id));
        match self.log().execute::<Restore>(cause, id.0, command).await {
            Ok(_) => Ok(()),
            Err(LogError::Refused(_)) => Err(RestoreError::Superseded),
            Err(error) => Err(RestoreError::Artifact(internal(error))),
        }
    }

    /// A stale word is no error: somebody else ended it meanwhile, and that counts.
    pub(super) async fn tell_restore(&self, id: RestoreId, command: RestoreCommand) -> Result<()> {
        let cause = Cause::system(job_name(id));
        match self.log().execute::<Restore>(cause, id.0, command).await {
            Ok(_) | Err(LogError::Refused(Refusal::Stale { .. })) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Where a restore, its settling or its undo works.
pub(super) struct PlaceOfRestore {
    pub run: runs::Model,
    spec: ConfigSpec,
    pub strategy: &'static dyn Strategy,
    pub site: Site,
}

/// The container by its name, not its id.
pub(super) fn named(state: &Restore, text: String) -> String {
    match &state.destination {
        Some(Destination {
            container,
            container_id,
            ..
        }) => text.replace(container_id.as_str(), container),
        None => text,
    }
}

/// What a restore left waits for its service: after a reboot that may start later than we do.
fn or_later(error: impl Into<StrategyError>) -> Failure {
    match error.into() {
        StrategyError::Docker(error) => later(error.into()),
        error => error.into(),
    }
}

fn later(failure: Failure) -> Failure {
    Failure {
        kind: FailureKind::Temporary,
        ..failure
    }
}

/// A person must act, and has to know what it is about.
pub(super) fn out_of_order(mut failure: Failure) -> Failure {
    failure.message = format!(
        "what was begun could not be put in order: {}",
        failure.message
    );
    failure.or_hint("The service may be closed to its app; the steps above say what was done.")
}

pub(super) fn pinned_spec(run: &runs::Model) -> Result<ConfigSpec, Failure> {
    run.pin().map(|pin| pin.spec).ok_or_else(|| {
        Failure::permanent(
            format!(
                "run {} never started, so there is nothing to restore",
                run.id
            ),
            "Choose a successful run.",
        )
    })
}

pub(super) fn internal(error: impl Into<AppError>) -> Failure {
    Failure::temporary(error.into().to_string(), "It is tried again.")
}
