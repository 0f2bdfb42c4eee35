//! The form of a config, for changes and for a new one all at once; the wizard shows its parts one by one.
//! What it asks for comes from the strategies and targets; nothing here knows one by its name.

mod around;
mod asked;
mod copies;
mod detection;
mod form;
mod hooks;
mod keep;
mod paths;
mod place;
pub mod plan;
mod trial;
mod values;
mod what;
mod when;

use askama::Template;
use poem::{
    Response, handler,
    http::StatusCode,
    web::{Path, Query},
};
use serde::Deserialize;

pub use self::{
    asked::Asked,
    copies::rows_again as copies_again,
    detection::Detection,
    form::{Choice, ConfigForm, Source},
    hooks::values_sent as hooks_again,
    paths::value_sent as paths_again,
    place::targets,
    trial::{Shown, try_out, try_target},
    values::{Values, fresh, holds_secret, preset},
    what::OTHER,
};
use super::retention::Stays;
use crate::{
    app::{AppError, Artifacts, ConfigInput},
    domain::{
        access::Role,
        failure::FieldErrors,
        ids::{AppId, ConfigId},
        run::Trigger,
    },
    readmodel::apps,
    web::{
        errors::WebError,
        page::{self, Section},
        parts,
        request::{Form, Visit},
    },
};

#[derive(Template)]
#[template(path = "config/content.html")]
struct Content {
    slug: String,
    app: String,
    title: String,
    found: Detection,
    form: ConfigForm,
    is_new: bool,
}

#[derive(Deserialize)]
struct Picked {
    #[serde(default)]
    service: String,
    #[serde(default)]
    strategy: String,
}

#[handler]
pub async fn create_form(
    visit: Visit,
    Path(slug): Path<String>,
    Query(picked): Query<Picked>,
) -> Result<Response, WebError> {
    let app = visit.holdfast.app_to_act_in(&visit.caller, &slug).await?;
    let found = Detection::load(&visit, &app).await;
    let values = match found.pick(&picked.service, &picked.strategy) {
        Some((service, strategy)) => Values::fresh(service, strategy),
        None => Values::fresh("", ""),
    };
    let none = FieldErrors::default();
    respond(&visit, StatusCode::OK, &app, None, found, &values, &none).await
}

#[handler]
pub async fn create(
    visit: Visit,
    Path(slug): Path<String>,
    form: Form,
) -> Result<Response, WebError> {
    let (values, input) = Values::sent(&form);
    if wants_fields(&form) {
        let app = visit.holdfast.app(&visit.caller, &slug).await?;
        return fields(&visit, &app, None, &values).await;
    }
    let created = match input {
        Ok(input) => visit
            .holdfast
            .create_config(&visit.caller, &slug, input)
            .await
            .map(|config| config.config_id()),
        Err(errors) => Err(AppError::Invalid(errors)),
    };
    let app = visit.holdfast.app(&visit.caller, &slug).await?;
    finish(&visit, &app, None, &values, created, &form).await
}

#[handler]
pub async fn edit_form(visit: Visit, Path(id): Path<i64>) -> Result<Response, WebError> {
    visit
        .holdfast
        .config_to_act_on(&visit.caller, ConfigId(id))
        .await?;
    let (app, values) = present(&visit, ConfigId(id)).await?;
    let found = Detection::load(&visit, &app).await;
    let none = FieldErrors::default();
    let id = Some(id);
    respond(&visit, StatusCode::OK, &app, id, found, &values, &none).await
}

#[handler]
pub async fn change(visit: Visit, Path(id): Path<i64>, form: Form) -> Result<Response, WebError> {
    let (app, stored) = present(&visit, ConfigId(id)).await?;
    let (values, input) = Values::sent(&form);
    if wants_fields(&form) {
        return fields(&visit, &app, Some(id), &stored.under(values)).await;
    }
    let changed = match input {
        Ok(input) => visit
            .holdfast
            .change_config(&visit.caller, ConfigId(id), input)
            .await
            .map(|_| ConfigId(id)),
        Err(errors) => Err(AppError::Invalid(errors)),
    };
    // Shown again it is a change of what there is now, when the person was told of that.
    let told = |errors: &FieldErrors| errors.0.contains_key("revision");
    let values = match &changed {
        Err(AppError::Invalid(errors)) if told(errors) => {
            values.with("revision", stored.get("revision").to_owned())
        }
        _ => values,
    };
    finish(&visit, &app, Some(id), &values, changed, &form).await
}

/// Nothing is to be saved: another strategy or target was chosen, and its inputs are wanted.
fn wants_fields(form: &Form) -> bool {
    ["fields", "preset"].contains(&form.text("show"))
}

/// That part of the form, or without a script the whole page with everything else as it was.
async fn fields(
    visit: &Visit,
    app: &apps::Model,
    id: Option<i64>,
    values: &Values,
) -> Result<Response, WebError> {
    visit.caller.must_be_in(Role::Operator, app.app_id())?;
    let found = Detection::needed(visit, app, values.get("strategy")).await;
    let none = FieldErrors::default();
    respond(visit, StatusCode::OK, app, id, found, values, &none).await
}

/// Back up now. A run that is not over yet is shown instead of a second one.
#[handler]
pub async fn back_up(visit: Visit, Path(id): Path<i64>, _form: Form) -> Result<Response, WebError> {
    Ok(start(&visit, ConfigId(id)).await?.1)
}

/// Where the run is seen, and the way there.
pub async fn start(visit: &Visit, config: ConfigId) -> Result<(String, Response), WebError> {
    let request = visit
        .holdfast
        .request_run(&visit.caller, config, Trigger::Manual);
    let path = format!("/runs/{}", request.await?);
    let answer = visit.browser.go(&path);
    Ok((path, answer))
}

/// Pauses the schedule, or goes on with it; nothing else of the config changes.
#[handler]
pub async fn switch(visit: Visit, Path(id): Path<i64>, form: Form) -> Result<Response, WebError> {
    let (app, _) = present(&visit, ConfigId(id)).await?;
    let input = ConfigInput {
        enabled: Some(form.text("to") == "on"),
        ..ConfigInput::default()
    };
    visit
        .holdfast
        .change_config(&visit.caller, ConfigId(id), input)
        .await?;
    Ok(visit.browser.go(&format!("/apps/{}", app.slug)))
}

#[handler]
pub async fn delete(visit: Visit, Path(id): Path<i64>, form: Form) -> Result<Response, WebError> {
    let (app, _) = present(&visit, ConfigId(id)).await?;
    // Deleting artifacts is asked for by typing, as a restore is.
    let artifacts = match form.text("confirm") {
        "" => Artifacts::Keep,
        typed if typed == app.name => Artifacts::Delete,
        _ => {
            let problem = format!(
                "type {} to delete its backups too; nothing was deleted",
                app.name
            );
            return Err(AppError::Conflict(problem).into());
        }
    };
    visit
        .holdfast
        .remove_config(&visit.caller, ConfigId(id), artifacts)
        .await?;
    Ok(visit.browser.go(&format!("/apps/{}", app.slug)))
}

/// A config that is not removed, with its app.
async fn present(visit: &Visit, id: ConfigId) -> Result<(apps::Model, Values), WebError> {
    let config = visit.holdfast.present_config(&visit.caller, id).await?;
    let app = visit
        .holdfast
        .app_by_id(&visit.caller, AppId(config.app_id))
        .await?;
    let revision = config.revision.to_string();
    Ok((app, Values::of(&config.spec()).with("revision", revision)))
}

async fn finish(
    visit: &Visit,
    app: &apps::Model,
    id: Option<i64>,
    values: &Values,
    result: Result<ConfigId, AppError>,
    form: &Form,
) -> Result<Response, WebError> {
    match result {
        Ok(config) if form.text("then") == "run" => Ok(start(visit, config).await?.1),
        Ok(_) => Ok(visit.browser.go(&format!("/apps/{}", app.slug))),
        Err(AppError::Invalid(errors)) => {
            let found = Detection::load(visit, app).await;
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            respond(visit, status, app, id, found, values, &errors).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn respond(
    visit: &Visit,
    status: StatusCode,
    app: &apps::Model,
    id: Option<i64>,
    found: Detection,
    values: &Values,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let action = id.map_or_else(
        || format!("/apps/{}/configs/new", app.slug),
        |id| format!("/configs/{id}"),
    );
    let mut form = ConfigForm::new(visit, id, &app.slug, action, &found, values, errors);
    let part = visit.browser.target.as_deref();
    let part = part.and_then(|it| form.asked(it));
    if let Some(part) = part.filter(|_| visit.browser.htmx) {
        return page::fragment(status, part);
    }
    let config = ("config".to_owned(), id.unwrap_or_default().to_string());
    let asked = values.to_form().and([config]);
    form.keep.stays = Some(Stays::asked(visit, &asked).await?);
    if visit.wants("config-form") {
        return visit.page_with(status, "", Section::Apps, &form);
    }
    let title = match id {
        None => "Add config".to_owned(),
        Some(_) => format!("Edit {}", values.title()),
    };
    let content = Content {
        slug: app.slug.clone(),
        app: app.name.clone(),
        title,
        found,
        form,
        is_new: id.is_none(),
    };
    visit.page_with(status, &content.title, Section::Apps, &content)
}
