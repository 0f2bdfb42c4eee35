//! What happened: the events of the log, newest first.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use serde_json::Value;

use super::{answer::Answer, error::ApiError, runs::page_size, values::Time, visit::Visit};
use crate::{
    app,
    domain::event::{Actor, StreamKind},
    log::{Filter, Recorded},
    web::sentences,
};

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Entry {
    /// Place in the log: from 1 on, without gaps.
    position: i64,
    /// Stable name: `run.succeeded`.
    name: String,
    /// What it is about: `app`, `config`, `run`, `restore`, `user` or `audit`.
    category: String,
    /// Number of what it is about.
    subject_id: i64,
    /// In words.
    summary: String,
    actor: Who,
    app_id: Option<i64>,
    config_id: Option<i64>,
    /// Ties together what follows from one wish.
    correlation: String,
    /// Position of the event that this one follows from.
    causation: Option<i64>,
    at: Time,
    /// `null` when it was pruned.
    data: Value,
    /// What a change of settings changed; only when one event is asked for.
    changes: Option<Vec<Change>>,
    /// Where `data` lies that was pruned here; only when one event is asked for.
    pruned_to: Option<Elsewhere>,
    /// Of this event and all before it.
    hash: String,
}

/// A field that is not what it was.
#[derive(Object)]
#[oai(read_only_all)]
pub struct Change {
    /// With dots between the levels: `retention.count`.
    field: String,
    /// `null` when there was nothing.
    before: Value,
    after: Value,
}

/// A sealed segment of the log, in a target.
#[derive(Object)]
#[oai(read_only_all)]
pub struct Elsewhere {
    /// Position of the event that says so.
    pruning: i64,
    /// In words.
    target: String,
    key: String,
}

impl From<app::DetailPlace> for Elsewhere {
    fn from(it: app::DetailPlace) -> Self {
        Self {
            pruning: it.pruning,
            target: it.place,
            key: it.key,
        }
    }
}

impl From<app::Change> for Change {
    fn from(change: app::Change) -> Self {
        Self {
            field: change.field,
            before: change.before,
            after: change.after,
        }
    }
}

#[derive(Object, Default)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Who {
    /// `user`, `token`, `cli`, `system` or `anonymous`.
    kind: String,
    id: Option<i64>,
    name: String,
    /// Where the request came from.
    address: Option<String>,
}

impl From<Actor> for Who {
    fn from(actor: Actor) -> Self {
        Self {
            kind: actor.kind.name().to_owned(),
            id: actor.id,
            name: actor.name,
            address: Some(actor.address).filter(|address| !address.is_empty()),
        }
    }
}

impl From<Recorded> for Entry {
    fn from(event: Recorded) -> Self {
        Self {
            position: event.position,
            category: event.stream.kind.name().to_owned(),
            subject_id: event.stream.id,
            summary: sentences::what(&event.event),
            actor: event.actor.into(),
            app_id: event.scope.app.map(|app| app.0),
            config_id: event.scope.config.map(|config| config.0),
            name: event.name,
            correlation: event.correlation,
            causation: event.causation,
            at: event.at.into(),
            data: serde_json::from_str(&event.data).unwrap_or_default(),
            changes: None,
            pruned_to: None,
            hash: event.hash,
        }
    }
}

pub struct Activity;

#[OpenApi]
impl Activity {
    /// What happened, newest first
    #[oai(path = "/activity", method = "get", operation_id = "list_activity")]
    async fn list_activity(
        &self,
        visit: Visit,
        /// Some of `app`, `config`, `run`, `restore`, `user`, `audit`, with commas between
        categories: Query<Option<String>>,
        /// Slug of an app: of this one only
        app: Query<Option<String>>,
        /// At most this many, 50 when absent, 1,000 at most
        limit: Query<Option<u64>>,
        /// Only events with a smaller position: the last of the page before
        before: Query<Option<i64>>,
    ) -> Answer<Vec<Entry>> {
        let app = match &app.0 {
            Some(slug) => Some(visit.holdfast.app(&visit.caller, slug).await?.app_id()),
            None => None,
        };
        let filter = Filter {
            app,
            kinds: kinds(categories.0.as_deref())?,
            before: before.0,
            limit: page_size(limit.0)?,
            ..Filter::default()
        };
        list(&visit, filter).await
    }

    /// One event
    #[oai(
        path = "/activity/:position",
        method = "get",
        operation_id = "get_activity"
    )]
    async fn get_activity(&self, visit: Visit, position: Path<i64>) -> Answer<Entry> {
        let event = visit.holdfast.event(&visit.caller, *position).await?;
        let changes = visit.holdfast.changes(&visit.caller, &event).await?;
        let pruned_to = visit.holdfast.detail_of(&event).await?;
        let mut entry = Entry::from(event);
        entry.pruned_to = pruned_to.map(Into::into);
        entry.changes = Some(changes.into_iter().map(Into::into).collect());
        Ok(Json(entry))
    }

    /// What happened to an app, newest first
    #[oai(
        path = "/apps/:slug/activity",
        method = "get",
        operation_id = "app_activity"
    )]
    async fn app_activity(
        &self,
        visit: Visit,
        slug: Path<String>,
        /// Some of `app`, `config`, `run`, `restore`, with commas between
        categories: Query<Option<String>>,
        /// At most this many, 50 when absent, 1,000 at most
        limit: Query<Option<u64>>,
        /// Only events with a smaller position: the last of the page before
        before: Query<Option<i64>>,
    ) -> Answer<Vec<Entry>> {
        let app = visit.holdfast.app(&visit.caller, &slug).await?;
        let filter = Filter {
            app: Some(app.app_id()),
            kinds: kinds(categories.0.as_deref())?,
            before: before.0,
            limit: page_size(limit.0)?,
            ..Filter::default()
        };
        list(&visit, filter).await
    }
}

async fn list(visit: &Visit, filter: Filter) -> Answer<Vec<Entry>> {
    let events = visit.holdfast.activity(&visit.caller, filter).await?;
    Ok(Json(events.into_iter().map(Into::into).collect()))
}

fn kinds(categories: Option<&str>) -> Result<Vec<StreamKind>, ApiError> {
    let names = categories.unwrap_or_default().split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty());
    names
        .map(|name| {
            StreamKind::parse(name).ok_or_else(|| {
                let known = StreamKind::ALL.map(StreamKind::name).join(", ");
                ApiError::invalid("categories", format!("use some of: {known}"))
            })
        })
        .collect()
}
