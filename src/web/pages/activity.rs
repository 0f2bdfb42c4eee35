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
        words::{self, Moment},
    },
};

const ROWS: u64 = 50;
/// A search reads so many events at a time, and goes so far back at once.
const BATCH: u64 = 500;
const SEARCHED: usize = 5_000;
/// Letters of what is searched for.
const SEARCH: usize = 100;

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
    kind: &'static str,
    q: String,
    /// How many events a search went through.
    looked: String,
    can_export: bool,
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
    #[serde(default)]
    q: String,
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
    let q: String = asked.q.trim().chars().take(SEARCH).collect();
    let found = found(visit, app, kinds, asked.before, &q).await?;
    let base = app.map_or_else(
        || "/activity".to_owned(),
        |app| format!("/apps/{}/activity", app.slug),
    );
    let path = |name: &str| match name {
        "" => base.clone(),
        name => format!("{base}?kind={name}"),
    };
    let mut rows = Vec::new();
    for event in &found.events {
        rows.push(row(visit, event, &found.names).await?);
    }
    let searched = if q.is_empty() {
        String::new()
    } else {
        format!("&q={}", crate::web::errors::escaped(&q))
    };
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
        older: found
            .before
            .map(|before| format!("{base}?kind={name}{searched}&before={before}")),
        rows,
        kind: name,
        q,
        looked: words::count(found.looked as u64),
        can_export: visit.is_admin() && app.is_none(),
    };
    match app {
        Some(app) => {
            let title = format!("Activity of {}", app.name);
            visit.page(&title, Section::Apps, &content)
        }
        None => visit.page("Activity", Section::Activity, &content),
    }
}

struct Found {
    events: Vec<Recorded>,
    names: Names,
    /// Where to go on, when there is more.
    before: Option<i64>,
    looked: usize,
}

/// The newest that read so, among the newest `SEARCHED`; all of them when nothing is searched for.
async fn found(
    visit: &Visit,
    app: Option<&apps::Model>,
    kinds: &[StreamKind],
    mut before: Option<i64>,
    q: &str,
) -> Result<Found, WebError> {
    let wanted = q.to_lowercase();
    let (mut kept, mut looked) = (Vec::new(), 0);
    loop {
        let limit = if q.is_empty() { ROWS } else { BATCH };
        let filter = Filter {
            app: app.map(apps::Model::app_id),
            kinds: kinds.to_vec(),
            before,
            limit: limit + 1,
            ..Filter::default()
        };
        let mut events = visit.holdfast.activity(&visit.caller, filter).await?;
        let more = events.len() as u64 > limit;
        events.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        looked += events.len();
        let names = names(visit, &events).await?;
        before = events.last().map(|last| last.position).filter(|_| more);
        for event in events {
            let said = [
                sentences::what(&event.event),
                names.place(&event),
                sentences::who(&event.actor),
            ];
            if wanted.is_empty()
                || said
                    .iter()
                    .any(|text| text.to_lowercase().contains(&wanted))
            {
                kept.push(event);
            }
            if kept.len() as u64 == ROWS && !q.is_empty() {
                before = kept.last().map(|last| last.position);
                break;
            }
        }
        let enough = q.is_empty() || kept.len() as u64 == ROWS || looked >= SEARCHED;
        if enough || before.is_none() {
            return Ok(Found {
                names: self::names(visit, &kept).await?,
                events: kept,
                before,
                looked,
            });
        }
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
