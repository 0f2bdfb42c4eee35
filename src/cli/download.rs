//! `download`: the artifact of a run, as it is stored.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use sha2::{Digest, Sha256};

use super::{connect::Connection, output};

#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// The run whose backup is fetched
    run: i64,
    /// Where to; it must not exist. `-` is standard output [default: the artifact's own name, here]
    file: Option<PathBuf>,
}

/// Compared with the checksum that the server has for it: what is not whole does not stay.
pub async fn run(args: DownloadArgs, to: &Connection) -> anyhow::Result<()> {
    let path = format!("/api/backups/runs/{}/download", args.run);
    let mut answer = to.client.stream(Method::GET, &path).await?;
    let header = |name: &str| {
        let value = answer.headers().get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    };
    let expected = header("x-checksum-sha256").to_owned();
    if expected.is_empty() {
        return Err(to.client.other());
    }
    let own = header("content-disposition")
        .split('"')
        .nth(1)
        .unwrap_or("");
    let file = match args.file {
        Some(file) => file,
        None => own_name(own)?,
    };
    let bar = output::is_terminal().then(|| progress(answer.content_length()));
    let mut digest = Sha256::new();
    let mut got = async |out: &mut dyn Write| {
        while let Some(chunk) = answer.chunk().await.context("the download broke off")? {
            digest.update(&chunk);
            out.write_all(&chunk)
                .with_context(|| format!("cannot write {}", file.display()))?;
            if let Some(bar) = &bar {
                bar.inc(chunk.len() as u64);
            }
        }
        out.flush()?;
        let found = hex::encode(digest.clone().finalize());
        if found != expected {
            bail!("what arrived is not what was stored: its SHA-256 is {found}, not {expected}");
        }
        Ok(())
    };
    if file == Path::new("-") {
        return got(&mut std::io::stdout()).await;
    }
    let mut out = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let done = got(&mut out).await.and_then(|()| Ok(out.sync_all()?));
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    match done {
        Ok(()) => output::text(&file.display().to_string()),
        Err(error) => {
            let _ = fs::remove_file(&file); // a part of a backup is none
            Err(error)
        }
    }
}

/// A server's word is no reason to write elsewhere than here.
fn own_name(name: &str) -> anyhow::Result<PathBuf> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
        bail!("the server gave the file no usable name; say one");
    }
    Ok(name.into())
}

fn progress(length: Option<u64>) -> ProgressBar {
    let known = "{spinner} [{bar:30}] {bytes} of {total_bytes}  {bytes_per_sec}  {eta}";
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), known),
        None => (
            ProgressBar::no_length(),
            "{spinner} {bytes}  {bytes_per_sec}  {elapsed}",
        ),
    };
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
