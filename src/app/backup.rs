//! One attempt of a run, from the queue's hint to the next command: pin the source, let the engine
//! work, tell the log how it ended. Safe to be called twice for the same attempt: the aggregate
//! takes the first.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::{AppError, Caller, Holdfast, Result, encryption, hooks, runs::job_name, sites};
use crate::{
    domain::{
        aggregate::Refusal,
        config::ConfigSpec,
        failure::Failure,
        ids::{ConfigId, RunId},
        manifest::Source,
        run::{Pin, Run, RunCommand, RunStatus, Stage},
    },
    engine::backup::{self, Order, Report, Stages},
    failpoint,
    log::{Cause, LogError},
    readmodel::{apps, configs, runs},
    target::{Key, Target, layout},
};

impl Holdfast {
    /// Works off attempt `attempt` of the run. `Err` only when the log itself failed: the queue
    /// then brings the job again.
    pub async fn back_up(&self, id: RunId, attempt: u32) -> Result<()> {
        let (run, _) = self.log().load::<Run>(id.0).await?;
        let waiting = matches!(run.status, RunStatus::Queued | RunStatus::Waiting);
        if !waiting || run.next_attempt() != attempt {
            return Ok(());
        }
        let name = job_name(id);
        let Some(working) = self.0.jobs.begin(&name, &self.0.interrupt) else {
            return Ok(());
        };
        match self.attempt_in_turn(&run, attempt, &working.cancel).await {
            Ok(()) | Err(AttemptError::Superseded) => Ok(()),
            Err(AttemptError::Stopping) => Err(AppError::Stopping),
            Err(AttemptError::Failed(failure)) => self.conclude_failure(id, attempt, failure).await,
        }
    }

    /// The attempt, once it may begin. What it finds occupied is waited for outside, where nobody has to
    /// wait for it.
    async fn attempt_in_turn(
        &self,
        run: &Run,
        attempt: u32,
        cancel: &CancellationToken,
    ) -> Result<(), AttemptError> {
        loop {
            let wish = self.wish_of(run.config).await?;
            let entry = self.0.admission.enter(run.id, wish);
            let entry = cancel.run_until_cancelled(entry).await;
            let entry = entry.ok_or_else(cancelled)?;
            let entry = entry.ok_or(AttemptError::Stopping)?;
            let Went::Occupied(occupied) = Box::pin(self.attempt(run, attempt, cancel)).await?
            else {
                return Ok(());
            };
            drop(entry);
            let free = self.until_free(run.config, &occupied);
            let free = cancel.run_until_cancelled(free).await;
            free.ok_or_else(cancelled)??;
        }
    }

    async fn attempt(
        &self,
        run: &Run,
        attempt: u32,
        cancel: &CancellationToken,
    ) -> Result<Went, AttemptError> {
        self.discard_abandoned(run).await?;
        if run.config == ConfigId::OWN {
            self.attempt_own(run, attempt, cancel).await?;
            return Ok(Went::ToItsEnd);
        }
        let (config, app) = self.config_and_app(run.config).await?;
        let spec = config.spec();
        let strategy = sites::strategy_of(&spec)?;
        if !self.is_settled(app.id, &spec).await? {
            return Ok(Went::Occupied(BTreeSet::new()));
        }
        let container = self.container_of(&app, &spec.service).await?;
        let services = self.hooked_services(&app, &spec).await?;
        let containers = services.with(&container.id);
        let turns = self.free_turns(&containers).await.map_err(Failure::from)?;
        let turns = match turns {
            Some(turns) if self.is_settled(app.id, &spec).await? => turns,
            _ => return Ok(Went::Occupied(containers)),
        };
        for container in &containers {
            if let Err(error) = self.start_owed(container, false).await {
                tracing::warn!(%error, container, "cannot start it again yet");
            }
        }
        // Whoever had the turn before may have stopped it, and started it again.
        let container = self.0.engine.container(&container.id).await;
        let container = container.map_err(Failure::from)?;
        if !strategy.backs_up_stopped() {
            sites::must_run(&container).map_err(|error| match attempt {
                1 => Failure::from(error),
                // It ran when this run began: after a reboot it may start later than we do.
                _ => Failure::temporary(error.to_string(), error.hint()),
            })?;
        }
        let target = self.target(&spec).await?;
        let packing = encryption::packing(&spec)?;
        let keys = self.own_keys(&spec).await?;
        let site = self.site(container, &spec, cancel.clone()).await?;
        let container = &site.container;
        let started_at = self.log().now();
        let key = self
            .free_key(
                &app.slug,
                config.id,
                &container.name,
                started_at,
                strategy.extension(&site.options),
                &spec,
            )
            .await?;
        let source = Source {
            container: container.name.clone(),
            container_id: container.id.clone(),
            image: container.image.clone(),
            image_id: container.image_id.clone(),
            ..Source::default()
        };
        let revision = u32::try_from(config.revision).unwrap_or_default();
        let pin = Box::new(Pin {
            config_revision: revision,
            spec: spec.clone(),
            source: source.clone(),
            key: key.to_string(),
        });
        self.start_attempt(run.id, attempt, pin).await?;

        failpoint::hit("backup.after_start");
        let estimate = self.estimate(run.config).await?;
        let order = Order {
            run: run.id.0,
            attempt,
            app: app.slug,
            service: spec.service.clone(),
            config: config.id,
            config_revision: revision,
            subject: Box::new(strategy),
            site,
            source,
            target: target.clone(),
            key: key.clone(),
            packing,
            keys,
            verify: spec.verify_upload,
            estimate,
            started_at,
        };
        let job = self.0.hub.begin(job_name(run.id));
        let stages = RunStages::new(self, run.id, attempt);
        let hooks = hooks::Given {
            run: run.id,
            attempt,
            spec: &spec,
            services,
            turns,
            site: &order.site,
        };
        let hooks = hooks::RunHooks::new(self, hooks);
        let report = backup::run(&order, &stages, &hooks, &job).await?;
        self.declare_success(run.id, attempt, report, &*target, &key)
            .await?;
        failpoint::hit("backup.after_success");
        Ok(Went::ToItsEnd)
    }

    /// Raw bytes of the config's newest good run.
    pub(super) async fn estimate(&self, config: ConfigId) -> Result<Option<u64>, Failure> {
        let last = runs::newest_success(self.db(), config).await;
        let last = last.map_err(internal)?;
        Ok(last.and_then(|last| u64::try_from(last.raw_bytes?).ok()))
    }

    /// The last word of an attempt. Only when it is refused does what lies in the target belong to
    /// no run; when the log could not answer, the word may have been taken, and whoever settles the
    /// run decides.
    pub(super) async fn declare_success(
        &self,
        id: RunId,
        attempt: u32,
        report: Report,
        target: &dyn Target,
        key: &Key,
    ) -> Result<(), AttemptError> {
        let (raw_bytes, stored_bytes) = (report.artifact.raw_bytes, report.artifact.stored_bytes);
        let command = RunCommand::Succeed {
            attempt,
            artifact: report.artifact,
            fingerprint: report.fingerprint,
            warnings: report.warnings,
        };
        let cause = Cause::system(job_name(id));
        match self.log().execute::<Run>(cause, id.0, command).await {
            Ok(_) => {
                tracing::info!(%key, raw_bytes, stored_bytes, "the backup succeeded");
                Ok(())
            }
            Err(LogError::Refused(_)) => {
                backup::discard(target, key).await?;
                Err(AttemptError::Superseded)
            }
            Err(error) => Err(internal(error).into()),
        }
    }

    /// The fence: of two workers that got the same attempt, one is refused here.
    pub(super) async fn start_attempt(
        &self,
        id: RunId,
        attempt: u32,
        pin: Box<Pin>,
    ) -> Result<(), AttemptError> {
        let (service, container) = (pin.spec.service.clone(), pin.source.container.clone());
        let command = RunCommand::Start { attempt, pin };
        let cause = Cause::system(job_name(id));
        match self.log().execute::<Run>(cause, id.0, command).await {
            Ok(_) => {
                tracing::info!(service, container, "the backup begins");
                Ok(())
            }
            Err(LogError::Refused(_)) => Err(AttemptError::Superseded),
            Err(error) => Err(internal(error).into()),
        }
    }

    /// Removes what a run that is over may have left in its target. `Err` brings the job back.
    pub async fn remove_leftovers(&self, id: RunId) -> Result<()> {
        let (run, _) = self.log().load::<Run>(id.0).await?;
        if !run.leftovers_due {
            return Ok(());
        }
        self.discard_abandoned(&run).await?;
        let cause = Cause::system(job_name(id));
        self.log()
            .execute::<Run>(cause, id.0, RunCommand::ConfirmLeftoversRemoved)
            .await?;
        Ok(())
    }

    /// Removes what earlier attempts may have left. Repeating it is harmless.
    pub(super) async fn discard_abandoned(&self, run: &Run) -> Result<(), Failure> {
        for (spec, key) in &run.abandoned {
            // This may come late, and a name that looked free may have been given away since.
            let later = runs::has_later_owner(self.db(), run.id, key).await;
            if later.map_err(internal)? {
                continue;
            }
            let target = self.target_of_run(run.config, &spec.first_target()).await?;
            backup::discard(&*target, &Key::parse(key)?).await?;
        }
        Ok(())
    }

    pub(super) async fn config_and_app(
        &self,
        id: ConfigId,
    ) -> Result<(configs::Model, apps::Model), Failure> {
        let gone = || {
            Failure::permanent(
                format!("the config {id} was removed before this run could start"),
                "",
            )
        };
        let config = configs::get(self.db(), id).await.map_err(internal)?;
        let config = config.filter(|c| c.removed_at.is_none()).ok_or_else(gone)?;
        let app = self
            .app_by_id(
                &Caller::system("backup"),
                crate::domain::ids::AppId(config.app_id),
            )
            .await
            .map_err(|_| gone())?;
        Ok((config, app))
    }

    /// A name nobody has: names carry the second, so a second attempt within it takes the next.
    pub(super) async fn free_key(
        &self,
        app: &str,
        config: i64,
        container: &str,
        at: DateTime<Utc>,
        extension: &str,
        spec: &ConfigSpec,
    ) -> Result<Key, Failure> {
        let target = self.target(spec).await?;
        for seconds in 0..60 {
            let at = at + TimeDelta::seconds(seconds);
            let key = layout::artifact_key(
                app,
                config,
                container,
                at,
                extension,
                spec.compression,
                !spec.encryption.is_none(),
            );
            if target.stat(&key).await?.is_none() {
                return Ok(key);
            }
        }
        Err(Failure::temporary("no free name for the artifact", ""))
    }

    /// How a failed attempt ends: cancelled, interrupted by a shutdown, to be retried, or failed.
    async fn conclude_failure(&self, id: RunId, attempt: u32, failure: Failure) -> Result<()> {
        let (run, _) = self.log().load::<Run>(id.0).await?;
        let started = run.status == RunStatus::Running && run.attempt == attempt;
        let command = if started && run.cancel_requested {
            RunCommand::ConfirmCancelled { attempt }
        } else if started && self.0.interrupt.is_cancelled() {
            RunCommand::Interrupt {
                attempt,
                counts: false,
                why: "the server was stopped".to_owned(),
            }
        } else if self.0.interrupt.is_cancelled() {
            return Err(AppError::Stopping);
        } else {
            tracing::warn!(error = %failure.message, "the backup failed");
            let failures = run.failures();
            let again = failures + 1 < self.settings().attempts;
            let failure =
                failure.or_hint("Look at the container and its own log, then run it again.");
            RunCommand::Fail {
                attempt,
                failure,
                retry_at: again.then(|| self.log().now() + self.retry_pause(failures)),
            }
        };
        let result = self
            .log()
            .execute::<Run>(Cause::system(job_name(id)), id.0, command)
            .await;
        match result {
            Ok(_) => Ok(()),
            // Somebody else ended the attempt meanwhile; its word counts.
            Err(LogError::Refused(Refusal::Stale { .. })) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Doubles with each failure; half of it is random, so that runs do not come back in step.
    pub(super) fn retry_pause(&self, failures: u32) -> Duration {
        let settings = self.settings();
        let full = settings
            .retry_base
            .saturating_mul(1 << failures.min(16))
            .min(settings.retry_max);
        let random =
            f64::from(u32::from_be_bytes(super::auth::random_bytes::<4>())) / f64::from(u32::MAX);
        full.mul_f64(0.5 + random / 2.0)
    }

    pub(super) async fn tell(&self, id: RunId, command: RunCommand) -> Result<(), Failure> {
        let cause = Cause::system(job_name(id));
        match self.log().execute::<Run>(cause, id.0, command).await {
            Ok(_) => Ok(()),
            Err(error) => Err(internal(error)),
        }
    }
}

fn cancelled() -> Failure {
    Failure::permanent("cancelled", "")
}

pub(super) fn internal(error: impl Into<AppError>) -> Failure {
    Failure::temporary(error.into().to_string(), "It is tried again.")
}

/// How far an attempt came that did not fail.
enum Went {
    ToItsEnd,
    /// It did not begin: others are at work on one of these containers, or a restore is half done.
    Occupied(BTreeSet<String>),
}

pub(super) enum AttemptError {
    /// Somebody else has or had this attempt; nothing to tell.
    Superseded,
    /// The server stops before it could begin.
    Stopping,
    Failed(Failure),
}

impl From<Failure> for AttemptError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub(super) struct RunStages {
    holdfast: Holdfast,
    run: RunId,
    attempt: u32,
}

impl RunStages {
    pub fn new(holdfast: &Holdfast, run: RunId, attempt: u32) -> Self {
        Self {
            holdfast: holdfast.clone(),
            run,
            attempt,
        }
    }
}

#[async_trait]
impl Stages for RunStages {
    async fn reach(&self, stage: Stage) -> Result<(), Failure> {
        let attempt = self.attempt;
        self.holdfast
            .tell(self.run, RunCommand::Reach { attempt, stage })
            .await
    }
}
