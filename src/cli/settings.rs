//! The client's own file: which server is spoken to when nothing else says so.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::bail;
use serde::Deserialize;

use super::errors::Usage;

/// `client.toml`. The token belongs to the address beside it, and goes to no other.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientFile {
    pub url: Option<String>,
    pub token: Option<String>,
    /// A file that holds the token, in its place. Relative ones begin at this file's folder.
    pub token_file: Option<PathBuf>,
}

impl ClientFile {
    /// `$XDG_CONFIG_HOME/holdfast/client.toml`, or the same under `~/.config`; without one, nothing is set.
    pub fn read() -> anyhow::Result<Self> {
        let absolute = |name: &str| {
            let path = std::env::var_os(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let folder = absolute("XDG_CONFIG_HOME");
        match folder.or_else(|| Some(absolute("HOME")?.join(".config"))) {
            Some(folder) => Self::at(&folder.join("holdfast/client.toml")),
            None => Ok(Self::default()),
        }
    }

    fn at(path: &Path) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => bail!(wrong(path, &error.to_string())),
        };
        let read: Result<Self, _> = toml::from_str(&text);
        // The parser's words would show the line, which may hold the token.
        let mut file = read.map_err(|error| {
            let line = error.span().map_or(1, |span| {
                1 + text[..span.start].bytes().filter(|&b| b == b'\n').count()
            });
            wrong(
                path,
                &format!("line {line} is not understood; known are url, token and token_file"),
            )
        })?;
        if file.token.is_some() {
            must_be_private(path)?;
        }
        if let Some(beside) = &file.token_file {
            if file.token.is_some() {
                bail!(wrong(path, "say token or token_file, not both"));
            }
            let beside = path.with_file_name(beside);
            must_be_private(&beside)?;
            let token = fs::read_to_string(&beside);
            let token = token.map_err(|error| wrong(&beside, &error.to_string()))?;
            file.token = Some(token.trim().to_owned());
        }
        Ok(file)
    }
}

fn must_be_private(path: &Path) -> anyhow::Result<()> {
    let found = fs::metadata(path).map_err(|error| wrong(path, &error.to_string()))?;
    if found.permissions().mode() & 0o077 != 0 {
        bail!(wrong(
            path,
            "it holds a token and others may read it; chmod 600 it"
        ));
    }
    Ok(())
}

fn wrong(path: &Path, why: &str) -> Usage {
    Usage(format!("{}: {why}", path.display()))
}
