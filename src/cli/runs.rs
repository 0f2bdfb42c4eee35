//! `backup` and `runs`.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    address::segment,
    connect::Connection,
    errors::{Failed, Usage},
    output::{self, Column, Format},
    run_log,
    watch::Job,
};

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The app: its first config is run
    #[arg(required_unless_present = "config")]
    slug: Option<String>,
    /// This config instead
    #[arg(long, value_name = "ID", conflicts_with_all = ["slug", "all"])]
    config: Option<i64>,
    /// All configs of the app
    #[arg(long)]
    all: bool,
    /// Wait for the end; the exit code tells whether it succeeded
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The run whose backup is read again
    run: i64,
    /// Wait for the end; the exit code tells whether it is whole
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The run whose backup is copied
    run: i64,
    /// Which of its copies, from 1; 0 brings a damaged or lost one back to its first target
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    copy: u32,
    /// Wait until it is stored, or failed once more; the exit code tells
    #[arg(long)]
    wait: bool,
}

/// Without a command of its own: `list`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RunsArgs {
    #[command(subcommand)]
    command: Option<RunCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
pub enum RunCommand {
    /// List runs, newest first
    List(ListArgs),
    /// Show one run
    Show {
        /// Its number
        run: i64,
    },
    /// What a run did, oldest first, and with `--follow` what it does until its end
    Log(run_log::LogArgs),
    /// Cancel a run; takes effect at its next chunk
    Cancel {
        /// Its number
        run: i64,
        /// Wait for the end; the exit code tells whether it was cancelled
        #[arg(long)]
        wait: bool,
    },
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Of this app; of all when absent
    slug: Option<String>,
    /// `queued`, `running`, `success`, `failed` or `cancelled`
    #[arg(long)]
    status: Option<String>,
    /// At most this many of an app
    #[arg(long, default_value_t = 50)]
    limit: u64,
}

const COLUMNS: [Column; 7] = [
    ("ID", "/id"),
    ("CONFIG", "/backup_config_id"),
    ("STATUS", "/status"),
    ("STARTED", "/started_at"),
    ("SIZE", "/size_bytes"),
    ("SOURCE", "/source/container"),
    ("ERROR", "/error_msg"),
];
const DETAIL: [Column; 14] = [
    ("Run", "/id"),
    ("Config", "/backup_config_id"),
    ("Status", "/status"),
    ("Trigger", "/trigger"),
    ("Started", "/started_at"),
    ("Finished", "/finished_at"),
    ("Source", "/source/container"),
    ("Read", "/raw_bytes"),
    ("Stored", "/size_bytes"),
    ("File", "/file_path"),
    ("SHA-256", "/checksum"),
    ("Verified", "/verified_at"),
    ("Error", "/error_msg"),
    ("Hint", "/hint"),
];

const VERIFIED: [Column; 6] = [
    ("Run", "/id"),
    ("Found", "/verification/status"),
    ("File", "/file_path"),
    ("Verified", "/verified_at"),
    ("Error", "/verification/error_msg"),
    ("Hint", "/verification/hint"),
];

/// What could not be read fails too: it is not known to be whole.
pub async fn verify(args: VerifyArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    read_again(&args, "verification", to, format).await
}

/// `wish` is what is asked of the run, and ends with its artifact read.
async fn read_again(
    args: &VerifyArgs,
    wish: &str,
    to: &Connection,
    format: Format,
) -> anyhow::Result<()> {
    let job = Job::run(args.run, to.waits(args.wait), to);
    job.ask(wish).await?;
    let found = |run: &Value| run["verification"]["status"] != json!("queued");
    let run = job.once(found).await?;
    output::one(format, &run, &VERIFIED)?;
    if job.waits && run["verification"]["status"] != json!("whole") {
        return Err(Failed.into());
    }
    Ok(())
}

const COPY: [Column; 5] = [
    ("Target", "/target"),
    ("Status", "/status"),
    ("Attempts", "/attempts"),
    ("Error", "/error_msg"),
    ("Hint", "/hint"),
];

pub async fn copy(args: CopyArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    if args.copy == 0 {
        let CopyArgs { run, wait, .. } = args;
        return read_again(&VerifyArgs { run, wait }, "copies/0", to, format).await;
    }
    let job = Job::run(args.run, to.waits(args.wait), to);
    job.ask(&format!("copies/{}", args.copy)).await?;
    let at = format!("/copies/{}", args.copy.saturating_sub(1));
    let over = |run: &Value| {
        let status = run.pointer(&at).map_or("", status);
        status != "pending"
    };
    let run = job.once(over).await?;
    let copy = run.pointer(&at).unwrap_or(&Value::Null);
    output::one(format, copy, &COPY)?;
    if job.waits && status(copy) != "stored" {
        return Err(Failed.into());
    }
    Ok(())
}

pub async fn backup(args: BackupArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    let ids = request(&args, to).await?;
    let mut runs = Vec::new();
    for &id in &ids {
        let job = Job::run(id, to.waits(args.wait), to);
        runs.push(job.result().await?);
    }
    let failed = runs
        .iter()
        .any(|run| ["failed", "cancelled"].contains(&status(run)));
    show(&args, runs, format)?;
    if failed { Err(Failed.into()) } else { Ok(()) }
}

async fn request(args: &BackupArgs, to: &Connection) -> anyhow::Result<Vec<i64>> {
    if let Some(config) = args.config {
        let path = format!("/api/backups/configs/{config}/run");
        let answer = to.client.post(&path, json!({})).await?;
        let run = answer["run_id"].as_i64();
        return Ok(vec![run.ok_or_else(|| to.client.other())?]);
    }
    let Some(slug) = &args.slug else {
        bail!(Usage("name an app, or a config with --config".into()));
    };
    let path = format!("/api/apps/{}/backups/run?all={}", segment(slug)?, args.all);
    let answer = to.client.post(&path, json!({})).await?;
    let ids = answer["run_ids"].as_array();
    let ids = ids.ok_or_else(|| to.client.other())?;
    Ok(ids.iter().filter_map(Value::as_i64).collect())
}

fn show(args: &BackupArgs, mut runs: Vec<Value>, format: Format) -> anyhow::Result<()> {
    if args.all {
        return output::list(format, &runs.into(), &COLUMNS);
    }
    match runs.pop() {
        Some(run) => output::one(format, &run, &DETAIL),
        None => Ok(()),
    }
}

impl RunsArgs {
    /// It waits for what a server does, or this process in place of one.
    pub fn works(&self) -> bool {
        match &self.command {
            Some(RunCommand::Log(args)) => args.follow,
            Some(RunCommand::Cancel { wait, .. }) => *wait,
            _ => false,
        }
    }
}

pub async fn run(args: RunsArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    match args.command {
        None => list(args.list, to, format).await,
        Some(RunCommand::List(args)) => list(args, to, format).await,
        Some(RunCommand::Show { run }) => {
            let run = to.client.get(&format!("/api/backups/runs/{run}")).await?;
            output::one(format, &run, &DETAIL)
        }
        Some(RunCommand::Log(args)) => run_log::run(&args, to, format).await,
        Some(RunCommand::Cancel { run, wait }) => {
            Job::run(run, wait, to).cancel(format, &DETAIL).await
        }
    }
}

async fn list(args: ListArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    let slugs = match &args.slug {
        Some(slug) => vec![segment(slug)?.to_owned()],
        None => all_slugs(to).await?,
    };
    let mut query = format!("limit={}", args.limit);
    if let Some(status) = &args.status {
        query = format!("{query}&status={}", segment(status)?);
    }
    let mut runs = Vec::new();
    for slug in slugs {
        let path = format!("/api/apps/{slug}/backups/runs?{query}");
        if let Value::Array(found) = to.client.get(&path).await? {
            runs.extend(found);
        }
    }
    runs.sort_by_key(|run| std::cmp::Reverse(run["id"].as_i64()));
    output::list(format, &runs.into(), &COLUMNS)
}

async fn all_slugs(to: &Connection) -> anyhow::Result<Vec<String>> {
    let apps = to.client.get("/api/apps").await?;
    let slugs = apps.as_array().into_iter().flatten();
    Ok(slugs
        .filter_map(|app| app["slug"].as_str().map(ToOwned::to_owned))
        .collect())
}

pub fn status(value: &Value) -> &str {
    value["status"].as_str().unwrap_or_default()
}
