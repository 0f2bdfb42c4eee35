//! A config as it is sent. Some fields come as JSON or as text that holds JSON; some are only in
//! what is answered, and are passed over when they come back.

use std::collections::BTreeMap;

use poem_openapi::Object;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny},
};
use serde_json::Value;

use super::hooks;
use crate::{
    app::{AppError, ConfigInput, CopyInput, EncryptionInput, KeepInput},
    domain::{failure::FieldErrors, hook::Phase, secret::Secret},
    web::api::{body::Loose, error::ApiError},
};

/// Absent fields keep their value, or get their default in a new config.
#[derive(Object, Deserialize, Default)]
#[oai(write_only_all, rename = "ConfigInput")]
#[serde(deny_unknown_fields, default)]
#[allow(dead_code)] // what is only answered is never looked at
pub struct ConfigBody {
    /// For people.
    name: Option<String>,
    /// Service of the app, as in its compose file.
    service: Option<String>,
    /// What to back up: `postgres`, …
    strategy: Option<String>,
    /// The strategy's plain options: `database`, `user`, …
    options: Option<BTreeMap<String, String>>,
    /// The strategy's credentials; write-only. Sent back masked, a value stays as it is.
    credentials: Option<BTreeMap<String, String>>,
    /// A list of absolute paths, for strategies that need them.
    paths: Option<Loose<Vec<String>>>,
    /// Where to store: `local`, …
    target: Option<String>,
    /// The target's settings, secrets among them.
    target_config_json: Option<Loose<BTreeMap<String, Setting>>>,
    /// Where each backup is copied to once it is proved: a list of `{target, target_config_json}`, at most
    /// 4. A copy that fails does not fail the run.
    copies: Option<Loose<Vec<FurtherTarget>>>,
    /// Five POSIX fields or an `@` word; empty means manual only.
    schedule_cron: Option<String>,
    /// IANA name the schedule is evaluated in; `UTC` by default.
    time_zone: Option<String>,
    enabled: Option<bool>,
    /// `gzip`, `zstd` or `none`.
    compression: Option<String>,
    /// `count`, `time` or `gfs`.
    retention_mode: Option<String>,
    /// With `count`: keep the newest so many; 7 by default.
    retention_count: Option<u32>,
    /// With `time`: keep what is younger than so many days; 30 by default.
    retention_days: Option<u32>,
    /// With `gfs`: keep the newest so many, whatever their age.
    keep_last: Option<u32>,
    /// With `gfs`: keep the newest of each of the last so many days, in the config's time zone.
    keep_daily: Option<u32>,
    keep_weekly: Option<u32>,
    keep_monthly: Option<u32>,
    keep_yearly: Option<u32>,
    /// Read the stored artifact back before the run counts.
    verify_upload: Option<bool>,
    /// A list of `{type, service, command?, timeout?}`, run in order before the backup; the first
    /// that fails ends it. `type` is `stop`, `start`, `flush_mysql`, `flush_redis` or `exec` (with a
    /// `command`, when the server allows commands), `timeout` in seconds, 60 by default.
    pre_hooks: Option<Loose<Vec<Value>>>,
    /// The same, run as soon as the data is out of the container, whatever became of it; what fails
    /// is a warning.
    post_hooks: Option<Loose<Vec<Value>>>,
    /// `{"recipients": ["age1…"], "server_key": true}`, or text that holds it: backups are encrypted to
    /// these public keys of age and, with `server_key`, also to one that the server keeps for this config,
    /// so that it can read them itself. No recipient, an empty text or `none`: not encrypted.
    #[serde(deserialize_with = "or_none")]
    encryption: Option<Loose<Encryption>>,
    /// What becomes of slots that passed while the server did not run: `skip` (they are missed), `one`
    /// (one run makes up for all; the default) or `all` (each gets its run, at most 100).
    missed_policy: Option<String>,
    /// With `all`: only those of the last so many hours, 24 by default.
    missed_window: Option<u32>,
    /// Address of a dead man's switch, as healthchecks.io has them: it is told of each run's start (`/start`)
    /// and end (itself, or `/fail`). Write-only; masked it stays, empty it goes.
    ping_url: Option<String>,
    /// Slots are heeded up to so many seconds later, each config at its own; at most 21,600.
    jitter_seconds: Option<u32>,
    /// Hours in which the schedule starts nothing, in the config's time zone: `08:00-18:00 Mon-Fri`. What
    /// comes due in them is made up for by one run when they are over. Empty: none.
    blackout: Option<String>,
    /// Words under names, for people and programs to find the config by; in place of all that it has.
    labels: Option<BTreeMap<String, String>>,
    // Only answered; passed over when an answer is sent back.
    #[oai(skip)]
    id: IgnoredAny,
    #[oai(skip)]
    uuid: IgnoredAny,
    #[oai(skip)]
    app_id: IgnoredAny,
    #[oai(skip)]
    next_run_at: IgnoredAny,
    #[oai(skip)]
    revision: IgnoredAny,
    #[oai(skip)]
    created_at: IgnoredAny,
    #[oai(skip)]
    updated_at: IgnoredAny,
}

/// As the first target is sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FurtherTarget {
    target: String,
    #[serde(default)]
    target_config_json: Loose<BTreeMap<String, Setting>>,
}

/// Whom backups are encrypted to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Encryption {
    recipients: Vec<String>,
    server_key: bool,
}

impl From<Encryption> for EncryptionInput {
    fn from(sent: Encryption) -> Self {
        Self {
            recipients: sent.recipients,
            server_key: sent.server_key,
        }
    }
}

/// `none`, as it was answered before there was any.
pub fn or_none<'de, D>(deserializer: D) -> Result<Option<Loose<Encryption>>, D::Error>
where
    D: Deserializer<'de>,
{
    match Value::deserialize(deserializer)? {
        Value::String(text) if text == "none" => Ok(Some(Loose::default())),
        value => serde_json::from_value(value).map_err(D::Error::custom),
    }
}

/// A setting is a text; numbers and truth values are taken as such.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setting(pub String);

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            Value::Null => String::new(),
            Value::Bool(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(D::Error::custom("a setting is a text"));
            }
        }))
    }
}

fn settings(Loose(sent): Loose<BTreeMap<String, Setting>>) -> BTreeMap<String, Secret> {
    let pairs = sent.into_iter();
    pairs
        .map(|(key, value)| (key, Secret::new(value.0)))
        .collect()
}

impl ConfigBody {
    pub fn checked(self) -> Result<ConfigInput, ApiError> {
        let mut errors = FieldErrors::default();
        let mut hooks = |phase, sent: Option<Loose<Vec<Value>>>| {
            sent.map(|sent| hooks::read(phase, sent.0, &mut errors))
        };
        let pre_hooks = hooks(Phase::Before, self.pre_hooks);
        let post_hooks = hooks(Phase::After, self.post_hooks);
        errors.into_result().map_err(AppError::from)?;
        let secret = |map: BTreeMap<String, String>| {
            let pairs = map.into_iter();
            pairs
                .map(|(key, value)| (key, Secret::new(value)))
                .collect()
        };
        Ok(ConfigInput {
            name: self.name,
            service: self.service,
            strategy: self.strategy,
            options: self.options,
            credentials: self.credentials.map(secret),
            paths: self.paths.map(|paths| paths.0),
            target: self.target,
            target_settings: self.target_config_json.map(settings),
            copies: self.copies.map(|Loose(copies)| {
                let copies = copies.into_iter();
                let input = copies.map(|copy| CopyInput {
                    target: copy.target,
                    settings: settings(copy.target_config_json),
                });
                input.collect()
            }),
            schedule_cron: self.schedule_cron,
            time_zone: self.time_zone,
            missed_policy: self.missed_policy.filter(|policy| !policy.is_empty()),
            missed_window: self.missed_window,
            jitter_seconds: self.jitter_seconds,
            blackout: self.blackout.map(|text| text.trim().to_owned()),
            enabled: self.enabled,
            compression: self.compression,
            encryption: self.encryption.map(|Loose(sent)| sent.into()),
            retention_mode: self.retention_mode,
            retention_count: self.retention_count,
            retention_days: self.retention_days,
            keep: KeepInput {
                last: self.keep_last,
                daily: self.keep_daily,
                weekly: self.keep_weekly,
                monthly: self.keep_monthly,
                yearly: self.keep_yearly,
            },
            verify_upload: self.verify_upload,
            pre_hooks,
            post_hooks,
            ping_url: self.ping_url.map(Secret::new),
            labels: self.labels,
            revision: None,
        })
    }
}
