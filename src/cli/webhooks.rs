//! `webhooks`: who is told outside, and what was told.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    connect::Connection,
    errors::{Failed, Usage},
    output::{self, Column, Format},
    typed,
};

#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// List who is told
    List,
    /// Add one; a signing secret that is made for it is printed now and never again
    Add(AddArgs),
    /// Send a test at once
    Test { id: i64 },
    /// What was and is to be told, newest first
    Deliveries {
        id: i64,
        /// At most this many
        #[arg(long, default_value_t = 50, value_name = "NUMBER")]
        limit: u32,
    },
    /// Send a delivery again, under the id it has always had
    Redeliver { delivery: i64 },
    /// Remove one; what is still to be told to it is given up
    Remove { id: i64 },
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// `standard`, `slack`, `discord`, `telegram`, `ntfy` or `email`
    #[arg(long, default_value = "standard")]
    kind: String,
    /// Where to; `telegram` and `ntfy` know the public server
    #[arg(long)]
    to: Option<String>,
    /// For people
    #[arg(long)]
    name: Option<String>,
    /// What to tell of, as in `backup_failed`; may be given several times [default: all]
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// What the kind asks for, as in `chat_id=42`, `topic=backups`, `host=mail.example.org`; may be given
    /// several times
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Read the kind's secret (signing secret, bot token, access token, password) from the first line of
    /// standard input
    #[arg(long)]
    secret_stdin: bool,
}

const COLUMNS: [Column; 6] = [
    ("ID", "/id"),
    ("NAME", "/name"),
    ("KIND", "/kind"),
    ("TO", "/url"),
    ("EVENTS", "/events"),
    ("ON", "/enabled"),
];
pub(super) const DELIVERIES: [Column; 6] = [
    ("ID", "/id"),
    ("EVENT", "/event"),
    ("STATUS", "/status"),
    ("ATTEMPTS", "/attempts"),
    ("TIME", "/created_at"),
    ("ERROR", "/error"),
];
const TESTED: [Column; 3] = [
    ("Arrived", "/ok"),
    ("Answer", "/status"),
    ("Error", "/error"),
];

pub async fn run(command: WebhookCommand, to: &Connection, format: Format) -> anyhow::Result<()> {
    match command {
        WebhookCommand::List => {
            let all = to.client.get("/api/webhooks").await?;
            output::list(format, &all, &COLUMNS)
        }
        WebhookCommand::Add(args) => add(args, to, format).await,
        WebhookCommand::Test { id } => {
            let body = json!({ "id": id });
            let tested = to.client.post("/api/webhooks/test", body).await?;
            output::one(format, &tested, &TESTED)?;
            if tested["ok"] == json!(true) {
                Ok(())
            } else {
                Err(Failed.into())
            }
        }
        WebhookCommand::Deliveries { id, limit } => {
            let path = format!("/api/webhooks/{id}/deliveries?limit={limit}");
            output::list(format, &to.client.get(&path).await?, &DELIVERIES)
        }
        WebhookCommand::Redeliver { delivery } => {
            let path = format!("/api/webhooks/deliveries/{delivery}/redelivery");
            let again = to.client.post(&path, json!({})).await?;
            output::one(format, &again, &DELIVERIES)
        }
        WebhookCommand::Remove { id } => {
            let path = format!("/api/webhooks/{id}");
            to.client.delete(&path).await.map(drop)
        }
    }
}

async fn add(args: AddArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    let mut body = json!({ "kind": args.kind, "settings": settings(&args.settings)? });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[name] = value;
        }
    };
    set("url", args.to.map(Value::from));
    set("name", args.name.map(Value::from));
    set(
        "events",
        Some(args.events)
            .filter(|it| !it.is_empty())
            .map(Value::from),
    );
    if args.secret_stdin {
        set("secret", Some(typed::first_line()?.into()));
    }
    let added = to.client.post("/api/webhooks", body).await?;
    output::one(format, &added, &COLUMNS)?;
    if let (Format::Table, Some(secret)) = (format, added["secret"].as_str()) {
        output::note("Its signing secret, shown this once:");
        output::text(secret)?;
    }
    Ok(())
}

fn settings(pairs: &[String]) -> anyhow::Result<BTreeMap<&str, &str>> {
    let pairs = pairs.iter();
    let split = pairs.map(|pair| match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name, value)),
        _ => Err(Usage(format!("--set {pair}: use NAME=VALUE")).into()),
    });
    split.collect()
}
