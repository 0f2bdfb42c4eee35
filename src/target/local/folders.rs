//! The way from the root to a file, one opened folder after the other. Links are never followed
//! below the root, not even ones put there while we look: every step is relative to the folder
//! already open, so nobody can swing a path elsewhere between check and use. The root itself may
//! be a link: its owner chose it.

use std::{
    fs::{DirBuilder, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, mkdirat, openat, unlinkat},
    io::Errno,
};

const FOLDER_MODE: u32 = 0o700;
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opened folders, root first.
pub(super) struct Folders {
    root: OwnedFd,
    below: Vec<(String, OwnedFd)>,
}

impl Folders {
    /// Fails with `NotFound` when one is missing.
    pub(super) fn open<'a>(
        root: &Path,
        names: impl IntoIterator<Item = &'a str>,
    ) -> io::Result<Self> {
        let mut folders = Self::of_root(root)?;
        for name in names {
            folders.enter(name)?;
        }
        Ok(folders)
    }

    /// Makes those that are missing, the root included, for the owner alone.
    pub(super) fn create<'a>(
        root: &Path,
        names: impl IntoIterator<Item = &'a str>,
    ) -> io::Result<Self> {
        create_root(root)?;
        let mut folders = Self::of_root(root)?;
        for name in names {
            if let Err(error) = folders.enter_new(name) {
                folders.remove_empty();
                return Err(error);
            }
        }
        Ok(folders)
    }

    fn enter_new(&mut self, name: &str) -> io::Result<()> {
        match mkdirat(self.last(), name, Mode::from_raw_mode(FOLDER_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.enter(name)
    }

    fn enter(&mut self, name: &str) -> io::Result<()> {
        let folder = open_below(self.last(), name)?;
        self.below.push((name.to_owned(), folder));
        Ok(())
    }

    fn of_root(root: &Path) -> io::Result<Self> {
        let root = File::open(root)?;
        if !root.metadata()?.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        Ok(Self {
            root: root.into(),
            below: Vec::new(),
        })
    }

    /// The innermost.
    pub(super) fn last(&self) -> BorrowedFd<'_> {
        self.below
            .last()
            .map_or(self.root.as_fd(), |(_, folder)| folder.as_fd())
    }

    /// Makes the names in all of them durable. Those above the last are clean and cost next to
    /// nothing, unless this put or another one at the same time has just made them.
    pub(super) fn sync(&self) -> io::Result<()> {
        for (_, folder) in self.below.iter().rev() {
            rustix::fs::fsync(folder)?;
        }
        Ok(rustix::fs::fsync(&self.root)?)
    }

    /// Removes those that are empty, innermost first, never the root.
    pub(super) fn remove_empty(mut self) {
        while let Some((name, _)) = self.below.pop() {
            if unlinkat(self.last(), &*name, AtFlags::REMOVEDIR).is_err() {
                return; // not empty, or somebody was faster
            }
        }
    }
}

pub(super) fn open_below(folder: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    Ok(openat(folder, name, FOLDER, Mode::empty())?)
}

/// Opens a plain file for reading; links, pipes and devices are refused, folders are `NotFound`.
pub(super) fn open_file(folder: BorrowedFd<'_>, name: &str) -> io::Result<File> {
    // Without NONBLOCK, opening a pipe would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty())?);
    let kind = rustix::fs::fstat(&file)?.st_mode;
    match FileType::from_raw_mode(kind) {
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(Errno::NOENT.into()),
        _ => Err(Errno::LOOP.into()),
    }
}

/// Like `create_dir_all`, but for the owner alone and durable.
fn create_root(root: &Path) -> io::Result<()> {
    let missing = root.ancestors().take_while(|folder| {
        !folder.as_os_str().is_empty() && !folder.exists() //
    });
    let missing: Vec<&Path> = missing.collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let parent = folder.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}
