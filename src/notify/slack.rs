//! Slack's incoming webhooks, and those of Mattermost and Rocket.Chat, which take the same.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Channel, Letter, Message};
use crate::domain::secret::Secret;

pub struct Slack;

impl Channel for Slack {
    fn kind(&self) -> &'static str {
        "slack"
    }

    fn label(&self) -> &'static str {
        "Slack, Mattermost"
    }

    fn is_signed(&self) -> bool {
        false
    }

    fn letter(&self, message: &Message, _: Option<&Secret>, _: DateTime<Utc>) -> Letter {
        // The three characters that Slack reads as markup; nobody is called by `<!channel>` then.
        let text = message.text.replace('&', "&amp;");
        let text = text.replace('<', "&lt;").replace('>', "&gt;");
        Letter {
            headers: vec![],
            body: super::json(&json!({ "text": text })),
        }
    }
}
