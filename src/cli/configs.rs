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
    Remove {
        id: i64,
        /// Delete its artifacts too: they can be restored no more
        #[arg(long)]
        delete_artifacts: bool,
    },
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
    /// Encrypt backups to this public key of age (`age1…`); may be repeated
    #[arg(long = "recipient", value_name = "KEY")]
    recipients: Vec<String>,
    /// Encrypt also to a key that the server keeps, so that it checks and restores by itself
    #[arg(long, requires = "recipients")]
    server_key: bool,
    /// Keep the newest so many
    #[arg(long, value_name = "NUMBER", conflicts_with = "keep_days")]
    keep: Option<u32>,
    /// Keep those younger than so many days
    #[arg(long, value_name = "DAYS")]
    keep_days: Option<u32>,
    /// Keep the newest of each of the last so many days, as far as there are any; with the other three
    /// beside it, fewer the older they are
    #[arg(long, value_name = "DAYS", conflicts_with = "keep_days")]
    keep_daily: Option<u32>,
    #[arg(long, value_name = "WEEKS", conflicts_with = "keep_days")]
    keep_weekly: Option<u32>,
    #[arg(long, value_name = "MONTHS", conflicts_with = "keep_days")]
    keep_monthly: Option<u32>,
    #[arg(long, value_name = "YEARS", conflicts_with = "keep_days")]
    keep_yearly: Option<u32>,
    /// What becomes of slots that pass while the server is off: `skip`, `one` or `all`
    #[arg(long, value_name = "POLICY")]
    missed: Option<String>,
    /// With `--missed all`: of the last so many hours
    #[arg(long, value_name = "HOURS")]
    missed_window: Option<u32>,
    /// Start up to so much later than the schedule says, each config at its own
    #[arg(long, value_name = "SECONDS")]
    jitter: Option<u32>,
    /// Hours in which the schedule starts nothing: `08:00-18:00 Mon-Fri`
    #[arg(long, value_name = "HOURS AND DAYS")]
    blackout: Option<String>,
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
        ConfigCommand::Remove {
            id,
            delete_artifacts,
        } => {
            let artifacts = if delete_artifacts { "delete" } else { "keep" };
            let path = format!("/api/backups/configs/{id}?artifacts={artifacts}");
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
            "missed_policy": self.missed,
            "missed_window": self.missed_window,
            "jitter_seconds": self.jitter,
            "blackout": self.blackout,
            "verify_upload": !self.no_verify,
        });
        self.keep_periods(&mut body);
        if !self.recipients.is_empty() {
            body["encryption"] = json!({
                "recipients": self.recipients, "server_key": self.server_key,
            });
        }
        if self.keep_days.is_some() {
            body["retention_mode"] = json!("time");
        }
        if let Some(key) = &self.credential_stdin {
            body["credentials"] = json!({ key: typed::first_line()? });
        }
        Ok(body)
    }
}

impl AddArgs {
    /// Fewer the older they are; what is not named keeps none.
    fn keep_periods(&self, body: &mut Value) {
        let periods = [
            ("keep_daily", self.keep_daily),
            ("keep_weekly", self.keep_weekly),
            ("keep_monthly", self.keep_monthly),
            ("keep_yearly", self.keep_yearly),
        ];
        if periods.iter().all(|(_, number)| number.is_none()) {
            return;
        }
        body["retention_mode"] = json!("gfs");
        body["keep_last"] = json!(self.keep.unwrap_or(0));
        for (name, number) in periods {
            body[name] = json!(number.unwrap_or(0));
        }
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
