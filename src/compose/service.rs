//! One service of a compose file: what detection asks of it, from all the forms it may be written
//! in, and laid over an earlier description of the same service.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{ComposeError, files::short};
use crate::{
    docker::{Container, Mount},
    domain::secret::Secret,
};

#[derive(Debug, Clone, Default)]
pub struct Service {
    pub image: Option<String>,
    /// Started only when one of them is asked for; empty means always.
    pub profiles: Vec<String>,
    container_name: Option<String>,
    labels: BTreeMap<String, String>,
    /// `None`: taken from the shell that starts it.
    environment: BTreeMap<String, Secret<Option<String>>>,
    pub(super) env_files: Vec<EnvFile>,
    /// By destination. A named volume's source is its key in the file.
    mounts: BTreeMap<String, Mount>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EnvFile {
    pub path: PathBuf,
    /// As it stands in the file.
    pub said: String,
    pub required: bool,
}

/// `extends`: another service, of the same file when `file` is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extends {
    pub service: String,
    pub file: Option<String>,
}

/// Where a description stands: for relative paths, and for what is said of mistakes.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub folder: &'a Path,
    pub file: &'a str,
    pub service: &'a str,
}

impl Place<'_> {
    fn wrong(&self, field: &str, problem: &'static str) -> ComposeError {
        let (file, service) = (self.file.to_owned(), short(self.service));
        let at = match field {
            "" => format!("services.{service}"),
            field => format!("services.{service}.{field}"),
        };
        ComposeError::Form { file, at, problem }
    }
}

impl Service {
    pub(super) fn parse(value: &Value, place: Place<'_>) -> Result<Self, ComposeError> {
        let empty = Map::new();
        let fields = match value {
            Value::Null => &empty,
            Value::Object(fields) => fields,
            _ => return Err(place.wrong("", "is no mapping")),
        };
        let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
        let one = |name: &'static str| {
            let value = field(name).map(|value| text(value).ok_or(()));
            let value = value.transpose();
            value.map_err(|()| place.wrong(name, "is no plain text"))
        };
        let environment = match field("environment") {
            Some(value) => pairs(value).ok_or_else(|| {
                place.wrong(
                    "environment",
                    "is neither a mapping nor a list of NAME=value",
                )
            })?,
            None => BTreeMap::new(),
        };
        let labels = match field("labels") {
            Some(value) => pairs(value).ok_or_else(|| {
                place.wrong("labels", "is neither a mapping nor a list of name=value")
            })?,
            None => BTreeMap::new(),
        };
        Ok(Self {
            image: one("image")?.filter(|image| !image.is_empty()),
            profiles: texts(field("profiles"))
                .ok_or_else(|| place.wrong("profiles", "is no list of names"))?,
            container_name: one("container_name")?,
            labels: labels
                .into_iter()
                .map(|(name, value)| (name, value.unwrap_or_default()))
                .collect(),
            environment: environment
                .into_iter()
                .map(|(name, value)| (name, Secret::new(value)))
                .collect(),
            env_files: env_files(field("env_file"), place)?,
            mounts: mounts(field("volumes"), field("tmpfs"), place)?,
        })
    }

    /// This description over an earlier one: single values replace, the rest is added to by name.
    #[must_use]
    pub(super) fn over(self, mut earlier: Self) -> Self {
        earlier.labels.extend(self.labels);
        earlier.environment.extend(self.environment);
        earlier.mounts.extend(self.mounts);
        earlier.env_files.extend(self.env_files);
        for profile in self.profiles {
            if !earlier.profiles.contains(&profile) {
                earlier.profiles.push(profile);
            }
        }
        Self {
            image: self.image.or(earlier.image),
            container_name: self.container_name.or(earlier.container_name),
            ..earlier
        }
    }

    /// What an environment file says, where `environment` says nothing.
    pub(super) fn set_defaults(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in variables {
            self.environment
                .entry(name)
                .or_insert_with(|| Secret::new(Some(value)));
        }
    }

    pub(super) fn container(
        &self,
        project: &str,
        service: &str,
        volumes: &BTreeMap<String, String>,
    ) -> Container {
        let environment = self.environment.iter().filter_map(|(name, value)| {
            let value = value.expose().clone()?;
            Some((name.clone(), value))
        });
        let mounts = self.mounts.values().cloned().map(|mount| {
            let named = mount.kind == "volume" && !mount.source.is_empty();
            let source = match volumes.get(&mount.source) {
                Some(name) if named => name.clone(),
                None if named => format!("{project}_{}", mount.source),
                _ => mount.source,
            };
            Mount { source, ..mount }
        });
        let mut labels = self.labels.clone();
        for (key, value) in [("project", project), ("service", service)] {
            labels.insert(format!("com.docker.compose.{key}"), value.to_owned());
        }
        Container {
            name: self
                .container_name
                .clone()
                .unwrap_or_else(|| format!("{project}-{service}-1")),
            image: self.image.clone().unwrap_or_default(),
            labels,
            env: Secret::new(environment.collect()),
            mounts: mounts.collect(),
            ..Container::default()
        }
    }
}

impl Extends {
    pub fn parse(service: &Value, place: Place<'_>) -> Result<Option<Self>, ComposeError> {
        match service.get("extends") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(service)) => Ok(Some(Self {
                service: service.clone(),
                file: None,
            })),
            Some(value) => {
                let name = |key: &str| value.get(key).and_then(Value::as_str);
                let service = name("service")
                    .ok_or_else(|| place.wrong("extends", "names no service"))?
                    .to_owned();
                let file = name("file").map(str::to_owned);
                Ok(Some(Self { service, file }))
            }
        }
    }
}

/// A scalar as compose would hand it on.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// One text or a list of them; none when absent.
pub(super) fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    match value {
        None => Some(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(text).collect(),
        Some(value) => text(value).map(|text| vec![text]),
    }
}

/// `{name: value}` or `[name=value, name]`.
fn pairs(value: &Value) -> Option<BTreeMap<String, Option<String>>> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::Null => Some((name.clone(), None)),
                value => Some((name.clone(), Some(text(value)?))),
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                let item = text(item)?;
                Some(match item.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (item, None),
                })
            })
            .collect(),
        _ => None,
    }
}

fn env_files(value: Option<&Value>, place: Place<'_>) -> Result<Vec<EnvFile>, ComposeError> {
    let entry = |value: &Value| {
        let said = match value {
            Value::Object(fields) => text(fields.get("path")?)?,
            value => text(value)?,
        };
        Some(EnvFile {
            path: place.folder.join(&said),
            said,
            required: value.get("required") != Some(&Value::Bool(false)),
        })
    };
    let entries = match value {
        None => Some(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(entry).collect(),
        Some(value) => entry(value).map(|entry| vec![entry]),
    };
    entries.ok_or_else(|| place.wrong("env_file", "names no file"))
}

fn mounts(
    volumes: Option<&Value>,
    tmpfs: Option<&Value>,
    place: Place<'_>,
) -> Result<BTreeMap<String, Mount>, ComposeError> {
    let wrong = || place.wrong("volumes", "is no list of mounts");
    let mut mounts = BTreeMap::new();
    match volumes {
        None => {}
        Some(Value::Array(items)) => {
            for item in items {
                let mount = match item {
                    Value::Object(fields) => long(fields, place.folder),
                    item => text(item).and_then(|text| short_form(&text, place.folder)),
                };
                let mount = mount.ok_or_else(wrong)?;
                mounts.insert(mount.destination.clone(), mount);
            }
        }
        Some(_) => return Err(wrong()),
    }
    let tmpfs = texts(tmpfs).ok_or_else(|| place.wrong("tmpfs", "is no list of paths"))?;
    for destination in tmpfs {
        let destination = destination.split(':').next().unwrap_or_default().to_owned();
        let mount = Mount {
            kind: "tmpfs".to_owned(),
            source: String::new(),
            destination: destination.clone(),
            read_only: false,
        };
        mounts.insert(destination, mount);
    }
    Ok(mounts)
}

/// `[SOURCE:]TARGET[:MODE]`; a source that looks like a path is one.
fn short_form(text: &str, folder: &Path) -> Option<Mount> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, mode) = match parts.as_slice() {
        [destination] => ("", *destination, ""),
        [source, destination] => (*source, *destination, ""),
        [source, destination, mode] => (*source, *destination, *mode),
        _ => return None,
    };
    if destination.is_empty() {
        return None;
    }
    let is_path = source.starts_with(['/', '.', '~']);
    Some(Mount {
        kind: if is_path { "bind" } else { "volume" }.to_owned(),
        source: if is_path {
            below(folder, source)
        } else {
            source.to_owned()
        },
        destination: destination.to_owned(),
        read_only: mode.split(',').any(|word| word == "ro"),
    })
}

fn long(fields: &Map<String, Value>, folder: &Path) -> Option<Mount> {
    let get = |name: &str| fields.get(name).and_then(text);
    let kind = get("type").unwrap_or_else(|| "volume".to_owned());
    let source = get("source").or_else(|| get("src")).unwrap_or_default();
    let target = get("target")
        .or_else(|| get("dst"))
        .or_else(|| get("destination"));
    Some(Mount {
        source: if kind == "bind" {
            below(folder, &source)
        } else {
            source
        },
        destination: target.filter(|target| !target.is_empty())?,
        read_only: ["read_only", "readonly"]
            .iter()
            .any(|name| fields.get(*name) == Some(&Value::Bool(true))),
        kind,
    })
}

fn below(folder: &Path, path: &str) -> String {
    let joined = folder.join(path.strip_prefix("./").unwrap_or(path));
    joined.display().to_string()
}
