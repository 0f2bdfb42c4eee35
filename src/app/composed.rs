//! An app's compose file: read anew each time it is asked for, on a thread that may wait.

use std::path::PathBuf;

use super::{AppError, Holdfast, Result};
use crate::{
    compose::{self, ComposeError, Composition},
    domain::secret::Secret,
    readmodel::apps,
};

/// Where a compose file comes from.
pub(super) enum Source {
    /// One absolute path, or several with `:` between them.
    Path(String),
    Text(Secret),
}

impl Source {
    /// The outer error is the server's own.
    pub async fn read(self) -> Result<Result<Composition, ComposeError>> {
        let work = move || match self {
            Self::Path(paths) => {
                let paths: Vec<PathBuf> = paths.split(':').map(PathBuf::from).collect();
                compose::read(&paths)
            }
            Self::Text(text) => compose::parse(text.expose()),
        };
        let read = tokio::task::spawn_blocking(work).await;
        read.map_err(|error| AppError::Internal(error.to_string()))
    }
}

impl Holdfast {
    /// The app as its compose file describes it, or why that cannot be read; `None` when the app
    /// has none.
    pub(super) async fn composition(
        &self,
        app: &apps::Model,
    ) -> Result<Option<Result<Composition, ComposeError>>> {
        let spec = app.spec();
        let source = match (spec.compose_path, spec.compose_upload) {
            (Some(path), _) => Source::Path(path),
            (None, Some(reference)) => Source::Text(self.0.vault.get(self.db(), &reference).await?),
            (None, None) => return Ok(None),
        };
        source.read().await.map(Some)
    }
}
