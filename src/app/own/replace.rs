//! A copy takes the place of the database, while no server runs. All of it is judged first; then what was
//! there is set aside whole, and the copy comes in by one rename. At no instant is there no database, or
//! one beside the write-ahead log of another.

use std::{
    fs, io,
    path::{Path, PathBuf},
    pin::Pin,
};

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

use super::copy::{Spool, sweep};
use crate::{
    domain::{manifest::Compression, secret::Secret},
    engine::{
        codec::{self, Keys},
        intake,
    },
    log::{self, CopyError, Examined},
};

const DATABASE: &str = "holdfast.db";
/// Of SQLite, beside a database.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    pub examined: Examined,
    /// Where the database lies that was there before; `None` when there was none.
    pub before: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    #[error("{0} cannot be restored: {1}. Nothing was changed")]
    Refused(PathBuf, CopyError),
    #[error("{0} cannot be unpacked: {1}. Nothing was changed")]
    Unpack(PathBuf, io::Error),
    #[error("the private key cannot be used: {0}. Nothing was changed")]
    Identity(String),
    #[error("{0}: {1}")]
    Place(PathBuf, io::Error),
}

/// The caller holds the data folder's lock. `file` is a database, or one packed by gzip or zstd, and
/// encrypted to a key of `identity` perhaps.
pub async fn replace_database(
    data_dir: &Path,
    file: &Path,
    identity: Option<&Secret>,
    now: DateTime<Utc>,
) -> Result<Replaced, ReplaceError> {
    sweep(data_dir);
    let fresh = Spool::new(data_dir).map_err(|error| failed(data_dir, error))?;
    if log::has_unmerged(file) {
        let merged = log::merge(file, fresh.path()).await;
        merged.map_err(|error| ReplaceError::Refused(file.to_owned(), error))?;
    } else {
        let keys = identity.map(Keys::parse).transpose();
        let keys = keys
            .map_err(|problem| ReplaceError::Identity(problem.to_string()))?
            .unwrap_or_default();
        let unpacked = unpack(file, keys, fresh.path()).await;
        unpacked.map_err(|error| ReplaceError::Unpack(file.to_owned(), error))?;
    }
    let examined = log::examine(fresh.path()).await;
    let examined = examined.map_err(|error| ReplaceError::Refused(file.to_owned(), error))?;
    let database = data_dir.join(DATABASE);
    let before = set_aside(data_dir, &database, now).await?;
    fs::rename(fresh.path(), &database).map_err(|error| failed(&database, error))?;
    sync(data_dir)?;
    Ok(Replaced { examined, before })
}

async fn unpack(file: &Path, keys: Keys, into: &Path) -> io::Result<()> {
    let stored = tokio::fs::File::open(file).await?;
    let mut start = intake::start_of(file)?;
    let mut stored = ReaderStream::new(stored).boxed();
    if start.starts_with(codec::MAGIC) {
        if keys.is_empty() {
            let problem = "it is encrypted; name the file of a private key with --identity";
            return Err(io::Error::other(problem));
        }
        let mut packed = codec::decode(Compression::None, Some(keys), stored, None).peekable();
        start = match Pin::new(&mut packed).peek().await {
            Some(Ok(chunk)) => chunk.to_vec(),
            _ => Vec::new(), // said when it is read
        };
        stored = packed.boxed();
    }
    let mut raw = codec::decode(intake::packed_by(&start), None, stored, None);
    let mut out = tokio::fs::File::create_new(into).await?;
    while let Some(chunk) = raw.next().await {
        out.write_all(&chunk?).await?;
    }
    out.flush().await?;
    out.sync_all().await
}

/// Keeps what is there under a name of its own, whole: with its write-ahead log merged in, or, when it is
/// too damaged for that, with the log beside it.
async fn set_aside(
    data_dir: &Path,
    database: &Path,
    now: DateTime<Utc>,
) -> Result<Option<PathBuf>, ReplaceError> {
    if !database.exists() {
        return Ok(None);
    }
    if let Err(error) = log::settle(database).await {
        tracing::warn!(%error, "the database that was there is set aside as it is");
    }
    let folder = new_folder(data_dir, now).map_err(|error| failed(data_dir, error))?;
    let aside = folder.join(DATABASE);
    // A second name, so that the first is never without a database.
    fs::hard_link(database, &aside).map_err(|error| failed(&aside, error))?;
    for suffix in BESIDE {
        let (from, to) = (with_suffix(database, suffix), with_suffix(&aside, suffix));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&from, error));
            }
            _ => {}
        }
    }
    sync(&folder)?;
    Ok(Some(aside))
}

/// `replaced-20261130-020000`; with a number when there is one of this second.
fn new_folder(data_dir: &Path, now: DateTime<Utc>) -> io::Result<PathBuf> {
    let name = format!("replaced-{}", now.format("%Y%m%d-%H%M%S"));
    let mut folder = data_dir.join(&name);
    for number in 2.. {
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                folder = data_dir.join(format!("{name}-{number}"));
            }
            made => return made.map(|()| folder),
        }
    }
    Ok(folder)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

fn sync(folder: &Path) -> Result<(), ReplaceError> {
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| failed(folder, error))
}

fn failed(path: &Path, error: io::Error) -> ReplaceError {
    ReplaceError::Place(path.to_owned(), error)
}
