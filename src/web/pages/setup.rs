//! The first visit: whoever holds the one-time token becomes the administrator.

use askama::Template;
use poem::{Response, handler, http::StatusCode, web::Data};

use super::login::{opening_session, with_session};
use crate::{
    app::AppError,
    domain::failure::FieldErrors,
    web::{
        Web,
        errors::WebError,
        field::{Field, focus_first_error},
        parts,
        request::{Browser, Form},
    },
};

/// Shown this once, after the first administrator was made.
#[derive(Template)]
#[template(path = "setup/recovery.html")]
struct RecoveryKey {
    public: String,
    private: String,
}

#[derive(Template)]
#[template(path = "setup/content.html")]
struct Content {
    fields: [Field; 3],
    recovery: bool,
    problem: Option<String>,
}

impl Content {
    /// `sent` keeps what was typed, but never a password.
    fn new(sent: &Form, errors: &FieldErrors, problem: Option<String>) -> Self {
        let mut fields = [
            Field::new("token", "Set-up token")
                .value(sent.text("token"))
                .placeholder("hfs_…")
                .required()
                .error(errors, "token"),
            Field::new("name", "Your name")
                .value(sent.text("name"))
                .help("Letters, digits, dots, dashes and underscores.")
                .autocomplete("username")
                .required()
                .error(errors, "name"),
            Field::new("password", "Password")
                .kind("password")
                .help("At least 12 characters. A sentence is easier to keep than a riddle.")
                .autocomplete("new-password")
                .required()
                .error(errors, "password"),
        ];
        focus_first_error(&mut fields);
        // Wished for unless it was sent without.
        let recovery = sent.checked("recovery") || sent.text("name").is_empty();
        Self {
            fields,
            recovery,
            problem,
        }
    }
}

#[handler]
pub async fn show(Data(web): Data<&Web>, browser: Browser) -> Result<Response, WebError> {
    if !web.holdfast.needs_setup().await? {
        return Ok(browser.go("/login"));
    }
    let content = Content::new(&Form::default(), &FieldErrors::default(), None);
    browser.bare_page(StatusCode::OK, "Set up", &content)
}

#[handler]
pub async fn set_up(
    Data(web): Data<&Web>,
    browser: Browser,
    form: Form,
) -> Result<Response, WebError> {
    let password = form.secret("password");
    let session = web
        .holdfast
        .set_up(
            form.text("token"),
            form.text("name"),
            &password,
            &browser.address,
        )
        .await;
    let (status, content) = match session {
        Ok(session) => {
            let wanted = form.checked("recovery");
            let key = wanted
                .then(|| web.holdfast.make_recovery_key())
                .transpose()?;
            let cookie = Some(&session.cookie);
            let Some((public, private)) = key.flatten() else {
                return with_session(&browser, cookie, "/");
            };
            let private = private.expose().clone();
            let shown = RecoveryKey { public, private };
            let page = browser.bare_page(StatusCode::OK, "Your recovery key", &shown)?;
            return opening_session(page, &browser, cookie);
        }
        Err(AppError::Invalid(errors)) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            Content::new(&form, &errors, None),
        ),
        Err(AppError::Throttled(seconds)) => {
            let problem = format!("Too many attempts. Try again in {seconds} s.");
            (
                StatusCode::TOO_MANY_REQUESTS,
                Content::new(&form, &FieldErrors::default(), Some(problem)),
            )
        }
        Err(AppError::Conflict(_)) => return Ok(browser.go("/login")),
        Err(error) => return Err(error.into()),
    };
    browser.bare_page(status, "Set up", &content)
}
