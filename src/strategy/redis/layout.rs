//! Where a server keeps its data: a dump file, and an append-only log when that is switched on. With it
//! on, the server starts from the log alone and does not look at the dump.

use serde::{Deserialize, Serialize};

use super::client::Client;
use crate::{docker::Container, strategy::StrategyError};

/// How all that Holdfast puts into a data folder begins.
pub const HIDDEN: &str = ".holdfast-";

const SETTINGS: [&str; 7] = [
    "dir",
    "dbfilename",
    "appendonly",
    "appendfilename",
    "appenddirname",
    "save",
    "databases",
];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Absolute path inside the container.
    pub dir: String,
    /// Name of the dump file in it.
    pub dump: String,
    pub log: Log,
    /// Whether the server starts from the log.
    pub log_is_on: bool,
    /// Whether the server saves its dump by itself, at the latest when it stops.
    pub saves: bool,
    /// How many there are, when the server tells.
    pub databases: Option<u64>,
}

/// The append-only log: a folder of files since Redis 7, before that one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    pub folder: Option<String>,
    pub file: String,
}

impl Log {
    /// What it is called in the data folder.
    pub fn name(&self) -> &str {
        self.folder.as_deref().unwrap_or(&self.file)
    }
}

impl Layout {
    /// As the running server says.
    pub async fn of(client: &Client) -> Result<Self, StrategyError> {
        let found = client.settings(&SETTINGS).await?;
        let text = |name: &str| found.get(name).map_or("", String::as_str);
        let or = |name: &str, default: &str| match text(name) {
            "" => default.to_owned(),
            value => value.to_owned(),
        };
        let layout = Self {
            dir: text("dir").to_owned(),
            dump: or("dbfilename", "dump.rdb"),
            log: Log {
                folder: found.get("appenddirname").cloned(),
                file: or("appendfilename", "appendonly.aof"),
            },
            log_is_on: text("appendonly") == "yes",
            saves: !text("save").is_empty(),
            databases: text("databases").parse().ok(),
        };
        layout.check()?;
        Ok(layout)
    }

    /// As the manifest of a backup says: `/data/dump.rdb`, or with a log
    /// `/data/dump.rdb, /data/appendonlydir/appendonly.aof`. For a server that does not run.
    pub fn parse(subject: &str) -> Option<Self> {
        let (dump, log) = match subject.split_once(", /") {
            Some((dump, log)) => (dump, Some(format!("/{log}"))),
            None => (subject, None),
        };
        let (dir, dump) = dump.rsplit_once('/')?;
        let dir = if dir.is_empty() { "/" } else { dir };
        let within = log.as_deref().map(|log| {
            log.strip_prefix(dir.trim_end_matches('/'))?
                .strip_prefix('/')
        });
        let (folder, file) = match within {
            None => (Some("appendonlydir"), "appendonly.aof"),
            Some(within) => match within?.split_once('/') {
                Some((folder, file)) => (Some(folder), file),
                None => (None, within?),
            },
        };
        let layout = Self {
            dir: dir.to_owned(),
            dump: dump.to_owned(),
            log: Log {
                folder: folder.map(str::to_owned),
                file: file.to_owned(),
            },
            log_is_on: log.is_some(),
            saves: true,
            databases: None,
        };
        layout.check().ok()?;
        Some(layout)
    }

    pub fn subject(&self) -> String {
        let dir = self.dir.trim_end_matches('/');
        let dump = format!("{dir}/{}", self.dump);
        match (&self.log.folder, self.log_is_on) {
            (_, false) => dump,
            (Some(folder), true) => format!("{dump}, {dir}/{folder}/{}", self.log.file),
            (None, true) => format!("{dump}, {dir}/{}", self.log.file),
        }
    }

    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.dir.trim_end_matches('/'))
    }

    /// Names go to programs and are joined to paths, so they have to be plain ones.
    fn check(&self) -> Result<(), StrategyError> {
        let odd = |text: &str| text.chars().any(char::is_control);
        if !self.dir.starts_with('/')
            || odd(&self.dir)
            || self.dir.split('/').any(|part| part == "..")
        {
            return Err(refused_name("data folder", &self.dir));
        }
        let names = [
            Some(&self.dump),
            self.log.folder.as_ref(),
            Some(&self.log.file),
        ];
        for name in names.into_iter().flatten() {
            let is_plain = !name.is_empty() && !name.contains('/') && !odd(name);
            if !is_plain || name.starts_with(['-', '.']) {
                return Err(refused_name("data file", name));
            }
        }
        if self.dump == self.log.name() {
            return Err(refused_name("dump and its log", &self.dump));
        }
        Ok(())
    }

    /// Whether a helper sees the data folder and may change it. What is in the container's own layer
    /// is seen by nobody but the container.
    pub fn must_be_on_a_volume(&self, container: &Container) -> Result<(), StrategyError> {
        let hint = "Mount a volume at the server's data folder, then restore; or restore by hand as the manifest says.";
        let holds = |destination: &str| {
            let destination = destination.trim_end_matches('/');
            let rest = self.dir.strip_prefix(destination);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mounts = container
            .mounts
            .iter()
            .filter(|mount| holds(&mount.destination));
        let dir = &self.dir;
        match mounts.max_by_key(|mount| mount.destination.len()) {
            None => Err(StrategyError::refused(
                format!(
                    "the server's data folder {dir} is not on a volume, so it cannot be exchanged"
                ),
                hint,
            )),
            Some(mount) if mount.kind == "tmpfs" => Err(StrategyError::refused(
                format!(
                    "the server's data folder {dir} is in memory only, so it cannot be exchanged"
                ),
                hint,
            )),
            Some(mount) if mount.read_only => Err(StrategyError::refused(
                format!("the server's data folder {dir} is mounted read-only"),
                hint,
            )),
            Some(_) => self.must_not_be_mounts(container),
        }
    }

    /// A mount cannot be renamed.
    fn must_not_be_mounts(&self, container: &Container) -> Result<(), StrategyError> {
        let own = [self.path(&self.dump), self.path(self.log.name())];
        let is_own = |path: &str| {
            own.iter().any(|own| {
                path.strip_prefix(own.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        match container
            .mounts
            .iter()
            .find(|mount| is_own(&mount.destination))
        {
            None => Ok(()),
            Some(mount) => Err(StrategyError::refused(
                format!(
                    "{} is a mount of its own, so it cannot be exchanged",
                    mount.destination
                ),
                "Mount the whole data folder instead.",
            )),
        }
    }
}

fn refused_name(what: &str, name: &str) -> StrategyError {
    StrategyError::refused(
        format!("the server's {what} has the name {name:?}, which Holdfast does not work with"),
        "Give it a plain name.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::Mount;

    #[test]
    fn a_subject_says_where_everything_is() {
        for subject in [
            "/data/dump.rdb",
            "/data/dump.rdb, /data/appendonlydir/appendonly.aof",
            "/data/dump.rdb, /data/appendonly.aof",
            "/dump.rdb, /appendonlydir/a b.aof",
            "/var/lib/it's odd/dump.rdb",
        ] {
            assert_eq!(Layout::parse(subject).unwrap().subject(), subject);
        }
        for subject in [
            "",
            "all keys",
            "data/dump.rdb",
            "/data/../dump.rdb",
            "/data/",
            "/data/-x",
            "/data/dump.rdb, /other/x.aof",
            "/data/a\nb",
            "/data/.holdfast-1",
            "/data/x, /data/x",
        ] {
            assert!(Layout::parse(subject).is_none(), "{subject:?}");
        }
    }

    #[test]
    fn the_folder_has_to_be_on_a_volume() {
        let layout = Layout::parse("/data/redis/dump.rdb").unwrap();
        let reached = |mounts: &[(&str, &str, bool)]| {
            let mounts = mounts.iter().map(|&(kind, destination, read_only)| Mount {
                kind: kind.to_owned(),
                source: "x".to_owned(),
                destination: destination.to_owned(),
                read_only,
            });
            let container = Container {
                mounts: mounts.collect(),
                ..Container::default()
            };
            layout
                .must_be_on_a_volume(&container)
                .map_err(|error| error.to_string())
        };
        for mounts in [
            &[("volume", "/data", false)][..],
            &[("bind", "/data/redis/", false)],
            &[("volume", "/", false)],
            &[("tmpfs", "/data", false), ("volume", "/data/redis", false)],
        ] {
            reached(mounts).unwrap();
        }
        for (mounts, words) in [
            (&[][..], "not on a volume"),
            (&[("volume", "/dat", false)], "not on a volume"),
            (&[("volume", "/data/redi", false)], "not on a volume"),
            (&[("volume", "/data/redis/other", false)], "not on a volume"),
            (
                &[("volume", "/data", false), ("tmpfs", "/data/redis", false)],
                "in memory",
            ),
            (&[("bind", "/data", true)], "read-only"),
            (
                &[
                    ("volume", "/data", false),
                    ("bind", "/data/redis/dump.rdb", false),
                ],
                "a mount of its own",
            ),
            (
                &[
                    ("volume", "/data", false),
                    ("volume", "/data/redis/appendonlydir", false),
                ],
                "a mount of its own",
            ),
        ] {
            assert!(reached(mounts).unwrap_err().contains(words), "{words}");
        }
    }
}
