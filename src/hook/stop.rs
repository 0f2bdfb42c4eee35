//! `stop`: the service does not run while its data is read. That it is started again is written
//! down before it is stopped, and done as soon as the data is out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::time::timeout;

use super::{Held, Kind, Ledger, Place, Ran, Released};
use crate::{
    docker::Container,
    domain::{failure::Failure, hook::Phase},
    failpoint,
    strategy::service::{self, Found},
};

pub(super) struct Stop;

/// How long the engine may need to kill what did not end when it was asked.
const KILL: Duration = Duration::from_secs(30);

#[async_trait]
impl Kind for Stop {
    fn name(&self) -> &'static str {
        "stop"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["stop_container"]
    }

    fn label(&self) -> &'static str {
        "Stop the service"
    }

    fn refuses(&self, phase: Phase) -> Option<&'static str> {
        match phase {
            Phase::Before => None,
            Phase::After => Some(
                "stop belongs before the backup: what it stops is started again by itself as soon as the data is out",
            ),
        }
    }

    fn stops_service(&self) -> bool {
        true
    }

    /// All running containers of the service. Not cut off by a cancel: a stop that is half done is
    /// worse than one that is done and made good.
    async fn run(&self, place: &Place<'_>) -> Result<Ran, Failure> {
        let mut stopped = Stopped {
            ledger: place.ledger.clone(),
            containers: Vec::new(),
        };
        let mut killed = Vec::new();
        for container in place.containers {
            match stop(place, container, &mut stopped).await {
                Ok(true) => {}
                Ok(false) => killed.push(container.name.as_str()),
                Err(failure) => {
                    let released = Box::new(stopped).release().await;
                    for warning in released.warnings {
                        tracing::warn!(warning, "after a stop that failed");
                    }
                    return Err(failure);
                }
            }
        }
        if stopped.containers.is_empty() {
            return Ok(Ran::skipped("it did not run"));
        }
        let names = stopped.containers.iter().map(|(c, _)| c.name.as_str());
        let names: Vec<&str> = names.collect();
        let warning = (!killed.is_empty()).then(|| {
            let (names, limit) = (killed.join(", "), place.hook.timeout());
            format!("{names} did not end within {limit} s of being asked and was killed")
        });
        Ok(Ran {
            warning,
            ..Ran::done(format!("stopped {}", names.join(", ")))
        }
        .holding(stopped))
    }
}

/// False when it had to be killed. What is to be started again is in `stopped` even on `Err`.
async fn stop(
    place: &Place<'_>,
    container: &Container,
    stopped: &mut Stopped,
) -> Result<bool, Failure> {
    // One that an earlier run could not start again yet was meant to run.
    if !container.running && !place.ledger.is_owed_start(&container.id).await? {
        return Ok(true);
    }
    let grace = place.limit();
    if !place.ledger.owe_start(container, grace).await? {
        return Ok(true);
    }
    stopped.containers.push((container.clone(), false));
    failpoint::hit("hook.before_stop");
    let asked = Instant::now();
    let stop = service::stop(&**place.engine, &container.id, grace);
    match timeout(grace + KILL, stop).await {
        Ok(done) => done?,
        Err(_) => {
            return Err(Failure::temporary(
                format!("{} does not stop", container.name),
                "The engine's own log says more.",
            ));
        }
    }
    if let Some((_, ended)) = stopped.containers.last_mut() {
        *ended = true;
    }
    failpoint::hit("hook.after_stop");
    Ok(asked.elapsed() < grace)
}

/// Services that a hook stopped.
struct Stopped {
    ledger: Arc<dyn Ledger>,
    /// And whether they were seen to have ended.
    containers: Vec<(Container, bool)>,
}

#[async_trait]
impl Held for Stopped {
    /// In the opposite order, because what was stopped last may be needed first.
    async fn release(self: Box<Self>) -> Released {
        let mut released = Released::default();
        for (container, ended) in self.containers.iter().rev() {
            let name = &container.name;
            failpoint::hit("hook.before_start");
            let how = match self.ledger.start_again(&container.id, *ended).await {
                Ok(Found::Stopped) => continue,
                Ok(Found::Running) => "started by something else",
                Ok(Found::Gone) => "removed",
                Err(failure) => {
                    let why = failure.message;
                    let warning = format!(
                        "{name} could not be started again yet, and is tried until it runs: {why}"
                    );
                    released.warnings.push(warning);
                    continue;
                }
            };
            released.broken.get_or_insert_with(|| {
                Failure::temporary(
                    format!("{name} was {how} while it had to stand still for the backup"),
                    "Look who else has power over it: a person, a deployment, a watchdog.",
                )
            });
        }
        released
    }
}
