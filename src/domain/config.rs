//! A backup config: what is backed up, where to, when, and how long it is kept.
//!
//! The events hold the whole spec at each revision, never a secret: only `SecretRef`s, whose
//! values lie in the vault.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    aggregate::{Aggregate, Refusal},
    blackout::Blackout,
    calendar::MAX_JITTER,
    copies::{self, FurtherTarget},
    encryption::{self, Encryption},
    event::{Scope, StreamKind},
    failure::FieldErrors,
    hook::{self, Hook, Phase},
    ids::{AppId, ConfigId, RunId},
    labels,
    lateness::Overdue,
    manifest::Compression,
    retention,
    schedule::{self, Schedule},
    slots::{MissedPolicy, Passed, Slots},
    text,
};

pub use super::retention::Retention;

/// Names a value in the vault. Not the value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretRef(pub String);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSpec {
    /// For people; empty means "the strategy's label".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Service of the app, as in its compose file.
    pub service: String,
    pub strategy: String,
    /// The strategy's plain options: `database`, `user`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// The strategy's credentials: `password`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub credentials: BTreeMap<String, SecretRef>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    pub target: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub target_settings: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub target_secrets: BTreeMap<String, SecretRef>,
    /// Where each artifact is copied to once it is proved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<FurtherTarget>,
    /// Five POSIX fields or an `@` word; empty means manual only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schedule_cron: String,
    /// IANA name the schedule is evaluated in.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// What becomes of slots that passed while the server did not run.
    #[serde(default, skip_serializing_if = "MissedPolicy::is_default")]
    pub missed_policy: MissedPolicy,
    /// Slots are heeded up to so many seconds later, each config at its own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub jitter_seconds: u32,
    /// Hours in which the schedule starts nothing, as `Blackout` reads them; empty: there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub blackout: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    pub compression: Compression,
    #[serde(default, skip_serializing_if = "Encryption::is_none")]
    pub encryption: Box<Encryption>,
    #[serde(default)]
    pub retention: Retention,
    /// Read the stored artifact back, decompress and validate it before the run counts.
    #[serde(default = "yes")]
    pub verify_upload: bool,
    /// Run before the first byte is read, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_hooks: Vec<Hook>,
    /// Run as soon as the data is out of the container, whatever became of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_hooks: Vec<Hook>,
    /// A dead man's switch that is told when a run starts and how it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping: Option<Box<PingSpec>>,
    /// What people and programs note down about it. Holdfast itself goes by none of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Its address holds a token, so no more of it is shown than where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingSpec {
    /// Scheme, host and port: `https://hc-ping.com`.
    pub origin: String,
    pub url: SecretRef,
}

fn utc() -> String {
    "UTC".to_owned()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde asks for"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn yes() -> bool {
    true
}

impl Default for ConfigSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            service: String::new(),
            strategy: String::new(),
            options: BTreeMap::new(),
            credentials: BTreeMap::new(),
            paths: Vec::new(),
            target: "local".to_owned(),
            target_settings: BTreeMap::new(),
            target_secrets: BTreeMap::new(),
            copies: Vec::new(),
            schedule_cron: String::new(),
            time_zone: utc(),
            missed_policy: MissedPolicy::default(),
            jitter_seconds: 0,
            blackout: String::new(),
            enabled: true,
            compression: Compression::Gzip,
            encryption: Box::default(),
            retention: Retention::default(),
            verify_upload: true,
            pre_hooks: Vec::new(),
            post_hooks: Vec::new(),
            ping: None,
            labels: BTreeMap::new(),
        }
    }
}

impl ConfigSpec {
    /// Where it stores first, in the form of the further ones.
    pub fn first_target(&self) -> FurtherTarget {
        FurtherTarget {
            target: self.target.clone(),
            settings: self.target_settings.clone(),
            secrets: self.target_secrets.clone(),
        }
    }

    /// Everywhere it stores, first target first.
    pub fn targets(&self) -> impl Iterator<Item = FurtherTarget> {
        std::iter::once(self.first_target()).chain(self.copies.iter().cloned())
    }

    /// The hooks of a phase, in order.
    pub fn hooks(&self, phase: Phase) -> &[Hook] {
        match phase {
            Phase::Before => &self.pre_hooks,
            Phase::After => &self.post_hooks,
        }
    }
}

/// A config's own address, which asks for a run of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Of the token in the address: lower-hex SHA-256.
    pub digest: String,
    /// What calls have to be signed with, if they have to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigCommand {
    Create {
        config: ConfigId,
        app: AppId,
        spec: ConfigSpec,
    },
    /// `spec` was made from that revision; another one is there when somebody was faster.
    Change {
        revision: u32,
        spec: ConfigSpec,
    },
    Remove,
    /// None takes it away.
    SetTrigger {
        trigger: Option<Trigger>,
    },
    /// Slots came due and end without a run.
    PassSlots {
        slots: Slots,
        why: Passed,
    },
    /// The clock had been wrong by more than may be waited for: slots are due again from `now` on.
    SetClockBack {
        now: DateTime<Utc>,
    },
    /// The schedule's promise is broken since the slot `promised`.
    TellOverdue {
        how: Overdue,
        promised: DateTime<Utc>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", content = "data")]
pub enum ConfigEvent {
    #[serde(rename = "config.created")]
    Created {
        config: ConfigId,
        app: AppId,
        spec: ConfigSpec,
    },
    #[serde(rename = "config.changed")]
    Changed { revision: u32, spec: ConfigSpec },
    #[serde(rename = "config.removed")]
    Removed {},
    #[serde(rename = "config.trigger_issued")]
    TriggerIssued { trigger: Trigger },
    #[serde(rename = "config.trigger_revoked")]
    TriggerRevoked {},
    /// They came due while `run` was not over.
    #[serde(rename = "config.slots_skipped")]
    SlotsSkipped { slots: Slots, run: RunId },
    /// They passed while nobody could look: the server did not run, or its clock was set.
    #[serde(rename = "config.slots_missed")]
    SlotsMissed { slots: Slots },
    /// They came in a blackout; a later run makes up for them.
    #[serde(rename = "config.slots_blacked_out")]
    SlotsBlackedOut { slots: Slots },
    #[serde(rename = "config.clock_set_back")]
    ClockSetBack { now: DateTime<Utc> },
    #[serde(rename = "config.overdue")]
    Overdue {
        how: Overdue,
        promised: DateTime<Utc>,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    pub id: ConfigId,
    pub app: AppId,
    /// 1 for the first spec, one more with each change.
    pub revision: u32,
    pub spec: ConfigSpec,
    exists: bool,
    has_trigger: bool,
    /// What was told last.
    overdue: Option<(Overdue, DateTime<Utc>)>,
}

impl Aggregate for Config {
    type Command = ConfigCommand;
    type Event = ConfigEvent;
    const KIND: StreamKind = StreamKind::Config;

    fn decide(&self, command: ConfigCommand) -> Result<Vec<ConfigEvent>, Refusal> {
        match command {
            ConfigCommand::Create { config, app, spec } => {
                if self.exists {
                    return Err(Refusal::Conflict(format!("config {} exists", self.id)));
                }
                check(&spec).map_err(Refusal::Invalid)?;
                Ok(vec![ConfigEvent::Created { config, app, spec }])
            }
            ConfigCommand::Change { revision, spec } => {
                if !self.exists {
                    return Err(Refusal::NotFound("the config".into()));
                }
                if revision != self.revision {
                    let (attempt, present) = (revision, self.revision);
                    return Err(Refusal::Stale { attempt, present });
                }
                check(&spec).map_err(Refusal::Invalid)?;
                Ok(if spec == self.spec {
                    vec![]
                } else {
                    vec![ConfigEvent::Changed {
                        revision: self.revision + 1,
                        spec,
                    }]
                })
            }
            ConfigCommand::Remove => Ok(if self.exists {
                vec![ConfigEvent::Removed {}]
            } else {
                vec![]
            }),
            _ if !self.exists => Err(Refusal::NotFound("the config".into())),
            ConfigCommand::SetTrigger { trigger } => Ok(match trigger {
                Some(trigger) => vec![ConfigEvent::TriggerIssued { trigger }],
                None if self.has_trigger => vec![ConfigEvent::TriggerRevoked {}],
                None => vec![],
            }),
            ConfigCommand::PassSlots { slots, why } => Ok(vec![match why {
                Passed::Busy(run) => ConfigEvent::SlotsSkipped { slots, run },
                Passed::Missed => ConfigEvent::SlotsMissed { slots },
                Passed::BlackedOut => ConfigEvent::SlotsBlackedOut { slots },
            }]),
            ConfigCommand::SetClockBack { now } => Ok(vec![ConfigEvent::ClockSetBack { now }]),
            ConfigCommand::TellOverdue { how, promised } => {
                let told = self.overdue.is_some_and(|(before, since)| {
                    since > promised || (since == promised && before >= how)
                });
                Ok(if told {
                    vec![]
                } else {
                    vec![ConfigEvent::Overdue { how, promised }]
                })
            }
        }
    }

    fn evolve(&mut self, event: &ConfigEvent) {
        match event {
            ConfigEvent::Created { config, app, spec } => {
                *self = Self {
                    id: *config,
                    app: *app,
                    revision: 1,
                    spec: spec.clone(),
                    exists: true,
                    has_trigger: false,
                    overdue: None,
                };
            }
            ConfigEvent::Changed { revision, spec } => {
                self.revision = *revision;
                self.spec.clone_from(spec);
            }
            ConfigEvent::Removed {} => self.exists = false,
            ConfigEvent::TriggerIssued { .. } => self.has_trigger = true,
            ConfigEvent::TriggerRevoked {} => self.has_trigger = false,
            ConfigEvent::SlotsSkipped { .. }
            | ConfigEvent::SlotsMissed { .. }
            | ConfigEvent::SlotsBlackedOut { .. }
            | ConfigEvent::ClockSetBack { .. } => {}
            ConfigEvent::Overdue { how, promised } => self.overdue = Some((*how, *promised)),
        }
    }

    fn scope(&self) -> Scope {
        Scope::config(self.app, self.id)
    }
}

impl Config {
    pub fn exists(&self) -> bool {
        self.exists
    }
}

/// What holds for every spec, whatever its strategy and target. All problems at once.
pub fn check(spec: &ConfigSpec) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    if !spec.name.is_empty() {
        errors.merge(text::label("name", &spec.name));
    }
    errors.merge(text::container_name("service", &spec.service));
    for (key, value) in &spec.options {
        errors.merge(text::setting(&format!("options.{key}"), value));
    }
    for path in &spec.paths {
        errors.merge(text::absolute_path("paths", path));
    }
    for (key, value) in &spec.target_settings {
        errors.merge(text::setting(&format!("target_config_json.{key}"), value));
    }
    if !spec.schedule_cron.is_empty()
        && let Err(problem) = Schedule::parse(&spec.schedule_cron)
    {
        errors.add("schedule_cron", problem.to_string());
    }
    if schedule::zone(&spec.time_zone).is_none() {
        errors.add(
            "time_zone",
            "use an IANA name such as Europe/Berlin, or UTC",
        );
    }
    if let MissedPolicy::All { hours } = spec.missed_policy
        && !(1..=24 * 31).contains(&hours)
    {
        errors.add("missed_window", "use between 1 and 744 hours");
    }
    if spec.jitter_seconds > MAX_JITTER {
        errors.add(
            "jitter_seconds",
            format!("use at most {MAX_JITTER} seconds"),
        );
    }
    if !spec.blackout.is_empty()
        && let Err(problem) = Blackout::parse(&spec.blackout)
    {
        errors.add("blackout", problem);
    }
    errors.merge(labels::check(&spec.labels));
    errors.merge(copies::check(&spec.first_target(), &spec.copies));
    errors.merge(encryption::check(&spec.encryption));
    errors.merge(retention::check(&spec.retention));
    for phase in [Phase::Before, Phase::After] {
        errors.merge(hook::check(phase, spec.hooks(phase)));
    }
    errors.into_result()
}
