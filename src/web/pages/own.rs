//! How the server's own database is backed up, what became of it, and what one needs to bring it back.

use askama::Template;
use poem::{Response, handler, http::StatusCode};

use super::{
    config::{Asked, Choice, Values, targets},
    schedule::{Planned, Preview},
};
use crate::{
    app::{AppError, own},
    domain::{access::Role, failure::FieldErrors, manifest::Compression, run::Trigger},
    web::{
        api,
        errors::WebError,
        field::{Field, Token, focus_first_error},
        page::{self, Section},
        parts,
        request::{Form, Visit},
        rows::RunRow,
    },
};

const SHOWN: u64 = 20;
const PATH: &str = "/system/backup";

const ADDRESS: &str = "/system/backup";

#[derive(Template)]
#[template(path = "own/content.html")]
struct Content {
    token: Token,
    /// Nobody has set it up.
    is_unset: bool,
    rows: Vec<RunRow>,
    targets: Vec<Choice>,
    target_error: Option<String>,
    target_fields: Asked,
    schedule: Field,
    time_zone: Field,
    preview: Preview,
    enabled: bool,
    compact: bool,
    retention_mode: String,
    retention_count: Field,
    retention_days: Field,
    compressions: Vec<(&'static str, bool)>,
    recipients: String,
    encryption_error: Option<String>,
    server_key: bool,
    data_dir: String,
}

#[handler]
pub async fn show(visit: Visit) -> Result<Response, WebError> {
    let (spec, _) = visit.holdfast.own_config(&visit.caller).await?;
    let (values, compact) = (Values::of(&spec), own::is_compact(&spec));
    let none = FieldErrors::default();
    respond(&visit, StatusCode::OK, &values, compact, &none).await
}

#[handler]
pub async fn change(visit: Visit, form: Form) -> Result<Response, WebError> {
    let (values, input) = Values::sent(&form);
    let compact = form.checked("compact");
    if ["fields", "preset"].contains(&form.text("show")) {
        let (spec, _) = visit.holdfast.own_config(&visit.caller).await?;
        let (values, none) = (Values::of(&spec).under(values), FieldErrors::default());
        if visit.browser.htmx {
            return page::fragment(StatusCode::OK, &Asked::by_target(ADDRESS, &values, &none));
        }
        return respond(&visit, StatusCode::OK, &values, compact, &none).await;
    }
    let set = match input {
        Ok(input) => {
            let set = visit
                .holdfast
                .set_own_config(&visit.caller, input, Some(compact));
            set.await
        }
        Err(errors) => Err(AppError::Invalid(errors)),
    };
    match set {
        Ok(()) => Ok(visit.browser.go(PATH)),
        Err(AppError::Invalid(errors)) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            respond(&visit, status, &values, compact, &errors).await
        }
        Err(error) => Err(error.into()),
    }
}

#[handler]
pub async fn back_up(visit: Visit, _form: Form) -> Result<Response, WebError> {
    visit
        .holdfast
        .back_up_own(&visit.caller, Trigger::Manual)
        .await?;
    Ok(visit.browser.go(PATH))
}

/// A copy as of now, to be saved by the browser.
#[handler]
pub async fn download(visit: Visit, form: Form) -> Result<Response, WebError> {
    let compact = form.checked("compact");
    let copy = visit.holdfast.own_copy(&visit.caller, compact).await?;
    Ok(api::own::respond(copy).await?)
}

async fn respond(
    visit: &Visit,
    status: StatusCode,
    values: &Values,
    compact: bool,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    visit.caller.must_be(Role::Admin)?;
    let (_, row) = visit.holdfast.own_config(&visit.caller).await?;
    let runs = visit.holdfast.own_runs(&visit.caller, None, SHOWN).await?;
    let text = |name: &'static str, label: &'static str| {
        Field::new(name, label)
            .value(values.get(name))
            .error(errors, name)
    };
    let mut content = Content {
        token: Token(visit.browser.form_token()),
        is_unset: row.is_none(),
        rows: runs
            .iter()
            .map(|run| RunRow::new(run, &[], &[], visit.now))
            .collect(),
        targets: targets(values),
        target_error: errors.0.get("target").cloned(),
        target_fields: Asked::by_target(ADDRESS, values, errors),
        schedule: text("schedule_cron", "Schedule")
            .help("Five cron fields: minute, hour, day, month, weekday. Empty: only by hand.")
            .placeholder("0 3 * * *"),
        time_zone: text("time_zone", "Time zone")
            .help("An IANA name, or UTC.")
            .required(),
        preview: Preview::new(
            &Planned::of(values.get("schedule_cron"), values.get("time_zone")),
            visit.now,
        ),
        enabled: !values.get("enabled").is_empty(),
        compact,
        retention_mode: values.get("retention_mode").to_owned(),
        retention_count: text("retention_count", "How many").kind("number"),
        retention_days: text("retention_days", "How many days").kind("number"),
        compressions: Compression::ALL
            .into_iter()
            .map(|c| (c.name(), c.name() == values.get("compression")))
            .collect(),
        recipients: values.get("recipients").to_owned(),
        encryption_error: errors.0.get("encryption").cloned(),
        server_key: !values.get("server_key").is_empty(),
        data_dir: visit.holdfast.settings().data_dir.display().to_string(),
    };
    let mut fields: Vec<&mut Field> = content.target_fields.fields.iter_mut().collect();
    fields.extend([
        &mut content.schedule,
        &mut content.time_zone,
        &mut content.retention_count,
        &mut content.retention_days,
    ]);
    focus_first_error(fields);
    visit.page_with(
        status,
        "Backup of Holdfast itself",
        Section::Backups,
        &content,
    )
}
