//! Discord's webhooks.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Channel, Letter, Message, Post, Recipient};

/// Discord refuses longer ones.
const MAX: usize = 2000;

pub struct Discord;

impl Channel for Discord {
    fn kind(&self) -> &'static str {
        "discord"
    }

    fn label(&self) -> &'static str {
        "Discord"
    }

    fn letter(&self, message: &Message, to: &Recipient, _: DateTime<Utc>) -> Letter {
        let text = super::cut(&message.in_words(), MAX);
        // A message of a tool may hold `@everyone`: nobody is called.
        let body = json!({ "content": text, "allowed_mentions": { "parse": [] } });
        Letter::Post(Post::json(&to.address, &body))
    }
}
