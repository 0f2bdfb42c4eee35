//! The document: apps, configs, webhooks and users as a file declares them, and as `holdfast export` writes
//! them. What is absent is left as it is; what is given replaces what was there, lists and maps as a whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

use super::secret::{SecretFrom, Setting};

/// Of the format; the only one there is.
pub const VERSION: u32 = 1;
/// Whose document it is, when it does not say.
pub const UNNAMED: &str = "default";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Document {
    pub version: Option<u32>,
    /// Configs that it makes are marked with it, and `--prune` removes none that are not.
    pub name: Option<String>,
    pub apps: Option<Vec<App>>,
    pub webhooks: Option<Vec<Webhook>>,
    pub users: Option<Vec<User>>,
}

/// Known by its slug.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    pub slug: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub project: Option<String>,
    #[serde(default)]
    pub compose_path: Option<String>,
    #[serde(default)]
    pub configs: Option<Vec<Config>>,
}

/// Known within its app by its name; one without a name by what it backs up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Only where the rest would fit several: `export` writes it then.
    pub id: Option<i64>,
    pub name: Option<String>,
    pub service: Option<String>,
    pub strategy: Option<String>,
    pub options: Option<BTreeMap<String, Text>>,
    pub credentials: Option<BTreeMap<String, SecretFrom>>,
    pub paths: Option<Vec<String>>,
    pub target: Option<String>,
    pub target_settings: Option<BTreeMap<String, Setting>>,
    pub copies: Option<Vec<Copy>>,
    /// Empty: manual only.
    pub schedule: Option<String>,
    pub time_zone: Option<String>,
    pub enabled: Option<bool>,
    pub missed_policy: Option<String>,
    pub missed_window: Option<u32>,
    pub jitter_seconds: Option<u32>,
    pub blackout: Option<String>,
    pub compression: Option<String>,
    pub encryption: Option<Encryption>,
    pub retention: Option<Retention>,
    pub verify_upload: Option<bool>,
    pub pre_hooks: Option<Vec<Hook>>,
    pub post_hooks: Option<Vec<Hook>>,
    pub ping_url: Option<SecretFrom>,
    pub labels: Option<BTreeMap<String, Text>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    pub target: String,
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Encryption {
    pub recipients: Vec<String>,
    pub server_key: bool,
}

/// One of: `count`, `days`, or the five that begin with `keep_`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    pub count: Option<u32>,
    pub days: Option<u32>,
    pub keep_last: Option<u32>,
    pub keep_daily: Option<u32>,
    pub keep_weekly: Option<u32>,
    pub keep_monthly: Option<u32>,
    pub keep_yearly: Option<u32>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    pub r#type: String,
    pub service: String,
    #[serde(default)]
    pub command: Option<String>,
    #[serde(default)]
    pub timeout: Option<u32>,
}

/// Known by its name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// Only where several have the same name.
    pub id: Option<i64>,
    pub name: Option<String>,
    pub kind: Option<String>,
    pub url: Option<SecretFrom>,
    pub secret: Option<SecretFrom>,
    pub settings: Option<BTreeMap<String, Text>>,
    pub events: Option<Vec<String>>,
    pub enabled: Option<bool>,
}

/// Known by the name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub name: String,
    #[serde(default)]
    pub role: Option<String>,
    #[serde(default)]
    pub disabled: Option<bool>,
    #[serde(default)]
    pub password: Option<SecretFrom>,
    /// App → role; `*` is every app.
    #[serde(default)]
    pub grants: Option<BTreeMap<String, String>>,
}

/// Numbers and truth values are taken as the texts that they are written as.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Bool(value) => Ok(Self(value.to_string())),
            Value::Number(value) => Ok(Self(value.to_string())),
            Value::Null => Ok(Self::default()),
            Value::Array(_) | Value::Object(_) => Err(D::Error::custom("a text belongs here")),
        }
    }
}

impl Config {
    /// What it is known by in its app; `None`: it says too little.
    pub fn key(&self) -> Option<String> {
        match (self.name.as_deref(), &self.service, &self.strategy) {
            (Some(name), ..) if !name.is_empty() => Some(name.to_owned()),
            (_, Some(service), Some(strategy)) => Some(format!("{service} ({strategy})")),
            _ => None,
        }
    }
}

impl Retention {
    const fn periods(&self) -> [Option<u32>; 5] {
        [
            self.keep_last,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        ]
    }

    /// With every number of its rule; `None`: it is no rule, or more than one.
    pub fn whole(&self) -> Option<Self> {
        let periods = self.periods().iter().any(Option::is_some);
        match (self.count, self.days, periods) {
            (Some(_), None, false) | (None, Some(_), false) => Some(*self),
            (None, None, true) => {
                let [last, daily, weekly, monthly, yearly] =
                    self.periods().map(|it| Some(it.unwrap_or(0)));
                Some(Self {
                    keep_last: last,
                    keep_daily: daily,
                    keep_weekly: weekly,
                    keep_monthly: monthly,
                    keep_yearly: yearly,
                    ..Self::default()
                })
            }
            _ => None,
        }
    }
}
