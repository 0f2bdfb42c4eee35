//! Where a restore, its settling or its undo works: what is brought back, by which strategy, in which
//! container, as whom.

use sea_orm::DbErr;
use tokio_util::sync::CancellationToken;

use super::{
    Holdfast,
    restore::internal,
    restores::DestinationNow,
    sites, uploads,
    whereabouts::{Found, Search},
};
use crate::{
    docker::DockerError,
    domain::{
        config::ConfigSpec,
        failure::Failure,
        ids::{AppId, ConfigId, RunId},
        manifest::Fingerprint,
        restore::{Restore, RestoreSource, Upload},
    },
    readmodel::{apps, configs, runs},
    strategy::{Probe, Site, Strategy},
};

/// Where a restore, its settling or its undo works.
pub(super) struct PlaceOfRestore {
    pub backup: Backup,
    app: apps::Model,
    pub strategy: &'static dyn Strategy,
    pub site: Site,
}

/// What is brought back.
pub(super) enum Backup {
    /// And the one place that it is to be read from, where somebody chose.
    Run(Box<runs::Model>, Option<u32>),
    Upload(Box<Upload>),
}

impl Backup {
    /// As the run pinned it.
    pub fn pinned_spec(&self) -> Option<ConfigSpec> {
        match self {
            Self::Run(run, _) => run.pin().map(|pin| pin.spec),
            Self::Upload(_) => None,
        }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Run(run, _) => run.fingerprint().unwrap_or_default(),
            Self::Upload(upload) => upload.fingerprint.clone(),
        }
    }

    pub fn raw_bytes(&self) -> Option<u64> {
        match self {
            Self::Run(run, _) => u64::try_from(run.raw_bytes?).ok(),
            Self::Upload(upload) => Some(upload.artifact.raw_bytes),
        }
    }
}

impl Holdfast {
    pub(super) async fn restore_place(
        &self,
        state: &Restore,
        cancel: &CancellationToken,
    ) -> Result<PlaceOfRestore, Failure> {
        let app = apps::get(self.db(), AppId(state.app.0))
            .await
            .map_err(internal)?
            .ok_or_else(|| Failure::permanent("the app of this restore is gone", ""))?;
        // Once started, the container is the one it started in, whatever has been renamed since;
        // the service's present one where that was made anew, with the same volumes.
        let pinned = match &state.destination {
            Some(destination) => match self.0.engine.container(&destination.container_id).await {
                Err(DockerError::NoSuchContainer(_)) => None,
                found => Some(found?),
            },
            None => None,
        };
        let container = match pinned {
            Some(container) => container,
            None => self.container_of(&app, &state.service).await?,
        };
        let (backup, spec) = match &state.source {
            RestoreSource::Upload { upload } => {
                (Backup::Upload(upload.clone()), upload.spec.clone())
            }
            RestoreSource::Run { run, from, .. } => {
                let run = self.run_of(*run).await?;
                let (pinned, config) = (pinned_spec(&run)?, ConfigId(run.backup_config_id));
                let spec = self.spec_at(&app, &state.service, pinned, config).await?;
                (Backup::Run(Box::new(run), *from), spec)
            }
        };
        Ok(PlaceOfRestore {
            strategy: sites::strategy_of(&spec)?,
            site: self.site(container, &spec, cancel.clone()).await?,
            backup,
            app,
        })
    }

    /// Where to look for what is brought back.
    pub(super) async fn search_for(&self, place: &PlaceOfRestore) -> Result<Search, Failure> {
        match &place.backup {
            Backup::Run(run, from) => self.search(run, *from).await,
            Backup::Upload(upload) => Ok(Search::over(Found {
                manifest: uploads::manifest(upload, &place.app, self.log().now()),
                target: self.scratch()?,
                copy: None,
            })),
        }
    }

    /// How to work in `service`. The pin says what was backed up and how; who may log in today, the
    /// present config knows. Another service has options and accounts of its own: those of its own
    /// config, else what its container says.
    async fn spec_at(
        &self,
        app: &apps::Model,
        service: &str,
        mut pinned: ConfigSpec,
        config: ConfigId,
    ) -> Result<ConfigSpec, Failure> {
        if service == pinned.service {
            let config = configs::get(self.db(), config).await.map_err(internal)?;
            if let Some(present) = config.filter(|config| config.removed_at.is_none()) {
                pinned.credentials.extend(present.spec().credentials);
            }
            return Ok(pinned);
        }
        let own = self.own_spec(app, service, &pinned.strategy).await;
        Ok(own.map_err(internal)?.unwrap_or_else(|| ConfigSpec {
            service: service.to_owned(),
            strategy: pinned.strategy,
            paths: pinned.paths,
            ..ConfigSpec::default()
        }))
    }

    /// What the service's own config of this strategy says, when it has one.
    pub(super) async fn own_spec(
        &self,
        app: &apps::Model,
        service: &str,
        strategy: &str,
    ) -> Result<Option<ConfigSpec>, DbErr> {
        let configs = configs::of_app(self.db(), app.app_id()).await?;
        let mut specs = configs.into_iter().map(|config| config.spec());
        Ok(specs.find(|own| own.service == service && own.strategy == strategy))
    }

    async fn run_of(&self, id: RunId) -> Result<runs::Model, Failure> {
        runs::get(self.db(), id)
            .await
            .map_err(internal)?
            .ok_or_else(|| Failure::permanent("the run of this restore is gone", ""))
    }

    pub(super) async fn destination_now(
        &self,
        app: &apps::Model,
        run: &runs::Model,
        service: &str,
        subject: &str,
    ) -> Result<DestinationNow, Failure> {
        let pinned = pinned_spec(run)?;
        let strategy = sites::strategy_of(&pinned)?;
        let container = self.container_of(app, service).await?;
        sites::must_run_for(strategy, &container)?;
        if service != pinned.service {
            self.must_be_of_kind(app, &pinned.strategy, &container)
                .await?;
        }
        let config = ConfigId(run.backup_config_id);
        let spec = self.spec_at(app, service, pinned, config).await?;
        let site = self
            .site(container, &spec, CancellationToken::new())
            .await?;
        let probe = if site.container.running {
            strategy.destination(&site, subject).await?
        } else {
            Probe::default()
        };
        Ok(DestinationNow {
            container: site.container.name,
            image: site.container.image,
            server: probe.server,
            subject: probe.subject,
            size: probe.size,
        })
    }
}

pub(super) fn pinned_spec(run: &runs::Model) -> Result<ConfigSpec, Failure> {
    run.pin().map(|pin| pin.spec).ok_or_else(|| {
        Failure::permanent(
            format!(
                "run {} never started, so there is nothing to restore",
                run.id
            ),
            "Choose a successful run.",
        )
    })
}
