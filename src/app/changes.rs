//! What a change changed: the same thing before and after, field by field. The log holds whole
//! specs, so nothing has to be kept beside it.

use serde_json::Value;

use super::{Caller, Holdfast, Result};
use crate::{
    domain::{app::AppEvent, config::ConfigEvent, event::Event, webhook::WebhookEvent},
    log::{Filter, Recorded},
};

/// Events of a stream that are read at once.
const BATCH: u64 = 100;

/// A field that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// With dots between the levels: `retention.count`.
    pub field: String,
    /// As JSON; `null` when there was none.
    pub before: Value,
    pub after: Value,
}

impl Holdfast {
    /// Nothing for an event that changes no settings, or that is the first of its stream.
    pub async fn changes(&self, caller: &Caller, event: &Recorded) -> Result<Vec<Change>> {
        let Some(after) = settings(&event.event) else {
            return Ok(Vec::new());
        };
        let mut filter = Filter {
            stream: Some(event.stream),
            before: Some(event.position),
            limit: BATCH,
            ..Filter::default()
        };
        loop {
            let earlier = self.activity(caller, filter.clone()).await?;
            if let Some(before) = earlier.iter().find_map(|event| settings(&event.event)) {
                return Ok(differences(&before, &after));
            }
            let Some(last) = earlier.last() else {
                return Ok(Vec::new());
            };
            filter.before = Some(last.position);
        }
    }
}

/// What is set by that event, as a whole.
fn settings(event: &Event) -> Option<Value> {
    let value = match event {
        Event::App(AppEvent::Registered { spec, .. } | AppEvent::Changed { spec, .. }) => {
            serde_json::to_value(spec)
        }
        Event::Config(ConfigEvent::Created { spec, .. } | ConfigEvent::Changed { spec, .. }) => {
            serde_json::to_value(spec)
        }
        Event::Webhook(WebhookEvent::Added { spec, .. } | WebhookEvent::Changed { spec, .. }) => {
            serde_json::to_value(spec)
        }
        _ => return None,
    };
    value.ok()
}

/// In the order of the fields; those that are in one of the two only, too.
fn differences(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", before, after, &mut changes);
    changes
}

fn compare(field: &str, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        changes.push(Change {
            field: field.to_owned(),
            before: before.clone(),
            after: after.clone(),
        });
        return;
    };
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    for name in new.keys().chain(gone) {
        let inner = if field.is_empty() {
            name.clone()
        } else {
            format!("{field}.{name}")
        };
        let side =
            |side: &serde_json::Map<String, Value>| side.get(name).cloned().unwrap_or_default();
        compare(&inner, &side(old), &side(new), changes);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(before: Value, after: Value) -> Vec<String> {
        let changes = differences(&before, &after);
        let line = |it: &Change| format!("{}: {} -> {}", it.field, it.before, it.after);
        changes.iter().map(line).collect()
    }

    #[test]
    fn only_what_differs_is_named_level_by_level() {
        let before =
            json!({ "cron": "0 2 * * *", "keep": { "mode": "count", "count": 7 }, "hooks": [1] });
        assert!(said(before.clone(), before.clone()).is_empty());
        let after = json!({ "cron": "0 3 * * *", "keep": { "mode": "count", "count": 9 }, "hooks": [1, 2] });
        assert_eq!(
            said(before, after),
            [
                "cron: \"0 2 * * *\" -> \"0 3 * * *\"",
                "keep.count: 7 -> 9",
                "hooks: [1] -> [1,2]"
            ]
        );
    }

    #[test]
    fn what_came_and_what_went_stand_against_nothing() {
        assert_eq!(
            said(
                json!({ "a": 1, "keep": { "count": 7 } }),
                json!({ "b": 2, "keep": 3 })
            ),
            ["b: null -> 2", "keep: {\"count\":7} -> 3", "a: 1 -> null"]
        );
    }
}
