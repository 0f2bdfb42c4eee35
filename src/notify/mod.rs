//! Telling somebody outside: what is sent, in which form, and to whom it may go. One file a form, its
//! name in `ALL`. Nothing here knows the log: whoever calls keeps what has to be sent until it was.

mod address;
mod discord;
mod email;
mod fetch;
mod mail;
mod ntfy;
pub mod ping;
mod send;
mod slack;
mod standard;
mod telegram;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    address::{Address, AddressError},
    fetch::fetch,
    mail::Mail,
    send::{SendError, send},
    standard::{Signed, new_secret, usable_secret},
};
pub use crate::domain::form::Field;
use crate::domain::{failure::FieldErrors, secret::Secret};

/// Every form there is.
pub const ALL: &[&dyn Channel] = &[
    &standard::Standard, //
    &slack::Slack,
    &discord::Discord,
    &telegram::Telegram,
    &ntfy::Ntfy,
    &email::Email,
];

/// Where a form's plain settings stand in errors: `settings.topic`.
pub const SETTINGS: &str = "settings";

pub fn channel(kind: &str) -> Option<&'static dyn Channel> {
    ALL.iter().copied().find(|channel| channel.kind() == kind)
}

/// What is told. Kept as it is until it has arrived, so that a repetition is the same to the byte.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The same in every repetition: receivers tell by it what they have had already.
    pub id: String,
    /// `backup_failed`; `test` for the test button.
    pub topic: String,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// One sentence for people.
    pub text: String,
    /// What to do about it, when something is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The page that shows it, when the server knows where people reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// It is bad news.
    #[serde(default)]
    pub urgent: bool,
    /// For machines: names, numbers, the error.
    pub data: Value,
}

impl Message {
    /// All of it for people: what happened, what to do, where to look; a paragraph each.
    fn in_words(&self) -> String {
        let parts = [
            Some(self.text.as_str()),
            self.hint.as_deref(),
            self.link.as_deref(),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
    }
}

/// Whom a form writes to.
#[derive(Clone)]
pub struct Recipient {
    pub address: Address,
    /// By the names of the form's fields.
    pub settings: BTreeMap<String, String>,
    pub secret: Option<Secret>,
}

impl Recipient {
    /// Empty when it is not set.
    fn setting(&self, name: &str) -> &str {
        setting(&self.settings, name)
    }

    /// Empty when there is none.
    fn secret(&self) -> &str {
        self.secret.as_ref().map_or("", |secret| secret.expose())
    }
}

fn setting<'a>(settings: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    settings.get(name).map_or("", String::as_str)
}

/// What goes over the wire.
#[derive(Clone)]
pub enum Letter {
    Post(Post),
    Mail(Mail),
}

/// A request of HTTP. Its address may hold a token, so it is never printed.
#[derive(Clone)]
pub struct Post {
    pub address: Address,
    pub headers: Vec<(&'static str, String)>,
    pub content_type: &'static str,
    pub body: String,
}

impl Post {
    /// Of a body that we made ourselves.
    fn json(address: &Address, body: &Value) -> Self {
        Self {
            address: address.clone(),
            headers: Vec::new(),
            content_type: "application/json",
            body: body.to_string(),
        }
    }
}

/// A form that receivers understand.
///
/// Pure: the same message to the same recipient at the same time gives the same letter.
pub trait Channel: Send + Sync {
    /// Stable name, as stored: `standard`.
    fn kind(&self) -> &'static str;
    fn label(&self) -> &'static str;

    /// What it asks for beside an address. One at most is a secret; it is stored and sent as `secret`.
    fn fields(&self) -> &'static [Field] {
        &[]
    }

    /// Whether letters are signed with a secret that both sides know, and that we make.
    fn is_signed(&self) -> bool {
        false
    }

    /// What is meant when no address is given; none: one has to be.
    fn usual_address(&self) -> Option<&'static str> {
        None
    }

    /// Where a letter goes: `url`, unless the settings say so.
    fn address(
        &self,
        url: &str,
        _settings: &BTreeMap<String, String>,
    ) -> Result<Address, AddressError> {
        Address::parse(url)
    }

    /// All problems at once, by the names of the API. Fields that have to be set, are.
    fn check(
        &self,
        _settings: &BTreeMap<String, String>,
        _secret: Option<&Secret>,
    ) -> Result<(), FieldErrors> {
        Ok(())
    }

    /// `now` is the time of this attempt.
    fn letter(&self, message: &Message, to: &Recipient, now: DateTime<Utc>) -> Letter;
}

/// Whether each field that has to be set is, and none is set that the form does not have; then the
/// form's own rules.
pub fn check(
    channel: &dyn Channel,
    settings: &BTreeMap<String, String>,
    secret: Option<&Secret>,
) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    for field in channel.fields().iter().filter(|field| field.required) {
        let (name, set) = if field.secret {
            ("secret".to_owned(), secret.is_some())
        } else {
            let set = settings.contains_key(field.name);
            (format!("{SETTINGS}.{}", field.name), set)
        };
        if !set {
            errors.add(name, "fill it in");
        }
    }
    let known = |name: &String| {
        let mut fields = channel.fields().iter();
        fields.any(|field| !field.secret && field.name == name)
    };
    for name in settings.keys().filter(|name| !known(name)) {
        let problem = format!("{} has no such setting", channel.label());
        errors.add(format!("{SETTINGS}.{name}"), problem);
    }
    errors.into_result()?;
    channel.check(settings, secret)
}

/// A problem of one plain setting.
fn setting_problem(name: &str, problem: &str) -> FieldErrors {
    FieldErrors::one(format!("{SETTINGS}.{name}"), problem)
}

/// As many characters as a receiver takes.
fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
