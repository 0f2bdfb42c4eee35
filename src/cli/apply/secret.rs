//! Secrets by reference. The file names where a value lies, never the value; it is looked up only when it
//! is sent.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::bail;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap};
use serde_json::Value;

use crate::cli::errors::Usage;

/// Marks a reference among plain values, and holds what is to be said about it.
pub const MARK: &str = "#";

const HOW: &str = "a secret does not stand in the file: write {env: NAME} or {file: PATH}";
/// A file with more in it is none with a secret.
const MAX: u64 = 64 << 10;

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretFrom {
    Env(String),
    /// Relative ones begin at the document's folder.
    File(PathBuf),
    /// There is to be none.
    Nowhere,
    /// The server has one; a place to put it, for whoever applies the document elsewhere.
    Stored(String),
}

impl SecretFrom {
    /// The value. A line's end after it is no part of it.
    pub fn resolve(&self, folder: &Path) -> anyhow::Result<String> {
        match self {
            Self::Nowhere => Ok(String::new()),
            Self::Env(name) | Self::Stored(name) => match std::env::var(name) {
                Ok(value) if !value.is_empty() => Ok(value),
                Ok(_) => bail!(Usage(format!("{name} is empty in the environment"))),
                Err(_) => bail!(Usage(format!("{name} is not in the environment"))),
            },
            Self::File(path) => {
                let path = folder.join(path);
                let cannot = |why: String| Usage(format!("{}: {why}", path.display()));
                let size = fs::metadata(&path).map_err(|error| cannot(error.to_string()))?;
                if size.len() > MAX {
                    bail!(cannot("it is too long to hold a secret".into()));
                }
                let text = fs::read_to_string(&path).map_err(|error| cannot(error.to_string()))?;
                let text = text.trim_end_matches(['\r', '\n']);
                if text.is_empty() {
                    bail!(cannot("it is empty".into()));
                }
                Ok(text.to_owned())
            }
        }
    }
}

impl<'de> Deserialize<'de> for SecretFrom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Whatever stands there may be a secret, so nothing of it is repeated.
        let wrong = || D::Error::custom(HOW);
        let fields = match Value::deserialize(deserializer)? {
            Value::String(text) if text.is_empty() => return Ok(Self::Nowhere),
            Value::Object(fields) if fields.len() == 1 => fields,
            _ => return Err(wrong()),
        };
        let text = |name: &str| fields.get(name)?.as_str().filter(|text| !text.is_empty());
        match (text("env"), text("file")) {
            (Some(name), _) if !name.contains(['=', '\0']) => Ok(Self::Env(name.to_owned())),
            (_, Some(path)) => Ok(Self::File(path.into())),
            _ => Err(wrong()),
        }
    }
}

impl Serialize for SecretFrom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (why, name, value) = match self {
            Self::Nowhere => return serializer.serialize_str(""),
            Self::Env(name) => ("", "env", name.clone()),
            Self::File(path) => ("", "file", path.display().to_string()),
            Self::Stored(name) => ("it is set; its value is never shown", "env", name.clone()),
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(MARK, why)?;
        map.serialize_entry(name, &value)?;
        map.end()
    }
}

/// A target's setting: a text, or where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    Plain(String),
    From(SecretFrom),
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self::Plain(text)),
            Value::Bool(value) => Ok(Self::Plain(value.to_string())),
            Value::Number(value) => Ok(Self::Plain(value.to_string())),
            Value::Null => Ok(Self::Plain(String::new())),
            other => SecretFrom::deserialize(other)
                .map(Self::From)
                .map_err(D::Error::custom),
        }
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(text) => serializer.serialize_str(text),
            Self::From(from) => from.serialize(serializer),
        }
    }
}

/// Under the names that the target gives its settings. A secret among them has to be a reference; other
/// references are looked up, so that they can be compared with what is there.
pub fn settled(
    target: &str,
    settings: &BTreeMap<String, Setting>,
    place: &str,
    folder: &Path,
) -> anyhow::Result<BTreeMap<String, Setting>> {
    let fields = holdfast::target::kind(target).map(holdfast::target::TargetKind::fields);
    let bare = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let mut settled = BTreeMap::new();
    for (name, setting) in settings {
        let field = fields.and_then(|all| all.iter().find(|it| bare(it.name) == bare(name)));
        let own = field.map_or(name.as_str(), |field| field.name).to_owned();
        // A target that this program does not know: the server does.
        let secret = field.map(|field| field.secret);
        let setting = match (secret, setting) {
            (Some(true), Setting::Plain(text)) if !text.is_empty() => {
                bail!(Usage(format!("{place}.{name}: {HOW}")))
            }
            (Some(true), Setting::Plain(_)) => Setting::From(SecretFrom::Nowhere),
            (Some(false), Setting::From(from)) => Setting::Plain(from.resolve(folder)?),
            _ => setting.clone(),
        };
        // Empty is the same as not set.
        if setting != Setting::Plain(String::new()) {
            settled.insert(own, setting);
        }
    }
    Ok(settled)
}
