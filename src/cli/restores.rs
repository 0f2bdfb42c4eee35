//! `restore` and `undo`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::{
    connect::Connection,
    errors::Failed,
    keys,
    output::{self, Column, Format},
    runs::status,
    typed, watch,
};

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The run whose backup is restored
    run: i64,
    /// Into another service of the same app
    #[arg(long)]
    service: Option<String>,
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

const DETAIL: [Column; 11] = [
    ("Restore", "/id"),
    ("Status", "/status"),
    ("Of run", "/run_id"),
    ("Of file", "/upload_name"),
    ("Service", "/service"),
    ("Container", "/container"),
    ("Restored", "/contents/total"),
    ("Kept", "/kept"),
    ("Undo until", "/keep_until"),
    ("Error", "/error_msg"),
    ("Hint", "/hint"),
];

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
            json!({ "service": args.service, "identity": identity }),
        )
        .await?;
    let id = answer["restore_id"].as_i64().unwrap_or_default();
    follow(id, "success", args.wait, to, format).await
}

pub async fn undo(args: UndoArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    let question = format!("Take restore {} back?\nType yes to go on: ", args.restore);
    if !args.yes && !typed::confirmed(&question, "yes")? {
        bail!("nothing was changed");
    }
    let path = format!("/api/restores/{}/undo", args.restore);
    to.client.post(&path, json!({})).await?;
    follow(args.restore, "undone", args.wait, to, format).await
}

async fn follow(
    id: i64,
    wanted: &str,
    wait: bool,
    to: &Connection,
    format: Format,
) -> anyhow::Result<()> {
    let path = format!("/api/restores/{id}");
    // Without a server nobody would do the work after this command.
    let waited = wait || to.is_own();
    let restore: Value = if waited {
        watch::until_over(&to.client, &path, &format!("restore {id}")).await?
    } else {
        to.client.get(&path).await?
    };
    output::one(format, &restore, &DETAIL)?;
    if waited && status(&restore) != wanted {
        return Err(Failed.into());
    }
    Ok(())
}
