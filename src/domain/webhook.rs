//! A webhook: whom to tell of what. Its address may hold a token, so the events hold no more of it than
//! where it goes; address and signing secret lie in the vault.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    aggregate::{Aggregate, Refusal},
    config::{ConfigEvent, SecretRef},
    copies::TOLD_AFTER,
    event::{Event, Scope, StreamKind},
    failure::FieldErrors,
    ids::WebhookId,
    lateness::Overdue,
    restore::RestoreEvent,
    run::RunEvent,
    text,
};

/// What can be told. Names are stored data, and what receivers see as `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    BackupSuccess,
    BackupFailed,
    BackupMissed,
    CopyFailed,
    VerificationPassed,
    VerificationFailed,
    VerificationUnreadable,
    RestoreSuccess,
    RestoreFailed,
    RestoreAttention,
    RestoreUndone,
}

impl Topic {
    pub const ALL: [Self; 11] = [
        Self::BackupSuccess,
        Self::BackupFailed,
        Self::BackupMissed,
        Self::CopyFailed,
        Self::VerificationPassed,
        Self::VerificationFailed,
        Self::VerificationUnreadable,
        Self::RestoreSuccess,
        Self::RestoreFailed,
        Self::RestoreAttention,
        Self::RestoreUndone,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::BackupSuccess => "backup_success",
            Self::BackupFailed => "backup_failed",
            Self::BackupMissed => "backup_missed",
            Self::CopyFailed => "copy_failed",
            Self::VerificationPassed => "verification_passed",
            Self::VerificationFailed => "verification_failed",
            Self::VerificationUnreadable => "verification_unreadable",
            Self::RestoreSuccess => "restore_success",
            Self::RestoreFailed => "restore_failed",
            Self::RestoreAttention => "restore_attention",
            Self::RestoreUndone => "restore_undone",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::BackupSuccess => "Backup succeeded",
            Self::BackupFailed => "Backup failed",
            Self::BackupMissed => "Backup missed",
            Self::CopyFailed => "Copy of a backup failed",
            Self::VerificationPassed => "Backup verified",
            Self::VerificationFailed => "Backup found damaged",
            Self::VerificationUnreadable => "Backup could not be read",
            Self::RestoreSuccess => "Restore succeeded",
            Self::RestoreFailed => "Restore failed",
            Self::RestoreAttention => "Restore needs a person",
            Self::RestoreUndone => "Restore undone",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// Whether somebody should look soon.
    pub fn is_bad(self) -> bool {
        matches!(
            self,
            Self::BackupFailed
                | Self::BackupMissed
                | Self::CopyFailed
                | Self::VerificationFailed
                | Self::VerificationUnreadable
                | Self::RestoreFailed
                | Self::RestoreAttention
        )
    }

    /// What an event is told as, if at all.
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Run(RunEvent::Succeeded { .. }) => Some(Self::BackupSuccess),
            Event::Run(RunEvent::Failed { .. }) => Some(Self::BackupFailed),
            Event::Run(RunEvent::VerificationPassed { copies, .. }) => {
                let bad = copies.iter().any(|copy| copy.damage.is_some());
                Some(if bad {
                    Self::CopyFailed
                } else {
                    Self::VerificationPassed
                })
            }
            Event::Run(RunEvent::VerificationFailed { .. }) => Some(Self::VerificationFailed),
            Event::Run(RunEvent::ArtifactUnreadable { .. }) => Some(Self::VerificationUnreadable),
            // Once, and not with every attempt while a store is away.
            Event::Run(RunEvent::CopyFailed {
                attempt, failure, ..
            }) => {
                let told = if failure.is_temporary() {
                    TOLD_AFTER
                } else {
                    1
                };
                (*attempt == told).then_some(Self::CopyFailed)
            }
            Event::Config(ConfigEvent::Overdue {
                how: Overdue::Missed,
                ..
            }) => Some(Self::BackupMissed),
            Event::Restore(RestoreEvent::Succeeded { .. }) => Some(Self::RestoreSuccess),
            Event::Restore(RestoreEvent::Failed { .. }) => Some(Self::RestoreFailed),
            Event::Restore(RestoreEvent::AttentionNeeded { .. }) => Some(Self::RestoreAttention),
            Event::Restore(RestoreEvent::Undone { .. }) => Some(Self::RestoreUndone),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookSpec {
    /// For people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The form of what is sent: `standard`, `slack`, …
    pub kind: String,
    pub topics: Vec<Topic>,
    pub enabled: bool,
    /// What the form asks for beside the address: `topic`, `chat_id`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Scheme, host and port of the address: `https://example.org`.
    pub origin: String,
    pub url: SecretRef,
    /// To sign with, or what the receiver asks for: a bot's token, a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookCommand {
    Add {
        webhook: WebhookId,
        spec: WebhookSpec,
    },
    Change {
        spec: WebhookSpec,
    },
    Remove,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", content = "data")]
pub enum WebhookEvent {
    #[serde(rename = "webhook.added")]
    Added {
        webhook: WebhookId,
        spec: WebhookSpec,
    },
    #[serde(rename = "webhook.changed")]
    Changed { spec: WebhookSpec },
    #[serde(rename = "webhook.removed")]
    Removed {},
}

/// Its present form; none before the first event, and after the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Webhook {
    pub spec: Option<WebhookSpec>,
}

impl Aggregate for Webhook {
    type Command = WebhookCommand;
    type Event = WebhookEvent;
    const KIND: StreamKind = StreamKind::Webhook;

    fn decide(&self, command: WebhookCommand) -> Result<Vec<WebhookEvent>, Refusal> {
        match command {
            WebhookCommand::Add { webhook, spec } => {
                if self.spec.is_some() {
                    return Err(Refusal::Conflict(format!("webhook {webhook} exists")));
                }
                check(&spec).map_err(Refusal::Invalid)?;
                Ok(vec![WebhookEvent::Added { webhook, spec }])
            }
            WebhookCommand::Change { spec } => {
                let Some(present) = &self.spec else {
                    return Err(Refusal::NotFound("the webhook".into()));
                };
                check(&spec).map_err(Refusal::Invalid)?;
                Ok(if *present == spec {
                    vec![]
                } else {
                    vec![WebhookEvent::Changed { spec }]
                })
            }
            WebhookCommand::Remove => Ok(match self.spec {
                Some(_) => vec![WebhookEvent::Removed {}],
                None => vec![],
            }),
        }
    }

    fn evolve(&mut self, event: &WebhookEvent) {
        self.spec = match event {
            WebhookEvent::Added { spec, .. } | WebhookEvent::Changed { spec } => Some(spec.clone()),
            WebhookEvent::Removed {} => None,
        };
    }

    fn scope(&self) -> Scope {
        Scope::default()
    }
}

/// All problems at once, by the names of the API.
pub fn check(spec: &WebhookSpec) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    if !spec.name.is_empty() {
        errors.merge(text::label("name", &spec.name));
    }
    if spec.topics.is_empty() {
        errors.add("events", "choose at least one");
    }
    for (key, value) in &spec.settings {
        errors.merge(text::setting(&format!("settings.{key}"), value));
    }
    errors.into_result()
}
