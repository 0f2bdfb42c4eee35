//! What an archive may hold, and what is counted of it.
//!
//! Unpacking must not write anywhere but below the roots, even with a link in the way. Keeping all
//! names to look for such links would take memory without bound; instead the order is required that
//! every tar writes: a folder comes before what is in it, and all of it comes together. Then an entry
//! whose folder is not one of the open ones came through a link, or twice.

use super::{Entry, Kind, Visit, is_in, shown};

/// Paths of one backup; nobody names more.
const ROOTS: usize = 1000;
/// No path is longer, on any system.
const LONGEST: usize = 32 * 1024;

/// What a person would count, and what is counted again after unpacking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// All that is no folder; a file with two names counts twice.
    pub files: u64,
    pub folders: u64,
    /// Length of all files, holes included, each once.
    pub bytes: u64,
}

impl Count {
    pub fn add(&mut self, entry: &Entry) {
        match entry.kind {
            Kind::Folder => self.folders += 1,
            _ => self.files += 1,
        }
        self.bytes = self.bytes.saturating_add(entry.size);
    }
}

/// A path that was archived: a name that does not lie in another root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    pub path: Vec<u8>,
    pub count: Count,
}

/// Judges entries in the order in which they come.
#[derive(Debug, Default)]
pub struct Rules {
    roots: Vec<Root>,
    /// The folders that the last entry lies in, and itself when it is one.
    open: Vec<Vec<u8>>,
}

impl Rules {
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    fn admit(&mut self, entry: &Entry) -> Result<(), String> {
        if entry.path.len() > LONGEST {
            return Err(format!("the name {}… is too long", entry.shown()));
        }
        if entry.kind == Kind::Device {
            return Err(format!("{} is a device", entry.shown()));
        }
        self.descend(entry)?;
        if entry.kind == Kind::HardLink && !self.roots.iter().any(|r| is_in(&entry.link, &r.path)) {
            let (name, link) = (entry.shown(), shown(&entry.link));
            return Err(format!(
                "the link {name} leads out of the archive, to {link}"
            ));
        }
        if entry.kind == Kind::Folder {
            self.open.push(entry.path.clone());
        }
        if let Some(root) = self.roots.last_mut() {
            root.count.add(entry);
        }
        Ok(())
    }

    fn descend(&mut self, entry: &Entry) -> Result<(), String> {
        let path = &entry.path;
        let above = |folder: &Vec<u8>| folder != path && is_in(path, folder);
        while self.open.last().is_some_and(|folder| !above(folder)) {
            self.open.pop();
        }
        if let Some(folder) = self.open.last() {
            let parent = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
            if path[..parent] == **folder {
                return Ok(());
            }
            return Err(format!("{} comes without its folder", entry.shown()));
        }
        let apart = |root: &Root| !is_in(path, &root.path) && !is_in(&root.path, path);
        if !self.roots.iter().all(apart) {
            return Err(format!(
                "{} comes twice, through a link or out of order",
                entry.shown()
            ));
        }
        if self.roots.len() == ROOTS {
            return Err(format!("there are more than {ROOTS} separate paths"));
        }
        let path = path.clone();
        let count = Count::default();
        self.roots.push(Root { path, count });
        Ok(())
    }
}

impl Visit for Rules {
    fn entry(&mut self, entry: &Entry, _headers: &[u8]) -> Result<(), String> {
        self.admit(entry)
    }
}
