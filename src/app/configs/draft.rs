//! A config as somebody wants it, laid over the one that is there: what is absent keeps its value, and
//! secrets wait outside of the spec until the vault has them.

use std::collections::BTreeMap;

use crate::{
    app::{
        EncryptionInput, Result, Vault,
        copies::{CopyInput, NewCopies},
        encryption::NewEncryption,
        hooks,
    },
    domain::{
        config::{ConfigSpec, PingSpec, SecretRef},
        failure::{FieldErrors, one_of},
        form::Field,
        hook::Hook,
        manifest::Compression,
        retention::{Gfs, Retention},
        secret::Secret,
        slots::MissedPolicy,
    },
    log::{LogError, Unit},
    notify::Address,
    target::{self, Settings},
};

/// What stands in a form or an answer for a secret that is set. Sent back, it keeps the secret.
pub const MASK: &str = "••••";

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
    /// In place of all that the config has.
    pub labels: Option<BTreeMap<String, String>>,
    /// The revision that is to be changed and no other; absent, whichever is there.
    pub revision: Option<u32>,
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
pub(in crate::app) struct Draft {
    pub spec: ConfigSpec,
    /// When it changes.
    encryption: Option<NewEncryption>,
    pub(super) credentials: BTreeMap<String, Secret>,
    pub(super) target_secrets: BTreeMap<String, Secret>,
    pub(super) copies: NewCopies,
    /// The address of a new switch.
    pub(super) ping: Option<Address>,
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
        set(&mut spec.labels, input.labels);
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
pub(in crate::app) fn told_apart(
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
