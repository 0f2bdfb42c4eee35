//! What is different between a thing as it is declared and as it is.

use serde::Serialize;
use serde_json::{Map, Value};

use super::secret::MARK;

/// A field that is to become something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// With dots between the levels: `retention.count`.
    #[serde(rename = "field")]
    pub path: String,
    /// `null`: there was none. Secrets are `"(set)"`.
    pub before: Value,
    /// Secrets are where they come from.
    pub after: Value,
}

/// As JSON, without what is absent.
pub fn tree(of: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(fields)) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect(),
        _ => Map::new(),
    }
}

/// Only what is declared counts. `again`: secrets are sent although they are set.
pub fn fields(
    present: &Map<String, Value>,
    declared: &Map<String, Value>,
    again: bool,
) -> Vec<Field> {
    let mut found = Vec::new();
    for (name, after) in declared {
        compare(
            name,
            present.get(name).unwrap_or(&Value::Null),
            after,
            again,
            &mut found,
        );
    }
    found
}

fn compare(field: &str, before: &Value, after: &Value, again: bool, found: &mut Vec<Field>) {
    if same(before, after, again) {
        return;
    }
    let nothing = Map::new();
    let old = match before {
        Value::Null => Some(&nothing),
        before => before.as_object().filter(|_| !is_secret(before)),
    };
    if let (Some(old), Value::Object(new), false) = (old, after, is_secret(after)) {
        let gone = old.keys().filter(|name| !new.contains_key(*name));
        for name in new.keys().chain(gone) {
            let side = |side: &Map<String, Value>| side.get(name).cloned().unwrap_or_default();
            compare(
                &format!("{field}.{name}"),
                &side(old),
                &side(new),
                again,
                found,
            );
        }
        return;
    }
    found.push(Field {
        path: field.to_owned(),
        before: shown(before, false),
        after: shown(after, true),
    });
}

/// Two secrets are the same: nobody can tell.
fn same(before: &Value, after: &Value, again: bool) -> bool {
    match (before, after) {
        (Value::Null, Value::String(text)) => text.is_empty(),
        (Value::Null, Value::Object(fields)) => fields.is_empty(),
        (Value::Null, Value::Array(values)) => values.is_empty(),
        (Value::Object(old), Value::Object(new)) => {
            if is_secret(before) && is_secret(after) {
                return !again;
            }
            let absent = Value::Null;
            let all = old.keys().chain(new.keys());
            all.into_iter().all(|name| {
                let side = |side: &'_ Map<String, Value>| side.get(name).cloned();
                same(
                    &side(old).unwrap_or_else(|| absent.clone()),
                    &side(new).unwrap_or_else(|| absent.clone()),
                    again,
                )
            })
        }
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len()
                && old
                    .iter()
                    .zip(new)
                    .all(|(before, after)| same(before, after, again))
        }
        _ => before == after,
    }
}

pub fn is_secret(value: &Value) -> bool {
    value.get(MARK).is_some()
}

/// A secret in a word.
fn shown(value: &Value, from: bool) -> Value {
    match value {
        Value::Object(fields) if fields.contains_key(MARK) => {
            let place = |name: &str| fields.get(name)?.as_str();
            let said = match (place("env"), place("file")) {
                (Some(name), _) if from => format!("(from {name})"),
                (_, Some(path)) if from => format!("(from the file {path})"),
                _ => "(set)".to_owned(),
            };
            Value::String(said)
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.filter(|(_, value)| !value.is_null());
            fields
                .map(|(name, value)| (name.clone(), shown(value, from)))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(values) => values.iter().map(|value| shown(value, from)).collect(),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(before: Value, after: Value, again: bool) -> Vec<String> {
        let map = |value: Value| value.as_object().cloned().unwrap_or_default();
        let found = fields(&map(before), &map(after), again);
        let line = |it: &Field| format!("{}: {} -> {}", it.path, it.before, it.after);
        found.iter().map(line).collect()
    }

    #[test]
    fn what_is_not_declared_is_no_difference() {
        let there =
            json!({ "schedule": "@daily", "enabled": true, "options": { "database": "a" } });
        assert!(said(there.clone(), json!({ "enabled": true }), false).is_empty());
        assert_eq!(
            said(there.clone(), json!({ "options": { "user": "b" } }), false),
            [
                "options.user: null -> \"b\"",
                "options.database: \"a\" -> null"
            ]
        );
        assert!(said(json!({}), json!({ "blackout": "", "labels": {} }), false).is_empty());
    }

    #[test]
    fn a_secret_is_set_or_not() {
        let from = |name: &str| json!({ "#": "", "env": name });
        let there = json!({ "credentials": { "password": from("A") } });
        let other = json!({ "credentials": { "password": from("B") } });
        assert!(said(there.clone(), other.clone(), false).is_empty());
        assert_eq!(
            said(there.clone(), other, true),
            ["credentials.password: \"(set)\" -> \"(from B)\""]
        );
        let more = json!({ "credentials": { "password": from("A"), "key": from("C") } });
        assert_eq!(
            said(there.clone(), more, false),
            ["credentials.key: null -> \"(from C)\""]
        );
        let none = json!({ "credentials": { "password": "" } });
        assert_eq!(
            said(there, none, false),
            ["credentials.password: \"(set)\" -> \"\""]
        );
        // A map that only looks like one is a map.
        let labels = |env: &str| json!({ "labels": { "env": env } });
        assert_eq!(
            said(labels("test"), labels("prod"), false),
            ["labels.env: \"test\" -> \"prod\""]
        );
    }
}
