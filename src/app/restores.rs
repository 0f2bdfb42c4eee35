//! Restores as people see them: preview, ask for one, cancel, undo. The work is in `restore`.

use super::{
    AppError, Caller, Holdfast, Result, detect, encryption, place::pinned_spec, sites,
    whereabouts::Whereabout,
};
use crate::{
    docker::Container,
    domain::{
        access::Role,
        aggregate::Refusal,
        config::ConfigSpec,
        event::StreamKind,
        failure::Failure,
        ids::{AppId, ConfigId, RestoreId, RunId},
        manifest::Manifest,
        restore::{Restore, RestoreCommand, RestoreSource},
        run::{Run, RunCommand, Trigger},
        secret::Secret,
        text,
    },
    engine::codec,
    log::{LogError, Unit},
    readmodel::{apps, configs, restores, runs},
};

#[derive(Debug, Clone, Default)]
pub struct RestoreInput {
    /// Another service of the same app; the one that was backed up when absent.
    pub service: Option<String>,
    /// The private key, or a file of keys, that opens an encrypted backup.
    pub identity: Option<Secret>,
    /// The one place that the backup is read from: 0 is its first target, 1 its first further one. From the
    /// first that has it when absent.
    pub from: Option<u32>,
    /// Back up what is there first, by the config that made the backup; begin when that is good.
    pub safety_backup: bool,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedRestore {
    pub restore: RestoreId,
    /// The run that goes before it.
    pub safety: Option<RunId>,
}

/// What a person should see before they say yes.
#[derive(Debug, Clone)]
pub struct Preview {
    pub run: runs::Model,
    pub app: apps::Model,
    pub service: String,
    pub manifest: Manifest,
    /// Where the backup lies, or should.
    pub places: Vec<Whereabout>,
    /// The destination as it is now, or why it cannot be restored into.
    pub destination: Result<DestinationNow, String>,
    /// How long the dump took, in milliseconds: a restore takes about twice as long.
    pub dump_ms: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct DestinationNow {
    pub container: String,
    pub image: String,
    pub server: String,
    pub subject: String,
    pub size: Option<u64>,
}

impl Holdfast {
    pub async fn preview_restore(
        &self,
        caller: &Caller,
        id: RunId,
        service: Option<String>,
        from: Option<u32>,
    ) -> Result<Preview> {
        let run = self.restorable(caller, id).await?;
        let app = self.app_by_id(caller, AppId(run.app_id)).await?;
        let places = self.whereabouts(&run).await?;
        must_hold(from, &places)?;
        let manifest = self.read_manifest(&run, from).await?;
        let service = service.unwrap_or_else(|| manifest.service.clone());
        let subject = manifest.source.subject.as_str();
        let destination = self.destination_now(&app, &run, &service, subject).await;
        Ok(Preview {
            dump_ms: run.duration_ms(),
            destination: destination.map_err(|failure| failure.message),
            run,
            app,
            service,
            manifest,
            places,
        })
    }

    /// 409 while another restore of the same service is not over.
    pub async fn request_restore(
        &self,
        caller: &Caller,
        id: RunId,
        input: RestoreInput,
    ) -> Result<RestoreId> {
        Ok(self.request_safe_restore(caller, id, input).await?.restore)
    }

    /// The same; answers the safety backup too.
    pub async fn request_safe_restore(
        &self,
        caller: &Caller,
        id: RunId,
        input: RestoreInput,
    ) -> Result<RequestedRestore> {
        caller.must_be(Role::Operator)?;
        let run = self.restorable(caller, id).await?;
        let app = self.app_by_id(caller, AppId(run.app_id)).await?;
        let from = input.from;
        must_hold(from, &self.whereabouts(&run).await?)?;
        let pinned = pinned_spec(&run)?;
        let strategy = sites::strategy_of(&pinned)?;
        let service = input.service.unwrap_or_else(|| pinned.service.clone());
        text::container_name("service", &service)?;
        let refused = |failure| sites::as_field("service", failure);
        let container = self.container_of(&app, &service).await.map_err(refused)?;
        sites::must_run_for(strategy, &container).map_err(|error| refused(error.into()))?;
        if service != pinned.service {
            self.must_be_of_kind(&app, &pinned.strategy, &container)
                .await
                .map_err(refused)?;
        }
        let given = must_open(&run, &pinned, input.identity)?;
        // A container's name was said: from here on it is its service.
        let service = container.service().map_or(service, str::to_owned);
        let config = if input.safety_backup {
            Some(self.config_of_service(&run, &service).await?)
        } else {
            None
        };
        let (app, vault) = (app.app_id(), self.0.vault.clone());
        let requested = self
            .log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    refuse_second(unit, app, &service, None).await?;
                    // Retention may have let it go since it was looked at.
                    let row = runs::get(unit.tx(), id).await?;
                    if let Some(why) = row.and_then(|row| row.lacks_artifact()) {
                        return Err(Refusal::Conflict(why).into());
                    }
                    let identity = match &given {
                        Some(identity) => Some(vault.lend(unit, identity).await?),
                        None => None,
                    };
                    let safety = match config {
                        Some(config) => Some(request_safety(unit, app, config).await?),
                        None => None,
                    };
                    let restore = RestoreId(unit.next_id(StreamKind::Restore).await?);
                    let source = RestoreSource::Run {
                        run: id,
                        from,
                        safety,
                    };
                    let command = RestoreCommand::Request {
                        restore,
                        source,
                        app,
                        service,
                        identity,
                    };
                    unit.execute::<Restore>(restore.0, command).await?;
                    Ok(RequestedRestore { restore, safety })
                })
            })
            .await?;
        Ok(requested)
    }

    /// The config that made the backup, when it is there and would back up that service.
    async fn config_of_service(&self, run: &runs::Model, service: &str) -> Result<ConfigId> {
        let id = ConfigId(run.backup_config_id);
        let found = configs::get(self.db(), id).await?;
        let present = found.filter(|config| config.removed_at.is_none());
        match present {
            Some(config) if config.service == service => Ok(id),
            Some(config) => Err(AppError::field(
                "safety_backup",
                format!(
                    "the backup's own config backs up {}, not {service}: back that up yourself first",
                    config.service
                ),
            )),
            None => Err(AppError::field(
                "safety_backup",
                "the config that made the backup was removed, so that nothing says how to make another",
            )),
        }
    }

    pub async fn restore(&self, caller: &Caller, id: RestoreId) -> Result<restores::Model> {
        let found = restores::get(self.db(), id).await?;
        let app = |restore: &restores::Model| AppId(restore.app_id);
        caller.seen(found, app, format!("the restore {id}"))
    }

    /// The same, for whoever may act in its app.
    async fn restore_to_act_on(&self, caller: &Caller, id: RestoreId) -> Result<restores::Model> {
        caller.must_be(Role::Operator)?;
        let restore = self.restore(caller, id).await?;
        caller.must_be_in(Role::Operator, AppId(restore.app_id))?;
        Ok(restore)
    }

    pub async fn restores(
        &self,
        caller: &Caller,
        app: Option<AppId>,
        limit: u64,
    ) -> Result<Vec<restores::Model>> {
        let apps = match app {
            Some(app) if caller.sees(app) => Some(vec![app]),
            Some(_) => Some(vec![]),
            None => caller.apps(),
        };
        Ok(restores::list(self.db(), apps.as_deref(), limit).await?)
    }

    pub async fn cancel_restore(&self, caller: &Caller, id: RestoreId) -> Result<()> {
        self.restore_to_act_on(caller, id).await?;
        self.log()
            .execute::<Restore>(caller.cause(), id.0, RestoreCommand::Cancel)
            .await?;
        self.0.jobs.stop(&job_name(id));
        self.let_go(id).await
    }

    /// Puts back what the restore set aside.
    pub async fn undo_restore(&self, caller: &Caller, id: RestoreId) -> Result<()> {
        let restore = self.restore_to_act_on(caller, id).await?;
        let (app, service) = (AppId(restore.app_id), restore.service);
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    refuse_second(unit, app, &service, Some(id)).await?;
                    let now = unit.now();
                    unit.execute::<Restore>(id.0, RestoreCommand::Undo { now })
                        .await?;
                    Ok(())
                })
            })
            .await?;
        Ok(())
    }

    /// Of the strategy's kind is what its image or label says, or what a config of the app backs up so.
    pub(super) async fn must_be_of_kind(
        &self,
        app: &apps::Model,
        strategy: &str,
        container: &Container,
    ) -> Result<(), Failure> {
        let (found, _) = detect::strategies(container);
        if found.contains_key(strategy) {
            return Ok(());
        }
        let configs = configs::of_app(self.db(), app.app_id()).await;
        let configs = configs.map_err(super::restore::internal)?;
        let names = [container.service().unwrap_or_default(), &container.name];
        let known = |c: &configs::Model| c.strategy == strategy && names.contains(&&*c.service);
        if configs.iter().any(known) {
            return Ok(());
        }
        Err(Failure::permanent(
            format!(
                "{} is not of this kind: its image is {}",
                container.service().unwrap_or(&container.name),
                container.image
            ),
            format!(
                "Choose another service; if it is of this kind, give it the label \
                 holdfast.backup.strategy={strategy}."
            ),
        ))
    }

    async fn restorable(&self, caller: &Caller, id: RunId) -> Result<runs::Model> {
        let run = self.run_to_act_on(caller, id).await?;
        match run.lacks_artifact() {
            None => Ok(run),
            Some(why) => Err(AppError::Conflict(match self.good_instead(&run).await? {
                Some(good) => format!(
                    "{why}; run {} of {} is good",
                    good.id,
                    moment(good.started_at.unwrap_or(good.requested_at))
                ),
                None => format!("{why}; choose a successful run whose backup is there"),
            })),
        }
    }
}

/// The key that was given, when it is needed and opens the backup. Without one the server's own has to.
fn must_open(
    run: &runs::Model,
    pinned: &ConfigSpec,
    identity: Option<Secret>,
) -> Result<Option<Secret>> {
    let given = encryption::given(identity.as_ref())?;
    let Some(artifact) = run.artifact() else {
        return Ok(None);
    };
    let whose = codec::shortened(&pinned.encryption.recipients);
    let problem = match (artifact.is_encrypted(), given.is_empty()) {
        (false, true) => return Ok(None),
        (false, false) => "the backup is not encrypted: it needs no private key".to_owned(),
        (true, true) if pinned.encryption.own.is_some() => return Ok(None),
        (true, true) => format!("the backup is encrypted: give the private key of one of {whose}"),
        (true, false) if given.opens(&artifact) => return Ok(identity),
        (true, false) => {
            format!("this private key does not open the backup; it is encrypted to {whose}")
        }
    };
    Err(AppError::field("identity", problem))
}

/// A place that was chosen must be one that is said to hold the backup.
fn must_hold(from: Option<u32>, places: &[Whereabout]) -> Result<()> {
    let Some(from) = from else {
        return Ok(());
    };
    let problem = match places.iter().find(|place| place.number == from) {
        Some(place) if place.holds => return Ok(()),
        Some(place) => format!("{} does not hold this backup", place.at),
        None => format!(
            "there is no such place: use 0 for the first target, up to {}",
            places.len().saturating_sub(1)
        ),
    };
    Err(AppError::field("from", problem))
}

/// One that began before would not have what is there now.
async fn request_safety(unit: &mut Unit, app: AppId, config: ConfigId) -> Result<RunId, LogError> {
    if let Some(present) = runs::unfinished_of(unit.tx(), config).await? {
        let id = present.id;
        let text = format!("run {id} is not over yet: wait for it, then ask for a safety backup");
        return Err(Refusal::Conflict(text).into());
    }
    let run = RunId(unit.next_id(StreamKind::Run).await?);
    let command = RunCommand::Request {
        run,
        app,
        config,
        trigger: Trigger::Restore,
        key: None,
        slot: None,
    };
    unit.execute::<Run>(run.0, command).await?;
    Ok(run)
}

/// `2026-11-23 02:00 UTC`.
fn moment(millis: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
    at.format("%F %H:%M UTC").to_string()
}

/// Two restores of one service at a time would undo each other. `itself`: the one that goes on, by its undo.
pub(super) async fn refuse_second(
    unit: &Unit,
    app: AppId,
    service: &str,
    itself: Option<RestoreId>,
) -> Result<(), LogError> {
    let unfinished = restores::unfinished(unit.tx()).await?;
    let of_service = unfinished
        .iter()
        .filter(|other| other.app_id == app.0 && other.service == service);
    let mut others = of_service.filter(|other| Some(other.restore_id()) != itself);
    match others.next() {
        None => Ok(()),
        Some(other) => {
            let id = other.id;
            Err(Refusal::Conflict(format!("restore {id} of {service} is not over yet")).into())
        }
    }
}

/// Name of a restore's job in the progress hub and among running jobs.
pub fn job_name(id: RestoreId) -> String {
    format!("restore-{id}")
}
