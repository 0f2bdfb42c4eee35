//! All events of all streams in one type, with their stable names. A name and its schema number
//! are stored data: they are never changed, only added to.

use serde::{Deserialize, Serialize};

use super::{
    access::AccessEvent,
    app::AppEvent,
    audit::AuditEvent,
    config::ConfigEvent,
    ids::{AppId, ConfigId},
    restore::RestoreEvent,
    run::RunEvent,
    webhook::WebhookEvent,
};

/// The kinds of streams. Its name is stored data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamKind {
    App,
    Config,
    Run,
    Restore,
    User,
    Audit,
    Webhook,
}

impl StreamKind {
    pub const ALL: [Self; 7] = [
        Self::App,
        Self::Config,
        Self::Run,
        Self::Restore,
        Self::User,
        Self::Audit,
        Self::Webhook,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Config => "config",
            Self::Run => "run",
            Self::Restore => "restore",
            Self::User => "user",
            Self::Audit => "audit",
            Self::Webhook => "webhook",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One event of any stream. The stable name of each is its `serde` name: `run.started`.
#[derive(Debug, Clone, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "read and written one at a time; a config's spec is the largest by far"
)]
pub enum Event {
    App(AppEvent),
    Config(ConfigEvent),
    Run(RunEvent),
    Restore(RestoreEvent),
    Access(AccessEvent),
    Audit(AuditEvent),
    Webhook(WebhookEvent),
}

macro_rules! from_events {
    ($($variant:ident($event:ty)),+ $(,)?) => {$(
        impl From<$event> for Event {
            fn from(event: $event) -> Self {
                Self::$variant(event)
            }
        }
        impl TryFrom<Event> for $event {
            type Error = Event;
            fn try_from(event: Event) -> Result<Self, Event> {
                match event {
                    Event::$variant(event) => Ok(event),
                    other => Err(other),
                }
            }
        }
    )+};
}

from_events!(
    App(AppEvent),
    Config(ConfigEvent),
    Run(RunEvent),
    Restore(RestoreEvent),
    Access(AccessEvent),
    Audit(AuditEvent),
    Webhook(WebhookEvent),
);

/// What an event belongs to: filters and grants go by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scope {
    pub app: Option<AppId>,
    pub config: Option<ConfigId>,
}

impl Scope {
    pub fn app(app: AppId) -> Self {
        Self {
            app: Some(app),
            config: None,
        }
    }

    /// What is Holdfast's own belongs to no app, so no grant on an app shows it.
    pub fn config(app: AppId, config: ConfigId) -> Self {
        Self {
            app: (app != AppId::OWN).then_some(app),
            config: Some(config),
        }
    }
}

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub kind: ActorKind,
    /// User id, when a user is behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    pub name: String,
    /// Address it came from; empty when it came from inside.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// Someone in the browser.
    User,
    /// A bearer token.
    Token,
    /// The command line on the server's own host.
    Cli,
    /// Holdfast itself: workers, schedules, settling after a crash.
    System,
    /// Nobody known: a refused login, the set-up.
    Anonymous,
}

impl ActorKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Token => "token",
            Self::Cli => "cli",
            Self::System => "system",
            Self::Anonymous => "anonymous",
        }
    }
}

impl Actor {
    pub fn system() -> Self {
        Self::named(ActorKind::System, "holdfast")
    }

    pub fn named(kind: ActorKind, name: impl Into<String>) -> Self {
        Self {
            kind,
            id: None,
            name: name.into(),
            address: String::new(),
        }
    }
}
