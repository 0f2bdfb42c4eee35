//! One app: its configs, their history, its restores.

mod calendar;
mod view;

use askama::Template;
use poem::{
    Response, handler,
    web::{Path, Query},
};
use serde::Deserialize;

use self::{
    calendar::Calendar,
    view::{ConfigRow, RestoreRow},
};
use crate::{
    domain::{
        ids::{AppId, RunId},
        run::Trigger,
    },
    readmodel::{apps, restores, runs},
    web::{
        errors::WebError,
        field::Token,
        live::Part,
        page::{self, Section},
        pages::{dashboard::NextRun, restore::RestoredFrom},
        parts,
        request::{Form, Visit},
        rows::RunRow,
        words::Moment,
    },
};

const HISTORY: u64 = 25;
const RESTORES: u64 = 10;

#[derive(Template)]
#[template(path = "app/content.html")]
struct Content {
    slug: String,
    name: String,
    project: String,
    can_act: bool,
    token: Token,
    last: Last,
    configs: Configs,
    calendar: Calendar,
    history: History,
    position: i64,
}

/// How the newest run went.
#[derive(Template)]
#[template(path = "app/_last.html")]
struct Last {
    run: Option<(parts::Badge, Moment)>,
}

#[derive(Template)]
#[template(path = "app/_configs.html")]
struct Configs {
    slug: String,
    name: String,
    rows: Vec<ConfigRow>,
    /// Services with data that no enabled config covers, and what they hold.
    unprotected: Vec<(String, String)>,
    can_act: bool,
    token: Token,
}

#[derive(Template)]
#[template(path = "app/_history.html")]
struct History {
    slug: String,
    rows: Vec<RunRow>,
    restores: Vec<RestoreRow>,
    can_act: bool,
    token: Token,
    /// Id of the last row, when there are older ones.
    older: Option<i64>,
}

#[derive(Default, Deserialize)]
struct Asked {
    before: Option<i64>,
    /// `2026-11`, of the calendar.
    #[serde(default)]
    month: String,
}

#[handler]
pub async fn show(
    visit: Visit,
    Path(slug): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, WebError> {
    let app = visit.holdfast.app(&visit.caller, &slug).await?;
    let position = visit.holdfast.log().head();
    let configs = Configs::load(&visit, &app).await?;
    let content = Content {
        slug: app.slug.clone(),
        name: app.name.clone(),
        project: app.project.clone(),
        can_act: visit.caller.acts_in(app.app_id()),
        token: Token(visit.browser.form_token()),
        last: Last::load(&visit, &app).await?,
        calendar: Calendar::load(&visit, &app, &asked.month).await?,
        history: History::load(&visit, &app, asked.before.map(RunId)).await?,
        configs,
        position,
    };
    visit.page(&app.name, Section::Apps, &content)
}

/// Runs the app's only config; the page offers this when there is one.
#[handler]
pub async fn back_up(
    visit: Visit,
    Path(slug): Path<String>,
    _form: Form,
) -> Result<Response, WebError> {
    let app = visit.holdfast.app(&visit.caller, &slug).await?;
    let configs = visit.holdfast.configs(&visit.caller, &app).await?;
    let mut started = Vec::new();
    for config in &configs {
        let id = config.config_id();
        started.push(
            visit
                .holdfast
                .request_run(&visit.caller, id, Trigger::Manual)
                .await?,
        );
    }
    Ok(visit.browser.go(&match started.as_slice() {
        [one] => format!("/runs/{one}"),
        _ => format!("/apps/{slug}#history"),
    }))
}

pub async fn live(visit: &Visit, slug: &str) -> Result<Vec<Part>, WebError> {
    let app = visit.holdfast.app(&visit.caller, slug).await?;
    Ok(vec![
        Part::new("last", page::render(&Last::load(visit, &app).await?)?),
        Part::new("configs", page::render(&Configs::load(visit, &app).await?)?),
        Part::new(
            "history",
            page::render(&History::load(visit, &app, None).await?)?,
        ),
    ])
}

impl Last {
    async fn load(visit: &Visit, app: &apps::Model) -> Result<Self, WebError> {
        let newest = list(visit, app.app_id(), None, 1).await?;
        Ok(Self {
            run: newest.first().map(|run| {
                let at = run
                    .finished_at
                    .or(run.started_at)
                    .unwrap_or(run.requested_at);
                let badge = parts::Badge::of_status(&run.status, run.is_warned());
                (badge, Moment::of_millis(visit.now, at))
            }),
        })
    }
}

impl Configs {
    async fn load(visit: &Visit, app: &apps::Model) -> Result<Self, WebError> {
        let configs = visit.holdfast.configs(&visit.caller, app).await?;
        let mut rows = Vec::new();
        for config in &configs {
            let filter = runs::Filter {
                config: Some(config.config_id()),
                limit: 1,
                ..runs::Filter::default()
            };
            let newest = visit.holdfast.runs(&visit.caller, &filter).await?;
            let success = visit
                .holdfast
                .newest_success(&visit.caller, config.config_id())
                .await?;
            rows.push(ConfigRow::new(
                config,
                newest.first(),
                success.as_ref(),
                visit.now,
            ));
        }
        let one = std::slice::from_ref(app);
        let unprotected = visit.holdfast.unprotected(&visit.caller, one, &configs);
        let unprotected = unprotected.await?.into_values().flatten();
        Ok(Self {
            slug: app.slug.clone(),
            name: app.name.clone(),
            rows,
            unprotected: unprotected
                .map(|found| (found.service, found.holds))
                .collect(),
            can_act: visit.caller.acts_in(app.app_id()),
            token: Token(visit.browser.form_token()),
        })
    }
}

impl History {
    async fn load(
        visit: &Visit,
        app: &apps::Model,
        before: Option<RunId>,
    ) -> Result<Self, WebError> {
        let mut found = list(visit, app.app_id(), before, HISTORY + 1).await?;
        let more = found.len() as u64 > HISTORY;
        found.truncate(usize::try_from(HISTORY).unwrap_or(usize::MAX));
        let configs = visit.holdfast.configs(&visit.caller, app).await?;
        let apps = std::slice::from_ref(app);
        let restores: Vec<restores::Model> = visit
            .holdfast
            .restores(&visit.caller, Some(app.app_id()), RESTORES)
            .await?;
        Ok(Self {
            slug: app.slug.clone(),
            older: found.last().map(|run| run.id).filter(|_| more),
            rows: found
                .iter()
                .map(|run| RunRow::new(run, apps, &configs, visit.now))
                .collect(),
            restores: restores
                .iter()
                .map(|row| RestoreRow::new(row, visit.now))
                .collect(),
            token: Token(visit.browser.form_token()),
            can_act: visit.caller.acts_in(app.app_id()),
        })
    }
}

async fn list(
    visit: &Visit,
    app: AppId,
    before: Option<RunId>,
    limit: u64,
) -> Result<Vec<runs::Model>, WebError> {
    let filter = runs::Filter {
        app: Some(app),
        before,
        limit,
        ..runs::Filter::default()
    };
    Ok(visit.holdfast.runs(&visit.caller, &filter).await?)
}
