//! Everything that happened, newest first.

use askama::Template;
use poem::{
    Response, handler,
    web::{Path, Query},
};
use serde::Deserialize;

use super::event::ChangeRow;
use crate::{
    domain::event::{ActorKind, StreamKind},
    log::{Filter, Recorded},
    readmodel::{apps, configs},
    web::{
        errors::WebError,
        page::Section,
        parts::{self, Icon},
        request::Visit,
        sentences::{self, Names},
        words::Moment,
    },
};

const ROWS: u64 = 50;

/// What can be picked: name in the address, label, the kinds of streams it shows.
const KINDS: [(&str, &str, &[StreamKind]); 5] = [
    ("", "All", &[]),
    ("runs", "Backups", &[StreamKind::Run]),
    ("restores", "Restores", &[StreamKind::Restore]),
    (
        "settings",
        "Settings",
        &[StreamKind::App, StreamKind::Config],
    ),
    (
        "access",
        "Access",
        &[StreamKind::User, StreamKind::Audit, StreamKind::Webhook],
    ),
];

#[derive(Template)]
#[template(path = "activity/content.html")]
struct Content {
    /// Slug and name, when it is about one app alone.
    app: Option<(String, String)>,
    kinds: Vec<(String, &'static str, bool)>,
    rows: Vec<Row>,
    older: Option<String>,
}

#[derive(Debug)]
struct Row {
    position: i64,
    icon: Icon,
    what: String,
    changes: Vec<ChangeRow>,
    /// Where it happened, and the page of it.
    place: String,
    link: Option<String>,
    who: String,
    address: String,
    at: Moment,
}

#[derive(Default, Deserialize)]
struct Asked {
    #[serde(default)]
    kind: String,
    before: Option<i64>,
}

#[handler]
pub async fn show(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    list(&visit, None, &asked).await
}

#[handler]
pub async fn show_app(
    visit: Visit,
    Path(slug): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, WebError> {
    let app = visit.holdfast.app(&visit.caller, &slug).await?;
    list(&visit, Some(&app), &asked).await
}

async fn list(
    visit: &Visit,
    app: Option<&apps::Model>,
    asked: &Asked,
) -> Result<Response, WebError> {
    let (name, _, kinds) = KINDS
        .iter()
        .find(|(name, ..)| *name == asked.kind)
        .unwrap_or(&KINDS[0]);
    let filter = Filter {
        app: app.map(apps::Model::app_id),
        kinds: kinds.to_vec(),
        before: asked.before,
        limit: ROWS + 1,
        ..Filter::default()
    };
    let mut events = visit.holdfast.activity(&visit.caller, filter).await?;
    let more = events.len() as u64 > ROWS;
    events.truncate(usize::try_from(ROWS).unwrap_or(usize::MAX));
    let names = names(visit, &events).await?;
    let base = app.map_or_else(
        || "/activity".to_owned(),
        |app| format!("/apps/{}/activity", app.slug),
    );
    let path = |name: &str| match name {
        "" => base.clone(),
        name => format!("{base}?kind={name}"),
    };
    let mut rows = Vec::new();
    for event in &events {
        rows.push(row(visit, event, &names).await?);
    }
    let content = Content {
        app: app.map(|app| (app.slug.clone(), app.name.clone())),
        kinds: KINDS
            .iter()
            // Who logged in from where is for admins alone, and belongs to no app.
            .filter(|(.., kinds)| {
                !kinds.contains(&StreamKind::User) || (visit.is_admin() && app.is_none())
            })
            .map(|(kind, label, _)| (path(kind), *label, kind == name))
            .collect(),
        older: events
            .last()
            .filter(|_| more)
            .map(|last| format!("{base}?kind={name}&before={}", last.position)),
        rows,
    };
    match app {
        Some(app) => {
            let title = format!("Activity of {}", app.name);
            visit.page(&title, Section::Apps, &content)
        }
        None => visit.page("Activity", Section::Activity, &content),
    }
}

pub(super) async fn names(visit: &Visit, events: &[Recorded]) -> Result<Names, WebError> {
    let mut apps: Vec<apps::Model> = visit.holdfast.apps(&visit.caller).await?;
    for event in events {
        // Removed apps and configs are in no list, but the log names them still.
        if let Some(id) = event
            .scope
            .app
            .filter(|id| !apps.iter().any(|app| app.app_id() == *id))
        {
            apps.push(visit.holdfast.app_by_id(&visit.caller, id).await?);
        }
    }
    let mut configs: Vec<configs::Model> = Vec::new();
    for event in events {
        let unknown = |id: &_| !configs.iter().any(|config| config.config_id() == *id);
        if let Some(id) = event.scope.config.filter(unknown) {
            configs.push(visit.holdfast.config(&visit.caller, id).await?);
        }
    }
    Ok(Names::new(&apps, &configs))
}

async fn row(visit: &Visit, event: &Recorded, names: &Names) -> Result<Row, WebError> {
    let changes = visit.holdfast.changes(&visit.caller, event).await?;
    Ok(Row {
        position: event.position,
        icon: icon(event),
        what: sentences::what(&event.event),
        changes: changes.iter().map(ChangeRow::new).collect(),
        place: names.place(event),
        link: page_of(event, names),
        who: sentences::who(&event.actor),
        address: match event.actor.kind {
            ActorKind::System => String::new(),
            _ => event.actor.address.clone(),
        },
        at: Moment::new(visit.now, event.at),
    })
}

/// The page of what the event is about.
pub(super) fn page_of(event: &Recorded, names: &Names) -> Option<String> {
    match event.stream.kind {
        StreamKind::Run => Some(format!("/runs/{}", event.stream.id)),
        StreamKind::Restore => Some(format!("/restores/{}", event.stream.id)),
        _ => event
            .scope
            .app
            .and_then(|app| names.app(app))
            .map(|(slug, _)| format!("/apps/{slug}")),
    }
}

fn icon(event: &Recorded) -> Icon {
    let name = event.name.as_str();
    match event.stream.kind {
        _ if name.ends_with("failed") || name.ends_with("refused") => parts::toned("cross", "bad"),
        _ if name.ends_with("attention_needed") => parts::toned("warn", "bad"),
        _ if name.ends_with("succeeded") => parts::toned("check", "ok"),
        StreamKind::Run => parts::icon("shield"),
        StreamKind::Restore => parts::icon("restore"),
        StreamKind::App | StreamKind::Config => parts::icon("edit"),
        StreamKind::User | StreamKind::Audit => parts::icon("key"),
        StreamKind::Webhook => parts::icon("activity"),
    }
}
