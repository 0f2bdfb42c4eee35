//! Power over the service that a strategy works on: stop it, start it, and work on its volumes while
//! it does not run.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, time};
use tracing::Instrument;

use super::{Site, StrategyError};
use crate::docker::{DockerError, Engine, HelperOrder, Tools};

/// How long a service may take to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(60);
/// How long a container that was started may take until it is seen to run.
const START: Duration = Duration::from_secs(30);
/// How long it must run on to count as started.
const LOOK: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(200);

impl Site {
    /// A helper on this service's volumes, removed when it is dropped.
    pub async fn helper(&self, tools: Tools, read_only: bool) -> Result<Helper, StrategyError> {
        let order = HelperOrder {
            of: &self.container,
            tools,
            read_only,
        };
        let container = self.engine.helper(order).await?;
        let guard = Guard {
            engine: self.engine.clone(),
            id: container.id.clone(),
            armed: true,
        };
        let site = Self {
            container,
            ..self.clone()
        };
        Ok(Helper { site, guard })
    }

    /// An error of a helper in the name of the service: nobody knows helpers.
    pub fn in_its_name(&self, error: StrategyError) -> StrategyError {
        let mut error = error;
        match &mut error {
            StrategyError::Unsettled(inner) => {
                let inner = std::mem::replace(&mut **inner, StrategyError::Cancelled);
                return StrategyError::Unsettled(self.in_its_name(inner).into());
            }
            StrategyError::Docker(
                DockerError::NotRunning(container)
                | DockerError::Cut { container, .. }
                | DockerError::Stalled { container, .. }
                | DockerError::NoExitCode { container, .. }
                | DockerError::NoSuchProgram { container, .. },
            ) => container.clone_from(&self.container.name),
            _ => {}
        }
        error
    }

    /// Stops the service; returns when it has ended. One that does not run is fine.
    pub async fn stop_service(&self) -> Result<(), StrategyError> {
        Ok(stop(&*self.engine, &self.container.id, GRACE).await?)
    }

    /// Starts the service; returns when it is seen to run. One that runs is fine.
    pub async fn start_service(&self) -> Result<(), StrategyError> {
        start(&*self.engine, &self.container.id).await?;
        Ok(())
    }
}

/// Stops a container and waits for its end.
pub async fn stop(
    engine: &dyn Engine,
    container: &str,
    grace: Duration,
) -> Result<(), DockerError> {
    engine.stop(container, grace).await?;
    engine.stopped(container).await
}

/// What a container was when it was to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It had ended, and was started.
    Stopped,
    /// It ran, or was about to end: until it has ended the engine says that it runs.
    Running,
    /// There is no such container any more.
    Gone,
}

/// Starts a container and looks whether it runs on. An engine takes a start of a container that is
/// about to end for done: so it is asked again until the container is seen to run. Never `Gone`:
/// that is `NoSuchContainer` here.
pub async fn start(engine: &dyn Engine, container: &str) -> Result<Found, DockerError> {
    let deadline = time::Instant::now() + START;
    let found = if engine.container(container).await?.running {
        Found::Running
    } else {
        Found::Stopped
    };
    loop {
        engine.start(container).await?;
        let ended = time::timeout(LOOK, engine.stopped(container)).await;
        let container_now = engine.container(container).await?;
        if ended.is_err() && container_now.running {
            return Ok(found);
        }
        if time::Instant::now() >= deadline {
            return Err(DockerError::NotRunning(container_now.name));
        }
        time::sleep(PAUSE).await;
    }
}

/// A container on the volumes of a service, to run programs in.
pub struct Helper {
    /// As the service's own, with the helper as its container.
    pub site: Site,
    guard: Guard,
}

impl Helper {
    /// Removes it now, and says when that cannot be done.
    pub async fn remove(mut self) -> Result<(), StrategyError> {
        let removed = self.guard.engine.remove_helper(&self.guard.id).await;
        self.guard.armed = removed.is_err();
        Ok(removed?)
    }
}

struct Guard {
    engine: Arc<dyn Engine>,
    id: String,
    armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !self.armed {
            return;
        }
        let (engine, id) = (self.engine.clone(), std::mem::take(&mut self.id));
        let removal = async move {
            if let Err(error) = engine.remove_helper(&id).await {
                tracing::warn!(%error, helper = %id, "a helper stays until the next work there");
            }
        };
        runtime.spawn(removal.in_current_span());
    }
}
