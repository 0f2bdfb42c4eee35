//! `restore`, `restores` and `undo`.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    address::query,
    connect::Connection,
    errors::Failed,
    keys,
    output::{self, Column, Format},
    runs::status,
    typed,
    watch::Job,
};

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The run whose backup is restored
    run: i64,
    /// Into another service of the same app
    #[arg(long)]
    service: Option<String>,
    /// Read the backup from this place alone: 0 is its first target, 1 the first of its copies
    #[arg(long, value_name = "NUMBER")]
    from: Option<u32>,
    /// Back up what is there first, by the config that made the backup, and begin when that is good
    #[arg(long)]
    safety_backup: bool,
    /// File with the private key that opens an encrypted backup; `-` reads it from standard input
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Wait for the end; the exit code tells whether it succeeded
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
pub struct UndoArgs {
    /// The restore to take back
    restore: i64,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Wait for the end; the exit code tells whether it succeeded
    #[arg(long)]
    wait: bool,
}

/// Without a command of its own: `list`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RestoresArgs {
    #[command(subcommand)]
    command: Option<RestoreCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum RestoreCommand {
    /// List restores, newest first
    List(ListArgs),
    /// Show one restore
    Show {
        /// Its number
        restore: i64,
    },
    /// Cancel a restore; the service ends as it was before
    Cancel {
        /// Its number
        restore: i64,
        /// Wait for the end; the exit code tells whether it was cancelled
        #[arg(long)]
        wait: bool,
    },
    /// Take a restore back
    Undo(UndoArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Of this app; of all when absent
    slug: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 50)]
    limit: u64,
}

const COLUMNS: [Column; 7] = [
    ("ID", "/id"),
    ("RUN", "/run_id"),
    ("STATUS", "/status"),
    ("SERVICE", "/service"),
    ("REQUESTED", "/requested_at"),
    ("UNDO UNTIL", "/keep_until"),
    ("ERROR", "/error_msg"),
];
const DETAIL: [Column; 12] = [
    ("Restore", "/id"),
    ("Status", "/status"),
    ("Of run", "/run_id"),
    ("Of file", "/upload_name"),
    ("After run", "/safety_run_id"),
    ("Service", "/service"),
    ("Container", "/container"),
    ("Restored", "/contents/total"),
    ("Kept", "/kept"),
    ("Undo until", "/keep_until"),
    ("Error", "/error_msg"),
    ("Hint", "/hint"),
];

impl RestoresArgs {
    /// It waits for what a server does, or this process in place of one.
    pub fn works(&self) -> bool {
        match &self.command {
            Some(RestoreCommand::Undo(_)) => true,
            Some(RestoreCommand::Cancel { wait, .. }) => *wait,
            _ => false,
        }
    }
}

pub async fn run(args: RestoresArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    match args.command {
        None => list(args.list, to, format).await,
        Some(RestoreCommand::List(args)) => list(args, to, format).await,
        Some(RestoreCommand::Show { restore }) => {
            let path = format!("/api/restores/{restore}");
            output::one(format, &to.client.get(&path).await?, &DETAIL)
        }
        Some(RestoreCommand::Cancel { restore, wait }) => {
            Job::restore(restore, wait, to)
                .cancel(format, &DETAIL)
                .await
        }
        Some(RestoreCommand::Undo(args)) => undo(args, to, format).await,
    }
}

async fn list(args: ListArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    let asked = query(&[("app", args.slug), ("limit", Some(args.limit.to_string()))]);
    let restores = to.client.get(&format!("/api/restores?{asked}")).await?;
    output::list(format, &restores, &COLUMNS)
}

pub async fn restore(args: RestoreArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    let identity = args.identity.as_deref().map(keys::read).transpose()?;
    if !args.yes {
        let run = to
            .client
            .get(&format!("/api/backups/runs/{}", args.run))
            .await?;
        let service = args
            .service
            .as_deref()
            .or(run["source"]["service"].as_str());
        let service = service.unwrap_or("the service");
        let question = format!(
            "Restore {service} to what run {} stored at {}?\nType {service} to go on: ",
            args.run,
            run["started_at"].as_str().unwrap_or("an unknown time"),
        );
        if !typed::confirmed(&question, service)? {
            bail!("nothing was changed");
        }
    }
    let path = format!("/api/backups/restore/{}", args.run);
    let answer = to
        .client
        .post(
            &path,
            json!({ "service": args.service, "identity": identity, "from": args.from,
                "safety_backup": args.safety_backup }),
        )
        .await?;
    let id = answer["restore_id"].as_i64().unwrap_or_default();
    let job = Job::restore(id, to.waits(args.wait), to);
    follow(&job, "success", format).await
}

pub async fn undo(args: UndoArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    let question = format!("Take restore {} back?\nType yes to go on: ", args.restore);
    if !args.yes && !typed::confirmed(&question, "yes")? {
        bail!("nothing was changed");
    }
    let job = Job::restore(args.restore, to.waits(args.wait), to);
    job.ask("undo").await?;
    follow(&job, "undone", format).await
}

async fn follow(job: &Job<'_>, wanted: &str, format: Format) -> anyhow::Result<()> {
    let restore = job.result().await?;
    output::one(format, &restore, &DETAIL)?;
    if job.waits && status(&restore) != wanted {
        return Err(Failed.into());
    }
    Ok(())
}
