//! `config`: what is backed up, where to, and when.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    client::segment,
    connect::Connection,
    errors::Usage,
    output::{self, Column, Format},
    typed,
};

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Add a config to an app; the service is looked at, so it must run
    Add(Box<AddArgs>),
    /// List the configs of an app
    List { slug: String },
    /// Remove a config; its runs and artifacts stay
    Remove { id: i64 },
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// The app
    slug: String,
    /// What to back up: `postgres`, …
    #[arg(long)]
    strategy: String,
    /// Service of the app, as in its compose file
    #[arg(long)]
    service: Option<String>,
    /// Where to store: `local`, …
    #[arg(long, default_value = "local")]
    target: String,
    /// For people [default: what the strategy is called]
    #[arg(long)]
    name: Option<String>,
    /// Five cron fields or an `@` word; manual only when absent
    #[arg(long)]
    schedule: Option<String>,
    /// IANA name of the zone that the schedule is meant in
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// An option of the strategy, as in `database=shop`; may be repeated
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = pair)]
    options: Vec<(String, String)>,
    /// Read this credential of the strategy (`password`) from the first line of standard input
    #[arg(long, value_name = "KEY")]
    credential_stdin: Option<String>,
    /// A path, for strategies that need them; may be repeated
    #[arg(long = "path")]
    paths: Vec<String>,
    /// A setting of the target; may be repeated
    #[arg(long = "target-setting", value_name = "KEY=VALUE", value_parser = pair)]
    target_settings: Vec<(String, String)>,
    /// `gzip`, `zstd` or `none`
    #[arg(long)]
    compression: Option<String>,
    /// Keep the newest so many
    #[arg(long, value_name = "NUMBER", conflicts_with = "keep_days")]
    keep: Option<u32>,
    /// Keep those younger than so many days
    #[arg(long, value_name = "DAYS")]
    keep_days: Option<u32>,
    /// Do not read the stored backup back before it counts
    #[arg(long)]
    no_verify: bool,
}

const COLUMNS: [Column; 7] = [
    ("ID", "/id"),
    ("STRATEGY", "/strategy"),
    ("SERVICE", "/service"),
    ("TARGET", "/target"),
    ("SCHEDULE", "/schedule_cron"),
    ("NEXT RUN", "/next_run_at"),
    ("NAME", "/name"),
];

pub async fn run(command: ConfigCommand, to: &Connection, format: Format) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Add(args) => {
            let path = format!("/api/apps/{}/backups/configs", segment(&args.slug)?);
            let config = to.client.post(&path, args.body()?).await?;
            output::one(format, &config, &COLUMNS)
        }
        ConfigCommand::List { slug } => {
            let path = format!("/api/apps/{}/backups/configs", segment(&slug)?);
            output::list(format, &to.client.get(&path).await?, &COLUMNS)
        }
        ConfigCommand::Remove { id } => {
            let path = format!("/api/backups/configs/{id}");
            to.client.delete(&path).await.map(drop)
        }
    }
}

impl AddArgs {
    fn body(&self) -> anyhow::Result<Value> {
        let mut body = json!({
            "strategy": self.strategy,
            "service": self.service,
            "target": self.target,
            "name": self.name,
            "schedule_cron": self.schedule,
            "time_zone": self.time_zone,
            "options": map(&self.options),
            "paths": self.paths,
            "target_config_json": map(&self.target_settings),
            "compression": self.compression,
            "retention_count": self.keep,
            "retention_days": self.keep_days,
            "verify_upload": !self.no_verify,
        });
        if self.keep_days.is_some() {
            body["retention_mode"] = json!("time");
        }
        if let Some(key) = &self.credential_stdin {
            body["credentials"] = json!({ key: typed::first_line()? });
        }
        Ok(body)
    }
}

fn map(pairs: &[(String, String)]) -> Value {
    let pairs = pairs.iter();
    let map: Map<String, Value> = pairs
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    map.into()
}

fn pair(text: &str) -> Result<(String, String), Usage> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Usage("write it as KEY=VALUE".into())),
    }
}
