//! What comes due by the clock: slots of schedules, promises of schedules that were not kept, services
//! that a hook stopped and that could not be started yet, artifacts that nobody has read for long, and
//! work whose worker ended without a word.
//! Each of them is told by the log whether it is still due, so that a tick may come late, twice or not.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::{AppError, Holdfast};

const PERIOD: Duration = Duration::from_secs(5);
/// At most so long until slots are looked at: configs are added, and clocks are set.
const LOOK: Duration = Duration::from_secs(1);
/// Between looks at the labels of services: each asks the engine about all of them.
const LABELS: Duration = Duration::from_secs(10 * 60);

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
    let mut period = tokio::time::interval(LABELS);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = period.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            heeded = holdfast.heed_labels() => if let Err(error) = heeded {
                tracing::error!(%error, "labels are looked at again");
            },
        }
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
