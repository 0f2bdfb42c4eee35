//! A restore's work, from the queue's hint to its end, and settling what a dead worker left. Each of
//! these may be called again at any time.

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::{
    AppError, Holdfast, Result,
    journal::RestoreJournal,
    place::PlaceOfRestore,
    restores::job_name,
    sites,
    whereabouts::{Found, Search},
};
use crate::{
    docker::DockerError,
    domain::{
        aggregate::Refusal,
        failure::{Failure, FailureKind},
        ids::{RestoreId, RunId},
        manifest::Fingerprint,
        restore::{Destination, Restore, RestoreCommand, RestoreStatus},
    },
    engine::{
        progress::Job,
        restore::{self, Order, RestoreError},
    },
    failpoint,
    log::{Cause, LogError},
    readmodel::runs,
    strategy::{Restored, Settled, StrategyError},
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
                tracing::info!("the restore succeeded");
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
        if let Some(safety) = state.source.safety() {
            self.must_be_good(safety)
                .await
                .map_err(RestoreError::Artifact)?;
        }
        let mut place = self
            .restore_place(state, cancel)
            .await
            .map_err(RestoreError::Artifact)?;
        let mut search = self
            .search_for(&place)
            .await
            .map_err(RestoreError::Artifact)?;
        let Some(first) = search.next().await else {
            return Err(RestoreError::Artifact(search.into_failure()));
        };
        let keys = self
            .keys_of(state, place.backup.pinned_spec().as_ref())
            .await
            .map_err(RestoreError::Artifact)?;
        let _turn = tokio::select! {
            turn = self.turn_at(&mut place.site) => turn.map_err(StrategyError::from)?,
            () = cancel.cancelled() => return Err(StrategyError::Cancelled.into()),
        };
        let container = &place.site.container;
        sites::must_run_for(place.strategy, container)
            .map_err(|error| RestoreError::Artifact(error.into()))?;
        let command = RestoreCommand::Start {
            attempt,
            destination: Destination {
                service: state.service.clone(),
                container: container.name.clone(),
                container_id: container.id.clone(),
            },
        };
        self.claim(state.id, command).await?;
        tracing::info!(
            service = state.service,
            container = place.site.container.name,
            "the restore begins"
        );
        failpoint::hit("restore.after_start");
        let job = self.0.hub.begin(job_name(state.id));
        let journal = self.journal(attempt, &job, state.id, &place);
        let Found {
            manifest,
            target,
            mut copy,
        } = first;
        let mut order = Order {
            restore: state.id.0,
            strategy: place.strategy,
            site: place.site,
            target,
            manifest,
            keys,
        };
        loop {
            let failure = match restore::run(&order, &journal, &job).await {
                Err(RestoreError::Artifact(failure)) if !cancel.is_cancelled() => failure,
                Err(error) => return Err(error),
                Ok(mut restored) => {
                    restored.warnings.extend(read_from(copy, &search));
                    return Ok(restored);
                }
            };
            // Nothing has been touched: what is wrong with one copy need not be with the next.
            search.pass_over(failure.clone());
            let Some(next) = search.next().await else {
                return Err(RestoreError::Artifact(failure));
            };
            (order.manifest, order.target, copy) = (next.manifest, next.target, next.copy);
        }
    }

    /// The backup that goes before the restore; the restore's job comes when that is over.
    async fn must_be_good(&self, safety: RunId) -> Result<(), Failure> {
        let run = runs::get(self.db(), safety).await.map_err(internal)?;
        match run {
            Some(run) if run.status == "success" => Ok(()),
            _ => Err(Failure::permanent(
                format!("the safety backup, run {safety}, did not succeed; nothing was touched"),
                "Look why at that run, then start the restore again, or without it.",
            )),
        }
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
        tracing::warn!(error = %failure.message, "the restore did not succeed");
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
            Ok((Settled::Restored(kept), fingerprint)) => RestoreCommand::Succeed {
                attempt,
                fingerprint,
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
    ) -> Result<(Settled, Fingerprint), Failure> {
        if state.steps.is_empty() {
            return Ok((Settled::AsBefore, Fingerprint::default()));
        }
        let place = self.restore_place(state, &CancellationToken::new()).await;
        let mut place = place.map_err(later)?;
        let _turn = self.turn_at(&mut place.site).await.map_err(or_later)?;
        let container = &place.site.container;
        sites::must_run_for(place.strategy, container).map_err(or_later)?;
        match self.0.engine.sweep(&container.id, None).await {
            Err(DockerError::NotRunning(_)) if place.strategy.stops_service() => {}
            swept => swept.map_err(or_later)?,
        }
        let settled = place.strategy.settle(&place.site, &state.steps).await;
        Ok((settled.map_err(or_later)?, place.backup.fingerprint()))
    }

    /// Marks the restore as at work in this process. While it is already, the job comes back.
    pub(super) fn work_on(&self, id: RestoreId) -> Result<sites::RunningJob> {
        let job = self.0.jobs.begin(&job_name(id), &self.0.interrupt);
        job.ok_or_else(|| AppError::Conflict(format!("restore {id} is at work already")))
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
            estimate: place.backup.raw_bytes(),
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
            Ok(_) | Err(LogError::Refused(Refusal::Stale { .. })) => self.let_go(id).await,
            Err(error) => Err(error.into()),
        }
    }
}

/// Said of a restore that had to go past a place.
fn read_from(copy: Option<String>, search: &Search) -> Option<String> {
    let why = search.why();
    let copy = copy.filter(|_| !why.is_empty())?;
    Some(format!(
        "it was read from the copy in {copy}, because {why}"
    ))
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

pub(super) fn internal(error: impl Into<AppError>) -> Failure {
    Failure::temporary(error.into().to_string(), "It is tried again.")
}
