//! Tar archives, read as they pass.
//!
//! The reader here is our own because it must be pushed (a validator is handed chunks), must keep no
//! more than one entry's headers in memory whatever an archive claims, and must be stricter than any
//! program that unpacks: an archive without its end, with bytes behind it, or that two readers could
//! understand in two ways is refused.
//!
//! Understood: ustar, the long names of GNU, PAX headers, sparse files in PAX form (what GNU tar
//! writes with `--format=posix --sparse`).

mod header;
mod pax;
pub mod program;
mod reader;
mod rules;
#[cfg(test)]
mod tests;

pub use reader::{Reader, Visit};
pub use rules::{Count, Rules};

/// One member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Without a leading `./` and a trailing slash; empty for the archive's own folder (`./`).
    pub path: Vec<u8>,
    pub kind: Kind,
    /// What a link points to.
    pub link: Vec<u8>,
    /// Length of the file as it will be, holes included.
    pub size: u64,
    /// Stored with holes: a tar that does not know them would unpack something else.
    pub sparse: bool,
    /// Has extended attributes or access lists.
    pub attributes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    HardLink,
    SymLink,
    Fifo,
    Device,
}

impl Entry {
    /// For people: the path, with what is no text replaced.
    pub fn shown(&self) -> String {
        shown(&self.path)
    }
}

fn shown(path: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(path).chars().take(200).collect();
    crate::strategy::stderr::clean(&text)
}

/// Whether `path` is `folder` or lies in it. All paths lie in the empty one.
pub fn is_in(path: &[u8], folder: &[u8]) -> bool {
    match path.strip_prefix(folder) {
        Some(rest) => folder.is_empty() || rest.is_empty() || rest[0] == b'/',
        None => false,
    }
}
