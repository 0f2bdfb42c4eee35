//! Hands committed events, in order and from a checkpoint, to something that reacts to them. The
//! reaction writes in the same transaction that moves the checkpoint, so it may be repeated by
//! nobody and lost by nothing; what it causes outside must be a job of its own.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{Cause, Log, LogError, Recorded, Unit, projection};

pub(super) const KIND: &str = "subscriber";
const BATCH: u64 = 200;

/// Where a subscriber without a checkpoint begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first event there ever was.
    Origin,
    /// After the newest: for what must not repeat the past to the outside world.
    Now,
}

#[async_trait]
pub trait Subscriber: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    fn start(&self) -> Start;
    /// Reacts inside `unit`. An error rolls the whole batch back; it is tried again.
    async fn react(&self, unit: &mut Unit, event: &Recorded) -> Result<(), LogError>;
    /// Called after a batch was committed.
    fn committed(&self) {}
}

/// Runs until `stop`. Ends with an error only when the database fails; the caller restarts it.
pub async fn run(
    log: Log,
    subscriber: std::sync::Arc<dyn Subscriber>,
    stop: CancellationToken,
) -> Result<(), LogError> {
    let mut head = log.watch_head();
    let mut at = begin(&log, &*subscriber).await?;
    loop {
        head.borrow_and_update();
        let batch = log.read_from(at, BATCH).await?;
        if let Some(last) = batch.last().map(|event| event.position) {
            handle(&log, &subscriber, batch, last).await?;
            at = last;
            subscriber.committed();
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = head.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

/// Where a subscriber stands. Called before what it has to hear of can happen, it fixes where one begins
/// that has never been.
pub async fn begin(log: &Log, subscriber: &dyn Subscriber) -> Result<i64, LogError> {
    let begun = projection::position(log.db(), KIND, subscriber.name()).await?;
    if let Some((_, position)) = begun {
        return Ok(position);
    }
    match subscriber.start() {
        Start::Origin => Ok(0),
        // Written down at once: after a crash "now" would be later, and what came between unheard.
        Start::Now => {
            let (name, head) = (subscriber.name(), log.head());
            log.write(Cause::system(name), move |unit| {
                Box::pin(async move {
                    projection::set_position(unit.tx(), KIND, name, 1, head).await?;
                    Ok(())
                })
            })
            .await?;
            Ok(head)
        }
    }
}

async fn handle(
    log: &Log,
    subscriber: &std::sync::Arc<dyn Subscriber>,
    batch: Vec<Recorded>,
    last: i64,
) -> Result<(), LogError> {
    let subscriber = subscriber.clone();
    log.write(Cause::system(subscriber.name()), move |unit| {
        Box::pin(async move {
            for event in &batch {
                subscriber.react(unit, event).await?;
            }
            projection::set_position(unit.tx(), KIND, subscriber.name(), 1, last).await?;
            Ok(())
        })
    })
    .await
}
