//! Slack's incoming webhooks, and those of Mattermost and Rocket.Chat, which take the same.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Channel, Letter, Message, Post, Recipient};

pub struct Slack;

impl Channel for Slack {
    fn kind(&self) -> &'static str {
        "slack"
    }

    fn label(&self) -> &'static str {
        "Slack, Mattermost"
    }

    fn letter(&self, message: &Message, to: &Recipient, _: DateTime<Utc>) -> Letter {
        // The three characters that Slack reads as markup; nobody is called by `<!channel>` then.
        let text = message.in_words().replace('&', "&amp;");
        let text = text.replace('<', "&lt;").replace('>', "&gt;");
        Letter::Post(Post::json(&to.address, &json!({ "text": text })))
    }
}
