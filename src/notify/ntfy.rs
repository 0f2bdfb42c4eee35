//! ntfy: a topic on ntfy.sh or on a server of one's own, which telephones subscribe to.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Channel, Field, Letter, Message, Post, Recipient, setting_problem};
use crate::domain::{failure::FieldErrors, secret::Secret};

/// A longer one would become a file.
const MAX: usize = 3500;
const HIGH: u8 = 4;
const NORMAL: u8 = 3;

const FIELDS: &[Field] = &[
    Field {
        name: "topic",
        label: "Topic",
        help: "Whoever knows it on a public server can read it: make it hard to guess.",
        required: true,
        secret: false,
    },
    Field {
        name: "priority",
        label: "Priority",
        help: "1 to 5. When empty, bad news are high (4), the rest normal (3).",
        required: false,
        secret: false,
    },
    Field {
        name: "token",
        label: "Access token",
        help: "For a topic that not everybody may write to.",
        required: false,
        secret: true,
    },
];

pub struct Ntfy;

impl Channel for Ntfy {
    fn kind(&self) -> &'static str {
        "ntfy"
    }

    fn label(&self) -> &'static str {
        "ntfy"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn usual_address(&self) -> Option<&'static str> {
        Some("https://ntfy.sh")
    }

    fn check(
        &self,
        settings: &BTreeMap<String, String>,
        secret: Option<&Secret>,
    ) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::default();
        let topic = super::setting(settings, "topic");
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if !(1..=64).contains(&topic.len()) || !topic.bytes().all(fits) {
            let problem = "use 1 to 64 letters, digits, dashes and underscores";
            errors.merge(Err(setting_problem("topic", problem)));
        }
        if settings
            .get("priority")
            .is_some_and(|text| priority(text).is_none())
        {
            errors.merge(Err(setting_problem("priority", "use a number from 1 to 5")));
        }
        if secret.is_some_and(|token| !token.expose().bytes().all(|b| b.is_ascii_graphic())) {
            errors.add("secret", "a token has no spaces and no letters but a to z");
        }
        errors.into_result()
    }

    fn letter(&self, message: &Message, to: &Recipient, _: DateTime<Utc>) -> Letter {
        let usual = if message.urgent { HIGH } else { NORMAL };
        let mut body = json!({
            "topic": to.setting("topic"),
            "title": "Holdfast",
            "message": super::cut(&message.in_words(), MAX),
            "priority": priority(to.setting("priority")).unwrap_or(usual),
        });
        if let Some(link) = &message.link {
            body["click"] = json!(link);
        }
        let mut post = Post::json(&to.address, &body);
        if let Some(token) = &to.secret {
            let value = format!("Bearer {}", token.expose());
            post.headers.push(("authorization", value));
        }
        Letter::Post(post)
    }
}

fn priority(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number| (1..=5).contains(number))
}
