//! Who sits here? Asked before what cannot be taken back, when the log-in is some while ago.

use askama::Template;
use poem::{Response, handler, http::StatusCode, web::Query};
use serde::Deserialize;

use super::login::own_path;
use crate::{
    app::AppError,
    web::{
        errors::WebError,
        field::{Field, Token},
        parts,
        request::{Form, Visit},
    },
};

#[derive(Template)]
#[template(path = "prove/content.html")]
struct Content {
    token: Token,
    next: String,
    password: Field,
    /// Where they proved it before, when it was elsewhere.
    sso: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    next: String,
}

#[handler]
pub async fn show(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    respond(&visit, StatusCode::OK, &asked.next, None).await
}

#[handler]
pub async fn prove(visit: Visit, form: Form) -> Result<Response, WebError> {
    let cookie = visit.browser.session().ok_or(WebError::LogInFirst)?;
    let shown = form.secret("password");
    let proved = visit
        .holdfast
        .prove(&visit.caller, cookie.expose(), &shown)
        .await;
    let problem = match proved {
        Ok(()) => return Ok(visit.browser.go(own_path(form.text("next")))),
        Err(AppError::Invalid(errors)) => errors.0.into_values().next(),
        Err(AppError::Throttled(seconds)) => {
            Some(format!("Too many attempts. Try again in {seconds} s."))
        }
        Err(error) => return Err(error.into()),
    };
    respond(
        &visit,
        StatusCode::UNPROCESSABLE_ENTITY,
        form.text("next"),
        problem,
    )
    .await
}

async fn respond(
    visit: &Visit,
    status: StatusCode,
    next: &str,
    problem: Option<String>,
) -> Result<Response, WebError> {
    let mut password = Field::new("password", "Password, or a code of your second factor")
        .kind("password")
        .autocomplete("current-password")
        .required();
    password.error = problem;
    password.autofocus = true;
    let elsewhere = visit.holdfast.proves_by_sso(&visit.caller).await?;
    let label = visit.holdfast.sso_label().filter(|_| elsewhere);
    let content = Content {
        sso: label.map(ToOwned::to_owned),
        token: Token(visit.browser.form_token()),
        next: own_path(next).to_owned(),
        password,
    };
    visit.browser.bare_page(status, "Is it you?", &content)
}
