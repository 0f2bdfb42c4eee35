//! `audit`, `rebuild` and `doctor`: the server itself.

use std::fmt::Write as _;

use anyhow::Context;
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    connect::Connection,
    errors::Failed,
    output::{self, Column, Format},
};

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that nothing in the log was changed since it was written
    Verify,
    /// Print the log, oldest first, with the chain's head at its end
    Export {
        /// `jsonl` or `csv`
        #[arg(long, default_value = "jsonl")]
        format: String,
        /// None before this day or time (RFC 3339)
        #[arg(long)]
        from: Option<String>,
        /// None from this day or time on
        #[arg(long)]
        to: Option<String>,
    },
}

const CHECKS: [Column; 4] = [
    ("CHECK", "/name"),
    ("VERDICT", "/verdict"),
    ("FOUND", "/found"),
    ("WHAT TO DO", "/hint"),
];
const VERIFICATION: [Column; 4] = [
    ("Holds", "/ok"),
    ("Events", "/events"),
    ("Head", "/head"),
    ("Findings", "/findings"),
];
const REBUILD: [Column; 3] = [
    ("Events", "/events"),
    ("Milliseconds", "/milliseconds"),
    ("Differed", "/differed"),
];

pub async fn audit(command: AuditCommand, to: &Connection, format: Format) -> anyhow::Result<()> {
    match command {
        AuditCommand::Verify => {
            let found = to.client.post("/api/audit/verify", json!({})).await?;
            output::one(format, &found, &VERIFICATION)?;
            good(&found)
        }
        AuditCommand::Export {
            format,
            from,
            to: end,
        } => {
            let given = [("format", Some(format)), ("from", from), ("to", end)];
            let query: Vec<String> = given
                .iter()
                .filter_map(|(key, value)| {
                    Some(format!("{key}={}", query_value(value.as_deref()?)))
                })
                .collect();
            let path = format!("/api/audit/export?{}", query.join("&"));
            let mut answer = to.client.stream(Method::GET, &path).await?;
            while let Some(chunk) = answer.chunk().await.context("the export broke off")? {
                output::bytes(&chunk)?;
            }
            Ok(())
        }
    }
}

/// A colon, and the `+` of a zone, mean something else in an address.
fn query_value(text: &str) -> String {
    text.bytes().fold(String::new(), |mut said, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            said.push(char::from(byte));
        } else {
            let _ = write!(said, "%{byte:02X}");
        }
        said
    })
}

pub async fn rebuild(to: &Connection, format: Format) -> anyhow::Result<()> {
    let report = to.client.post("/api/system/rebuild", json!({})).await?;
    output::one(format, &report, &REBUILD)
}

pub async fn doctor(to: &Connection, format: Format) -> anyhow::Result<()> {
    let found = to.client.get("/api/system/doctor").await?;
    match format {
        Format::Json => output::json(&found)?,
        Format::Table => output::list(format, &found["checks"], &CHECKS)?,
    }
    good(&found)
}

fn good(found: &Value) -> anyhow::Result<()> {
    if found["ok"] == json!(true) {
        Ok(())
    } else {
        Err(Failed.into())
    }
}
