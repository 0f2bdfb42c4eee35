//! One event, whole: who, when, from where, what it changed, and what the log holds of it.

use askama::Template;
use poem::{Response, handler, web::Path};
use serde_json::Value;

use super::activity;
use crate::{
    app::{Change, DetailPlace},
    domain::event::Actor,
    web::{errors::WebError, page::Section, request::Visit, sentences, words::Moment},
};

#[derive(Template)]
#[template(path = "event/content.html")]
struct Content {
    position: i64,
    what: String,
    name: String,
    place: String,
    link: Option<String>,
    who: String,
    address: String,
    at: Moment,
    causation: Option<i64>,
    correlation: String,
    hash: String,
    changes: Vec<ChangeRow>,
    /// The stored JSON, set out for reading.
    data: String,
    /// Where it lies since it was pruned.
    pruned_to: Option<DetailPlace>,
}

/// A changed field, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    pub field: String,
    pub before: String,
    pub after: String,
}

#[handler]
pub async fn show(visit: Visit, Path(position): Path<i64>) -> Result<Response, WebError> {
    let event = visit.holdfast.event(&visit.caller, position).await?;
    let changes = visit.holdfast.changes(&visit.caller, &event).await?;
    let pruned_to = visit.holdfast.detail_of(&event).await?;
    let names = activity::names(&visit, std::slice::from_ref(&event)).await?;
    let Actor { address, .. } = &event.actor;
    let content = Content {
        position,
        what: sentences::what(&event.event),
        place: names.place(&event),
        link: activity::page_of(&event, &names),
        who: sentences::who(&event.actor),
        address: address.clone(),
        at: Moment::new(visit.now, event.at),
        changes: changes.iter().map(ChangeRow::new).collect(),
        data: set_out(&event.data),
        pruned_to,
        name: event.name,
        causation: event.causation,
        correlation: event.correlation,
        hash: event.hash,
    };
    visit.page(&format!("Event {position}"), Section::Activity, &content)
}

impl ChangeRow {
    pub fn new(change: &Change) -> Self {
        Self {
            field: change.field.clone(),
            before: text(&change.before),
            after: text(&change.after),
        }
    }
}

/// Text without its quotes; nothing for nothing.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn set_out(data: &str) -> String {
    let value: Result<Value, _> = serde_json::from_str(data);
    value
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| data.to_owned())
}
