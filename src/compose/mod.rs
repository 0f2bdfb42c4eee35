//! Compose files, read far enough to know what could be backed up: which services there are, with
//! their image, environment, labels and mounts, in the same form as the engine shows containers.
//!
//! YAML, its anchors and the `${VAR:-default}` of compose are the parser's work (`yaml.rs`); what
//! compose itself adds is done here: several files over each other, `extends`, `include`,
//! `env_file`, short and long forms, profiles.
//!
//! A compose file is hostile input. Its size, depth and aliases are bounded; what it names is read
//! only inside its own folder, links followed first; no error repeats what stands in a file.

mod environment;
mod files;
mod load;
mod service;
mod yaml;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use self::service::Service;
use self::{files::Files, load::Loader};
use crate::docker::Container;

/// What compose itself looks for in a folder, and the second file it then takes beside the first.
const USUAL: [(&str, [&str; 2]); 4] = [
    (
        "compose.yaml",
        ["compose.override.yaml", "compose.override.yml"],
    ),
    (
        "compose.yml",
        ["compose.override.yml", "compose.override.yaml"],
    ),
    (
        "docker-compose.yml",
        [
            "docker-compose.override.yml",
            "docker-compose.override.yaml",
        ],
    ),
    (
        "docker-compose.yaml",
        [
            "docker-compose.override.yaml",
            "docker-compose.override.yml",
        ],
    ),
];

/// A project as its files describe it.
#[derive(Debug, Clone, Default)]
pub struct Composition {
    /// What compose would call the project; `None` when an upload does not say.
    pub project: Option<String>,
    pub services: BTreeMap<String, Service>,
    /// Top-level volumes that have a name of their own in the engine.
    volumes: BTreeMap<String, String>,
    /// What could not be followed, in words.
    pub notes: Vec<String>,
}

impl Composition {
    /// The service as the engine would show its container, had the project been started as
    /// `project`. It does not run, and has no id.
    pub fn container(&self, project: &str, service: &str) -> Option<Container> {
        let described = self.services.get(service)?;
        Some(described.container(project, service, &self.volumes))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    #[error("there is no file {0}")]
    Missing(String),
    #[error("{0} is not a plain file")]
    NotAFile(String),
    #[error("{0} is outside of the project's folder")]
    Outside(String),
    #[error("{file} is larger than {} KiB", limit / 1024)]
    TooLarge { file: String, limit: u64 },
    #[error("{file} cannot be read: {reason}")]
    Unreadable { file: String, reason: String },
    #[error("{0} is not text")]
    NotText(String),
    #[error("{file} is not valid at line {line}, column {column}: {reason}")]
    Invalid {
        file: String,
        line: u64,
        column: u64,
        reason: &'static str,
    },
    #[error("{file}: {at} {problem}")]
    Form {
        file: String,
        /// `services.db.volumes`.
        at: String,
        problem: &'static str,
    },
    #[error("too many files belong to this project")]
    TooManyFiles,
}

/// Reads the files of a project, each over the one before; the override beside a single file of a
/// usual name as well, as compose does. Blocks.
pub fn read(paths: &[PathBuf]) -> Result<Composition, ComposeError> {
    let mut paths = paths.to_vec();
    if let [only] = paths.as_slice() {
        paths.extend(override_of(only));
    }
    let Some(first) = paths.first() else {
        return Ok(Composition::default());
    };
    let files = Files::of_project(first)?;
    Loader::new(files).project(&paths)
}

/// Reads a compose file that came without its folder: nothing that it names is looked for.
pub fn parse(text: &str) -> Result<Composition, ComposeError> {
    Loader::new(Files::none()).upload(text)
}

fn override_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let (_, beside) = USUAL.iter().find(|(usual, _)| *usual == name)?;
    let mut beside = beside.iter().map(|name| path.with_file_name(name));
    beside.find(|path| path.is_file())
}

#[cfg(test)]
mod tests;
