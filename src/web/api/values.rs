//! Forms that values have in every answer.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ToJSON, Type},
};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// RFC 3339, UTC, milliseconds: `2026-11-23T10:00:00.000Z`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time(DateTime<Utc>);

impl Time {
    /// Of Unix milliseconds, as read models keep them.
    pub fn of(millis: i64) -> Self {
        Self(DateTime::from_timestamp_millis(millis).unwrap_or_default())
    }
}

impl From<DateTime<Utc>> for Time {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at)
    }
}

impl Type for Time {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string(date-time)".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "date-time")))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for Time {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(
            self.0.to_rfc3339_opts(SecondsFormat::Millis, true),
        ))
    }
}

/// JSON inside a text, as clients of the replaced module read some fields.
pub fn json_text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A name that stays with a thing when its number may meet another's, as after a move to another
/// server. Made from what never changes of it, in the form of a UUID of version 8.
pub fn uuid(kind: &str, id: i64, created_at: i64) -> String {
    let digest = Sha256::digest(format!("holdfast {kind} {id} {created_at}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_a_z() {
        let said = |millis| Time::of(millis).to_json().unwrap_or_default();
        assert_eq!(said(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(said(1_795_428_000_007), "2026-11-23T10:00:00.007Z");
    }

    #[test]
    fn a_uuid_has_its_form() {
        let one = uuid("config", 1, 5);
        assert_eq!(one.len(), 36);
        assert_eq!(&one[14..15], "8");
        assert_ne!(one, uuid("config", 1, 6));
    }
}
