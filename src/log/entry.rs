//! An event as it stands in an export: `data` and `actor` byte for byte as they were hashed, so that whoever
//! has the export can compute the chain again.

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::entity::Model;

/// The names of its fields are those of the export, in this order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub position: i64,
    /// RFC 3339, to the millisecond.
    pub at: String,
    pub name: String,
    pub schema: i32,
    pub stream: String,
    pub stream_id: i64,
    pub version: i64,
    pub actor: Box<RawValue>,
    pub correlation: String,
    pub causation: Option<i64>,
    pub app_id: Option<i64>,
    pub config_id: Option<i64>,
    /// `null` when it was pruned.
    pub data: Box<RawValue>,
    /// Of the event before, lower hex.
    pub prev_hash: String,
    pub hash: String,
    /// The segment in a target that holds what was pruned; for people, nothing is proved by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned_to: Option<String>,
}

/// What stands for `data` that was pruned: no stored form is this.
const PRUNED: &str = "null";

impl Entry {
    pub fn is_pruned(&self) -> bool {
        self.data.get() == PRUNED
    }

    /// Unix milliseconds.
    pub fn millis(&self) -> Option<i64> {
        let at = DateTime::parse_from_rfc3339(&self.at).ok()?;
        Some(at.timestamp_millis())
    }

    /// `None` when a field cannot be what it was in a log.
    pub(super) fn model(self) -> Option<Model> {
        Some(Model {
            at: self.millis()?,
            position: self.position,
            stream_kind: self.stream,
            stream_id: self.stream_id,
            version: self.version,
            name: self.name,
            schema: self.schema,
            data: match self.data.get() {
                PRUNED => String::new(),
                data => data.to_owned(),
            },
            actor: self.actor.get().to_owned(),
            correlation: self.correlation,
            causation: self.causation,
            app_id: self.app_id,
            config_id: self.config_id,
            prev_hash: hex::decode(self.prev_hash).ok()?,
            hash: hex::decode(self.hash).ok()?,
        })
    }
}

impl From<Model> for Entry {
    fn from(row: Model) -> Self {
        let at = DateTime::from_timestamp_millis(row.at).unwrap_or_default();
        let data = if row.is_emptied() {
            RawValue::NULL.to_owned()
        } else {
            raw(row.data)
        };
        Self {
            position: row.position,
            at: at.to_rfc3339_opts(SecondsFormat::Millis, true),
            name: row.name,
            schema: row.schema,
            stream: row.stream_kind,
            stream_id: row.stream_id,
            version: row.version,
            actor: raw(row.actor),
            correlation: row.correlation,
            causation: row.causation,
            app_id: row.app_id,
            config_id: row.config_id,
            data,
            prev_hash: hex::encode(row.prev_hash),
            hash: hex::encode(row.hash),
            pruned_to: None,
        }
    }
}

/// What is no line of JSON was not written by us: it goes out as a text, and does not fit its hash.
fn raw(text: String) -> Box<RawValue> {
    let one_line = !text.contains(['\n', '\r']);
    let quoted =
        serde_json::value::to_raw_value(&text).unwrap_or_else(|_| RawValue::NULL.to_owned());
    let raw = RawValue::from_string(text).ok().filter(|_| one_line);
    raw.unwrap_or(quoted)
}
