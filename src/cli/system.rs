//! `rebuild` and `doctor`: the server itself.

use serde_json::{Value, json};

use super::{
    artifacts,
    connect::Connection,
    errors::Failed,
    output::{self, Column, Format},
};

const CHECKS: [Column; 4] = [
    ("CHECK", "/name"),
    ("VERDICT", "/verdict"),
    ("FOUND", "/found"),
    ("WHAT TO DO", "/hint"),
];
const REBUILD: [Column; 3] = [
    ("Events", "/events"),
    ("Milliseconds", "/milliseconds"),
    ("Differed", "/differed"),
];

pub async fn rebuild(to: &Connection, format: Format) -> anyhow::Result<()> {
    let report = to.client.post("/api/system/rebuild", json!({})).await?;
    output::one(format, &report, &REBUILD)
}

pub async fn doctor(to: &Connection, format: Format) -> anyhow::Result<()> {
    let mut found = to.client.get("/api/system/doctor").await?;
    let lying = artifacts::compared(to).await?;
    match format {
        Format::Json => {
            found["artifacts"] = lying.clone();
            output::json(&found)?;
        }
        Format::Table => {
            output::list(format, &found["checks"], &CHECKS)?;
            artifacts::show(&lying, format)?;
        }
    }
    good(&found)?;
    good(&lying)
}

fn good(found: &Value) -> anyhow::Result<()> {
    if found["ok"] == json!(true) {
        Ok(())
    } else {
        Err(Failed.into())
    }
}
