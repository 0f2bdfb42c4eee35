//! The two forms of an export, line by line. Both carry `data` and `actor` as they were hashed.

use std::fmt::Write as _;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use crate::{app::Head, log::Recorded, web::api::error::ApiError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    JsonLines,
    Csv,
}

const COLUMNS: [&str; 14] = [
    "position",
    "at",
    "name",
    "schema",
    "stream",
    "stream_id",
    "version",
    "actor",
    "correlation",
    "causation",
    "app_id",
    "config_id",
    "data",
    "hash",
];

impl Form {
    pub fn parse(name: Option<&str>) -> Result<Self, ApiError> {
        match name {
            None | Some("jsonl") => Ok(Self::JsonLines),
            Some("csv") => Ok(Self::Csv),
            Some(_) => Err(ApiError::invalid("format", "use one of: jsonl, csv")),
        }
    }

    pub fn extension(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::JsonLines => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    pub fn first(self) -> Option<String> {
        (self == Self::Csv).then(|| format!("{}\r\n", COLUMNS.join(",")))
    }

    pub fn line(self, event: &Recorded) -> String {
        let values = values(event);
        match self {
            Self::JsonLines => {
                let pairs = COLUMNS.iter().map(|name| (*name).to_owned()).zip(values);
                let object: serde_json::Map<String, Value> = pairs.collect();
                format!("{}\n", Value::Object(object))
            }
            Self::Csv => row(&values),
        }
    }

    /// The head, where no event can be meant: a key of its own, or a position of `head`.
    pub fn last(self, head: &Head) -> String {
        match self {
            Self::JsonLines => {
                let head = json!({ "position": head.position, "hash": head.hash });
                format!("{}\n", json!({ "head": head }))
            }
            Self::Csv => {
                let mut values = [const { Value::Null }; COLUMNS.len()];
                values[0] = json!(format!("head {}", head.position));
                values[COLUMNS.len() - 1] = json!(head.hash);
                row(&values)
            }
        }
    }
}

fn values(event: &Recorded) -> [Value; COLUMNS.len()] {
    [
        json!(event.position),
        json!(event.at.to_rfc3339_opts(SecondsFormat::Millis, true)),
        json!(event.name),
        json!(event.schema),
        json!(event.stream.kind.name()),
        json!(event.stream.id),
        json!(event.version),
        json!(event.actor),
        json!(event.correlation),
        json!(event.causation),
        json!(event.scope.app),
        json!(event.scope.config),
        serde_json::from_str(&event.data).unwrap_or_else(|_| json!(event.data)),
        json!(event.hash),
    ]
}

/// RFC 4180. No cell can begin like a formula: texts from outside stand inside JSON.
fn row(values: &[Value]) -> String {
    let mut line = String::new();
    for (i, value) in values.iter().enumerate() {
        let text = match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if i > 0 {
            line.push(',');
        }
        if text.contains([',', '"', '\r', '\n']) {
            let _ = write!(line, "\"{}\"", text.replace('"', "\"\""));
        } else {
            line.push_str(&text);
        }
    }
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_needed() {
        let values = [
            json!(1),
            json!("a\"b,c"),
            Value::Null,
            json!({ "x": "=1+1" }),
        ];
        assert_eq!(
            row(&values),
            "1,\"a\"\"b,c\",,\"{\"\"x\"\":\"\"=1+1\"\"}\"\r\n"
        );
    }

    #[test]
    fn the_head_stands_last_in_both() {
        let head = Head {
            position: 7,
            hash: "ab".to_owned(),
        };
        assert_eq!(
            Form::JsonLines.last(&head),
            "{\"head\":{\"position\":7,\"hash\":\"ab\"}}\n"
        );
        assert_eq!(Form::Csv.last(&head), "head 7,,,,,,,,,,,,,ab\r\n");
    }
}
