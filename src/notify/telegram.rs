//! A bot of Telegram, which writes into a chat. Its token is part of the path, so it is looked at before
//! it gets there.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Channel, Field, Letter, Message, Post, Recipient, setting_problem};
use crate::domain::{failure::FieldErrors, secret::Secret};

/// Telegram refuses longer ones.
const MAX: usize = 4096;

const FIELDS: &[Field] = &[
    Field {
        name: "token",
        label: "Bot token",
        help: "What @BotFather answered: a number, a colon and letters.",
        required: true,
        secret: true,
    },
    Field {
        name: "chat_id",
        label: "Chat",
        help: "Number of the chat, as in -1001234567890, or the @name of a public channel. The bot has to be in it.",
        required: true,
        secret: false,
    },
];

pub struct Telegram;

impl Channel for Telegram {
    fn kind(&self) -> &'static str {
        "telegram"
    }

    fn label(&self) -> &'static str {
        "Telegram"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn usual_address(&self) -> Option<&'static str> {
        Some("https://api.telegram.org")
    }

    fn check(
        &self,
        settings: &BTreeMap<String, String>,
        secret: Option<&Secret>,
    ) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::default();
        if !secret.is_some_and(|token| is_token(token.expose())) {
            errors.add("secret", "use the bot's token, as in 123456:ABC-def_8");
        }
        if !settings.get("chat_id").is_some_and(|chat| is_chat(chat)) {
            let problem = "use the chat's number, or the @name of a channel";
            errors.merge(Err(setting_problem("chat_id", problem)));
        }
        errors.into_result()
    }

    fn letter(&self, message: &Message, to: &Recipient, _: DateTime<Utc>) -> Letter {
        let method = format!("bot{}/sendMessage", to.secret());
        let body = json!({
            "chat_id": to.setting("chat_id"),
            "text": super::cut(&message.in_words(), MAX),
            "link_preview_options": { "is_disabled": true },
        });
        Letter::Post(Post::json(&to.address.below(&method), &body))
    }
}

fn is_token(text: &str) -> bool {
    text.split_once(':').is_some_and(|(bot, key)| {
        let key_fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        !bot.is_empty()
            && bot.bytes().all(|b| b.is_ascii_digit())
            && (8..=100).contains(&key.len())
            && key.bytes().all(key_fits)
    })
}

fn is_chat(text: &str) -> bool {
    let number = text.strip_prefix('-').unwrap_or(text);
    let name = text.strip_prefix('@').unwrap_or_default();
    let digits = (1..=20).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    digits
        || ((4..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_part_of_a_path_is_a_token() {
        assert!(is_token("110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"));
        for text in [
            "",
            ":",
            "1:",
            "1:short",
            "x:AAHdqTcvCH1vGW",
            "1:AAHdqT/../x",
            "1:AAHdqTcv?a=b",
        ] {
            assert!(!is_token(text), "{text}");
        }
        for text in ["42", "-1001234567890", "@holdfast_news"] {
            assert!(is_chat(text), "{text}");
        }
        for text in ["", "-", "@", "@a b", "shop", "4 2"] {
            assert!(!is_chat(text), "{text}");
        }
    }
}
