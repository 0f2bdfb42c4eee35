//! What the server has, in the form of a document.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    APPLIED, RESERVED,
    document::{App, Config, Copy, Encryption, Hook, Retention, Text, User, Webhook},
    secret::{SecretFrom, Setting},
};
use crate::cli::{address::segment, client::Client};

/// Something that is there, under its number.
pub struct Known<T> {
    pub id: i64,
    pub is: T,
}

pub struct KnownApp {
    pub is: App,
    pub configs: Vec<KnownConfig>,
    /// What stands in no document.
    pub compose_uploaded: bool,
}

pub struct KnownConfig {
    pub id: i64,
    pub is: Config,
    /// The document that made it.
    pub applied: Option<String>,
    /// Labels that stand in no document.
    pub reserved: BTreeMap<String, String>,
}

/// Apps, those of them that are `wanted` with their configs.
pub async fn apps(client: &Client, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<KnownApp>> {
    let mut found = Vec::new();
    for app in list(client.get("/api/apps").await?) {
        let slug = text(&app["slug"]);
        let mut configs = Vec::new();
        if wanted(&slug) {
            let path = format!("/api/apps/{}/backups/configs", segment(&slug)?);
            for config in list(client.get(&path).await?) {
                configs.push(config_of(&config, &slug));
            }
        }
        found.push(KnownApp {
            is: App {
                name: some(&app["name"]),
                project: some(&app["project"]),
                compose_path: some(&app["compose_path"]),
                configs: None,
                slug,
            },
            configs,
            compose_uploaded: app["compose_uploaded"] == true,
        });
    }
    Ok(found)
}

pub async fn webhooks(client: &Client) -> anyhow::Result<Vec<Known<Webhook>>> {
    let found = list(client.get("/api/webhooks").await?).into_iter();
    let webhooks = found.map(|it| Known {
        id: it["id"].as_i64().unwrap_or_default(),
        is: webhook_of(&it),
    });
    Ok(webhooks.collect())
}

/// Users; of those that are `wanted`, also what they were granted.
pub async fn users(
    client: &Client,
    wanted: impl Fn(&str) -> bool,
) -> anyhow::Result<Vec<Known<User>>> {
    let mut found = Vec::new();
    for user in list(client.get("/api/users").await?) {
        let id = user["id"].as_i64().unwrap_or_default();
        let name = text(&user["name"]);
        let mut grants = None;
        if wanted(&name) {
            let granted = client.get(&format!("/api/users/{id}/grants")).await?;
            let granted = list(granted).into_iter();
            grants = Some(
                granted
                    .map(|grant| (text(&grant["app"]), text(&grant["role"])))
                    .collect(),
            );
        }
        found.push(Known {
            id,
            is: User {
                role: some(&user["role"]),
                disabled: user["disabled"].as_bool(),
                password: Some(stored(&["USER", &name, "PASSWORD"])),
                grants,
                name,
            },
        });
    }
    Ok(found)
}

fn config_of(it: &Value, slug: &str) -> KnownConfig {
    let id = it["id"].as_i64().unwrap_or_default();
    let labels = texts(&it["labels"]);
    let applied = labels.get(APPLIED).cloned();
    let (reserved, labels): (BTreeMap<_, _>, BTreeMap<_, _>) = labels
        .into_iter()
        .partition(|(name, _)| name.starts_with(RESERVED));
    let of = id.to_string();
    let name = text(&it["name"]);
    let own = if name.is_empty() { &of } else { &name };
    let credentials = texts(&it["credentials"]).into_keys();
    let number = |name: &str| it[name].as_u64().and_then(|it| u32::try_from(it).ok());
    let (target, at) = (text(&it["target"]), inner(&it["target_config_json"]));
    let copies = list(inner(&it["copies"])).into_iter().enumerate();
    KnownConfig {
        id,
        applied,
        reserved,
        is: Config {
            id: None,
            name: Some(name.clone()).filter(|name| !name.is_empty()),
            service: some(&it["service"]),
            strategy: some(&it["strategy"]),
            options: Some(plain(texts(&it["options"]))),
            credentials: Some(
                credentials
                    .map(|key| (key.clone(), stored(&[slug, own, &key])))
                    .collect(),
            ),
            paths: serde_json::from_value(inner(&it["paths"])).ok(),
            target_settings: Some(settings(&target, &at, &[slug, own])),
            target: Some(target),
            copies: Some(
                copies
                    .map(|(index, copy)| {
                        let target = text(&copy["target"]);
                        let at = inner(&copy["target_config_json"]);
                        let number = format!("COPY{}", index + 1);
                        let settings = settings(&target, &at, &[slug, own, &number]);
                        Copy { target, settings }
                    })
                    .collect(),
            ),
            schedule: Some(text(&it["schedule_cron"])),
            time_zone: some(&it["time_zone"]),
            enabled: it["enabled"].as_bool(),
            missed_policy: some(&it["missed_policy"]),
            missed_window: number("missed_window"),
            jitter_seconds: number("jitter_seconds"),
            blackout: Some(text(&it["blackout"])),
            compression: some(&it["compression"]),
            encryption: serde_json::from_value::<Encryption>(inner(&it["encryption"])).ok(),
            retention: Some(retention(it)),
            verify_upload: it["verify_upload"].as_bool(),
            pre_hooks: hooks(&it["pre_hooks"]),
            post_hooks: hooks(&it["post_hooks"]),
            ping_url: some(&it["ping_url"]).map(|_| stored(&[slug, own, "PING_URL"])),
            labels: Some(plain(labels)),
        },
    }
}

fn webhook_of(it: &Value) -> Webhook {
    let (name, kind) = (text(&it["name"]), text(&it["kind"]));
    let channel = holdfast::notify::channel(&kind);
    let origin = text(&it["url"]);
    // The kind knows the address by itself.
    let usual = channel.and_then(holdfast::notify::Channel::usual_address);
    let usual = usual.is_some_and(|usual| origin.starts_with(usual.trim_end_matches('/')));
    let stored = |what: &str| stored(&["WEBHOOK", &name, what]);
    Webhook {
        id: None,
        name: Some(name.clone()),
        url: (!usual).then(|| stored("URL")),
        secret: (it["secret_set"] == true).then(|| stored("SECRET")),
        settings: Some(plain(texts(&it["settings"]))),
        events: serde_json::from_value(it["events"].clone()).ok(),
        enabled: it["enabled"].as_bool(),
        kind: Some(kind),
    }
}

fn retention(it: &Value) -> Retention {
    let number = |name: &str| it[name].as_u64().and_then(|it| u32::try_from(it).ok());
    match it["retention_mode"].as_str() {
        Some("time") => Retention {
            days: number("retention_days"),
            ..Retention::default()
        },
        Some("gfs") => Retention {
            keep_last: number("keep_last"),
            keep_daily: number("keep_daily"),
            keep_weekly: number("keep_weekly"),
            keep_monthly: number("keep_monthly"),
            keep_yearly: number("keep_yearly"),
            ..Retention::default()
        },
        _ => Retention {
            count: number("retention_count"),
            ..Retention::default()
        },
    }
}

fn hooks(field: &Value) -> Option<Vec<Hook>> {
    serde_json::from_value(inner(field)).ok()
}

/// Secrets among them as references.
fn settings(target: &str, at: &Value, of: &[&str]) -> BTreeMap<String, Setting> {
    let fields = holdfast::target::kind(target).map_or(&[][..], |kind| kind.fields());
    let secret = |name: &str| {
        fields
            .iter()
            .any(|field| field.name == name && field.secret)
    };
    let settings = texts(at).into_iter();
    let settings = settings.map(|(name, value)| {
        let setting = if secret(&name) || value == holdfast::app::MASK {
            Setting::From(stored(&[of, &[name.as_str()]].concat()))
        } else {
            Setting::Plain(value)
        };
        (name, setting)
    });
    settings.collect()
}

/// A name for a variable that holds it: `HOLDFAST_SHOP_NIGHTLY_PASSWORD`.
fn stored(of: &[&str]) -> SecretFrom {
    let upper = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let words = of.iter().map(|word| word.chars().map(upper).collect());
    let words: Vec<String> = std::iter::once("HOLDFAST".to_owned())
        .chain(words)
        .collect();
    SecretFrom::Stored(words.join("_"))
}

/// JSON, or JSON inside a text.
fn inner(field: &Value) -> Value {
    match field.as_str() {
        Some(text) => serde_json::from_str(text).unwrap_or_default(),
        None => field.clone(),
    }
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn some(value: &Value) -> Option<String> {
    value.as_str().map(ToOwned::to_owned)
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(value.clone()).unwrap_or_default()
}

fn plain(texts: BTreeMap<String, String>) -> BTreeMap<String, Text> {
    let texts = texts.into_iter();
    texts.map(|(name, value)| (name, Text(value))).collect()
}
