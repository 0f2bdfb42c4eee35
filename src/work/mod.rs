//! Durable work: what events ask for becomes jobs in an apalis queue, and workers carry them out.
//! The queue only wakes and carries. Attempts, retries, leases and cancellation belong to the
//! domain, so a job that runs twice, late or never again does no harm.
//!
//! - `flow`: which jobs follow from an event (pure);
//! - `job`: what a job is, and the one call it makes;
//! - `queue`: the queue's table, filled inside the log's transaction;
//! - `dispatch`: from the log to the queue;
//! - `notify`: what is told to webhooks, and the loop that sends it;
//! - `worker`: takes jobs and is watched over;
//! - `ship`: the log on its way to the targets;
//! - `tick`: what comes due by the clock.

mod dispatch;
mod flow;
mod job;
pub mod notify;
mod queue;
mod ship;
mod tick;
mod worker;

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::{
    queue::waiting,
    worker::{Health, WorkerHealth},
};

/// Who reacts to events: after a recovery they begin behind what was recovered.
pub const SUBSCRIBERS: [&str; 2] = [dispatch::NAME, notify::NAME];

use crate::app::{AppError, Holdfast};

/// All background work of one process.
pub struct Work {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    holdfast: Holdfast,
    pub health: Arc<Health>,
}

impl Work {
    /// Settles what a dead process left, fills the queue from what the log says is unfinished, and
    /// starts dispatcher, workers and clock.
    pub async fn start(holdfast: Holdfast, why: &str) -> Result<Self, AppError> {
        let settled = holdfast.settle(why).await?;
        tracing::info!(?settled, "settled what was left");
        let bells = queue::Bells::default();
        queue::prepare(holdfast.log()).await?;
        queue::refill(holdfast.log()).await?;
        notify::begin(&holdfast).await?;

        let stop = CancellationToken::new();
        let health = Arc::new(Health::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(dispatch::run(
            holdfast.log().clone(),
            bells.clone(),
            stop.clone(),
        ));
        for queue in job::QUEUES {
            tasks.spawn(worker::supervise(
                holdfast.clone(),
                queue,
                bells.clone(),
                health.clone(),
                stop.clone(),
            ));
        }
        tasks.spawn(notify::listen(holdfast.clone(), stop.clone()));
        tasks.spawn(notify::deliver(holdfast.clone(), stop.clone()));
        tasks.spawn(tick::slots(holdfast.clone(), stop.clone()));
        tasks.spawn(ship::run(holdfast.clone(), stop.clone()));
        tasks.spawn(tick::run(holdfast.clone(), stop.clone()));
        tasks.spawn(tick::labels(holdfast.clone(), stop.clone()));
        tasks.spawn(tick::audit_detail(holdfast.clone(), stop.clone()));
        tasks.spawn(tick::done_jobs(holdfast.clone(), stop.clone()));
        Ok(Self {
            tasks,
            stop,
            holdfast,
            health,
        })
    }

    /// Stops claiming, lets running steps go on for `grace`, then interrupts them at their next
    /// chunk (which counts as no failure), and waits for the end.
    pub async fn stop(mut self, grace: Duration) {
        self.stop.cancel();
        self.holdfast.admit_no_more();
        let drain = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, drain).await.is_err() {
            self.holdfast.interrupt();
            while self.tasks.join_next().await.is_some() {}
        }
    }
}
