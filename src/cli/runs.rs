//! `backup` and `runs`.

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::{
    client::segment,
    connect::Connection,
    errors::{Failed, Usage},
    output::{self, Column, Format},
    watch,
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
pub struct RunsArgs {
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
const DETAIL: [Column; 10] = [
    ("Run", "/id"),
    ("Status", "/status"),
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
    let path = format!("/api/backups/runs/{}", args.run);
    let wish = format!("{path}/verification");
    to.client.post(&wish, json!({})).await?;
    // Without a server nobody would do the work after this command.
    let waited = args.wait || to.is_own();
    let found = |run: &Value| run["verification"]["status"] != json!("queued");
    let run = if waited {
        watch::until(&to.client, &path, &format!("run {}", args.run), found).await?
    } else {
        to.client.get(&path).await?
    };
    output::one(format, &run, &VERIFIED)?;
    if waited && run["verification"]["status"] != json!("whole") {
        return Err(Failed.into());
    }
    Ok(())
}

pub async fn backup(args: BackupArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    let ids = request(&args, to).await?;
    // Without a server nobody would do the work after this command.
    let mut runs = Vec::new();
    for &id in &ids {
        let path = format!("/api/backups/runs/{id}");
        runs.push(if args.wait || to.is_own() {
            watch::until_over(&to.client, &path, &format!("run {id}")).await?
        } else {
            to.client.get(&path).await?
        });
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
        return Ok(answer["run_id"].as_i64().into_iter().collect());
    }
    let Some(slug) = &args.slug else {
        bail!(Usage("name an app, or a config with --config".into()));
    };
    let path = format!("/api/apps/{}/backups/run?all={}", segment(slug)?, args.all);
    let answer = to.client.post(&path, json!({})).await?;
    let ids = answer["run_ids"].as_array();
    Ok(ids
        .into_iter()
        .flatten()
        .filter_map(Value::as_i64)
        .collect())
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

pub async fn list(args: RunsArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
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
