//! `artifacts`: what lies in the targets, beside what the log says.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    connect::Connection,
    errors::Failed,
    output::{self, Column, Format},
    typed,
};

#[derive(Debug, Subcommand)]
pub enum ArtifactCommand {
    /// Compare every target with the log: files without a run, runs without their file
    List,
    /// Make a run of a backup that no run knows, by its manifest
    Adopt(Named),
    /// Delete a file that no run keeps, for good
    Delete {
        #[command(flatten)]
        named: Named,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Have every run read again that lacks something in a place
    Verify {
        /// The place, as `list` names it
        #[arg(long, value_name = "ID")]
        place: String,
    },
}

#[derive(Debug, Args)]
pub struct Named {
    /// The file, as `list` names it
    key: String,
    /// The place, as `list` names it
    #[arg(long, value_name = "ID")]
    place: String,
}

const PLACES: [Column; 5] = [
    ("PLACE", "/id"),
    ("TARGET", "/target"),
    ("AS THE LOG SAYS", "/present"),
    ("ERROR", "/error_msg"),
    ("HINT", "/hint"),
];
const STRAYS: [Column; 6] = [
    ("WITHOUT A RUN", "/key"),
    ("PLACE", "/place"),
    ("SIZE", "/size_bytes"),
    ("REMAINS", "/remains"),
    ("LEFT BY RUN", "/run_id"),
    ("WHAT TO DO", "/todo"),
];
const LACKING: [Column; 6] = [
    ("RUN", "/run_id"),
    ("COPY", "/copy"),
    ("LACKS", "/lacks"),
    ("PLACE", "/place"),
    ("FILE", "/key"),
    ("WHAT TO DO", "/todo"),
];
const ADOPTED: [Column; 1] = [("Run", "/run_id")];
const ASKED: [Column; 1] = [("Runs to be read", "/asked")];

pub async fn run(command: ArtifactCommand, to: &Connection, format: Format) -> anyhow::Result<()> {
    match command {
        ArtifactCommand::List => list(to, format).await,
        ArtifactCommand::Adopt(Named { key, place }) => {
            let body = json!({ "place": place, "key": key });
            let adopted = to
                .client
                .post("/api/system/artifacts/adoption", body)
                .await?;
            output::one(format, &adopted, &ADOPTED)
        }
        ArtifactCommand::Delete { named, yes } => {
            let Named { key, place } = named;
            let name = key.rsplit('/').next().unwrap_or(&key);
            let question = format!("Delete {key} for good?\nType {name} to go on: ");
            if !yes && !typed::confirmed(&question, name)? {
                bail!("nothing was changed");
            }
            let body = json!({ "place": place, "key": key });
            to.client
                .post("/api/system/artifacts/deletion", body)
                .await?;
            Ok(())
        }
        ArtifactCommand::Verify { place } => {
            let path = "/api/system/artifacts/verification";
            let asked = to.client.post(path, json!({ "place": place })).await?;
            output::one(format, &asked, &ASKED)
        }
    }
}

async fn list(to: &Connection, format: Format) -> anyhow::Result<()> {
    let found = compared(to).await?;
    match format {
        Format::Json => output::json(&found)?,
        Format::Table => show(&found, format)?,
    }
    if found["ok"] == json!(true) {
        Ok(())
    } else {
        Err(Failed.into())
    }
}

pub async fn compared(to: &Connection) -> anyhow::Result<Value> {
    to.client.get("/api/system/artifacts").await
}

/// The places, then what differs in them, if anything does.
pub fn show(found: &Value, format: Format) -> anyhow::Result<()> {
    output::list(format, &found["places"], &PLACES)?;
    let strays = rows(found, "without_run", of_stray);
    if !strays.is_empty() {
        output::list(format, &strays.into(), &STRAYS)?;
    }
    let lacking = rows(found, "without_artifact", of_run);
    if !lacking.is_empty() {
        output::list(format, &lacking.into(), &LACKING)?;
    }
    Ok(())
}

fn rows(found: &Value, list: &str, todo: fn(&Value) -> &'static str) -> Vec<Value> {
    let places = found["places"].as_array().into_iter().flatten();
    let rows = places.flat_map(|place| {
        let rows = place[list].as_array().into_iter().flatten();
        rows.map(|row| {
            let mut row = row.clone();
            row["place"] = place["id"].clone();
            row["todo"] = json!(todo(&row));
            row
        })
    });
    rows.collect()
}

fn of_stray(row: &Value) -> &'static str {
    if row["adoptable"] == json!(true) {
        "artifacts adopt, or artifacts delete"
    } else {
        "artifacts delete"
    }
}

fn of_run(row: &Value) -> &'static str {
    match (row["known"] == json!(true), row["copy"].is_u64()) {
        (true, true) => "copy it again: holdfast copy RUN",
        (true, false) => "the run says so already",
        (false, _) => "artifacts verify: then the run says so",
    }
}
