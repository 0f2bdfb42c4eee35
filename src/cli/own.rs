//! `system`: the server's own database. Back it up, get a copy, bring one back.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use holdfast::{
    app::MasterKey,
    bootstrap,
    config::{Config, DataArgs, EngineArgs},
    domain::secret::Secret,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    ServerArgs,
    connect::Connection,
    errors::{Failed, Usage},
    keys,
    output::{self, Column, Format},
    runs::status,
    watch::Job,
};

#[derive(Debug, Subcommand)]
pub enum SystemCommand {
    /// Back the server's own database up now, as `POST /api/system/backup/config` says
    Backup {
        /// Wait for the end; the exit code tells whether it succeeded
        #[arg(long)]
        wait: bool,
    },
    /// List the backups of the server's own database
    Runs {
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: u64,
    },
    /// Save a copy of the server's own database as of now
    Download {
        /// Where to; it must not exist
        file: PathBuf,
        /// Without what a start makes anew from the log
        #[arg(long)]
        compact: bool,
    },
    /// Seal every secret anew under another master key, while no server runs. The old key reads nothing
    /// afterwards; where the environment holds it, the new one is read from HOLDFAST_NEW_MASTER_KEY
    RotateKey,
    /// Put a copy in the place of the database, while no server runs; what was there is set aside
    Restore(RestoreArgs),
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// A database, or one packed by gzip or zstd, as it lies in a backup's destination
    file: PathBuf,
    /// File with the private key of an encrypted one (`age-keygen`); `-` is standard input
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

/// What a restore needs to know of the server comes from the environment.
#[derive(Parser)]
struct FromEnvironment {
    #[command(flatten)]
    engine: EngineArgs,
}

const COLUMNS: [Column; 6] = [
    ("ID", "/id"),
    ("STATUS", "/status"),
    ("STARTED", "/started_at"),
    ("SIZE", "/size_bytes"),
    ("FILE", "/file_path"),
    ("ERROR", "/error_msg"),
];
const DETAIL: [Column; 7] = [
    ("Run", "/id"),
    ("Status", "/status"),
    ("Stored", "/size_bytes"),
    ("File", "/file_path"),
    ("SHA-256", "/checksum"),
    ("Error", "/error_msg"),
    ("Hint", "/hint"),
];
const ROTATED: [Column; 4] = [
    ("Old key", "/from"),
    ("New key", "/to"),
    ("Secrets", "/secrets"),
    ("Log", "/instance"),
];
const RESTORED: [Column; 6] = [
    ("Restored", "/file"),
    ("Events", "/events"),
    ("Head", "/head"),
    ("Copied", "/copied_at"),
    ("Was there before", "/before"),
    ("Undo", "/undo"),
];

pub async fn run(command: SystemCommand, to: &Connection, format: Format) -> anyhow::Result<()> {
    match command {
        SystemCommand::Backup { wait } => backup(wait, to, format).await,
        SystemCommand::Runs { limit } => {
            let path = format!("/api/system/backup/runs?limit={limit}");
            output::list(format, &to.client.get(&path).await?, &COLUMNS)
        }
        SystemCommand::Download { file, compact } => download(&file, compact, to).await,
        SystemCommand::Restore(_) | SystemCommand::RotateKey => {
            bail!(Usage("this speaks to no server".into()))
        }
    }
}

async fn backup(wait: bool, to: &Connection, format: Format) -> anyhow::Result<()> {
    let asked = to.client.post("/api/system/backup/run", json!({})).await?;
    let id = asked["run_id"]
        .as_i64()
        .context("the server named no run")?;
    let run = Job::run(id, to.waits(wait), to).result().await?;
    output::one(format, &run, &DETAIL)?;
    if ["failed", "cancelled"].contains(&status(&run)) {
        return Err(Failed.into());
    }
    Ok(())
}

async fn download(file: &Path, compact: bool, to: &Connection) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", file.display());
    let mut out = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(cannot)?;
    let path = format!("/api/system/backup/download?compact={compact}");
    let mut got = async || {
        let mut answer = to.client.stream(Method::POST, &path).await?;
        while let Some(chunk) = answer.chunk().await.context("the copy broke off")? {
            out.write_all(&chunk).with_context(cannot)?;
        }
        out.sync_all().with_context(cannot)
    };
    let got = got().await;
    if got.is_err() {
        let _ = fs::remove_file(file); // a part of a database is none
    }
    got
}

/// Offline, as a restore is.
pub async fn rotate(data: &DataArgs, to: &ServerArgs, format: Format) -> anyhow::Result<()> {
    if to.url.is_some() {
        bail!(Usage(
            "the master key is exchanged on the server's own host: leave --url out".into()
        ));
    }
    let environment = FromEnvironment::try_parse_from(["holdfast"])?;
    let config = Config::new(data, &environment.engine)?;
    // From the environment alone: every user of the host can read a command line.
    let new = std::env::var("HOLDFAST_NEW_MASTER_KEY").ok();
    let new = new.map(|hex| MasterKey::from_hex(&hex)).transpose()?;
    let done = bootstrap::rotate(&config, new).await?;
    let said = json!({
        "from": done.from,
        "to": done.to,
        "secrets": done.secrets,
        "instance": done.instance,
    });
    output::one(format, &said, &ROTATED)?;
    output::note(
        "Keep a copy of the new key where the database is not. Copies of the database that were made before \
         still need the old one; the log goes on in targets under its new name.",
    );
    Ok(())
}

/// Offline: the data folder is nobody's meanwhile.
pub async fn restore(
    args: &RestoreArgs,
    data: &DataArgs,
    to: &ServerArgs,
    format: Format,
) -> anyhow::Result<()> {
    if to.url.is_some() {
        bail!(Usage(
            "a restore works in a data folder, on the server's own host: leave --url out".into()
        ));
    }
    let environment = FromEnvironment::try_parse_from(["holdfast"])?;
    let config = Config::new(data, &environment.engine)?;
    let identity = args.identity.as_deref().map(keys::read).transpose()?;
    let identity = identity.map(Secret::new);
    let done = bootstrap::restore_database(&config, &args.file, identity.as_ref()).await?;
    let key = config.present_master_key()?.map(|key| key.id());
    let strange = |id: &&String| key.as_ref() != Some(*id);
    let missing = done.examined.key_ids.iter().find(strange);
    let before = done.before.map(|path| path.display().to_string());
    let origin = done.examined.origin.as_ref();
    let said = json!({
        "file": args.file.display().to_string(),
        "events": done.examined.events,
        "head": done.examined.head,
        "copied_at": origin.map(|origin| origin.copied_at().to_rfc3339()),
        "undo": before.as_ref().map(|path| format!("holdfast system restore {path}")),
        "before": before,
        "missing_key": missing,
    });
    output::one(format, &said, &RESTORED)?;
    warn(&said);
    Ok(())
}

fn warn(said: &Value) {
    if let Some(key) = said["missing_key"].as_str() {
        output::note(&format!(
            "The secrets in it were sealed with the master key {key}, which is not here. Bring its file \
             back (master.key of the old data folder) before you start the server, or enter every \
             secret again."
        ));
    }
    output::note(
        "Start the server now. Backups that were made after the copy are in their destinations still.",
    );
}
