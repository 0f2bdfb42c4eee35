//! Work in a container ends at once when it is cancelled or the container stops: an engine ends the
//! streams of a dead container as if all were well, or not at all.

use std::future::Future;

use tokio_util::sync::CancellationToken;

use super::{Site, StrategyError};
use crate::docker::DockerError;

impl Site {
    /// Runs `work` as long as the container runs and nobody cancelled. Dropping `work` half-way
    /// must be safe.
    pub async fn watch<T>(
        &self,
        work: impl Future<Output = Result<T, StrategyError>>,
    ) -> Result<T, StrategyError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(StrategyError::Cancelled),
            done = work => done,
            () = self.container_stopped() => Err(DockerError::Cut {
                container: self.container.name.clone(),
                reason: "the container stopped".to_owned(),
            }
            .into()),
        }
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
