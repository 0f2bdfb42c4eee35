//! A new config step by step, with an address for each step, so that a browser's Back works. What was
//! entered lies in a draft on the server (`app/drafts.rs`): every step is a plain form and a redirect, a
//! typed secret never returns to the page, and nothing exists until the last step.

mod merge;
mod step;
mod summary;

use askama::Template;
use poem::{
    Response, handler,
    http::StatusCode,
    web::{Path, Query},
};
use serde::Deserialize;

use self::{merge::Entered, step::Step, summary::Summary};
use super::{
    config::{ConfigForm, Detection, Source, Values, start, try_out},
    retention::Stays,
};
use crate::{
    app::{AppError, FoundDraft},
    domain::failure::FieldErrors,
    readmodel::apps,
    web::{
        errors::WebError,
        page::{self, Section},
        parts,
        request::{Form, Visit},
    },
};

#[derive(Template)]
#[template(path = "wizard/content.html")]
struct Content {
    slug: String,
    app: String,
    draft: String,
    step: Step,
    /// What was entered before is gone.
    gone: bool,
    form: ConfigForm,
    /// Of the last step.
    summary: Option<Summary>,
    csrf: String,
}

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    draft: String,
    #[serde(default)]
    gone: String,
    #[serde(default)]
    service: String,
    #[serde(default)]
    strategy: String,
}

/// Where it begins: a new draft with what was found, and on to its first step.
#[handler]
pub async fn begin(
    visit: Visit,
    Path(slug): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, WebError> {
    begin_at(&visit, &slug, Step::What, &asked, false).await
}

async fn begin_at(
    visit: &Visit,
    slug: &str,
    step: Step,
    asked: &Asked,
    gone: bool,
) -> Result<Response, WebError> {
    let app = visit.holdfast.app_to_act_in(&visit.caller, slug).await?;
    let found = Detection::load(visit, &app).await;
    let entered = Entered::fresh(&found, &asked.service, &asked.strategy);
    let (caller, app) = (&visit.caller, app.app_id());
    let draft = visit.holdfast.keep_draft(caller, app, "", entered.0)?;
    let said = if gone { "&gone=yes" } else { "" };
    Ok(visit
        .browser
        .go(&format!("{}{said}", address(slug, step, &draft))))
}

#[handler]
pub async fn show(
    visit: Visit,
    Path((slug, step)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, WebError> {
    let step = step_of(&step)?;
    let app = visit.holdfast.app_to_act_in(&visit.caller, &slug).await?;
    let draft = Draft::find(&visit, &app, &asked.draft);
    match draft {
        Some(Draft::Done(path)) => Ok(visit.browser.go(&path)),
        Some(Draft::Open(entered)) => {
            let view = View {
                app: &app,
                draft: &asked.draft,
                step,
                gone: !asked.gone.is_empty(),
            };
            let errors = match step {
                Step::Summary => check(&visit, &slug, &entered).await?,
                _ => FieldErrors::default(),
            };
            view.respond(&visit, StatusCode::OK, &entered, &errors, None)
                .await
        }
        None if asked.draft.is_empty() => begin_at(&visit, &slug, step, &asked, false).await,
        None => begin_at(&visit, &slug, Step::What, &asked, true).await,
    }
}

#[handler]
pub async fn enter(
    visit: Visit,
    Path((slug, step)): Path<(String, String)>,
    form: Form,
) -> Result<Response, WebError> {
    let step = step_of(&step)?;
    let app = visit.holdfast.app_to_act_in(&visit.caller, &slug).await?;
    let id = form.text("draft");
    let entered = match Draft::find(&visit, &app, id) {
        Some(Draft::Done(path)) => return Ok(visit.browser.go(&path)),
        Some(Draft::Open(entered)) => entered.after(step, &form),
        // The hour is over, or the server was started anew: what this step says is still known.
        None if step == Step::Summary => {
            let nothing = Asked::nothing();
            return begin_at(&visit, &slug, Step::What, &nothing, true).await;
        }
        None => {
            let found = Detection::load(&visit, &app).await;
            Entered::fresh(&found, "", "").after(step, &form)
        }
    };
    let (caller, app_id) = (&visit.caller, app.app_id());
    let id = visit
        .holdfast
        .keep_draft(caller, app_id, id, entered.0.clone())?;
    let view = View {
        app: &app,
        draft: &id,
        step,
        gone: false,
    };
    let none = FieldErrors::default();
    let at = |step: Step| visit.browser.go(&address(&slug, step, &id));
    if ["fields", "preset"].contains(&form.text("show")) {
        if !visit.browser.htmx {
            return Ok(at(step));
        }
        return view
            .respond(&visit, StatusCode::OK, &entered, &none, None)
            .await;
    }
    match form.text("go") {
        "again" => Ok(at(step)),
        "back" => Ok(at(step.before())),
        "trial" => {
            let tried = try_out(&visit, &entered.form()).await?;
            view.respond(&visit, StatusCode::OK, &entered, &none, Some(tried))
                .await
        }
        "create" | "run" => make(&visit, view, entered, form.text("go") == "run").await,
        _ => {
            let errors = step.of(&check(&visit, &slug, &entered).await?, &entered.form());
            if errors.0.is_empty() {
                return Ok(at(step.after()));
            }
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            view.respond(&visit, status, &entered, &errors, None).await
        }
    }
}

/// The config, and its first run when that is asked for. A second click waits for the first, and is shown
/// what that made.
async fn make(
    visit: &Visit,
    view: View<'_>,
    entered: Entered,
    run: bool,
) -> Result<Response, WebError> {
    let _turn = visit.holdfast.draft_turn(view.draft).await;
    if let Some(Draft::Done(path)) = Draft::find(visit, view.app, view.draft) {
        return Ok(visit.browser.go(&path));
    }
    let slug = &view.app.slug;
    let created = match entered.input() {
        Ok(input) => {
            visit
                .holdfast
                .create_config(&visit.caller, slug, input)
                .await
        }
        Err(errors) => Err(AppError::Invalid(errors)),
    };
    let config = match created {
        Ok(config) => config.config_id(),
        Err(AppError::Invalid(errors)) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return view.respond(visit, status, &entered, &errors, None).await;
        }
        Err(error) => return Err(error.into()),
    };
    visit
        .holdfast
        .close_draft(view.draft, &format!("/apps/{slug}"));
    if !run {
        return Ok(visit.browser.go(&format!("/apps/{slug}")));
    }
    let (path, answer) = start(visit, config).await?;
    visit.holdfast.close_draft(view.draft, &path);
    Ok(answer)
}

/// What would be refused, by the names of the API; nothing when it could be made now.
async fn check(visit: &Visit, slug: &str, entered: &Entered) -> Result<FieldErrors, WebError> {
    let input = match entered.input() {
        Ok(input) => input,
        Err(errors) => return Ok(errors),
    };
    match visit
        .holdfast
        .check_config(&visit.caller, slug, input)
        .await
    {
        Ok(()) => Ok(FieldErrors::default()),
        Err(AppError::Invalid(errors)) => Ok(errors),
        Err(error) => Err(error.into()),
    }
}

fn step_of(name: &str) -> Result<Step, WebError> {
    Step::parse(name).ok_or_else(|| AppError::NotFound(format!("the step {name}")).into())
}

fn address(slug: &str, step: Step, draft: &str) -> String {
    format!("/apps/{slug}/configs/new/{}?draft={draft}", step.name())
}

enum Draft {
    Open(Entered),
    Done(String),
}

impl Draft {
    fn find(visit: &Visit, app: &apps::Model, id: &str) -> Option<Self> {
        let found = visit.holdfast.draft(&visit.caller, app.app_id(), id)?;
        Some(match found {
            FoundDraft::Open(fields) => Self::Open(Entered(fields.expose().clone())),
            FoundDraft::Done(path) => Self::Done(path),
        })
    }
}

impl Asked {
    fn nothing() -> Self {
        Self {
            draft: String::new(),
            gone: String::new(),
            service: String::new(),
            strategy: String::new(),
        }
    }
}

/// One step as it is shown.
struct View<'a> {
    app: &'a apps::Model,
    draft: &'a str,
    step: Step,
    gone: bool,
}

impl View<'_> {
    async fn respond(
        self,
        visit: &Visit,
        status: StatusCode,
        entered: &Entered,
        errors: &FieldErrors,
        trial: Option<super::config::Shown>,
    ) -> Result<Response, WebError> {
        let slug = &self.app.slug;
        let values = entered.values();
        let found = match self.step {
            Step::What => Detection::needed(visit, self.app, values.get("strategy")).await,
            _ => Detection::none(),
        };
        let action = format!("/apps/{slug}/configs/new/{}", self.step.name());
        let mut form = ConfigForm::new(visit, None, slug, action.clone(), &found, &values, errors);
        match self.step {
            Step::What => form
                .what
                .offer(&source(&action, &found, &values, errors, visit)),
            Step::Where => form.place.fields.trial = trial,
            Step::Keep => form.keep.stays = Some(Stays::asked(visit, &entered.form()).await?),
            Step::When | Step::Around | Step::Summary => {}
        }
        let part = visit.browser.target.as_deref();
        let part = part.and_then(|it| form.asked(it));
        if let Some(part) = part.filter(|_| visit.browser.htmx) {
            return page::fragment(status, part);
        }
        let summary = match self.step {
            Step::Summary => Some(Summary::new(&values, &entered.form(), errors)),
            _ => None,
        };
        let content = Content {
            slug: slug.clone(),
            app: self.app.name.clone(),
            draft: self.draft.to_owned(),
            step: self.step,
            gone: self.gone,
            form,
            summary,
            csrf: visit.browser.form_token(),
        };
        visit.page_with(status, &content.title(), Section::Apps, &content)
    }
}

fn source<'a>(
    action: &'a str,
    found: &'a Detection,
    values: &'a Values,
    errors: &'a FieldErrors,
    visit: &'a Visit,
) -> Source<'a> {
    Source {
        action,
        id: 0,
        found,
        values,
        errors,
        visit,
    }
}

impl Content {
    fn title(&self) -> String {
        format!("Add config: {}", self.step.label())
    }

    fn action(&self) -> String {
        format!("/apps/{}/configs/new/{}", self.slug, self.step.name())
    }

    /// Address of another step.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates hand over references"
    )]
    fn to(&self, step: &Step) -> String {
        address(&self.slug, *step, &self.draft)
    }
}
