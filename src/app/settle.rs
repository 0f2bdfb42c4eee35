//! What a start does before anything else: settle whatever a dead process left. Nothing is asked of
//! the container engine here except to start what must run again, so that all is settled within
//! seconds even while the engine is away; the rest is durable work for the queue.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::{Holdfast, Result, own, restores, runs::job_name};
use crate::{
    docker::DockerError,
    domain::{
        failure::Failure,
        ids::RunId,
        restore::{Restore, RestoreCommand},
        run::{Obligation, Run, RunCommand},
    },
    failpoint,
    log::Cause,
    readmodel,
    strategy::service::{self, Found},
    target,
};

/// A start does not wait longer for the engine, whatever it is asked.
const ENGINE_PATIENCE: Duration = Duration::from_secs(3);
/// Nor for a target: one over a network may be away.
const TARGET_PATIENCE: Duration = Duration::from_secs(3);
/// The clock has other work than one service that does not start.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// What was found and settled, for the log and for tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    pub runs_interrupted: usize,
    pub restores_interrupted: usize,
    pub partials_removed: usize,
    pub services_started: usize,
}

impl Holdfast {
    /// Called once, before any worker runs. `why` is told in the events.
    pub async fn settle(&self, why: &str) -> Result<Settlement> {
        own::sweep(&self.settings().data_dir);
        if let Some(origin) = self.arrive().await? {
            tracing::warn!(
                copied_at = %origin.copied_at(),
                "this database is a copy that was brought back"
            );
        }
        let mut done = Settlement {
            partials_removed: self.sweep_targets().await + self.sweep_dead_uploads().await,
            ..Settlement::default()
        };
        let mut runs = Vec::new();
        for row in readmodel::runs::unfinished(self.db()).await? {
            runs.push(self.log().load::<Run>(row.id).await?.0);
        }
        self.end_programs(&runs).await;
        for run in &runs {
            done.runs_interrupted += usize::from(self.settle_run(run, why).await?);
        }
        for row in readmodel::restores::unfinished(self.db()).await? {
            let interrupted = self.interrupt_restore(&row, why).await?;
            done.restores_interrupted += usize::from(interrupted);
        }
        self.forget_given_keys().await;
        // What does not start in time is asked for again by the clock.
        if let Ok(started) = timeout(ENGINE_PATIENCE, self.settle_obligations()).await {
            done.services_started = started?;
        }
        Ok(done)
    }

    /// Interrupts what is at work by the log and by no worker of this process: the worker panicked, or
    /// the log could not take its word. Asked now and then by the clock.
    pub async fn settle_forsaken(&self) -> Result<usize> {
        const WHY: &str = "its worker ended without a word";
        let mut found = 0;
        // The rows first, then whether somebody is at work: in this order nobody can slip through.
        for row in readmodel::runs::unfinished(self.db()).await? {
            let at_work =
                row.status != "running" || self.0.jobs.is_running(&job_name(row.run_id()));
            if !at_work {
                let (run, _) = self.log().load::<Run>(row.id).await?;
                found += usize::from(self.settle_run(&run, WHY).await?);
            }
        }
        for row in readmodel::restores::unfinished(self.db()).await? {
            // One that is being settled has a job that comes back until it is.
            let at_work = row.settling
                || row.status == "queued"
                || self
                    .0
                    .jobs
                    .is_running(&restores::job_name(row.restore_id()));
            if !at_work {
                found += usize::from(self.interrupt_restore(&row, WHY).await?);
            }
        }
        Ok(found)
    }

    /// True when the restore, or its undo, had been at work.
    async fn interrupt_restore(&self, row: &readmodel::restores::Model, why: &str) -> Result<bool> {
        let (state, _) = self.log().load::<Restore>(row.id).await?;
        let interrupt = RestoreCommand::Interrupt {
            attempt: state.attempt,
            why: why.to_owned(),
        };
        let cause = Cause::system(restores::job_name(row.restore_id()));
        let told = self
            .log()
            .execute::<Restore>(cause, row.id, interrupt)
            .await;
        Ok(told.is_ok())
    }

    /// True when the run had been at work.
    async fn settle_run(&self, run: &Run, why: &str) -> Result<bool> {
        let interrupt = RunCommand::Interrupt {
            attempt: run.attempt,
            counts: true,
            why: why.to_owned(),
        };
        let cause = Cause::system(job_name(run.id));
        let told = self.log().execute::<Run>(cause, run.id.0, interrupt).await;
        let Ok(run) = told else {
            return Ok(false); // queued or waiting: nothing was at work
        };
        if run.status.is_over() {
            return Ok(true); // a job of its own removes what it left
        }
        match timeout(TARGET_PATIENCE, self.discard_abandoned(&run)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                tracing::warn!(run = run.id.0, error = %failure.message, "leftovers stay until the next attempt");
            }
            Err(_) => {
                tracing::warn!(
                    run = run.id.0,
                    "the target does not answer; leftovers stay until the next attempt"
                );
            }
        }
        Ok(true)
    }

    /// Ends the dumps that the dead process left running, in all containers at once. The engine may
    /// be away: not waited for.
    async fn end_programs(&self, runs: &[Run]) {
        let pins = runs.iter().filter_map(|run| run.pin.as_ref());
        let containers: BTreeSet<&str> = pins.map(|pin| pin.source.container_id.as_str()).collect();
        let sweeps = containers.into_iter().map(|container| async move {
            let sweep = async {
                self.0.engine.sweep_helpers(container).await?;
                self.0.engine.sweep(container, None).await
            };
            match timeout(ENGINE_PATIENCE, sweep).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, container, "cannot look for leftovers in it");
                }
                Err(_) => tracing::warn!(container, "the engine does not answer; not waited for"),
            }
        });
        join_all(sweeps).await;
    }

    /// Starts what hooks stopped and could not start again. Asked again and again by the clock until
    /// the engine did it. How many were started.
    pub async fn settle_obligations(&self) -> Result<usize> {
        let mut owed = BTreeMap::<_, BTreeSet<_>>::new();
        for row in readmodel::runs::with_obligations(self.db()).await? {
            for obligation in row.obligations() {
                let services = owed.entry(obligation.container().to_owned());
                let service = obligation.service().to_owned();
                services.or_default().insert((row.app_id, service));
            }
        }
        let starts = owed.iter().map(|(container, services)| async move {
            // Whoever works on it knows better whether it may run.
            let _turn = self.free_turn(container)?;
            // Under the turn: no restore begins meanwhile.
            match readmodel::restores::unsettle(self.db(), services).await {
                Ok(false) => {}
                Ok(true) => return None,
                Err(error) => {
                    tracing::warn!(%error, container, "it is not known whether it may run");
                    return None;
                }
            }
            match timeout(START_PATIENCE, self.start_owed(container, false)).await {
                Ok(Ok(found)) => return Some(usize::from(found == Found::Stopped)),
                Ok(Err(error)) => tracing::warn!(%error, container, "cannot start it again yet"),
                Err(_) => tracing::warn!(container, "it does not start; tried again"),
            }
            None
        });
        Ok(join_all(starts).await.into_iter().flatten().sum())
    }

    /// Starts a container and tells every run that owes it. The caller has the turn at it. `ended`:
    /// it was seen to have stopped, so that it runs now means that it was started since.
    pub(super) async fn start_owed(&self, container: &str, ended: bool) -> Result<Found> {
        let owed = self.owed(container).await?;
        if owed.is_empty() {
            return Ok(Found::Running);
        }
        let found = match service::start(&*self.0.engine, container).await {
            Err(DockerError::NoSuchContainer(_)) => Found::Gone,
            found => found.map_err(Failure::from)?,
        };
        failpoint::hit("hook.after_start");
        let now = self.log().now();
        for (run, obligation) in owed {
            let Obligation::Start { ends_by, .. } = &obligation;
            let may_still_end = ends_by.is_some_and(|by| by > now);
            if found == Found::Running && !ended && may_still_end {
                continue; // the engine was asked to stop it, and may be about to
            }
            let cause = Cause::system(job_name(run));
            let settle = RunCommand::Settle { obligation };
            self.log().execute::<Run>(cause, run.0, settle).await?;
        }
        Ok(found)
    }

    /// What runs owe this container.
    pub(super) async fn owed(&self, container: &str) -> Result<Vec<(RunId, Obligation)>> {
        let rows = readmodel::runs::with_obligations(self.db()).await?;
        let owed = rows.iter().flat_map(|row| {
            let open = row.obligations().into_iter();
            open.map(|obligation| (row.run_id(), obligation))
        });
        Ok(owed.filter(|(_, o)| o.container() == container).collect())
    }

    /// Partial data of dead processes, in every target that a config names.
    async fn sweep_targets(&self) -> usize {
        let local = target::kind("local")
            .and_then(|kind| kind.open(&self.0.place, &target::Settings::default()).ok());
        let Some(local) = local else { return 0 };
        match local.sweep().await {
            Ok(removed) => removed.len(),
            Err(error) => {
                tracing::warn!(%error, "partial files could not be removed");
                0
            }
        }
    }
}
