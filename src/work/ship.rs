//! Ships the log to the targets: soon after a run ended or a setting changed, and now and then whatever
//! else happened. A loop of its own, because a target may be slow or away.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::{
    app::Holdfast,
    domain::{event::Event, run::RunEvent},
};

/// What happens close together leaves together.
const GATHER: Duration = Duration::from_secs(2);
const PERIOD: Duration = Duration::from_secs(10 * 60);
/// While a target is away.
const AGAIN: Duration = Duration::from_secs(60);

pub async fn run(holdfast: Holdfast, stop: CancellationToken) {
    let mut committed = holdfast.log().live();
    loop {
        let shipped = tokio::select! {
            () = stop.cancelled() => return,
            shipped = holdfast.ship_log() => shipped,
        };
        let all = shipped.unwrap_or_else(|error| {
            tracing::error!(%error, "shipping the log is tried again");
            false
        });
        let due = async {
            let mut period = Box::pin(tokio::time::sleep(if all { PERIOD } else { AGAIN }));
            loop {
                tokio::select! {
                    () = &mut period => return,
                    event = committed.recv() => match event {
                        Ok(event) if matters(&event.event) => return,
                        Ok(_) => {}
                        Err(RecvError::Lagged(_)) => return,
                        Err(RecvError::Closed) => std::future::pending().await,
                    },
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = due => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(GATHER) => {}
        }
    }
}

/// Without it a recovery would lose an artifact's history, or what is to be backed up.
fn matters(event: &Event) -> bool {
    match event {
        Event::Run(change) => matches!(
            change,
            RunEvent::Succeeded { .. }
                | RunEvent::Failed { .. }
                | RunEvent::Cancelled { .. }
                | RunEvent::Pruned {}
                | RunEvent::VerificationFailed { .. }
        ),
        Event::App(_) | Event::Config(_) => true,
        Event::Restore(_) | Event::Access(_) | Event::Audit(_) | Event::Webhook(_) => false,
    }
}
