//! Backups in a folder of this machine.
//!
//! What makes a put whole or absent: the data goes into a partial file beside its final place
//! (`partial.rs`), is fsynced, renamed without replacing, and the folders are fsynced. Until the
//! put has returned `Ok`, dropping it takes everything back. Free space is looked at before and
//! while writing, so that a backup cannot fill the disk its own database lies on (`write.rs`).
//! No link below the root is ever followed (`folders.rs`).

mod folders;
mod partial;
mod read;
mod walk;
mod write;

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    ops::Range,
    path::PathBuf,
    sync::Arc,
};

use async_trait::async_trait;
use rustix::{
    fs::{AtFlags, FileType},
    io::Errno,
};
use tokio::{sync::mpsc, task::spawn_blocking};

use self::{
    folders::{Folders, open_file},
    partial::Partial,
    write::WriteError,
};
use super::{
    ByteStream, Entry, Field, Key, Place, Settings, Stat, Stored, Target, TargetError, TargetKind,
    layout,
};
use crate::domain::failure::FieldErrors;

pub struct LocalKind;

impl TargetKind for LocalKind {
    fn name(&self) -> &'static str {
        "local"
    }

    fn label(&self) -> &'static str {
        "Local storage"
    }

    fn description(&self) -> &'static str {
        "A folder on this server. Fast, but lost together with the server."
    }

    fn icon(&self) -> &'static str {
        "disk"
    }

    fn fields(&self) -> &'static [Field] {
        &[]
    }

    fn check(&self, _: &Place, settings: &Settings) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::default();
        for name in settings.plain.keys() {
            errors.add(name.as_str(), "local storage has no such setting");
        }
        errors.into_result()
    }

    fn open(&self, place: &Place, _: &Settings) -> Result<Arc<dyn Target>, FieldErrors> {
        Ok(Arc::new(Local::new(&place.local_root)))
    }
}

/// The folder is made when it is first needed, and opened anew by every operation: a disk that is
/// mounted or replaced under it is the one that is used.
pub struct Local {
    root: PathBuf,
}

impl Local {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Does blocking work on its own thread; `key` is what it is about, for the error's text.
    async fn blocking<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
    ) -> Result<T, TargetError> {
        let root = self.root.clone();
        let result = spawn_blocking(move || work(root)).await;
        let result = result.map_err(io::Error::other).flatten();
        result.map_err(|error| self.told(key, &error))
    }

    /// The right words for what the system said.
    fn told(&self, key: &str, error: &io::Error) -> TargetError {
        let (at, key) = (self.describe(), key.to_owned());
        let reason = match Errno::from_io_error(error) {
            Some(Errno::EXIST) => return TargetError::Exists { key, at },
            Some(Errno::NOENT) => return TargetError::Missing { key, at },
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => return TargetError::Full { at },
            Some(Errno::LOOP | Errno::NOTDIR) => "a link or something else lies in the way",
            Some(Errno::ACCESS | Errno::PERM) => "permission denied",
            Some(Errno::ROFS) => "it is read-only",
            Some(Errno::NAMETOOLONG) => "the name is too long",
            _ => {
                let reason = error.to_string();
                return TargetError::Unavailable { at, reason };
            }
        };
        let reason = format!("{reason} ({key})");
        TargetError::Refused { at, reason }
    }
}

/// Takes the put back when its future is dropped, or fails.
struct Guard(Arc<Partial>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

#[async_trait]
impl Target for Local {
    fn describe(&self) -> String {
        format!("Local storage ({})", self.root.display())
    }

    async fn put(
        &self,
        key: &Key,
        body: ByteStream,
        size_hint: Option<u64>,
    ) -> Result<Stored, TargetError> {
        if self.stat(key).await?.is_some() {
            return Err(self.told(key.as_str(), &Errno::EXIST.into()));
        }
        let partial = Arc::new(Partial::new(self.root.clone(), key.clone()));
        let guard = Guard(Arc::clone(&partial));
        let (pieces, written) = mpsc::channel(2);
        let writer =
            spawn_blocking(move || write::write(&partial, written, size_hint, write::MARGIN));
        let fed = write::feed(body, pieces).await;
        // Also after a source error: when the put returns, nothing of it works on.
        let written = writer.await;
        fed.map_err(TargetError::Source)?;
        match written {
            Ok(Ok(stored)) => {
                guard.0.keep();
                Ok(stored)
            }
            Ok(Err(WriteError::Full)) => Err(TargetError::Full {
                at: self.describe(),
            }),
            Ok(Err(WriteError::Io(error))) => Err(self.told(key.as_str(), &error)),
            Err(panic) => Err(self.told(key.as_str(), &io::Error::other(panic))),
        }
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, TargetError> {
        let wanted = key.clone();
        let open = move |root: PathBuf| {
            let folders = Folders::open(&root, wanted.folders())?;
            let file = open_file(folders.last(), wanted.name())?;
            let size = file.metadata()?.len();
            Ok((file, size))
        };
        let (mut file, size) = self.blocking(key.as_str(), open).await?;
        let range = range.unwrap_or(0..size);
        if range.start > range.end || range.end > size {
            return Err(TargetError::Refused {
                at: self.describe(),
                reason: format!("{key} has {size} bytes, {range:?} were asked for"),
            });
        }
        file.seek(SeekFrom::Start(range.start))
            .map_err(|error| self.told(key.as_str(), &error))?;
        Ok(read::stream(file, &range))
    }

    async fn stat(&self, key: &Key) -> Result<Option<Stat>, TargetError> {
        let wanted = key.clone();
        let stat = self.blocking(key.as_str(), move |root| {
            let folders = Folders::open(&root, wanted.folders())?;
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let stat = rustix::fs::statat(folders.last(), wanted.name(), flags)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Ok(u64::try_from(stat.st_size).unwrap_or(0)),
                FileType::Directory => Err(Errno::NOENT.into()),
                _ => Err(Errno::LOOP.into()),
            }
        });
        match stat.await {
            Ok(size) => Ok(Some(Stat { size })),
            Err(TargetError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, TargetError> {
        let (folders, start) = layout::split_prefix(prefix)?;
        let folders: Vec<String> = folders.into_iter().map(str::to_owned).collect();
        let start = start.to_owned();
        let found = self.blocking(prefix, move |root| walk::list(&root, &folders, &start));
        match found.await {
            Err(TargetError::Missing { .. }) => Ok(Vec::new()),
            found => found,
        }
    }

    async fn delete(&self, key: &Key) -> Result<(), TargetError> {
        let wanted = key.clone();
        let deleted = self.blocking(key.as_str(), move |root| {
            let folders = Folders::open(&root, wanted.folders())?;
            match rustix::fs::unlinkat(folders.last(), wanted.name(), AtFlags::empty()) {
                Err(Errno::ISDIR) => return Ok(()),
                result => result?,
            }
            rustix::fs::fsync(folders.last())?;
            folders.remove_empty();
            Ok(())
        });
        match deleted.await {
            Err(TargetError::Missing { .. }) => Ok(()),
            result => result,
        }
    }

    async fn check(&self) -> Result<(), TargetError> {
        let key = Key::parse("check")?;
        let name = key.clone();
        let checked = self.blocking(key.as_str(), move |root| {
            let guard = Guard(Arc::new(Partial::new(root, name)));
            let mut file: File = guard.0.create()?;
            file.write_all(b"holdfast")?;
            file.sync_all()?;
            match write::require_space(&file, write::MARGIN) {
                Ok(()) => Ok(()),
                Err(WriteError::Full) => Err(Errno::NOSPC.into()),
                Err(WriteError::Io(error)) => Err(error),
            }
        });
        checked.await
    }

    async fn sweep(&self) -> Result<Vec<String>, TargetError> {
        let swept = self.blocking("", |root| walk::sweep(&root));
        match swept.await {
            Err(TargetError::Missing { .. }) => Ok(Vec::new()),
            swept => swept,
        }
    }

    fn locate(&self, key: &Key) -> String {
        self.root.join(key.as_str()).display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_told_by_its_kind() {
        let local = Local::new("/srv/backups");
        let told = |errno: Errno| {
            let error = local.told("shop/1/a", &errno.into());
            format!(
                "{}{error}",
                if error.is_temporary() { "again: " } else { "" }
            )
        };
        insta::assert_snapshot!(told(Errno::ACCESS), @"Local storage (/srv/backups) refused: permission denied (shop/1/a)");
        insta::assert_snapshot!(told(Errno::PERM), @"Local storage (/srv/backups) refused: permission denied (shop/1/a)");
        insta::assert_snapshot!(told(Errno::ROFS), @"Local storage (/srv/backups) refused: it is read-only (shop/1/a)");
        insta::assert_snapshot!(told(Errno::LOOP), @"Local storage (/srv/backups) refused: a link or something else lies in the way (shop/1/a)");
        insta::assert_snapshot!(told(Errno::NOSPC), @"no space left in Local storage (/srv/backups)");
        insta::assert_snapshot!(told(Errno::DQUOT), @"no space left in Local storage (/srv/backups)");
        insta::assert_snapshot!(told(Errno::EXIST), @"shop/1/a already exists in Local storage (/srv/backups)");
        insta::assert_snapshot!(told(Errno::NOENT), @"shop/1/a is not in Local storage (/srv/backups)");
        insta::assert_snapshot!(told(Errno::IO), @"again: Local storage (/srv/backups) did not answer as it should: Input/output error (os error 5)");
    }
}
