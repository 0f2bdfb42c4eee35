//! Restore from a file: choose it, say what it is and where it goes, confirm with the app's name.

use askama::Template;
use poem::{FromRequest, Request, RequestBody, Response, handler, http::StatusCode, web::Path};
use sha2::{Digest, Sha256};

use crate::{
    app::AppError,
    domain::{failure::FieldErrors, ids::RestoreId},
    readmodel::apps,
    strategy,
    web::{
        errors::WebError,
        field::{Field, Token},
        intake::FileForm,
        page::Section,
        parts,
        request::{TOKEN, Visit},
        words,
    },
};

const KNOWN: [&str; 4] = [TOKEN, "strategy", "container", "confirm"];

#[derive(Template)]
#[template(path = "upload/content.html")]
struct Content {
    slug: String,
    name: String,
    /// Name, label, and whether it is chosen.
    strategies: Vec<(&'static str, &'static str, bool)>,
    container: Field,
    identity: Field,
    confirm: Field,
    problems: Vec<String>,
    keep: String,
    token: Token,
}

#[handler]
pub async fn show(visit: Visit, Path(slug): Path<String>) -> Result<Response, WebError> {
    let app = visit.holdfast.app_to_act_in(&visit.caller, &slug).await?;
    let content = Content::load(&visit, &app, ["", "", ""], &FieldErrors::default()).await;
    visit.page("Restore from a file", Section::Apps, &content)
}

/// A form that was not read yet.
pub struct Sent(FileForm);

impl<'a> FromRequest<'a> for Sent {
    async fn from_request(req: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let form = FileForm::of(req, body).await;
        Ok(Self(form.map_err(WebError::from)?))
    }
}

#[handler]
pub async fn request(
    visit: Visit,
    Path(slug): Path<String>,
    Sent(mut form): Sent,
) -> Result<Response, WebError> {
    let app = visit.holdfast.app_to_act_in(&visit.caller, &slug).await?;
    let errors = match receive(&visit, &app, &mut form).await {
        Ok(restore) => return Ok(visit.browser.go(&format!("/restores/{restore}"))),
        Err(WebError::App(AppError::Invalid(errors))) => errors,
        Err(error) => return Err(error),
    };
    let typed = ["strategy", "container", "confirm"].map(|name| form.text(name));
    let content = Content::load(&visit, &app, typed, &errors).await;
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    visit.page_with(status, "Restore from a file", Section::Apps, &content)
}

/// The token and the confirmation stand before the file: without them none of it is taken.
async fn receive(
    visit: &Visit,
    app: &apps::Model,
    form: &mut FileForm,
) -> Result<RestoreId, WebError> {
    let (holdfast, caller) = (&visit.holdfast, &visit.caller);
    let file = form.file(&KNOWN).await?;
    let expected = visit.browser.form_token();
    if Sha256::digest(form.text(TOKEN)) != Sha256::digest(expected) {
        return Err(WebError::ForeignForm);
    }
    if ![&*app.name, &*app.slug].contains(&form.text("confirm")) {
        let problem = format!("type {} to confirm", app.name);
        return Err(AppError::field("confirm", problem).into());
    }
    let file = file.ok_or_else(|| AppError::field("file", "choose a file"))?;
    let received = form.receive(holdfast, caller, &app.slug, file, &KNOWN);
    let received = received.await?;
    let input = form.input();
    Ok(holdfast
        .restore_upload(caller, &app.slug, received, &input)
        .await?)
}

impl Content {
    async fn load(
        visit: &Visit,
        app: &apps::Model,
        [strategy, container, confirm]: [&str; 3],
        errors: &FieldErrors,
    ) -> Self {
        // An offer; without the engine's answer the name can be typed.
        let services = visit.holdfast.services(&visit.caller, app).await;
        let services = services.unwrap_or_default().into_iter();
        let running = services.filter(|service| service.running);
        let suggestions = running.map(|service| (service.name, service.image));
        let keep = visit.holdfast.settings().keep_undo.as_millis();
        let shown = ["container", "confirm", "identity"];
        Self {
            slug: app.slug.clone(),
            name: app.name.clone(),
            strategies: strategy::ALL
                .iter()
                .map(|known| (known.kind(), known.label(), known.kind() == strategy))
                .collect(),
            container: Field::new("container", "Service")
                .help("As in the compose file.")
                .value(container)
                .required()
                .suggest(suggestions.collect())
                .error(errors, "container"),
            identity: Field::new("identity", "Private key")
                .kind("password")
                .autocomplete("off")
                .help("Only of a file that is encrypted with age (.age). Forgotten after this restore.")
                .error(errors, "identity"),
            confirm: Field::new("confirm", format!("Type {} to confirm", app.name))
                .value(confirm)
                .required()
                .error(errors, "confirm"),
            problems: errors
                .0
                .iter()
                .filter(|(name, _)| !shown.contains(&name.as_str()))
                .map(|(_, problem)| problem.clone())
                .collect(),
            keep: words::duration(i64::try_from(keep).unwrap_or(i64::MAX)),
            token: Token(visit.browser.form_token()),
        }
    }
}
