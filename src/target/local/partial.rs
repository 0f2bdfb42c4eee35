//! A file on its way to its name. Until `keep`, everything it left on disk can be taken back at
//! once by `abandon`, from whichever thread: the future of a put, dropped at any moment, leaves
//! nothing when its drop returns, though the thread that writes may still be inside a system call.
//!
//! All changes of names happen under one lock, and all of them are short; data and fsync are
//! outside. The kernel's lock on the open file tells `sweep` that somebody alive is writing it:
//! it goes with the process, however that ends.

use std::{
    fs::File,
    io,
    os::fd::BorrowedFd,
    path::PathBuf,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags},
    io::Errno,
};
use ulid::Ulid;

use super::folders::Folders;
use crate::{
    failpoint,
    target::{Key, layout},
};

const FILE_MODE: u32 = 0o600;

/// Deletes of neighbours that one put puts up with.
const MAX_DELETES: u32 = 100;

pub(super) struct Partial {
    root: PathBuf,
    key: Key,
    name: String,
    state: Mutex<State>,
}

enum State {
    New,
    Open(Arc<Folders>),
    Published(Arc<Folders>),
    /// Kept or abandoned: nothing more to do, and nothing more may be done.
    Settled,
}

impl Partial {
    pub(super) fn new(root: PathBuf, key: Key) -> Self {
        Self {
            root,
            key,
            name: layout::partial_name(&unique()),
            state: Mutex::new(State::New),
        }
    }

    /// Makes the empty file, beside the place of its final name.
    pub(super) fn create(&self) -> io::Result<File> {
        let mut state = self.state();
        if !matches!(*state, State::New) {
            return Err(abandoned());
        }
        let (folders, file) = self.create_in_folders()?;
        *state = State::Open(Arc::new(folders));
        Ok(file)
    }

    /// A delete may remove the empty folder just before the file is in it: then once more.
    fn create_in_folders(&self) -> io::Result<(Folders, File)> {
        for _ in 0..MAX_DELETES {
            match self.try_to_create() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => return result,
            }
        }
        self.try_to_create()
    }

    fn try_to_create(&self) -> io::Result<(Folders, File)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(FILE_MODE);
        let folders = Folders::create(&self.root, self.key.folders())?;
        match rustix::fs::openat(folders.last(), &*self.name, flags, mode) {
            Ok(file) => {
                // Where locks are not supported, sweep's rule (only at start) must do.
                let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
                Ok((folders, file.into()))
            }
            Err(error) => {
                folders.remove_empty();
                Err(error.into())
            }
        }
    }

    /// Gives the file its final name, which must be free, and makes the name durable. The data
    /// must be durable already.
    pub(super) fn publish(&self) -> io::Result<()> {
        let folders = {
            let mut state = self.state();
            let State::Open(folders) = &*state else {
                return Err(abandoned());
            };
            let folders = Arc::clone(folders);
            failpoint::hit("local.before_rename");
            rename_new(folders.last(), &self.name, self.key.name())?;
            failpoint::hit("local.after_rename");
            *state = State::Published(Arc::clone(&folders));
            folders
        };
        folders.sync()
    }

    /// From here on it stays.
    pub(super) fn keep(&self) {
        *self.state() = State::Settled;
    }

    /// Removes what there is, published or not. After `keep` it does nothing.
    pub(super) fn abandon(&self) {
        let mut state = self.state();
        let (folders, name) = match std::mem::replace(&mut *state, State::Settled) {
            State::New | State::Settled => return,
            State::Open(folders) => (folders, self.name.as_str()),
            State::Published(folders) => (folders, self.key.name()),
        };
        let _ = rustix::fs::unlinkat(folders.last(), name, AtFlags::empty());
        drop(folders);
        if let Ok(folders) = Folders::open(&self.root, self.key.folders()) {
            folders.remove_empty();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renames without ever replacing; fails with `AlreadyExists`.
fn rename_new(folder: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()> {
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // The file system cannot (NFS among others).
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_new(folder, from, to),
        result => Ok(result?),
    }
}

/// The same by a second name: a link, too, is only made where nothing is.
fn link_new(folder: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()> {
    rustix::fs::linkat(folder, from, folder, to, AtFlags::empty())?;
    if let Err(error) = rustix::fs::unlinkat(folder, from, AtFlags::empty()) {
        let _ = rustix::fs::unlinkat(folder, to, AtFlags::empty());
        return Err(error.into());
    }
    Ok(())
}

fn abandoned() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "the put was given up")
}

/// Different for every put of every process.
fn unique() -> String {
    static PROCESS: LazyLock<Ulid> = LazyLock::new(Ulid::generate);
    static PUTS: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", *PROCESS, PUTS.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::fd::AsFd};

    use super::*;

    fn partial(root: &tempfile::TempDir) -> Partial {
        Partial::new(root.path().join("b"), Key::parse("shop/1/db.gz").unwrap())
    }

    #[test]
    fn both_ways_of_renaming_never_replace() {
        for rename in [rename_new, link_new] {
            let root = tempfile::tempdir().unwrap();
            let folder = fs::File::open(root.path()).unwrap();
            fs::write(root.path().join("one"), "1").unwrap();
            fs::write(root.path().join("two"), "2").unwrap();
            let error = rename(folder.as_fd(), "one", "two").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(root.path().join("two")).unwrap(), b"2");
            rename(folder.as_fd(), "one", "three").unwrap();
            assert_eq!(fs::read(root.path().join("three")).unwrap(), b"1");
            assert!(!root.path().join("one").exists());
        }
    }

    #[test]
    fn abandoned_at_any_step_leaves_nothing_and_goes_no_further() {
        for steps in 0..3 {
            let root = tempfile::tempdir().unwrap();
            let partial = partial(&root);
            if steps > 0 {
                partial.create().unwrap();
            }
            if steps > 1 {
                partial.publish().unwrap();
            }
            partial.abandon();
            let left = fs::read_dir(root.path().join("b")).map_or(0, Iterator::count);
            assert_eq!(left, 0, "after {steps} steps");
            assert!(partial.create().is_err());
            assert!(partial.publish().is_err());
        }
    }

    #[test]
    fn kept_stays() {
        let root = tempfile::tempdir().unwrap();
        let partial = partial(&root);
        partial.create().unwrap();
        partial.publish().unwrap();
        partial.keep();
        partial.abandon();
        assert!(root.path().join("b/shop/1/db.gz").exists());
    }
}
