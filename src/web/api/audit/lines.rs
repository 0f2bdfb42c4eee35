//! The two forms of an export, line by line. Both carry `data` and `actor` as they were hashed.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

use crate::{
    domain::failure::one_of,
    log::{Checkpoint, Entry, offline::HeadLine},
    web::api::error::ApiError,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    JsonLines,
    Csv,
}

/// Those of [`Entry`].
const COLUMNS: [&str; 15] = [
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
    "prev_hash",
    "hash",
];
/// Where `data` stands among them.
const DATA: usize = 12;

impl Form {
    pub fn parse(name: Option<&str>) -> Result<Self, ApiError> {
        match name {
            None | Some("jsonl") => Ok(Self::JsonLines),
            Some("csv") => Ok(Self::Csv),
            Some(_) => Err(ApiError::invalid("format", one_of(["jsonl", "csv"]))),
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

    pub fn line(self, event: &Entry) -> String {
        match self {
            Self::JsonLines => json_line(event),
            Self::Csv => row(&cells(event)),
        }
    }

    /// The head, where no event can be meant: a key of its own, or a position of `head`.
    pub fn last(self, head: &Checkpoint) -> String {
        match self {
            Self::JsonLines => json_line(&HeadLine { head: head.clone() }),
            Self::Csv => {
                let mut cells = [const { String::new() }; COLUMNS.len()];
                cells[0] = format!("head {}", head.position);
                cells[DATA] = json!(head).to_string();
                cells[COLUMNS.len() - 1].clone_from(&head.hash);
                row(&cells)
            }
        }
    }
}

fn json_line(of: &impl Serialize) -> String {
    let line = serde_json::to_string(of).unwrap_or_default();
    line + "\n"
}

fn cells(event: &Entry) -> [String; COLUMNS.len()] {
    let number = |value: Option<i64>| value.map(|it| it.to_string()).unwrap_or_default();
    [
        event.position.to_string(),
        event.at.clone(),
        event.name.clone(),
        event.schema.to_string(),
        event.stream.clone(),
        event.stream_id.to_string(),
        event.version.to_string(),
        event.actor.get().to_owned(),
        event.correlation.clone(),
        number(event.causation),
        number(event.app_id),
        number(event.config_id),
        event.data.get().to_owned(),
        event.prev_hash.clone(),
        event.hash.clone(),
    ]
}

/// RFC 4180. No cell can begin like a formula: texts from outside stand inside JSON.
fn row(cells: &[String]) -> String {
    let mut line = String::new();
    for (i, text) in cells.iter().enumerate() {
        if i > 0 {
            line.push(',');
        }
        if text.contains([',', '"', '\r', '\n']) {
            let _ = write!(line, "\"{}\"", text.replace('"', "\"\""));
        } else {
            line.push_str(text);
        }
    }
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn cells_are_quoted_where_needed() {
        let cells = ["1", "a\"b,c", "", "{\"x\":\"=1+1\"}"].map(str::to_owned);
        assert_eq!(
            row(&cells),
            "1,\"a\"\"b,c\",,\"{\"\"x\"\":\"\"=1+1\"\"}\"\r\n"
        );
    }

    #[test]
    fn the_head_stands_last_in_both() {
        let head = Checkpoint {
            position: 7,
            hash: "ab".to_owned(),
            at: DateTime::UNIX_EPOCH,
            instance: "1".to_owned(),
            public_key: "2".to_owned(),
            signature: "3".to_owned(),
        };
        let said = r#"{"position":7,"hash":"ab","at":"1970-01-01T00:00:00Z","instance":"1","public_key":"2","signature":"3"}"#;
        let line = format!("{{\"head\":{said}}}\n");
        assert_eq!(Form::JsonLines.last(&head), line);
        let cell = said.replace('"', "\"\"");
        let line = format!("head 7,,,,,,,,,,,,\"{cell}\",,ab\r\n");
        assert_eq!(Form::Csv.last(&head), line);
    }
}
