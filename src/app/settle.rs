//! What a start does before anything else: settle whatever a dead process left. Nothing is asked of
//! the container engine here except to start what must run again, so that all is settled within
//! seconds even while the engine is away; the rest is durable work for the queue.

use std::time::Duration;

use super::{Holdfast, Result, restores, runs::job_name};
use crate::{
    domain::{
        ids::RunId,
        restore::{Restore, RestoreCommand},
        run::{Obligation, Run, RunCommand},
    },
    log::Cause,
    readmodel, target,
};

/// A start does not wait longer for the engine, whatever it is asked.
const ENGINE_PATIENCE: Duration = Duration::from_secs(3);

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
        let mut done = Settlement {
            partials_removed: self.sweep_targets().await,
            ..Settlement::default()
        };
        for row in readmodel::runs::unfinished(self.db()).await? {
            done.runs_interrupted += usize::from(self.settle_run(row.run_id(), why).await?);
        }
        for row in readmodel::restores::unfinished(self.db()).await? {
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
            done.restores_interrupted += usize::from(told.is_ok());
        }
        done.services_started = self.settle_obligations().await?;
        Ok(done)
    }

    /// True when the run had been at work.
    async fn settle_run(&self, id: RunId, why: &str) -> Result<bool> {
        let (run, _) = self.log().load::<Run>(id.0).await?;
        if let Some(pin) = &run.pin {
            self.end_programs(&pin.source.container_id).await;
        }
        let interrupt = RunCommand::Interrupt {
            attempt: run.attempt,
            counts: true,
            why: why.to_owned(),
        };
        let cause = Cause::system(job_name(id));
        let Ok(run) = self.log().execute::<Run>(cause, id.0, interrupt).await else {
            return Ok(false); // queued or waiting: nothing was at work
        };
        if let Err(failure) = self.discard_abandoned(&run).await {
            tracing::warn!(run = id.0, error = %failure.message, "leftovers stay until the next attempt");
        }
        Ok(true)
    }

    /// Ends dumps that the dead process left running. The engine may be away: not waited for.
    async fn end_programs(&self, container: &str) {
        let sweep = self.0.engine.sweep(container, None);
        match tokio::time::timeout(ENGINE_PATIENCE, sweep).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, container, "cannot look for leftovers in it"),
            Err(_) => tracing::warn!(container, "the engine does not answer; not waited for"),
        }
    }

    /// Starts what a hook stopped. Asked again and again by the upkeep until the engine did it.
    pub async fn settle_obligations(&self) -> Result<usize> {
        let mut started = 0;
        for row in readmodel::runs::with_obligations(self.db()).await? {
            if self.0.jobs.is_running(&job_name(row.run_id())) {
                continue;
            }
            for obligation in row.obligations() {
                let Obligation::Start { container, .. } = &obligation;
                if let Err(error) = self.0.engine.start(container).await {
                    tracing::warn!(%error, container, "cannot start it again yet");
                    continue;
                }
                let cause = Cause::system(job_name(row.run_id()));
                self.log()
                    .execute::<Run>(cause, row.id, RunCommand::Settle { obligation })
                    .await?;
                started += 1;
            }
        }
        Ok(started)
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
