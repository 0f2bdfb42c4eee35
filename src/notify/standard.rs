//! The Standard Webhooks specification: an id, a time and an HMAC-SHA256 over both and the body, so that
//! a receiver knows that we sent it, when, and whether it has had it before.

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::{Channel, Letter, Message};
use crate::domain::secret::Secret;

const PREFIX: &str = "whsec_";
/// What the specification allows, in bytes.
const KEY: std::ops::RangeInclusive<usize> = 24..=64;

pub struct Standard;

impl Channel for Standard {
    fn kind(&self) -> &'static str {
        "standard"
    }

    fn label(&self) -> &'static str {
        "Webhook (signed JSON)"
    }

    fn is_signed(&self) -> bool {
        true
    }

    fn letter(&self, message: &Message, secret: Option<&Secret>, now: DateTime<Utc>) -> Letter {
        let at = message.at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let body = super::json(&json!({
            "type": message.topic,
            "timestamp": at,
            "data": message.data,
        }));
        let timestamp = now.timestamp();
        let mut headers = vec![
            ("webhook-id", message.id.clone()),
            ("webhook-timestamp", timestamp.to_string()),
        ];
        let key = secret.and_then(|secret| key(secret.expose()));
        if let Some(key) = key {
            let signature = sign(&key, &message.id, timestamp, &body);
            headers.push(("webhook-signature", signature));
        }
        Letter { headers, body }
    }
}

/// A secret of these random bytes.
pub fn new_secret(random: &[u8; 32]) -> Secret {
    Secret::new(format!("{PREFIX}{}", BASE64_STANDARD.encode(random)))
}

/// Whether it can sign: 24 to 64 bytes in base64, with or without `whsec_` before them.
pub fn usable_secret(secret: &str) -> bool {
    key(secret).is_some()
}

fn key(secret: &str) -> Option<Vec<u8>> {
    let encoded = secret.strip_prefix(PREFIX).unwrap_or(secret);
    let key = BASE64_STANDARD.decode(encoded).ok()?;
    KEY.contains(&key.len()).then_some(key)
}

fn sign(key: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    // Any length of key will do for HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    format!("v1,{signature}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that the specification's own libraries test themselves with.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let body = "{\"test\": 2432232314}";
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(&key, id, 1_614_265_330, body), expected);
        assert_ne!(sign(&key, id, 1_614_265_331, body), expected);
        assert_ne!(sign(&key[1..], id, 1_614_265_330, body), expected);
    }

    #[test]
    fn secrets_are_long_enough_or_refused() {
        assert!(usable_secret(new_secret(&[7; 32]).expose()));
        assert!(usable_secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        for secret in [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "not base64!",
            &"A".repeat(400),
        ] {
            assert!(!usable_secret(secret), "{secret}");
        }
    }
}
