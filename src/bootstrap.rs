//! The only place that names concrete adapters and puts them together.

mod recover;
mod rotate;

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Context;
use chrono::Utc;

pub use self::{
    recover::{From, Recovered, Wanted, recover},
    rotate::rotate,
};
use crate::{
    app::{
        Decorator, Holdfast, Vault,
        own::{self, Replaced},
    },
    config::Config,
    docker::{DockerEngine, Engine},
    domain::secret::Secret,
    log::{self, Log},
    readmodel,
};

/// An opened data folder. One process at a time: the lock goes with this value.
pub struct Opened {
    pub holdfast: Holdfast,
    _lock: DataLock,
}

/// Opens the data folder with the real engine.
pub async fn open(config: &Config) -> anyhow::Result<Opened> {
    let engine = DockerEngine::connect(config.docker_host.as_deref())?
        .with_helper_image(&config.helper_image);
    open_with(config, Arc::new(engine), None).await
}

/// Opens the data folder; makes it when it is not there.
pub async fn open_with(
    config: &Config,
    engine: Arc<dyn Engine>,
    decorate: Option<Decorator>,
) -> anyhow::Result<Opened> {
    let lock = DataLock::take(&config.data_dir)?;
    let db = log::open_sqlite(&config.data_dir.join("holdfast.db"))
        .await
        .with_context(|| format!("cannot open the database in {}", config.data_dir.display()))?;
    let log = Log::open(db, readmodel::all(), Arc::new(Utc::now)).await?;
    let vault = Vault::new(rotate::settled(config, &log).await?);
    Ok(Opened {
        holdfast: Holdfast::new(log, engine, vault, config.settings.clone(), decorate),
        _lock: lock,
    })
}

/// Puts a copy in the place of the database. Fails with [`Busy`] while a server works in the folder.
///
/// `identity`: private keys of age, for one that is encrypted.
pub async fn restore_database(
    config: &Config,
    file: &Path,
    identity: Option<&Secret>,
) -> anyhow::Result<Replaced> {
    let _lock = DataLock::take(&config.data_dir)?;
    Ok(own::replace_database(&config.data_dir, file, identity, Utc::now()).await?)
}

/// Another process has the data folder.
#[derive(Debug, thiserror::Error)]
#[error("another Holdfast works in {}; stop it first, or talk to it instead", .0.display())]
pub struct Busy(PathBuf);

/// Whoever is just ending, or starts a program, holds the lock for a moment longer.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Keeps a second process out of the data folder; the kernel lets go of it however we end.
struct DataLock(#[allow(dead_code)] File);

impl DataLock {
    fn take(data_dir: &Path) -> anyhow::Result<Self> {
        make_private(data_dir)
            .with_context(|| format!("cannot make the data folder {}", data_dir.display()))?;
        let path = data_dir.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => sleep(LOOK_AGAIN),
                Err(TryLockError::WouldBlock) => return Err(Busy(data_dir.to_owned()).into()),
                Err(TryLockError::Error(error)) => {
                    return Err(error).context("cannot lock the data folder");
                }
            }
        }
    }
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    if fs::metadata(folder).is_ok_and(|meta| meta.is_dir()) {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
