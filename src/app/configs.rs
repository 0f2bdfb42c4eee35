//! Backup configs. Everything is validated at once, down to a look at the running service, so that
//! nothing is stored that cannot run; secrets go to the vault in the same transaction.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::{
    AppError, Caller, EncryptionInput, Holdfast, Result, Vault,
    copies::{CopyInput, NewCopies},
    encryption::NewEncryption,
    hooks,
    runs::job_name,
    sites, slots,
};
use crate::{
    domain::{
        access::Role,
        aggregate::Refusal,
        config::{self, Config, ConfigCommand, ConfigSpec, PingSpec, SecretRef},
        copies::FurtherTarget,
        event::StreamKind,
        failure::FieldErrors,
        form::Field,
        grant::TokenScope,
        hook::Hook,
        ids::{AppId, ConfigId, RunId},
        manifest::Compression,
        retention::{Gfs, Retention},
        run::{Run, RunCommand},
        secret::Secret,
        slots::MissedPolicy,
    },
    log::{LogError, Unit},
    notify::Address,
    readmodel::{apps, configs, restores, runs},
    strategy::{self, Options, StrategyError},
    target::{self, Settings},
};

/// What stands in a form or an answer for a secret that is set. Sent back, it keeps the secret.
pub const MASK: &str = "••••";

/// What becomes of a removed config's artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artifacts {
    /// They stay where they are and can be restored.
    Keep,
    Delete,
}

/// A config as asked for. Absent fields keep their value, or get their default in a new config.
#[derive(Debug, Clone, Default)]
pub struct ConfigInput {
    pub name: Option<String>,
    pub service: Option<String>,
    pub strategy: Option<String>,
    pub options: Option<BTreeMap<String, String>>,
    pub credentials: Option<BTreeMap<String, Secret>>,
    pub paths: Option<Vec<String>>,
    pub target: Option<String>,
    /// Plain settings and secrets together, as a form sends them.
    pub target_settings: Option<BTreeMap<String, Secret>>,
    pub schedule_cron: Option<String>,
    pub time_zone: Option<String>,
    /// `skip`, `one`, `all`.
    pub missed_policy: Option<String>,
    /// With `all`: how far back, in hours.
    pub missed_window: Option<u32>,
    pub jitter_seconds: Option<u32>,
    /// As `Blackout` reads it; empty: none.
    pub blackout: Option<String>,
    pub enabled: Option<bool>,
    pub compression: Option<String>,
    pub encryption: Option<EncryptionInput>,
    /// In place of all that the config has.
    pub copies: Option<Vec<CopyInput>>,
    /// `count`, `time` (or `days`), `gfs`.
    pub retention_mode: Option<String>,
    pub retention_count: Option<u32>,
    pub retention_days: Option<u32>,
    pub keep: KeepInput,
    pub verify_upload: Option<bool>,
    pub pre_hooks: Option<Vec<Hook>>,
    pub post_hooks: Option<Vec<Hook>>,
    /// Of a dead man's switch; masked keeps the present one, empty takes it away.
    pub ping_url: Option<Secret>,
}

/// The numbers of `gfs`. Absent ones keep their value.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeepInput {
    pub last: Option<u32>,
    pub daily: Option<u32>,
    pub weekly: Option<u32>,
    pub monthly: Option<u32>,
    pub yearly: Option<u32>,
}

/// A spec that has no references for its new secrets yet.
#[derive(Clone, Default)]
pub(super) struct Draft {
    pub spec: ConfigSpec,
    /// When it changes.
    encryption: Option<NewEncryption>,
    credentials: BTreeMap<String, Secret>,
    target_secrets: BTreeMap<String, Secret>,
    copies: NewCopies,
    /// The address of a new switch.
    ping: Option<Address>,
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

    pub async fn change_config(
        &self,
        caller: &Caller,
        id: ConfigId,
        input: ConfigInput,
    ) -> Result<configs::Model> {
        let present = self.config_to_act_on(caller, id).await?;
        let app = self.app_by_id(caller, AppId(present.app_id)).await?;
        let before = present.spec();
        let draft = self.checked(&app, before.clone(), input).await?;
        if draft.spec.retention != before.retention {
            caller.must_have(TokenScope::Delete)?; // shorter, it deletes
        }
        let vault = self.0.vault.clone();
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    // What came due under the old schedule ends under it.
                    while slots::settle_due(unit, id).await? {}
                    let spec = draft.seal(&vault, unit).await?;
                    unit.execute::<Config>(id.0, ConfigCommand::Change { spec })
                        .await
                })
            })
            .await?;
        self.config(caller, id).await
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
    pub(super) async fn present_config(
        &self,
        caller: &Caller,
        id: ConfigId,
    ) -> Result<configs::Model> {
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
    let kept = runs::with_artifact(unit.tx(), config).await?;
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

impl Draft {
    pub fn merge(mut spec: ConfigSpec, input: ConfigInput) -> Result<Self> {
        let mut errors = FieldErrors::default();
        match merge_retention(spec.retention, &input) {
            Ok(retention) => spec.retention = retention,
            Err(problem) => errors.merge(Err(problem)),
        }
        set(&mut spec.name, input.name);
        set(&mut spec.service, input.service);
        if input.strategy.as_ref().is_some_and(|s| *s != spec.strategy) {
            // What one strategy was told, its password above all, is not another's.
            spec.options.clear();
            spec.credentials.clear();
            spec.paths.clear();
        }
        set(&mut spec.strategy, input.strategy);
        set(&mut spec.options, input.options);
        set(&mut spec.paths, input.paths);
        set(&mut spec.schedule_cron, input.schedule_cron);
        set(&mut spec.time_zone, input.time_zone);
        set(&mut spec.jitter_seconds, input.jitter_seconds);
        set(&mut spec.blackout, input.blackout);
        set(&mut spec.enabled, input.enabled);
        set(&mut spec.verify_upload, input.verify_upload);
        set(&mut spec.pre_hooks, input.pre_hooks.map(hooks::named));
        set(&mut spec.post_hooks, input.post_hooks.map(hooks::named));
        if let Some(name) = input.compression {
            match Compression::parse(&name) {
                Some(compression) => spec.compression = compression,
                None => errors.add(
                    "compression",
                    one_of(Compression::ALL.iter().map(|c| c.name())),
                ),
            }
        }
        let encryption = match merge_encryption(&mut spec, input.encryption) {
            Ok(encryption) => encryption,
            Err(problem) => {
                errors.merge(Err(problem));
                None
            }
        };
        match merge_missed(
            spec.missed_policy,
            input.missed_policy.as_deref(),
            input.missed_window,
        ) {
            Ok(policy) => spec.missed_policy = policy,
            Err(problem) => errors.merge(Err(problem)),
        }
        let same_target = input.target.as_ref().is_none_or(|t| *t == spec.target);
        set(&mut spec.target, input.target);
        if !same_target {
            spec.target_settings.clear();
            spec.target_secrets.clear();
        }
        let credentials = keep_masked(&mut spec.credentials, input.credentials);
        let target_secrets = match split_target(&mut spec, input.target_settings) {
            Ok(secrets) => secrets,
            Err(problems) => {
                errors.merge(Err(problems));
                BTreeMap::new()
            }
        };
        let mut ping = None;
        match input.ping_url.as_ref().map(|url| url.expose().as_str()) {
            None => {}
            Some("") => spec.ping = None,
            Some(url) if url.ends_with(MASK) => {}
            Some(url) => match Address::parse(url) {
                Ok(address) => ping = Some(address),
                Err(problem) => errors.add("ping_url", problem.to_string()),
            },
        }
        let copies = match NewCopies::merge(&mut spec.copies, input.copies) {
            Ok(copies) => copies,
            Err(problems) => {
                errors.merge(Err(problems));
                NewCopies::default()
            }
        };
        errors.into_result()?;
        Ok(Self {
            spec,
            encryption,
            credentials,
            target_secrets,
            copies,
            ping,
        })
    }

    /// Puts new secrets into the vault and their references into the spec.
    pub async fn seal(self, vault: &Vault, unit: &Unit) -> Result<ConfigSpec, LogError> {
        let mut spec = self.spec;
        if let Some(encryption) = self.encryption {
            *spec.encryption = encryption.seal(vault, unit).await?;
        }
        for (key, secret) in &self.credentials {
            let reference = vault.seal(unit, secret).await?;
            spec.credentials.insert(key.clone(), reference);
        }
        for (key, secret) in &self.target_secrets {
            let reference = vault.seal(unit, secret).await?;
            spec.target_secrets.insert(key.clone(), reference);
        }
        if let Some(address) = &self.ping {
            spec.ping = Some(Box::new(PingSpec {
                origin: address.origin(),
                url: vault.seal(unit, &address.secret()).await?,
            }));
        }
        self.copies.seal(&mut spec.copies, vault, unit).await?;
        Ok(spec)
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// Drops references of secrets that were left out or emptied, keeps those sent back masked, and
/// answers the new ones.
fn keep_masked(
    references: &mut BTreeMap<String, SecretRef>,
    sent: Option<BTreeMap<String, Secret>>,
) -> BTreeMap<String, Secret> {
    let Some(sent) = sent else {
        return BTreeMap::new();
    };
    let mut fresh = BTreeMap::new();
    for (key, value) in sent {
        match value.expose().as_str() {
            MASK => {}
            "" => {
                references.remove(&key);
            }
            _ => {
                references.remove(&key);
                fresh.insert(key, value);
            }
        }
    }
    fresh
}

/// The target's kind says which of its fields are secrets; what it does not know stays plain, for
/// its own check to refuse by name. What is empty is not set.
fn split_target(
    spec: &mut ConfigSpec,
    sent: Option<BTreeMap<String, Secret>>,
) -> Result<BTreeMap<String, Secret>, FieldErrors> {
    let Some(sent) = sent else {
        return Ok(BTreeMap::new());
    };
    let fields = target::kind(&spec.target).map_or(&[][..], |kind| kind.fields());
    let settings = told_apart(fields, sent)?;
    spec.target_settings = settings.plain;
    Ok(keep_masked(
        &mut spec.target_secrets,
        Some(settings.secrets),
    ))
}

/// Settings by the names that their target gives them: `SecretKey`, as clients of the replaced module
/// write, is `secret_key`.
pub(super) fn told_apart(
    fields: &[Field],
    sent: BTreeMap<String, Secret>,
) -> Result<Settings, FieldErrors> {
    let bare = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let (mut plain, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    let mut errors = FieldErrors::default();
    for (name, value) in sent {
        let field = fields.iter().find(|field| bare(field.name) == bare(&name));
        let name = field.map_or(name, |field| field.name.to_owned());
        let twice = if field.is_some_and(|field| field.secret) {
            secrets.insert(name.clone(), value).is_some()
        } else {
            let value = value.expose().clone();
            !value.is_empty() && plain.insert(name.clone(), value).is_some()
        };
        if twice {
            errors.add(name, "it was sent twice");
        }
    }
    errors.into_result()?;
    Ok(Settings { plain, secrets })
}

fn merge_encryption(
    spec: &mut ConfigSpec,
    input: Option<EncryptionInput>,
) -> Result<Option<NewEncryption>, FieldErrors> {
    let Some(input) = input else { return Ok(None) };
    let merged = NewEncryption::merge((*spec.encryption).clone(), input)?;
    *spec.encryption = merged.draft();
    Ok(Some(merged))
}

fn merge_missed(
    present: MissedPolicy,
    name: Option<&str>,
    window: Option<u32>,
) -> Result<MissedPolicy, FieldErrors> {
    let hours = match present {
        MissedPolicy::All { hours } => hours,
        MissedPolicy::Skip | MissedPolicy::One => 24,
    };
    Ok(match name.unwrap_or(present.name()) {
        "skip" => MissedPolicy::Skip,
        // As the first version called it.
        "one" | "catch_up" => MissedPolicy::One,
        "all" => MissedPolicy::All {
            hours: window.unwrap_or(hours),
        },
        _ => {
            let problem = one_of(["skip", "one", "all"]);
            return Err(FieldErrors::one("missed_policy", problem));
        }
    })
}

fn merge_retention(present: Retention, input: &ConfigInput) -> Result<Retention, FieldErrors> {
    let mode = input.retention_mode.as_deref().unwrap_or(present.mode());
    let (mut count, mut days, mut gfs) = (7, 30, Gfs::default());
    match present {
        Retention::Count { count: present } => count = present,
        Retention::Time { days: present } => days = present,
        Retention::Gfs(present) => gfs = present,
    }
    Ok(match mode {
        "count" => Retention::Count {
            count: input.retention_count.unwrap_or(count),
        },
        "time" | "days" => Retention::Time {
            days: input.retention_days.unwrap_or(days),
        },
        "gfs" => {
            let keep = &input.keep;
            set(&mut gfs.keep_last, keep.last);
            set(&mut gfs.keep_daily, keep.daily);
            set(&mut gfs.keep_weekly, keep.weekly);
            set(&mut gfs.keep_monthly, keep.monthly);
            set(&mut gfs.keep_yearly, keep.yearly);
            Retention::Gfs(gfs)
        }
        _ => {
            let problem = one_of(["count", "time", "gfs"]);
            return Err(FieldErrors::one("retention_mode", problem));
        }
    })
}

pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    format!("use one of: {}", names.join(", "))
}
