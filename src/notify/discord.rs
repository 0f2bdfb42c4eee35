//! Discord's webhooks.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Channel, Letter, Message};
use crate::domain::secret::Secret;

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

    fn is_signed(&self) -> bool {
        false
    }

    fn letter(&self, message: &Message, _: Option<&Secret>, _: DateTime<Utc>) -> Letter {
        let text: String = message.text.chars().take(MAX).collect();
        // A message of a tool may hold `@everyone`: nobody is called.
        let body = json!({ "content": text, "allowed_mentions": { "parse": [] } });
        Letter {
            headers: vec![],
            body: super::json(&body),
        }
    }
}
