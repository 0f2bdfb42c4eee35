//! The master key exchanged, while nobody works in the data folder. The new key lies beside the old one until
//! the log says that it counts; then it takes the old one's place. A kill leaves both, and the next start
//! looks which of them the log means.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};

use super::open;
use crate::{
    app::{Caller, MasterKey, Rotated, newest_rotation, write_private},
    config::Config,
    failpoint,
    log::Log,
};

/// Fails with [`Busy`](super::Busy) while a server works in the folder. `new`: the key itself, where it is
/// kept elsewhere than in a file of ours; then whoever keeps it puts it in its place.
pub async fn rotate(config: &Config, new: Option<MasterKey>) -> anyhow::Result<Rotated> {
    let opened = open(config).await?;
    let file = config.master_key_in_file();
    let (key, beside) = match (new, file) {
        (Some(key), None) => (key, None),
        (Some(_), Some(file)) => bail!(
            "the master key is in {}, and a new one is made there: leave HOLDFAST_NEW_MASTER_KEY out",
            file.display()
        ),
        (None, Some(file)) => (MasterKey::random(), Some((beside(&file), file))),
        (None, None) => bail!(
            "the master key is in the environment: put the new one into HOLDFAST_NEW_MASTER_KEY, 64 \
             hexadecimal digits (openssl rand -hex 32)"
        ),
    };
    if let Some((beside, _)) = &beside {
        let text = key.to_hex();
        write_private(beside, text.expose().as_bytes())
            .with_context(|| format!("cannot write {}", beside.display()))?;
        failpoint::hit("rotate.after_key");
    }
    let caller = Caller::cli("rotate-key");
    let rotated = opened.holdfast.rotate_master_key(&caller, key).await?;
    failpoint::hit("rotate.after_commit");
    if let Some((beside, file)) = &beside {
        put_in_place(beside, file)?;
        failpoint::hit("rotate.after_rename");
    }
    Ok(rotated)
}

/// Ends what a kill left of a rotation, and refuses a key that was exchanged for another.
pub(super) async fn settled(config: &Config, log: &Log) -> anyhow::Result<MasterKey> {
    let rotation = newest_rotation(log).await?;
    if let Some(file) = config.master_key_in_file() {
        let beside = beside(&file);
        if beside.exists() {
            let new = MasterKey::from_file(&beside)?.id();
            match &rotation {
                Some((_, to)) if *to == new => put_in_place(&beside, &file)?,
                _ => fs::remove_file(&beside)?,
            }
        }
    }
    let key = config.master_key()?;
    let exchanged = rotation.is_some_and(|(from, _)| from == key.id());
    ensure!(
        !exchanged,
        "this master key ({}) was exchanged for another: bring the new one, no secret can be read with this",
        key.id()
    );
    Ok(key)
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".next");
    name.into()
}

/// Durably: after this the old key is gone.
fn put_in_place(beside: &Path, file: &Path) -> anyhow::Result<()> {
    let done = fs::rename(beside, file).and_then(|()| match file.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => io::Result::Ok(()),
    });
    done.with_context(|| {
        format!(
            "the new master key is in {}, and has to be put in the place of {}",
            beside.display(),
            file.display()
        )
    })
}
