//! From the log to webhooks: a subscriber writes down what has to be told, and one loop sends it. Neither
//! is in any backup's way, and nothing that a receiver does ends either.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{
    app::Holdfast,
    log::{self, LogError, Recorded, Start, Subscriber, Unit},
};

/// Finds retries whose time has come.
const LOOK: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(5);

pub const NAME: &str = "notifier";

struct Notifier {
    holdfast: Holdfast,
}

#[async_trait]
impl Subscriber for Notifier {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self) -> Start {
        Start::Now
    }

    async fn react(&self, unit: &mut Unit, event: &Recorded) -> Result<(), LogError> {
        self.holdfast.note_deliveries(unit, event).await
    }

    fn committed(&self) {
        self.holdfast.letters().notify_one();
    }
}

/// Fixes where the first start begins, before anything can happen that has to be told.
pub async fn begin(holdfast: &Holdfast) -> Result<(), LogError> {
    let notifier = Notifier {
        holdfast: holdfast.clone(),
    };
    log::begin(holdfast.log(), &notifier).await.map(|_| ())
}

/// Runs until `stop`, and starts again when the database failed it.
pub async fn listen(holdfast: Holdfast, stop: CancellationToken) {
    let log = holdfast.log().clone();
    let notifier = Arc::new(Notifier { holdfast });
    loop {
        match log::subscribe(log.clone(), notifier.clone(), stop.clone()).await {
            Ok(()) => return,
            Err(error) => tracing::error!(%error, "the notifier starts again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Sends until `stop`. An attempt that is cut off by it is made again after the next start.
pub async fn deliver(holdfast: Holdfast, stop: CancellationToken) {
    loop {
        let sent = tokio::select! {
            () = stop.cancelled() => return,
            sent = holdfast.deliver_due() => sent,
        };
        match sent {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "deliveries are tried again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = holdfast.letters().notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
