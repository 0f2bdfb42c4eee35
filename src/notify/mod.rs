//! Telling somebody outside: what is sent, in which form, and to whom it may go. One file a form, its
//! name in `ALL`. Nothing here knows the log: whoever calls keeps what has to be sent until it was.

mod address;
mod discord;
mod send;
mod slack;
mod standard;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    address::{Address, AddressError},
    send::{SendError, send},
    standard::{Signed, new_secret, usable_secret},
};
use crate::domain::secret::Secret;

/// Every form there is.
pub const ALL: &[&dyn Channel] = &[
    &standard::Standard, //
    &slack::Slack,
    &discord::Discord,
];

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
    /// For machines: names, numbers, the error.
    pub data: Value,
}

/// What goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
}

/// A form that receivers understand.
///
/// Pure: the same message at the same time gives the same letter.
pub trait Channel: Send + Sync {
    /// Stable name, as stored: `standard`.
    fn kind(&self) -> &'static str;
    fn label(&self) -> &'static str;
    /// Whether letters are signed with a secret that both sides know.
    fn is_signed(&self) -> bool;
    /// `now` is the time of this attempt.
    fn letter(&self, message: &Message, secret: Option<&Secret>, now: DateTime<Utc>) -> Letter;
}

/// JSON of a body that we made ourselves.
fn json(value: &Value) -> String {
    value.to_string()
}
