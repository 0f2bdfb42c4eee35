//! Events to stored text and back. An event is stored as a stable name, a schema number and JSON.
//! What an old version wrote is raised to today's form on reading (`UPCASTS`), never rewritten.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::domain::event::{Event, StreamKind};

/// The schema number that is written today; an event absent from `UPCASTS` has only ever had 1.
const FIRST_SCHEMA: i32 = 1;

/// Raises `name` from schema `from` to `from + 1`.
#[derive(Debug, Clone, Copy)]
pub struct Upcast {
    pub name: &'static str,
    pub from: i32,
    pub raise: fn(Value) -> Value,
}

/// Every change of a stored form there ever was, oldest first.
pub const UPCASTS: &[Upcast] = &[
    // Until then only a run could be restored.
    Upcast {
        name: "restore.requested",
        from: 1,
        raise: |mut value| {
            if let Some(data) = value.as_object_mut()
                && let Some(run) = data.remove("run")
            {
                data.insert("source".to_owned(), json!({ "kind": "run", "run": run }));
            }
            value
        },
    },
];

#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("the event {name} (schema {schema}) cannot be read: {reason}")]
    Data {
        name: String,
        schema: i32,
        reason: String,
    },
    #[error("the event at {position} has an unreadable {what}")]
    Envelope { position: i64, what: String },
}

/// Name, schema and JSON text of an event.
pub fn encode(event: &Event) -> Result<(String, i32, String), CodecError> {
    let value = match event {
        Event::App(event) => json(event),
        Event::Config(event) => json(event),
        Event::Run(event) => json(event),
        Event::Restore(event) => json(event),
        Event::Access(event) => json(event),
        Event::Audit(event) => json(event),
        Event::Webhook(event) => json(event),
    }?;
    let Some(name) = value.get("name").and_then(Value::as_str) else {
        return Err(unreadable("?", FIRST_SCHEMA, "it has no name"));
    };
    let data = value
        .get("data")
        .cloned()
        .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    Ok((name.to_owned(), schema(UPCASTS, name), data.to_string()))
}

/// The event that `data` says, raised to today's form.
pub fn decode(kind: StreamKind, name: &str, schema: i32, data: &str) -> Result<Event, CodecError> {
    decode_with(UPCASTS, kind, name, schema, data)
}

fn decode_with(
    upcasts: &[Upcast],
    kind: StreamKind,
    name: &str,
    schema: i32,
    data: &str,
) -> Result<Event, CodecError> {
    let today = self::schema(upcasts, name);
    if schema > today {
        return Err(unreadable(name, schema, "a newer version wrote it"));
    }
    let raised = if schema < today {
        let value = serde_json::from_str(data).map_err(|e| unreadable(name, schema, e))?;
        Some(raise(upcasts, name, schema, value).to_string())
    } else {
        None
    };
    let data = raised.as_deref().unwrap_or(data);
    match kind {
        StreamKind::App => parse(name, schema, data).map(Event::App),
        StreamKind::Config => parse(name, schema, data).map(Event::Config),
        StreamKind::Run => parse(name, schema, data).map(Event::Run),
        StreamKind::Restore => parse(name, schema, data).map(Event::Restore),
        StreamKind::User => parse(name, schema, data).map(Event::Access),
        StreamKind::Audit => parse(name, schema, data).map(Event::Audit),
        StreamKind::Webhook => parse(name, schema, data).map(Event::Webhook),
    }
}

fn schema(upcasts: &[Upcast], name: &str) -> i32 {
    upcasts
        .iter()
        .filter(|upcast| upcast.name == name)
        .map(|upcast| upcast.from + 1)
        .max()
        .unwrap_or(FIRST_SCHEMA)
}

fn raise(upcasts: &[Upcast], name: &str, schema: i32, value: Value) -> Value {
    let mut steps: Vec<&Upcast> = upcasts
        .iter()
        .filter(|upcast| upcast.name == name && upcast.from >= schema)
        .collect();
    steps.sort_by_key(|upcast| upcast.from);
    steps
        .into_iter()
        .fold(value, |value, upcast| (upcast.raise)(value))
}

fn json<E: Serialize>(event: &E) -> Result<Value, CodecError> {
    serde_json::to_value(event).map_err(|e| unreadable("?", FIRST_SCHEMA, e))
}

/// Puts name and data together again, name first, so that serde reads the content in one pass.
fn parse<E: DeserializeOwned>(name: &str, schema: i32, data: &str) -> Result<E, CodecError> {
    let quoted = Value::from(name);
    serde_json::from_str(&format!("{{\"name\":{quoted},\"data\":{data}}}"))
        .map_err(|e| unreadable(name, schema, e))
}

fn unreadable(name: &str, schema: i32, reason: impl std::fmt::Display) -> CodecError {
    CodecError::Data {
        name: name.to_owned(),
        schema,
        reason: format!("{reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::app::{AppEvent, AppSpec};

    #[test]
    fn an_old_form_is_raised_step_by_step() {
        let upcasts = [
            Upcast {
                name: "app.changed",
                from: 1,
                raise: |mut value| {
                    let title = value["title"].take();
                    serde_json::json!({ "spec": { "name": title } })
                },
            },
            Upcast {
                name: "app.changed",
                from: 2,
                raise: |mut value| {
                    value["spec"]["project"] = value["spec"]["name"].clone();
                    value
                },
            },
        ];
        let event = decode_with(
            &upcasts,
            StreamKind::App,
            "app.changed",
            1,
            r#"{"title":"shop"}"#,
        );
        let spec = AppSpec {
            name: "shop".into(),
            project: "shop".into(),
            compose_path: None,
            compose_upload: None,
        };
        assert_eq!(event.unwrap(), Event::App(AppEvent::Changed { spec }));
    }

    #[test]
    fn what_a_newer_version_wrote_is_refused_not_guessed() {
        let error = decode(StreamKind::App, "app.removed", 2, "{}").unwrap_err();
        assert!(error.to_string().contains("newer version"), "{error}");
        let error = decode(StreamKind::App, "app.exploded", 1, "{}").unwrap_err();
        assert!(error.to_string().contains("app.exploded"), "{error}");
    }
}
