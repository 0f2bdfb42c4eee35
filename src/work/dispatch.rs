//! From the log to the queue: a subscriber whose checkpoint moves in the transaction that enqueues.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{flow, queue, queue::Bells};
use crate::{
    failpoint,
    log::{self, Log, LogError, Recorded, Start, Subscriber, Unit},
    readmodel::restores,
};

pub const NAME: &str = "dispatcher";

struct Dispatcher {
    bells: Bells,
}

#[async_trait]
impl Subscriber for Dispatcher {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self) -> Start {
        Start::Origin
    }

    async fn react(&self, unit: &mut Unit, event: &Recorded) -> Result<(), LogError> {
        for order in flow::follow(event) {
            queue::enqueue(unit.tx(), &order).await?;
        }
        if let Some(run) = flow::ended(event) {
            for restore in restores::waiting_for(unit.tx(), run).await? {
                queue::enqueue(unit.tx(), &flow::resume_restore(&restore)).await?;
            }
        }
        Ok(())
    }

    fn committed(&self) {
        failpoint::hit("dispatch.after_enqueue");
        self.bells.ring();
    }
}

/// Runs until `stop`, and starts again when the database failed it.
pub async fn run(log: Log, bells: Bells, stop: CancellationToken) {
    let dispatcher = Arc::new(Dispatcher { bells });
    loop {
        match log::subscribe(log.clone(), dispatcher.clone(), stop.clone()).await {
            Ok(()) => return,
            Err(error) => tracing::error!(%error, "the dispatcher starts again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}
