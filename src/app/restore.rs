//! A restore's work, from the queue's hint to its end; settling what a dead worker left; undo, and
//! removing what undo was kept for. Every one of these may be called again at any time.

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::{
    AppError, Holdfast, Result,
    journal::RestoreJournal,
    restores::{DestinationNow, job_name},
    sites,
};
use crate::{
    domain::{
        aggregate::Refusal,
        config::ConfigSpec,
        failure::Failure,
        ids::{AppId, RestoreId, RunId},
        manifest::Manifest,
        restore::{Destination, Kept, Restore, RestoreCommand, RestoreStatus},
    },
    engine::{
        progress::Job,
        restore::{self, Order, RestoreError},
    },
    failpoint,
    log::{Cause, LogError},
    readmodel::{apps, runs},
    strategy::{Restored, Settled, Site, Strategy, StrategyError},
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
        let turn = self.0.services.lock(&place.site.container.id);
        let _turn = tokio::select! {
            turn = turn => turn,
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
        let journal = self.journal(state.id, attempt, &job, &place.manifest);
        let order = Order {
            restore: state.id.0,
            strategy: place.strategy,
            site: place.site,
            target: place.target,
            manifest: place.manifest,
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
        let needs_attention = matches!(
            error,
            RestoreError::Strategy(StrategyError::NeedsAttention { .. })
        );
        let failure = match error {
            RestoreError::Superseded => return Ok(()),
            RestoreError::Artifact(failure) => failure,
            RestoreError::Strategy(error) => error.into(),
        };
        let failure = named(&state, failure).or_hint(
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

    /// Looks what a dead worker left, and brings the service to "as before" or "restored".
    pub async fn settle_restore(&self, id: RestoreId, attempt: u32) -> Result<()> {
        let (state, _) = self.log().load::<Restore>(id.0).await?;
        if state.status != RestoreStatus::Settling || state.attempt != attempt {
            return Ok(());
        }
        let settled = self.settle_now(&state).await;
        match settled {
            Ok((Settled::AsBefore, _)) => {
                self.tell_restore(id, RestoreCommand::SettleAsBefore { attempt })
                    .await
            }
            Ok((Settled::Restored(kept), manifest)) => {
                let command = RestoreCommand::Succeed {
                    attempt,
                    fingerprint: manifest.fingerprint,
                    kept,
                    keep_until: self.keep_until(),
                    warnings: vec![
                        "the server stopped during this restore; it was found complete".into(),
                    ],
                };
                self.tell_restore(id, command).await
            }
            Err(failure) if failure.is_temporary() => Err(AppError::Failed(failure)),
            Err(failure) => {
                let command = RestoreCommand::Fail {
                    attempt,
                    failure,
                    needs_attention: true,
                };
                self.tell_restore(id, command).await
            }
        }
    }

    async fn settle_now(&self, state: &Restore) -> Result<(Settled, Manifest), Failure> {
        let place = self.restore_place(state, &CancellationToken::new()).await?;
        let _turn = self.0.services.lock(&place.site.container.id).await;
        let id = &place.site.container.id;
        self.0.engine.sweep(id, None).await?;
        let settled = place.strategy.settle(&place.site, &state.steps).await?;
        Ok((settled, place.manifest))
    }

    /// Puts back what the restore set aside.
    pub async fn undo(&self, id: RestoreId, attempt: u32) -> Result<()> {
        let (state, _) = self.log().load::<Restore>(id.0).await?;
        if state.status != RestoreStatus::Undoing || state.attempt != attempt {
            return Ok(());
        }
        let Some(kept) = state.kept.clone() else {
            return Ok(());
        };
        match self.claim(id, RestoreCommand::StartUndo { attempt }).await {
            Ok(()) => {}
            Err(RestoreError::Superseded) => return Ok(()),
            Err(_) => return Err(AppError::Stopping),
        }
        let command = match self.undo_now(&state, attempt, &kept).await {
            Ok(kept) => RestoreCommand::FinishUndo {
                attempt,
                kept: Some(kept),
                keep_until: self.keep_until(),
            },
            Err(failure) => RestoreCommand::FailUndo { attempt, failure },
        };
        self.tell_restore(id, command).await
    }

    async fn undo_now(&self, state: &Restore, attempt: u32, kept: &Kept) -> Result<Kept, Failure> {
        let place = self.restore_place(state, &CancellationToken::new()).await?;
        let _turn = self.0.services.lock(&place.site.container.id).await;
        let job = self.0.hub.begin(job_name(state.id));
        let journal = self.journal(state.id, attempt, &job, &place.manifest);
        Ok(place.strategy.undo(&place.site, kept, &journal).await?)
    }

    /// Removes what was kept for undo, when its time is over.
    pub async fn forget_kept(&self, id: RestoreId) -> Result<()> {
        let (state, _) = self.log().load::<Restore>(id.0).await?;
        let due = state
            .keep_until
            .is_some_and(|until| until <= self.log().now());
        let Some(kept) = state.kept.clone().filter(|_| due && state.status.is_over()) else {
            return Ok(());
        };
        let place = self
            .restore_place(&state, &CancellationToken::new())
            .await?;
        let _turn = self.0.services.lock(&place.site.container.id).await;
        place
            .strategy
            .forget(&place.site, &kept)
            .await
            .map_err(Failure::from)?;
        self.tell_restore(id, RestoreCommand::Forget).await
    }

    pub(super) async fn destination_now(
        &self,
        app: &apps::Model,
        run: &runs::Model,
        service: &str,
    ) -> Result<DestinationNow, Failure> {
        let spec = pinned_spec(run)?;
        let strategy = sites::strategy_of(&spec)?;
        let container = self.container_of(app, service).await?;
        sites::must_run(&container)?;
        let site = self
            .site(container, &spec, CancellationToken::new())
            .await?;
        let probe = strategy.probe(&site).await?;
        Ok(DestinationNow {
            container: site.container.name,
            image: site.container.image,
            server: probe.server,
            subject: probe.subject,
            size: probe.size,
        })
    }

    async fn restore_place(
        &self,
        state: &Restore,
        cancel: &CancellationToken,
    ) -> Result<PlaceOfRestore, Failure> {
        let run = self.run_of(state.run).await?;
        let spec = pinned_spec(&run)?;
        let app = apps::get(self.db(), AppId(state.app.0))
            .await
            .map_err(internal)?
            .ok_or_else(|| Failure::permanent("the app of this restore is gone", ""))?;
        // Once started, the container is the one it started in, whatever has been renamed since.
        let container = match &state.destination {
            Some(destination) => self.0.engine.container(&destination.container_id).await?,
            None => self.container_of(&app, &state.service).await?,
        };
        sites::must_run(&container)?;
        Ok(PlaceOfRestore {
            strategy: sites::strategy_of(&spec)?,
            target: self.target(&spec).await?,
            manifest: self.read_manifest(&run).await?,
            site: self.site(container, &spec, cancel.clone()).await?,
        })
    }

    async fn run_of(&self, id: RunId) -> Result<runs::Model, Failure> {
        runs::get(self.db(), id)
            .await
            .map_err(internal)?
            .ok_or_else(|| Failure::permanent("the run of this restore is gone", ""))
    }

    fn journal(
        &self,
        restore: RestoreId,
        attempt: u32,
        job: &Job,
        manifest: &Manifest,
    ) -> RestoreJournal {
        RestoreJournal {
            holdfast: self.clone(),
            restore,
            attempt,
            progress: job.progress(),
            estimate: Some(manifest.artifact.raw_bytes),
        }
    }

    fn keep_until(&self) -> chrono::DateTime<chrono::Utc> {
        let keep = TimeDelta::from_std(self.settings().keep_undo).unwrap_or(TimeDelta::days(1));
        self.log().now() + keep
    }

    /// The fence: of two workers that got the same attempt, one is refused here.
    async fn claim(&self, id: RestoreId, command: RestoreCommand) -> Result<(), RestoreError> {
        let cause = Cause::system(job_name(id));
        match self.log().execute::<Restore>(cause, id.0, command).await {
            Ok(_) => Ok(()),
            Err(LogError::Refused(_)) => Err(RestoreError::Superseded),
            Err(error) => Err(RestoreError::Artifact(internal(error))),
        }
    }

    /// A stale word is no error: somebody else ended it meanwhile, and that counts.
    async fn tell_restore(&self, id: RestoreId, command: RestoreCommand) -> Result<()> {
        let cause = Cause::system(job_name(id));
        match self.log().execute::<Restore>(cause, id.0, command).await {
            Ok(_) | Err(LogError::Refused(Refusal::Stale { .. })) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

struct PlaceOfRestore {
    strategy: &'static dyn Strategy,
    site: Site,
    target: std::sync::Arc<dyn crate::target::Target>,
    manifest: Manifest,
}

/// The container by its name, not its id.
fn named(state: &Restore, mut failure: Failure) -> Failure {
    if let Some(Destination {
        container,
        container_id,
        ..
    }) = &state.destination
    {
        failure.message = failure.message.replace(container_id.as_str(), container);
    }
    failure
}

fn pinned_spec(run: &runs::Model) -> Result<ConfigSpec, Failure> {
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

fn internal(error: impl Into<AppError>) -> Failure {
    Failure::temporary(error.into().to_string(), "It is tried again.")
}
