//! What goes over all files: the list, and the sweep of what dead processes left.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, FlockOperation},
    io::Errno,
};

use super::folders::{Folders, open_below, open_file};
use crate::target::{Entry, Key, layout};

/// Files in `folders` whose path from there begins with `start`, sorted by key. What is no key is
/// not ours: partial files, and whatever people put there.
pub(super) fn list(root: &Path, folders: &[String], start: &str) -> io::Result<Vec<Entry>> {
    let top = Folders::open(root, folders.iter().map(String::as_str))?;
    let mut entries = Vec::new();
    walk(top.last(), "", &mut |met| {
        let path = folders.iter().map(String::as_str).chain([met.path]);
        let path = path.collect::<Vec<_>>().join("/");
        if let Ok(key) = Key::parse(&path)
            && met.path.starts_with(start)
        {
            let size = met.size;
            entries.push(Entry { key, size });
        }
        Ok(())
    })?;
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(entries)
}

/// Removes partial files whose writer is dead, and the folders they leave empty.
pub(super) fn sweep(root: &Path) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    let top = Folders::open(root, [])?;
    walk(top.last(), "", &mut |met| {
        if layout::is_partial(met.name) && is_orphan(met) {
            rustix::fs::unlinkat(met.folder, met.name, AtFlags::empty())?;
            removed.push(met.path.to_owned());
        }
        Ok(())
    })?;
    for path in &removed {
        let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
        let names = folders.split('/').filter(|name| !name.is_empty());
        if let Ok(folders) = Folders::open(root, names) {
            folders.remove_empty();
        }
    }
    Ok(removed)
}

/// A partial file that no living process holds the lock of.
fn is_orphan(met: &Met) -> bool {
    let Ok(file) = open_file(met.folder, met.name) else {
        return false;
    };
    let lock = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
    !matches!(lock, Err(Errno::WOULDBLOCK))
}

/// A plain file met on the walk.
struct Met<'a> {
    folder: BorrowedFd<'a>,
    name: &'a str,
    /// From where the walk began, `/` between.
    path: &'a str,
    size: u64,
}

/// Visits every plain file below `folder`. Links are not followed, names that are not UTF-8 are
/// not ours, and what vanishes meanwhile is no error.
fn walk(
    folder: BorrowedFd<'_>,
    path: &str,
    visit: &mut dyn FnMut(&Met) -> io::Result<()>,
) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if matches!(name, "." | "..") {
            continue;
        }
        let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        let path = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}/{name}")
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => visit(&Met {
                folder,
                name,
                path: &path,
                size: u64::try_from(stat.st_size).unwrap_or(0),
            })?,
            FileType::Directory => match open_below(folder, name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                below => walk(below?.as_fd(), &path, visit)?,
            },
            _ => {}
        }
    }
    Ok(())
}
