//! Backup configs. Everything is validated at once, down to a look at the running service, so that
//! nothing is stored that cannot run; secrets go to the vault in the same transaction.

mod draft;

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

pub use draft::{ConfigInput, KeepInput, MASK};
pub(super) use draft::{Draft, told_apart};

use super::{AppError, Caller, Holdfast, Result, hooks, runs::job_name, sites, slots};
use crate::{
    domain::{
        access::Role,
        aggregate::Refusal,
        config::{self, Config, ConfigCommand, ConfigSpec},
        copies::FurtherTarget,
        event::StreamKind,
        failure::{FieldErrors, one_of},
        grant::TokenScope,
        ids::{AppId, ConfigId, RunId},
        run::{Run, RunCommand},
        secret::Secret,
    },
    log::{LogError, Unit},
    readmodel::{apps, configs, restores, runs},
    strategy::{self, Options, StrategyError},
    target::{self, Settings},
};

/// How often a change is made anew because somebody else's came first.
const CHANGES: usize = 8;

/// What becomes of a removed config's artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artifacts {
    /// They stay where they are and can be restored.
    Keep,
    Delete,
}

impl Holdfast {
    pub async fn configs(&self, caller: &Caller, app: &apps::Model) -> Result<Vec<configs::Model>> {
        caller.must_be_in(Role::Viewer, app.app_id())?;
        Ok(configs::of_app(self.db(), app.app_id()).await?)
    }

    /// Also answers removed configs, which old runs still belong to, and that of the server's own
    /// database, which events name.
    pub async fn config(&self, caller: &Caller, id: ConfigId) -> Result<configs::Model> {
        let found = configs::get(self.db(), id).await?;
        let what = format!("the config {id}");
        if id == ConfigId::OWN {
            return found.ok_or(AppError::NotFound(what));
        }
        caller.seen(found, |config| AppId(config.app_id), what)
    }

    pub async fn create_config(
        &self,
        caller: &Caller,
        slug: &str,
        mut input: ConfigInput,
    ) -> Result<configs::Model> {
        let app = self.app_to_act_in(caller, slug).await?;
        if let (None, Some(kind)) = (&input.service, &input.strategy)
            && strategy::find(kind).is_some()
        {
            input.service = Some(self.only_service(caller, &app, kind).await?);
        }
        let draft = self.checked(&app, ConfigSpec::default(), input).await?;
        let (vault, app) = (self.0.vault.clone(), app.app_id());
        let id = self
            .log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    let spec = draft.seal(&vault, unit).await?;
                    let config = ConfigId(unit.next_id(StreamKind::Config).await?);
                    unit.execute::<Config>(config.0, ConfigCommand::Create { config, app, spec })
                        .await?;
                    Ok(config)
                })
            })
            .await?;
        self.config(caller, id).await
    }

    /// Says what `create_config` would refuse, and makes nothing.
    pub async fn check_config(
        &self,
        caller: &Caller,
        slug: &str,
        input: ConfigInput,
    ) -> Result<()> {
        let app = self.app_to_act_in(caller, slug).await?;
        self.checked(&app, ConfigSpec::default(), input).await?;
        Ok(())
    }

    /// What is absent keeps its value, also one that somebody else gives it meanwhile.
    pub async fn change_config(
        &self,
        caller: &Caller,
        id: ConfigId,
        input: ConfigInput,
    ) -> Result<configs::Model> {
        for _ in 0..CHANGES {
            if let Some(changed) = self.change_present(caller, id, input.clone()).await? {
                return Ok(changed);
            }
        }
        let busy = format!("config {id} is being changed by somebody else: try again");
        Err(AppError::Conflict(busy))
    }

    /// `None`: somebody else's change came first, and nothing was stored.
    async fn change_present(
        &self,
        caller: &Caller,
        id: ConfigId,
        input: ConfigInput,
    ) -> Result<Option<configs::Model>> {
        let present = self.config_to_act_on(caller, id).await?;
        let revision = u32::try_from(present.revision).unwrap_or_default();
        if let Some(meant) = input.revision.filter(|meant| *meant != revision) {
            let problem = format!(
                "config {id} was changed since this was begun: it has revision {revision} and not {meant} \
                 any more. Look at what it says now; saved once more, this takes its place"
            );
            return Err(AppError::field("revision", problem));
        }
        let app = self.app_by_id(caller, AppId(present.app_id)).await?;
        let before = present.spec();
        let draft = self.checked(&app, before.clone(), input).await?;
        if draft.spec.retention != before.retention {
            caller.must_have(TokenScope::Delete)?; // shorter, it deletes
        }
        let vault = self.0.vault.clone();
        let written = self
            .log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    // What came due under the old schedule ends under it.
                    while slots::settle_due(unit, id).await? {}
                    let spec = draft.seal(&vault, unit).await?;
                    unit.execute::<Config>(id.0, ConfigCommand::Change { revision, spec })
                        .await
                })
            })
            .await;
        match written {
            Ok(_) => Ok(Some(self.config(caller, id).await?)),
            Err(LogError::Refused(Refusal::Stale { .. })) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs stay; `artifacts` says whether their artifacts do. Those that go are offered to nobody from here
    /// on, and a job deletes them; a run that is not over is cancelled.
    pub async fn remove_config(
        &self,
        caller: &Caller,
        id: ConfigId,
        artifacts: Artifacts,
    ) -> Result<()> {
        self.config_to_act_on(caller, id).await?;
        self.must_be_fresh(caller)?;
        let stopped = self
            .log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    unit.execute::<Config>(id.0, ConfigCommand::Remove).await?;
                    match artifacts {
                        Artifacts::Keep => Ok(None),
                        Artifacts::Delete => discard_all(unit, id).await,
                    }
                })
            })
            .await?;
        if let Some(run) = stopped {
            self.0.jobs.stop(&job_name(run));
        }
        Ok(())
    }

    /// Enabled configs with a schedule.
    pub async fn scheduled_configs(&self) -> Result<Vec<configs::Model>> {
        Ok(configs::scheduled(self.db()).await?)
    }

    /// A present one, for whoever may act in its app.
    pub async fn config_to_act_on(&self, caller: &Caller, id: ConfigId) -> Result<configs::Model> {
        caller.must_be(Role::Operator)?;
        let config = self.present_config(caller, id).await?;
        caller.must_be_in(Role::Operator, AppId(config.app_id))?;
        Ok(config)
    }

    /// One of an app: the server's own is changed by its own use cases.
    pub async fn present_config(&self, caller: &Caller, id: ConfigId) -> Result<configs::Model> {
        let config = self.config(caller, id).await?;
        if config.removed_at.is_some() || id == ConfigId::OWN {
            return Err(AppError::NotFound(format!("the config {id}")));
        }
        Ok(config)
    }

    /// Merges and checks: form first, then the strategy's and target's own rules, then the service.
    async fn checked(
        &self,
        app: &apps::Model,
        spec: ConfigSpec,
        input: ConfigInput,
    ) -> Result<Draft> {
        let draft = Draft::merge(spec, input)?;
        let mut errors = FieldErrors::default();
        errors.merge(config::check(&draft.spec));
        errors.merge(hooks::check(&draft.spec, self.0.settings.exec_hooks));
        let mut credentials = self.secrets(&draft.spec.credentials).await?;
        credentials.extend(draft.credentials.clone());
        let options = Options {
            plain: draft.spec.options.clone(),
            credentials,
            paths: draft.spec.paths.clone(),
        };
        let strategy = strategy::find(&draft.spec.strategy);
        match strategy {
            Some(strategy) => errors.merge(strategy.check(&options)),
            None => errors.add("strategy", one_of(strategy::ALL.iter().map(|s| s.kind()))),
        }
        errors.merge(self.check_first_target(&draft).await?);
        if let Some(ping) = &draft.ping
            && let Err(error) = ping.resolve(self.0.settings.private_webhooks).await
        {
            errors.add("ping_url", error.to_string());
        }
        errors.merge(self.check_copies(&draft.spec.copies, &draft.copies).await?);
        errors.into_result()?;
        if let Some(strategy) = strategy {
            self.look(app, &draft.spec, strategy, options).await?;
        }
        Ok(draft)
    }

    pub(super) async fn check_first_target(
        &self,
        draft: &Draft,
    ) -> Result<Result<(), FieldErrors>> {
        let (first, new) = (draft.spec.first_target(), draft.target_secrets.clone());
        self.check_target(&first, new).await
    }

    /// By the rules of the target's own kind; `new` are secrets that are not in the vault yet.
    pub(super) async fn check_target(
        &self,
        at: &FurtherTarget,
        new: BTreeMap<String, Secret>,
    ) -> Result<Result<(), FieldErrors>> {
        let Some(kind) = target::kind(&at.target) else {
            let known = one_of(target::ALL.iter().map(|t| t.name()));
            return Ok(Err(FieldErrors::one("target", known)));
        };
        let mut secrets = self.secrets(&at.secrets).await?;
        secrets.extend(new);
        let plain = at.settings.clone();
        Ok(kind.check(&self.0.place, &Settings { plain, secrets }))
    }

    /// Asks the service itself: is it there, does it run, would a backup find what it needs?
    async fn look(
        &self,
        app: &apps::Model,
        spec: &ConfigSpec,
        strategy: &'static dyn strategy::Strategy,
        options: Options,
    ) -> Result<()> {
        let service = |failure| sites::as_field("service", failure);
        let container = self
            .container_of(app, &spec.service)
            .await
            .map_err(service)?;
        if !strategy.backs_up_stopped() {
            sites::must_run(&container).map_err(|error| service(error.into()))?;
        }
        self.look_at_hooks(app, spec, strategy, &container).await?;
        let site = strategy::Site {
            engine: self.0.engine.clone(),
            container,
            options,
            cancel: CancellationToken::new(),
            stall: self.0.settings.stall,
        };
        match strategy.probe(&site).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let field = match &error {
                    StrategyError::Option { field, .. } => *field,
                    _ => "service",
                };
                Err(sites::as_field(field, error.into()))
            }
        }
    }
}

/// The run that was at work, which is cancelled.
async fn discard_all(unit: &mut Unit, config: ConfigId) -> Result<Option<RunId>, LogError> {
    let mut kept = runs::with_artifact(unit.tx(), config).await?;
    // What is left of one that was found damaged, and good copies of it.
    kept.extend(runs::with_damage(unit.tx(), config).await?);
    let restores = restores::unfinished(unit.tx()).await?;
    let read = |restore: &&restores::Model| kept.iter().any(|it| restore.run_id == Some(it.id));
    if let Some(restore) = restores.iter().find(read) {
        let text = format!(
            "restore {} reads a backup of this config; wait for its end, or cancel it",
            restore.id
        );
        return Err(Refusal::Conflict(text).into());
    }
    for run in kept {
        unit.execute::<Run>(run.id, RunCommand::Discard).await?;
    }
    let at_work = runs::unfinished_of(unit.tx(), config).await?;
    let at_work = at_work.map(|run| run.run_id());
    if let Some(run) = at_work {
        unit.execute::<Run>(run.0, RunCommand::Cancel).await?;
    }
    Ok(at_work)
}
