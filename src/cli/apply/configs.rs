//! A config as the API is told of it.

use serde_json::{Map, Value, json};

use super::{
    compare::{is_secret, tree},
    document::{Config, Copy},
    plan::{Planner, Step},
    secret::Setting,
};

/// What is there, as far as it can be compared with what is declared.
pub fn comparable(there: &Config, declared: &Config) -> Map<String, Value> {
    let mut there = there.clone();
    let other =
        |declared: &Option<String>, there: &Option<String>| declared.is_some() && declared != there;
    // The server forgets what belongs to another strategy or target.
    if other(&declared.strategy, &there.strategy) {
        (there.options, there.credentials, there.paths) = (None, None, None);
    }
    if other(&declared.target, &there.target) {
        there.target_settings = None;
    }
    // Secrets stay that are not named.
    if let (Some(there), Some(declared)) = (&mut there.credentials, &declared.credentials) {
        there.retain(|name, _| declared.contains_key(name));
    }
    if let (Some(there), Some(declared)) = (&mut there.target_settings, &declared.target_settings) {
        there.retain(|name, setting| {
            matches!(setting, Setting::Plain(_)) || declared.contains_key(name)
        });
    }
    tree(&there)
}

/// The fields that are to change, under the API's names.
pub fn body(
    planner: &Planner,
    step: &Step,
    there: Option<&Config>,
    config: &Config,
) -> anyhow::Result<Map<String, Value>> {
    let mut body = Map::new();
    for (name, value) in tree(config) {
        if !step.changes(&name) {
            continue;
        }
        match name.as_str() {
            "id" | "credentials" | "target_settings" | "copies" | "ping_url" | "retention" => {}
            "schedule" => drop(body.insert("schedule_cron".to_owned(), value)),
            _ => drop(body.insert(name, value)),
        }
    }
    let value = |field: &str, from: &_| planner.value(&step.name, field, from);
    if step.changes("credentials") {
        let mut sent = Map::new();
        for (name, from) in config.credentials.iter().flatten() {
            let field = format!("credentials.{name}");
            if step.changes(&field) {
                sent.insert(name.clone(), value(&field, from)?.into());
            }
        }
        body.insert("credentials".to_owned(), sent.into());
    }
    if step.changes("target_settings") {
        let mut sent = Map::new();
        for (name, setting) in config.target_settings.iter().flatten() {
            let field = format!("target_settings.{name}");
            match setting {
                Setting::Plain(text) => drop(sent.insert(name.clone(), json!(text))),
                Setting::From(from) if step.changes(&field) => {
                    sent.insert(name.clone(), value(&field, from)?.into());
                }
                Setting::From(_) => {}
            }
        }
        body.insert("target_config_json".to_owned(), sent.into());
    }
    if step.changes("copies") {
        let present = there.and_then(|there| there.copies.as_deref());
        let copies = config.copies.iter().flatten().enumerate();
        let copies =
            copies.map(|(index, it)| copy(planner, step, present.unwrap_or_default(), it, index));
        let copies: anyhow::Result<Vec<Value>> = copies.collect();
        body.insert("copies".to_owned(), copies?.into());
    }
    if let (Some(from), true) = (&config.ping_url, step.changes("ping_url")) {
        body.insert("ping_url".to_owned(), value("ping_url", from)?.into());
    }
    if let (Some(kept), true) = (&config.retention, step.changes("retention")) {
        let mut set = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
        if let Some(count) = kept.count {
            set("retention_mode", json!("count"));
            set("retention_count", json!(count));
        } else if let Some(days) = kept.days {
            set("retention_mode", json!("time"));
            set("retention_days", json!(days));
        } else {
            set("retention_mode", json!("gfs"));
            for (name, number) in tree(kept) {
                set(&name, number);
            }
        }
    }
    Ok(body)
}

/// Copies are sent as a whole. A secret of a place that stays what it was is not looked up again.
fn copy(
    planner: &Planner,
    step: &Step,
    present: &[Copy],
    copy: &Copy,
    index: usize,
) -> anyhow::Result<Value> {
    let plain = |copy: &Copy| {
        let settings = copy.settings.iter();
        let settings = settings.filter(|(_, setting)| matches!(setting, Setting::Plain(_)));
        settings
            .map(|(name, setting)| (name.clone(), setting.clone()))
            .collect::<Vec<_>>()
    };
    let there = present
        .iter()
        .find(|it| it.target == copy.target && plain(it) == plain(copy));
    let mut sent = Map::new();
    for (name, setting) in &copy.settings {
        let known = there.is_some_and(|there| there.settings.contains_key(name));
        let value = match setting {
            Setting::Plain(text) => text.clone(),
            Setting::From(_) if known && !planner.args.secrets => holdfast::app::MASK.to_owned(),
            Setting::From(from) => {
                let field = format!("copies[{index}].settings.{name}");
                planner.value(&step.name, &field, from)?
            }
        };
        sent.insert(name.clone(), value.into());
    }
    debug_assert!(!sent.values().any(is_secret));
    Ok(json!({ "target": copy.target, "target_config_json": sent }))
}
