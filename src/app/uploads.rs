//! Restores from a file that somebody sends. It is received into a place of its own below the data
//! folder, judged there as a whole, and only then becomes a restore like any other; it stays until
//! that restore has ended.
//!
//! Nothing is removed but by one rule (`sweep_uploads`): what no request is receiving and no restore
//! that is not over names, goes. So whatever dies in between, the next look puts it right.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use super::{AppError, Caller, Holdfast, Result, encryption, restores::refuse_second, sites};
use crate::{
    docker::Container,
    domain::{
        config::ConfigSpec,
        event::StreamKind,
        failure::{Failure, one_of},
        ids::RestoreId,
        manifest::{FORMAT, Manifest, Source},
        restore::{Restore, RestoreCommand, RestoreSource, Upload},
        secret::Secret,
        text,
    },
    engine::intake::{self, Refused},
    readmodel::{apps, restores},
    strategy::{self, Strategy},
    target::{self, ByteStream, Key, Stored, Target},
};

#[derive(Debug, Clone, Default)]
pub struct UploadInput {
    pub strategy: String,
    /// A service of the app, or the name of one's container.
    pub service: String,
    /// The private key, or a file of keys, that opens an encrypted file.
    pub identity: Option<Secret>,
}

/// Keys that requests of this process are receiving, or have received and not yet decided on.
#[derive(Default)]
pub(super) struct Receiving(Mutex<HashSet<String>>);

/// A received file. Gone when this is dropped before a restore took it.
pub struct Received {
    /// What it was called where it came from.
    name: String,
    key: Key,
    stored: Stored,
    hold: Hold,
}

/// Keeps `sweep_uploads` from the file.
struct Hold {
    holdfast: Holdfast,
    key: String,
}

impl Hold {
    fn new(holdfast: &Holdfast, key: &str) -> Self {
        holdfast.0.receiving.keys().insert(key.to_owned());
        Self {
            holdfast: holdfast.clone(),
            key: key.to_owned(),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holdfast.0.receiving.keys().remove(&self.key);
        // Of a file that a restore took, this finds that it did.
        let holdfast = self.holdfast.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { holdfast.sweep_uploads().await });
        }
    }
}

impl Receiving {
    fn keys(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holdfast {
    /// Looks whether such a file could be restored at all, before it is received.
    pub async fn check_upload(
        &self,
        caller: &Caller,
        slug: &str,
        input: &UploadInput,
    ) -> Result<()> {
        self.upload_place(caller, slug, input).await.map(drop)
    }

    /// Receives the file. `name` is what it is called, for people; `size_hint` in bytes.
    pub async fn receive_upload(
        &self,
        caller: &Caller,
        slug: &str,
        name: &str,
        body: ByteStream,
        size_hint: Option<u64>,
    ) -> Result<Received> {
        self.app_to_act_in(caller, slug).await?;
        let key = format!("upload-{}", hex::encode(super::auth::random_bytes::<16>()));
        let key = Key::parse(&key).map_err(Failure::from)?;
        let hold = Hold::new(self, key.as_str());
        let target = self.scratch()?;
        let stall = self.settings().stall;
        let stored = intake::take(&*target, &key, body, size_hint, stall)
            .await
            .map_err(|failure| sites::as_field("file", failure))?;
        Ok(Received {
            name: super::apps::shown(name),
            key,
            stored,
            hold,
        })
    }

    /// Judges the file, and asks for its restore. 409 while another restore of the service is not
    /// over.
    pub async fn restore_upload(
        &self,
        caller: &Caller,
        slug: &str,
        received: Received,
        input: &UploadInput,
    ) -> Result<RestoreId> {
        let (app, strategy, container) = self.upload_place(caller, slug, input).await?;
        let service = container.service().unwrap_or(&input.service).to_owned();
        let keys = encryption::given(input.identity.as_ref())?;
        let judged = intake::judge(
            &*self.scratch()?,
            &received.key,
            received.stored.clone(),
            &keys,
            strategy,
            &self.0.interrupt,
        )
        .await;
        let (artifact, fingerprint) = judged.map_err(|refused| match refused {
            Refused::File(failure) => sites::as_field("file", failure),
            Refused::Key(failure) => sites::as_field("identity", failure),
        })?;
        let given = input.identity.clone().filter(|_| artifact.is_encrypted());
        let upload = Upload {
            name: received.name.clone(),
            spec: self.upload_spec(&app, &service, strategy.kind()).await?,
            artifact,
            fingerprint,
        };
        let (log, cause, hold, app) = (
            self.log().clone(),
            caller.cause(),
            received.hold,
            app.app_id(),
        );
        let vault = self.0.vault.clone();
        // To its end, whoever still waits for it: half way, nobody could say whose the file is.
        let decided = tokio::spawn(async move {
            let written = log.write(cause, move |unit| {
                Box::pin(async move {
                    refuse_second(unit, app, &service, None).await?;
                    let identity = match &given {
                        Some(identity) => Some(vault.lend(unit, identity).await?),
                        None => None,
                    };
                    let restore = RestoreId(unit.next_id(StreamKind::Restore).await?);
                    let command = RestoreCommand::Request {
                        restore,
                        source: RestoreSource::Upload {
                            upload: Box::new(upload),
                        },
                        app,
                        service,
                        identity,
                    };
                    unit.execute::<Restore>(restore.0, command).await?;
                    Ok(restore)
                })
            });
            let written = written.await;
            drop(hold);
            written
        });
        let decided = decided.await;
        Ok(decided.map_err(|error| AppError::Internal(error.to_string()))??)
    }

    /// The restore may be over: then neither its file nor the key that was given for it is needed any
    /// more.
    pub(super) async fn let_go(&self, id: RestoreId) -> Result<()> {
        let row = restores::get(self.db(), id).await?;
        if row.is_some_and(|row| row.upload.is_some() && row.is_over()) {
            self.sweep_uploads().await;
        }
        self.forget_given_keys().await;
        Ok(())
    }

    /// Where the file would go: everything that can be wrong with the request is told by its field.
    async fn upload_place(
        &self,
        caller: &Caller,
        slug: &str,
        input: &UploadInput,
    ) -> Result<(apps::Model, &'static dyn Strategy, Container)> {
        let app = self.app_to_act_in(caller, slug).await?;
        let strategy = strategy::find(&input.strategy).ok_or_else(|| {
            AppError::field("strategy", one_of(strategy::ALL.iter().map(|s| s.kind())))
        })?;
        text::container_name("container", &input.service)?;
        let refused = |failure| sites::as_field("container", failure);
        let container = self.container_of(&app, &input.service).await;
        let container = container.map_err(refused)?;
        sites::must_run_for(strategy, &container).map_err(|error| refused(error.into()))?;
        self.must_be_of_kind(&app, strategy.kind(), &container)
            .await
            .map_err(refused)?;
        Ok((app, strategy, container))
    }

    /// How to work in the service: as its own config of this kind says, else as its container does.
    async fn upload_spec(
        &self,
        app: &apps::Model,
        service: &str,
        strategy: &str,
    ) -> Result<ConfigSpec> {
        let own = self.own_spec(app, service, strategy).await?;
        let mut spec = own.unwrap_or_else(|| ConfigSpec {
            service: service.to_owned(),
            strategy: strategy.to_owned(),
            ..ConfigSpec::default()
        });
        // Where that config stores is nothing to this.
        "local".clone_into(&mut spec.target);
        spec.target_settings.clear();
        spec.target_secrets.clear();
        Ok(spec)
    }

    /// The place where uploads lie until their restore is over.
    pub(super) fn scratch(&self) -> Result<Arc<dyn Target>, Failure> {
        let place = target::Place {
            local_root: self.settings().data_dir.join("uploads"),
            ..self.0.place.clone()
        };
        let local = target::kind("local");
        let opened = local.and_then(|kind| kind.open(&place, &target::Settings::default()).ok());
        let target =
            opened.ok_or_else(|| Failure::permanent("there is no place for uploads", ""))?;
        Ok(self.decorated(target))
    }

    /// Removes files that nobody receives any more and no restore needs; answers how many.
    pub(super) async fn sweep_uploads(&self) -> usize {
        match self.try_sweep_uploads().await {
            Ok(removed) => removed,
            Err(error) => {
                tracing::warn!(%error, "uploads that are not needed stay until the next start");
                0
            }
        }
    }

    async fn try_sweep_uploads(&self) -> Result<usize> {
        let target = self.scratch()?;
        // In this order nothing can slip through: what is held now is either still undecided, or in
        // the log by the time that is asked.
        let entries = target.list("").await.map_err(Failure::from)?;
        let held = self.0.receiving.keys().clone();
        let mut removed = 0;
        if entries
            .iter()
            .all(|entry| held.contains(entry.key.as_str()))
        {
            return Ok(removed);
        }
        let rows = restores::unfinished(self.db()).await?;
        let needed: HashSet<String> = rows
            .iter()
            .filter_map(|row| Some(row.upload()?.artifact.key))
            .collect();
        for entry in entries {
            let key = entry.key.as_str();
            if !held.contains(key) && !needed.contains(key) {
                target.delete(&entry.key).await.map_err(Failure::from)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// At start, when nothing is being received: what a dead process left half written, too.
    pub(super) async fn sweep_dead_uploads(&self) -> usize {
        let partial = match self.scratch() {
            Ok(target) => target.sweep().await.map_or(0, |removed| removed.len()),
            Err(_) => 0,
        };
        partial + self.sweep_uploads().await
    }
}

/// As a backup's manifest would say it, as far as a file alone can tell.
pub(super) fn manifest(
    upload: &Upload,
    app: &apps::Model,
    at: chrono::DateTime<chrono::Utc>,
) -> Manifest {
    Manifest {
        format: FORMAT,
        run: 0,
        attempt: 0,
        app: app.slug.clone(),
        service: upload.spec.service.clone(),
        config: 0,
        config_revision: 0,
        strategy: upload.spec.strategy.clone(),
        source: Source::default(),
        artifact: upload.artifact.clone(),
        fingerprint: upload.fingerprint.clone(),
        warnings: Vec::new(),
        started_at: at,
        finished_at: at,
        restore_by_hand: Vec::new(),
    }
}
