//! Work in a container ends at once when it is cancelled or the container stops: an engine ends the
//! streams of a dead container as if all were well, or not at all.

use std::{future::Future, time::Duration};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Site, StrategyError};
use crate::docker::DockerError;

/// How long work may go on after its container stopped: it often knows better how it ended.
const LAST_WORD: Duration = Duration::from_secs(1);

impl Site {
    /// Runs `work` as long as the container runs and nobody cancelled. Dropping `work` half-way
    /// must be safe.
    pub async fn watch<T>(
        &self,
        work: impl Future<Output = Result<T, StrategyError>>,
    ) -> Result<T, StrategyError> {
        tokio::pin!(work);
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(StrategyError::Cancelled),
            done = &mut work => return done,
            () = self.container_stopped() => {}
        }
        timeout(LAST_WORD, work).await.unwrap_or_else(|_| {
            let container = self.container.name.clone();
            let reason = "the container stopped".to_owned();
            Err(DockerError::Cut { container, reason }.into())
        })
    }

    /// The same place for tidying up after a cancel.
    #[must_use]
    pub fn uncancelled(&self) -> Self {
        Self {
            cancel: CancellationToken::new(),
            ..self.clone()
        }
    }

    /// Never resolves when the engine cannot say: then the streams themselves have to tell.
    async fn container_stopped(&self) {
        if self.engine.stopped(&self.container.id).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
