//! Runs as people see them: ask for one, cancel, look, download. The work itself is in `backup`.

use std::{ops::Range, time::Duration};

use super::{AppError, Caller, Holdfast, Result};
use crate::{
    domain::{
        access::Role,
        audit::AuditEvent,
        event::{Scope, StreamKind},
        failure::Failure,
        ids::{AppId, ConfigId, RunId},
        manifest::{Artifact, Manifest},
        run::{RequestKey, Run, RunCommand, Trigger},
    },
    log::Recorded,
    readmodel::{configs, runs},
    target::{ByteStream, Key},
};

/// How long a link to an artifact can be used.
const LINK_VALID: Duration = Duration::from_secs(15 * 60);

/// An artifact on its way to somebody.
pub struct Download {
    /// File name without folders.
    pub name: String,
    /// Bytes of the whole artifact.
    pub size: u64,
    /// Of the stored bytes, lower hex.
    pub sha256: String,
    pub body: ByteStream,
    /// Which copy it is, when it is not read from the first target.
    pub copy: Option<String>,
}

impl Holdfast {
    /// Asks for a run. While one of this config is not over, that one is answered instead: a double
    /// click is one run.
    pub async fn request_run(
        &self,
        caller: &Caller,
        config: ConfigId,
        trigger: Trigger,
    ) -> Result<RunId> {
        self.request_run_as(caller, config, trigger, None).await
    }

    /// The same; under a key that this config was asked for before, that run is answered, over or not.
    pub async fn request_run_as(
        &self,
        caller: &Caller,
        config: ConfigId,
        trigger: Trigger,
        key: Option<&str>,
    ) -> Result<RunId> {
        self.config_to_act_on(caller, config).await?;
        self.append_request(caller, config, trigger, key).await
    }

    /// The caller has been found to be allowed to ask for it.
    pub(super) async fn append_request(
        &self,
        caller: &Caller,
        config: ConfigId,
        trigger: Trigger,
        key: Option<&str>,
    ) -> Result<RunId> {
        let key = key.map(|key| RequestKey(super::auth::digest(key)));
        let run = self
            .log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    if let Some(key) = &key
                        && let Some(run) = runs::requested_as(unit.tx(), config, key).await?
                    {
                        return Ok(run.run_id());
                    }
                    if let Some(present) = runs::unfinished_of(unit.tx(), config).await? {
                        return Ok(present.run_id());
                    }
                    let row = configs::get(unit.tx(), config).await?;
                    let app = AppId(row.map_or(0, |row| row.app_id));
                    let run = RunId(unit.next_id(StreamKind::Run).await?);
                    let command = RunCommand::Request {
                        run,
                        app,
                        config,
                        trigger,
                        key,
                        slot: None,
                    };
                    unit.execute::<Run>(run.0, command).await?;
                    Ok(run)
                })
            })
            .await?;
        Ok(run)
    }

    /// Accepted at once; takes effect at the next chunk.
    pub async fn cancel_run(&self, caller: &Caller, id: RunId) -> Result<()> {
        self.run_to_act_on(caller, id).await?;
        self.log()
            .execute::<Run>(caller.cause(), id.0, RunCommand::Cancel)
            .await?;
        self.0.jobs.stop(&job_name(id));
        Ok(())
    }

    /// Those of the server's own database are there for admins alone.
    pub async fn run(&self, caller: &Caller, id: RunId) -> Result<runs::Model> {
        let found = runs::get(self.db(), id).await?;
        let mine = |run: &runs::Model| run.app_id != AppId::OWN.0 || caller.role == Role::Admin;
        let found = found.filter(mine);
        caller.seen(found, |run| AppId(run.app_id), format!("the run {id}"))
    }

    /// The same, for whoever may act in its app.
    pub async fn run_to_act_on(&self, caller: &Caller, id: RunId) -> Result<runs::Model> {
        caller.must_be(Role::Operator)?;
        let run = self.run(caller, id).await?;
        caller.must_be_in(Role::Operator, AppId(run.app_id))?;
        Ok(run)
    }

    /// Of the apps that the caller may see.
    pub async fn runs(&self, caller: &Caller, filter: &runs::Filter) -> Result<Vec<runs::Model>> {
        let filter = runs::Filter {
            apps: caller.apps(),
            ..filter.clone()
        };
        Ok(runs::list(self.db(), &filter).await?)
    }

    /// The newest proven run of a config.
    pub async fn newest_success(
        &self,
        _caller: &Caller,
        config: ConfigId,
    ) -> Result<Option<runs::Model>> {
        Ok(runs::newest_success(self.db(), config).await?)
    }

    /// The newest run of a config, whatever became of it.
    pub async fn newest_run(&self, config: ConfigId) -> Result<Option<runs::Model>> {
        let filter = runs::Filter {
            config: Some(config),
            limit: 1,
            ..runs::Filter::default()
        };
        Ok(runs::list(self.db(), &filter).await?.pop())
    }

    /// The events of one run or restore, oldest first.
    pub async fn history(&self, stream: crate::log::StreamId) -> Result<Vec<Recorded>> {
        let filter = crate::log::Filter {
            stream: Some(stream),
            limit: 10_000,
            ..crate::log::Filter::default()
        };
        let mut events = self.log().list(&filter).await?;
        events.reverse();
        Ok(events)
    }

    /// The manifest as it lies in the target: proof that the artifact can still be found.
    pub async fn manifest(&self, caller: &Caller, id: RunId) -> Result<Manifest> {
        let run = self.run(caller, id).await?;
        if let Some(why) = run.lacks_artifact() {
            return Err(AppError::Conflict(why));
        }
        Ok(self.read_manifest(&run, None).await?)
    }

    /// All of it, or the bytes of `range` (end exclusive), which must lie within it.
    pub async fn download(
        &self,
        caller: &Caller,
        id: RunId,
        range: Option<Range<u64>>,
    ) -> Result<Download> {
        let run = self.run_to_act_on(caller, id).await?;
        let artifact = downloadable(&run)?;
        let key = Key::parse(&artifact.key).map_err(Failure::from)?;
        let (body, copy) = self.first_body(&run, &key, range).await?;
        self.note_download(caller, &run).await?;
        Ok(Download {
            name: key.name().to_owned(),
            size: artifact.stored_bytes,
            sha256: artifact.stored_sha256,
            body,
            copy,
        })
    }

    /// A link under which the artifact can be read for a while without this server, to the first place that
    /// has it and makes links; `None` where none does. Whoever has the link can use it, so it counts as a download.
    pub async fn download_link(&self, caller: &Caller, id: RunId) -> Result<Option<String>> {
        let run = self.run_to_act_on(caller, id).await?;
        let artifact = downloadable(&run)?;
        let key = Key::parse(&artifact.key).map_err(Failure::from)?;
        let link = self.first_link(&run, &key, LINK_VALID).await?;
        if link.is_some() {
            self.note_download(caller, &run).await?;
        }
        Ok(link)
    }

    async fn note_download(&self, caller: &Caller, run: &runs::Model) -> Result<()> {
        let id = run.run_id();
        let scope = Scope::config(AppId(run.app_id), ConfigId(run.backup_config_id));
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move { unit.note(AuditEvent::Downloaded { run: id }, scope).await })
            })
            .await?;
        Ok(())
    }
}

/// A damaged one too: what is left of it may be all there is.
fn downloadable(run: &runs::Model) -> Result<Artifact> {
    let why = run.lacks_artifact().filter(|_| !run.holds_damage());
    match (why, run.artifact()) {
        (None, Some(artifact)) => Ok(artifact),
        (why, _) => {
            let why = why.unwrap_or_default();
            Err(AppError::Conflict(format!("nothing to download: {why}")))
        }
    }
}

/// Name of a run's job in the progress hub and among running jobs.
pub fn job_name(id: RunId) -> String {
    format!("run-{id}")
}
