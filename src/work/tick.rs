//! What comes due by the clock: slots of schedules, promises of schedules that were not kept, services
//! that a hook stopped and that could not be started yet, artifacts that nobody has read for long, detail
//! of the audit log that is old enough to go, and work whose worker ended without a word.
//! Each of them is told by the log whether it is still due, so that a tick may come late, twice or not.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::queue;
use crate::app::{AppError, Holdfast};

const PERIOD: Duration = Duration::from_secs(5);
/// At most so long until slots are looked at: configs are added, and clocks are set.
const LOOK: Duration = Duration::from_secs(1);
/// Between looks at the labels of services: each asks the engine about all of them.
const LABELS: Duration = Duration::from_secs(10 * 60);
/// Between looks at audit detail that is too old, and at jobs that are done.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub async fn run(holdfast: Holdfast, stop: CancellationToken) {
    let mut period = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = period.tick() => {}
        }
        if let Err(error) = tick(&holdfast).await {
            tracing::error!(%error, "the clock's work is tried again");
        }
    }
}

/// Apart from the rest, which may wait for others: a slot is settled when it is due.
pub async fn slots(holdfast: Holdfast, stop: CancellationToken) {
    loop {
        let pause = match holdfast.settle_slots().await {
            Ok(next) => next.unwrap_or(LOOK).min(LOOK),
            Err(error) => {
                tracing::error!(%error, "slots are looked at again");
                LOOK
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Apart from the rest: it waits for the engine.
pub async fn labels(holdfast: Holdfast, stop: CancellationToken) {
    let heed = || holdfast.heed_labels();
    again_and_again(LABELS, &stop, "labels are looked at again", heed).await;
}

/// Apart from the rest: it reads segments from targets.
pub async fn audit_detail(holdfast: Holdfast, stop: CancellationToken) {
    let then = "old audit detail is looked at again tomorrow";
    let prune = || holdfast.prune_old_detail();
    again_and_again(DAY, &stop, then, prune).await;
}

/// Apart from the rest: a year of jobs takes its time.
pub async fn done_jobs(holdfast: Holdfast, stop: CancellationToken) {
    let sweep = || async { Ok(queue::sweep(holdfast.log()).await?) };
    again_and_again(DAY, &stop, "jobs that are done are removed tomorrow", sweep).await;
}

/// `then` is what an error is followed by. What is at work when it is to stop is broken off.
async fn again_and_again<F, T>(
    period: Duration,
    stop: &CancellationToken,
    then: &str,
    work: impl Fn() -> F,
) where
    F: Future<Output = Result<T, AppError>>,
{
    let mut period = tokio::time::interval(period);
    let working = async {
        loop {
            period.tick().await;
            if let Err(error) = work().await {
                tracing::error!(%error, "{then}");
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = working => {}
    }
}

async fn tick(holdfast: &Holdfast) -> Result<(), AppError> {
    holdfast.settle_obligations().await?;
    let forsaken = holdfast.settle_forsaken().await?;
    if forsaken > 0 {
        tracing::warn!(forsaken, "jobs without a worker are settled");
    }
    holdfast.tell_overdue().await?;
    holdfast.verify_longest_unseen().await
}
