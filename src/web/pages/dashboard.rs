//! The overview: one sentence first, then figures, every app's health, and what ran lately.

mod facts;
mod recent;
mod rows;
mod verdict;

use askama::Template;
use poem::{Response, handler, http::StatusCode, web::Query};
use serde::Deserialize;

pub use self::{
    facts::Facts,
    rows::{AppRow, NextRun, all as app_rows},
};
use self::{
    recent::{Filter, Recent},
    verdict::Verdict,
};
use crate::web::{
    errors::WebError,
    live::Part,
    page::{self, Section},
    parts,
    request::Visit,
    words,
};

/// So many services without a backup are listed; the rows of their apps name the others.
const BARE: usize = 12;

#[derive(Template)]
#[template(path = "dashboard/content.html")]
struct Content {
    overview: Overview,
    recent: Recent,
    /// Position in the log that this page shows.
    position: i64,
}

/// What is sent again when something happened.
#[derive(Template)]
#[template(path = "dashboard/_overview.html")]
pub struct Overview {
    verdict: Verdict,
    stats: [(&'static str, String, &'static str); 5],
    apps: Vec<AppRow>,
    unprotected: Vec<Bare>,
    engine_is_away: bool,
    can_act: bool,
}

/// A service with data that nothing backs up.
struct Bare {
    slug: String,
    app: String,
    service: String,
    holds: String,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    status: String,
}

#[handler]
pub async fn show(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let filter = Filter::parse(&asked.status);
    if visit.wants("recent") {
        let recent = Recent::load(&visit, filter).await?;
        return page::fragment(StatusCode::OK, &recent);
    }
    if visit.wants("overview") {
        return page::fragment(StatusCode::OK, &Overview::load(&visit).await?);
    }
    // Before looking: what is committed meanwhile is sent again rather than missed.
    let position = visit.holdfast.log().head();
    let read = tokio::try_join!(Overview::load(&visit), Recent::load(&visit, filter));
    let (overview, recent) = read?;
    let content = Content {
        overview,
        recent,
        position,
    };
    visit.page("Backups", Section::Backups, &content)
}

/// What the live stream sends after a change.
pub async fn live(visit: &Visit) -> Result<Vec<Part>, WebError> {
    let overview = Overview::load(visit).await?;
    Ok(vec![
        Part::new("overview", page::render(&overview)?),
        // Which filter a tab shows is the tab's own affair: it asks again.
        Part::new("recent", String::new()),
    ])
}

impl Overview {
    async fn load(visit: &Visit) -> Result<Self, WebError> {
        let facts = Facts::load(visit).await?;
        Ok(Self::new(&facts, visit.now, visit.can_act()))
    }

    fn new(facts: &Facts, now: chrono::DateTime<chrono::Utc>, can_act: bool) -> Self {
        let healths = facts.healths(now);
        let totals = facts.totals;
        let overdue = healths.values().filter(|it| it.overdue.is_some()).count() as u64;
        let bad = |number: u64| if number > 0 { "text-bad" } else { "" };
        Self {
            verdict: Verdict::new(facts, &healths, now),
            stats: [
                (
                    "Total configs",
                    words::count(facts.configs.len() as u64),
                    "",
                ),
                ("24 h successful", words::count(totals.succeeded), ""),
                (
                    "24 h failed",
                    words::count(totals.failed),
                    bad(totals.failed),
                ),
                ("Late or missed", words::count(overdue), bad(overdue)),
                ("Total storage", words::size(totals.stored_bytes), ""),
            ],
            apps: rows::all(facts, &healths, now),
            unprotected: bare(facts),
            engine_is_away: facts.engine_is_away,
            can_act,
        }
    }
}

fn bare(facts: &Facts) -> Vec<Bare> {
    let of_app = |app: &crate::readmodel::apps::Model| {
        let found = facts.unprotected.get(&app.id).into_iter().flatten();
        let bare = found.map(|it| Bare {
            slug: app.slug.clone(),
            app: app.name.clone(),
            service: it.service.clone(),
            holds: it.holds.clone(),
        });
        bare.collect::<Vec<_>>()
    };
    facts.apps.iter().flat_map(of_app).take(BARE).collect()
}

#[cfg(test)]
mod tests;
