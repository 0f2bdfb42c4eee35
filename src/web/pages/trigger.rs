//! The trigger of a config: its own address, made, shown once, exchanged, taken away.

use askama::Template;
use poem::{Response, handler, web::Path};

use crate::{
    app::IssuedTrigger,
    domain::ids::{AppId, ConfigId},
    web::{
        catalog,
        errors::WebError,
        field::Token,
        page::Section,
        parts,
        request::{Form, Visit},
        words::Moment,
    },
};

#[derive(Template)]
#[template(path = "trigger/content.html")]
struct Content {
    token: Token,
    id: i64,
    slug: String,
    app: String,
    title: String,
    exists: bool,
    signed: bool,
    /// When it last asked for a run.
    used: Option<Moment>,
    /// Made just now: shown this once.
    issued: Option<IssuedTrigger>,
}

#[handler]
pub async fn show(visit: Visit, Path(id): Path<i64>) -> Result<Response, WebError> {
    respond(&visit, ConfigId(id), None).await
}

#[handler]
pub async fn issue(visit: Visit, Path(id): Path<i64>, form: Form) -> Result<Response, WebError> {
    let signed = form.checked("signed");
    let issued = visit
        .holdfast
        .issue_trigger(&visit.caller, ConfigId(id), signed)
        .await?;
    respond(&visit, ConfigId(id), Some(issued)).await
}

#[handler]
pub async fn revoke(visit: Visit, Path(id): Path<i64>, _form: Form) -> Result<Response, WebError> {
    visit
        .holdfast
        .revoke_trigger(&visit.caller, ConfigId(id))
        .await?;
    Ok(visit.browser.go(&format!("/configs/{id}/trigger")))
}

async fn respond(
    visit: &Visit,
    id: ConfigId,
    issued: Option<IssuedTrigger>,
) -> Result<Response, WebError> {
    let config = visit.holdfast.config_to_act_on(&visit.caller, id).await?;
    let app = visit
        .holdfast
        .app_by_id(&visit.caller, AppId(config.app_id))
        .await?;
    let used = visit.holdfast.trigger_used(id).await?;
    let content = Content {
        token: Token(visit.browser.form_token()),
        id: id.0,
        slug: app.slug,
        app: app.name,
        title: catalog::config_title(&config.spec()),
        exists: config.trigger_digest.is_some(),
        signed: config.trigger_secret.is_some(),
        used: used.map(|at| Moment::of_millis(visit.now, at)),
        issued,
    };
    let title = format!("Trigger of {}", content.title);
    visit.page(&title, Section::Apps, &content)
}
