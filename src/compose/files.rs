//! Reading files that somebody else names. Only plain files, of bounded size and number; what a
//! compose file names must lie in the project's folder once every link has been followed.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::ComposeError;

/// Of one file, in bytes.
pub const FILE_MAX: u64 = 1 << 20;
/// Files of one project.
const FILES_MAX: usize = 64;

/// What may be read for one project.
pub struct Files {
    /// The project's folder without links; `None` when there is none and nothing may be read.
    root: Option<PathBuf>,
    left: usize,
}

impl Files {
    /// The folder of the first compose file is the project's.
    pub fn of_project(first: &Path) -> Result<Self, ComposeError> {
        let shown = first.display().to_string();
        let real = fs::canonicalize(first).map_err(|error| unreadable(&shown, &error))?;
        Ok(Self {
            root: real.parent().map(Path::to_owned),
            left: FILES_MAX,
        })
    }

    pub fn none() -> Self {
        Self {
            root: None,
            left: 0,
        }
    }

    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// A file that a person named: it may lie anywhere, and be a link.
    pub fn named_by_a_person(&mut self, path: &Path) -> Result<String, ComposeError> {
        self.count()?;
        read(path, &path.display().to_string())
    }

    /// A file that a compose file names as `said`.
    pub fn named_by_a_file(&mut self, path: &Path, said: &str) -> Result<String, ComposeError> {
        let shown = short(said);
        let root = self
            .root
            .as_ref()
            .ok_or_else(|| ComposeError::Outside(shown.clone()))?;
        // What is outside is not even said to exist.
        let real = match fs::canonicalize(path) {
            Ok(real) if real.starts_with(root) => real,
            Err(error) if error.kind() == ErrorKind::NotFound && plainly_inside(path, root) => {
                return Err(ComposeError::Missing(shown));
            }
            Ok(_) | Err(_) => return Err(ComposeError::Outside(shown)),
        };
        self.count()?;
        read(&real, &shown)
    }

    fn count(&mut self) -> Result<(), ComposeError> {
        self.left = self.left.checked_sub(1).ok_or(ComposeError::TooManyFiles)?;
        Ok(())
    }
}

fn plainly_inside(path: &Path, root: &Path) -> bool {
    let upwards = path
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    path.starts_with(root) && !upwards
}

fn read(path: &Path, shown: &str) -> Result<String, ComposeError> {
    // Looked at first, because to open a device may do something already; opened without waiting,
    // because a pipe that was put there meanwhile would wait for ever.
    let meta = fs::metadata(path).map_err(|error| unreadable(shown, &error))?;
    if !meta.is_file() {
        return Err(ComposeError::NotAFile(shown.to_owned()));
    }
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| unreadable(shown, &error))?;
    let bytes = read_bounded(file, shown)?;
    String::from_utf8(bytes).map_err(|_| ComposeError::NotText(shown.to_owned()))
}

fn read_bounded(file: File, shown: &str) -> Result<Vec<u8>, ComposeError> {
    let failed = |error| unreadable(shown, &error);
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(ComposeError::NotAFile(shown.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(ComposeError::TooLarge {
            file: shown.to_owned(),
            limit: FILE_MAX,
        });
    }
    Ok(bytes)
}

fn unreadable(shown: &str, error: &std::io::Error) -> ComposeError {
    let file = shown.to_owned();
    let reason = match error.kind() {
        ErrorKind::NotFound => return ComposeError::Missing(file),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::NotADirectory => return ComposeError::Missing(file),
        _ => error.to_string(),
    };
    ComposeError::Unreadable { file, reason }
}

/// A name from a file, short and plain enough to be said back.
pub fn short(text: &str) -> String {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
