//! `config`: what is backed up, where to, and when.

mod change;
mod choices;

use clap::{Args, Subcommand};
use serde_json::json;

use self::{change::ChangeArgs, choices::Choices};
use super::{
    address::segment,
    connect::Connection,
    output::{self, Column, Format},
    webhooks::DELIVERIES,
};

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Add a config to an app; the service is looked at, so it must run
    Add(Box<AddArgs>),
    /// List the configs of an app
    List { slug: String },
    /// Change a config: what is not given stays as it is
    Change(Box<ChangeArgs>),
    /// Remove a config; its runs and artifacts stay
    Remove {
        id: i64,
        /// Delete its artifacts too: they can be restored no more
        #[arg(long)]
        delete_artifacts: bool,
    },
    /// What its dead man's switch was told, newest first
    Pings {
        id: i64,
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: u64,
        /// Send the newest again first
        #[arg(long)]
        again: bool,
    },
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// The app
    slug: String,
    /// What to back up: `postgres`, …
    #[arg(long)]
    strategy: String,
    /// Where to store: `local`, …
    #[arg(long, default_value = "local")]
    target: String,
    #[command(flatten)]
    choices: Choices,
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
            let mut body = args.choices.body()?;
            body.insert("strategy".to_owned(), json!(args.strategy));
            body.insert("target".to_owned(), json!(args.target));
            let config = to.client.post(&path, body.into()).await?;
            output::one(format, &config, &COLUMNS)
        }
        ConfigCommand::Change(args) => {
            let config = change::run(&args, to).await?;
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
        ConfigCommand::Pings { id, limit, again } => {
            let path = format!("/api/backups/configs/{id}/pings");
            if again {
                let path = format!("{path}/redelivery");
                to.client.post(&path, json!({})).await?;
            }
            let path = format!("{path}?limit={limit}");
            output::list(format, &to.client.get(&path).await?, &DELIVERIES)
        }
    }
}
