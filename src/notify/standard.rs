//! The Standard Webhooks specification: an id, a time and an HMAC-SHA256 over both and the body, so that
//! a receiver knows that we sent it, when, and whether it has had it before.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::{Channel, Field, Letter, Message, Post, Recipient};
use crate::domain::{failure::FieldErrors, secret::Secret};

const PREFIX: &str = "whsec_";
/// How many seconds a signed call may be old, or ahead.
const TOLERANCE: i64 = 300;
/// What the specification allows, in bytes.
const KEY: std::ops::RangeInclusive<usize> = 24..=64;

const FIELDS: &[Field] = &[Field {
    name: "secret",
    label: "Signing secret",
    help: "24 to 64 bytes in base64. One is made when this is empty.",
    required: false,
    secret: true,
}];

pub struct Standard;

impl Channel for Standard {
    fn kind(&self) -> &'static str {
        "standard"
    }

    fn label(&self) -> &'static str {
        "Webhook (signed JSON)"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn is_signed(&self) -> bool {
        true
    }

    fn check(
        &self,
        _: &BTreeMap<String, String>,
        secret: Option<&Secret>,
    ) -> Result<(), FieldErrors> {
        if secret.is_none_or(|secret| usable_secret(secret.expose())) {
            return Ok(());
        }
        let problem = "use 24 to 64 bytes in base64, with or without whsec_ before them";
        Err(FieldErrors::one("secret", problem))
    }

    fn letter(&self, message: &Message, to: &Recipient, now: DateTime<Utc>) -> Letter {
        let at = message.at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut data = message.data.clone();
        if let Some(link) = &message.link {
            data["link"] = json!(link);
        }
        let body = json!({
            "type": message.topic,
            "timestamp": at,
            "data": data,
        });
        let mut post = Post::json(&to.address, &body);
        let timestamp = now.timestamp();
        post.headers = vec![
            ("webhook-id", message.id.clone()),
            ("webhook-timestamp", timestamp.to_string()),
        ];
        if let Some(key) = key(to.secret()) {
            let signature = sign(&key, &message.id, timestamp, &post.body);
            post.headers.push(("webhook-signature", signature));
        }
        Letter::Post(post)
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

/// What came with a call that is signed the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub id: String,
    /// Unix seconds, as sent.
    pub timestamp: String,
    /// One or more, with blanks between them.
    pub signature: String,
}

impl Signed {
    /// Whether one of the signatures is that of the secret, and the call no older than it may be.
    pub fn is_by(&self, secret: &Secret, body: &[u8], now: DateTime<Utc>) -> bool {
        let (Some(key), Ok(at)) = (key(secret.expose()), self.timestamp.parse::<i64>()) else {
            return false;
        };
        if (now.timestamp() - at).abs() > TOLERANCE {
            return false;
        }
        let signatures = self.signature.split(' ');
        let mut decoded = signatures
            .filter_map(|one| one.strip_prefix("v1,"))
            .filter_map(|one| BASE64_STANDARD.decode(one).ok());
        decoded.any(|signature| {
            mac(&key, &self.id, &self.timestamp, body)
                .is_some_and(|mac| mac.verify_slice(&signature).is_ok())
        })
    }
}

fn mac(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    // Any length of key will do for HMAC.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Some(mac)
}

fn key(secret: &str) -> Option<Vec<u8>> {
    let encoded = secret.strip_prefix(PREFIX).unwrap_or(secret);
    let key = BASE64_STANDARD.decode(encoded).ok()?;
    KEY.contains(&key.len()).then_some(key)
}

fn sign(key: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    let mac = mac(key, id, &timestamp.to_string(), body.as_bytes());
    mac.map_or_else(String::new, |mac| {
        let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        format!("v1,{signature}")
    })
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
    fn a_signed_call_is_known_by_all_that_was_signed() {
        let secret = new_secret(&[7; 32]);
        let now = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        let key = key(secret.expose()).unwrap();
        let good = Signed {
            id: "a".into(),
            timestamp: now.timestamp().to_string(),
            signature: format!("v1,AAAA {}", sign(&key, "a", now.timestamp(), "{}")),
        };
        assert!(good.is_by(&secret, b"{}", now));
        assert!(!good.is_by(&secret, b"{ }", now));
        assert!(!good.is_by(&new_secret(&[8; 32]), b"{}", now));
        assert!(!good.is_by(&secret, b"{}", now + chrono::TimeDelta::seconds(301)));
        let other = Signed {
            id: "b".into(),
            ..good
        };
        assert!(!other.is_by(&secret, b"{}", now));
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
