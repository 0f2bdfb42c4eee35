//! `config change`: only what is given changes.

use anyhow::bail;
use clap::Args;
use serde_json::{Map, Value, json};

use super::choices::Choices;
use crate::cli::{connect::Connection, errors::Usage};

#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// The config
    id: i64,
    /// What to back up; what another strategy was told is forgotten
    #[arg(long)]
    strategy: Option<String>,
    /// Where to store; the settings of another target are forgotten
    #[arg(long)]
    target: Option<String>,
    #[command(flatten)]
    choices: Choices,
    /// Read the stored backup back before it counts
    #[arg(long, conflicts_with = "no_verify")]
    verify: bool,
    /// Encrypt no further backups; those that are encrypted stay so
    #[arg(long, conflicts_with = "recipients")]
    no_encryption: bool,
    /// The schedule starts nothing
    #[arg(long, conflicts_with = "resume")]
    pause: bool,
    /// The schedule starts runs again
    #[arg(long)]
    resume: bool,
}

/// Answers the config as it then is.
pub async fn run(args: &ChangeArgs, to: &Connection) -> anyhow::Result<Value> {
    let mut body = args.choices.body()?;
    let mut set = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    if let Some(strategy) = &args.strategy {
        set("strategy", json!(strategy));
    }
    if let Some(target) = &args.target {
        set("target", json!(target));
    }
    if args.verify {
        set("verify_upload", json!(true));
    }
    if args.no_encryption {
        set("encryption", json!({ "recipients": [] }));
    }
    if args.pause || args.resume {
        set("enabled", json!(args.resume));
    }
    if body.is_empty() {
        bail!(Usage("say what is to change; --help lists it".into()));
    }
    // These are sent whole, so that what is not given has to be sent as it is.
    if body.contains_key("options") || body.contains_key("target_config_json") {
        let there = present(args.id, to).await?;
        merge(&mut body, "options", "strategy", &there);
        merge(&mut body, "target_config_json", "target", &there);
    }
    let path = format!("/api/backups/configs/{}", args.id);
    to.client.put(&path, body.into()).await
}

/// Beside what is given stands what is there, unless it belongs to another `owner`. What is given empty goes.
fn merge(body: &mut Map<String, Value>, field: &str, owner: &str, there: &Value) {
    let same = body
        .get(owner)
        .is_none_or(|owner_now| *owner_now == there[owner]);
    let Some(Value::Object(given)) = body.get_mut(field) else {
        return;
    };
    let mut merged = Map::new();
    if same {
        let there = &there[field];
        let inner = there.as_str().map(serde_json::from_str);
        let there = inner.unwrap_or_else(|| Ok(there.clone()));
        if let Ok(Value::Object(there)) = there {
            merged = there;
        }
    }
    merged.append(given);
    if field == "options" {
        merged.retain(|_, value| *value != json!("")); // of settings the server does so
    }
    *given = merged;
}

/// The API lists them by app.
async fn present(id: i64, to: &Connection) -> anyhow::Result<Value> {
    let apps = to.client.get("/api/apps").await?;
    for app in apps.as_array().into_iter().flatten() {
        let slug = app["slug"].as_str().unwrap_or_default();
        let configs = to
            .client
            .get(&format!("/api/apps/{slug}/backups/configs"))
            .await?;
        let mut configs = configs.as_array().into_iter().flatten();
        if let Some(config) = configs.find(|config| config["id"] == id) {
            return Ok(config.clone());
        }
    }
    bail!("the config {id} does not exist")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(body: Value) -> Value {
        let there = json!({
            "strategy": "postgres", "options": { "database": "shop", "roles": "yes" },
            "target": "s3", "target_config_json": r#"{"bucket":"b","secret_key":"••••"}"#,
        });
        let Value::Object(mut body) = body else {
            return Value::Null;
        };
        merge(&mut body, "options", "strategy", &there);
        merge(&mut body, "target_config_json", "target", &there);
        body.into()
    }

    #[test]
    fn what_is_not_given_stays_and_what_is_given_empty_goes() {
        for (given, sent) in [
            (json!({}), json!({})),
            (
                json!({ "options": { "database": "blog" } }),
                json!({ "options": { "database": "blog", "roles": "yes" } }),
            ),
            (
                json!({ "options": { "roles": "" } }),
                json!({ "options": { "database": "shop" } }),
            ),
            (
                json!({ "target_config_json": { "bucket": "c" } }),
                json!({ "target_config_json": { "bucket": "c", "secret_key": "••••" } }),
            ),
            (
                json!({ "strategy": "mysql", "options": { "database": "x" } }),
                json!({ "strategy": "mysql", "options": { "database": "x" } }),
            ),
            (
                json!({ "target": "s3", "target_config_json": { "bucket": "c" } }),
                json!({ "target": "s3",
                    "target_config_json": { "bucket": "c", "secret_key": "••••" } }),
            ),
        ] {
            assert_eq!(merged(given.clone()), sent, "{given}");
        }
    }
}
