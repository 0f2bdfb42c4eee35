//! One attempt of a backup of the server's own database: through the same engine, the same proof and the
//! same targets as any other.

use std::path::PathBuf;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{
    KIND, NAME,
    copy::{CopyValidator, OwnCopy},
    is_compact,
};
use crate::{
    app::{
        AppError, Holdfast,
        backup::{AttemptError, RunStages, internal},
        encryption,
        runs::job_name,
    },
    docker::Container,
    domain::{
        failure::Failure,
        ids::ConfigId,
        manifest::{Manifest, Source},
        run::{Pin, Run},
    },
    engine::backup::{self, Aftermath, Around, Order, Subject},
    readmodel::configs,
    strategy::{Dumped, Options, Probe, Sink, Site, StrategyError, Validator, by_hand},
};

impl Holdfast {
    pub(in crate::app) async fn attempt_own(
        &self,
        run: &Run,
        attempt: u32,
        cancel: &CancellationToken,
    ) -> Result<(), AttemptError> {
        let config = configs::get(self.db(), ConfigId::OWN).await;
        let config = config.map_err(internal)?.ok_or_else(|| {
            Failure::permanent("nobody has said how to back up Holdfast's own database", "")
        })?;
        let spec = config.spec();
        let target = self.target(&spec).await?;
        let started_at = self.log().now();
        let key = self.free_key(NAME, config.id, NAME, started_at, "db", &spec);
        let key = key.await?;
        let source = Source {
            container: NAME.to_owned(),
            image: format!("holdfast {}", env!("CARGO_PKG_VERSION")),
            ..Source::default()
        };
        let revision = u32::try_from(config.revision).unwrap_or_default();
        let pin = Box::new(Pin {
            config_revision: revision,
            spec: spec.clone(),
            source: source.clone(),
            key: key.to_string(),
        });
        self.start_attempt(run.id, attempt, pin).await?;
        let order = Order {
            run: run.id.0,
            attempt,
            app: NAME.to_owned(),
            service: spec.service.clone(),
            config: config.id,
            config_revision: revision,
            subject: Box::new(Database {
                holdfast: self.clone(),
                compact: is_compact(&spec),
            }),
            site: self.own_site(cancel),
            source,
            target: target.clone(),
            key: key.clone(),
            packing: encryption::packing(&spec)?,
            keys: self.own_keys(&spec).await?,
            verify: spec.verify_upload,
            estimate: self.estimate(run.config).await?,
            started_at,
        };
        let job = self.0.hub.begin(job_name(run.id));
        let stages = RunStages::new(self, run.id, attempt);
        let report = backup::run(&order, &stages, &Undisturbed, &job).await?;
        self.declare_success(run.id, attempt, report, &*target, &key)
            .await
    }

    /// Judges a copy of the database that was stored.
    pub(in crate::app) fn own_validator(&self) -> Box<dyn Validator> {
        Box::new(CopyValidator::new(&self.settings().data_dir))
    }

    /// No container, but what a backup asks of a site beside one.
    fn own_site(&self, cancel: &CancellationToken) -> Site {
        Site {
            engine: self.0.engine.clone(),
            container: Container {
                name: NAME.to_owned(),
                ..Container::default()
            },
            options: Options::default(),
            cancel: cancel.clone(),
            stall: self.settings().stall,
        }
    }
}

/// The server's own database, as what a backup reads.
struct Database {
    holdfast: Holdfast,
    compact: bool,
}

impl Database {
    fn data_dir(&self) -> &PathBuf {
        &self.holdfast.settings().data_dir
    }
}

#[async_trait]
impl Subject for Database {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn probe(&self, _: &Site) -> Result<Probe, StrategyError> {
        let size = std::fs::metadata(self.data_dir().join("holdfast.db"));
        let what = if self.compact { "compact" } else { "whole" };
        Ok(Probe {
            subject: format!("holdfast.db, {what}"),
            server: format!("holdfast {}", env!("CARGO_PKG_VERSION")),
            tool: "SQLite VACUUM INTO".to_owned(),
            size: size.ok().map(|meta| meta.len()),
        })
    }

    async fn backup(&self, site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError> {
        let copy = OwnCopy::take(&self.holdfast, self.compact).await;
        let mut body = copy.map_err(told)?.body().await.map_err(unread)?;
        while let Some(chunk) = body.next().await {
            if site.cancel.is_cancelled() {
                return Err(StrategyError::Cancelled);
            }
            sink.write(chunk.map_err(unread)?).await?;
        }
        Ok(Dumped::default())
    }

    fn validator(&self) -> Box<dyn Validator> {
        self.holdfast.own_validator()
    }

    fn by_hand(&self, manifest: &Manifest, file: &str) -> Vec<String> {
        vec![
            format!("{} > holdfast.db", by_hand::read(manifest, file)),
            "sqlite3 holdfast.db 'PRAGMA integrity_check'".to_owned(),
            "# with the server stopped, and with the master key that it had:".to_owned(),
            "holdfast --data-dir /var/lib/holdfast system restore holdfast.db".to_owned(),
        ]
    }
}

fn told(error: AppError) -> StrategyError {
    match error {
        AppError::Failed(failure) => StrategyError::Tool {
            temporary: failure.is_temporary(),
            message: failure.message,
            hint: failure.hint,
            detail: failure.detail,
        },
        error => StrategyError::refused(error.to_string(), ""),
    }
}

fn unread(error: std::io::Error) -> StrategyError {
    StrategyError::refused(format!("the copy cannot be read: {error}"), "")
}

/// Nothing is stopped or locked: a copy is one moment of the database as it is.
struct Undisturbed;

#[async_trait]
impl Around for Undisturbed {
    async fn before(&self, site: &Site) -> Result<Site, Failure> {
        Ok(site.clone())
    }

    async fn lost(&self) {
        std::future::pending::<()>().await;
    }

    async fn after(&self) -> Aftermath {
        Aftermath::default()
    }
}
