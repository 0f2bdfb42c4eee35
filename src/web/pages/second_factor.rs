//! The second factor of whoever is here: make one, show a code of it, keep the recovery codes, remove it.

use std::fmt::Write as _;

use askama::Template;
use fast_qr::QRBuilder;
use poem::{Response, handler, http::StatusCode};

use crate::{
    app::{AppError, Enrolment},
    domain::secret::Secret,
    web::{
        errors::WebError,
        field::{Field, Token},
        page::Section,
        parts,
        request::{Form, Visit},
    },
};

#[derive(Template)]
#[template(path = "second_factor/content.html")]
struct Content {
    token: Token,
    has: bool,
    /// One that is being made.
    new: Option<New>,
    /// Shown this once.
    recovery: Vec<Secret>,
    code: Field,
}

struct New {
    drawing: Drawing,
    key: Secret,
}

/// A QR code: side in modules, quiet zone included, and the path of its dark ones.
struct Drawing {
    side: usize,
    path: String,
}

const QUIET: usize = 4;

#[handler]
pub async fn show(visit: Visit) -> Result<Response, WebError> {
    respond(&visit, StatusCode::OK, None, Vec::new(), None).await
}

#[handler]
pub async fn enrol(visit: Visit, _form: Form) -> Result<Response, WebError> {
    let new = visit.holdfast.enrol(&visit.caller).await?;
    respond(&visit, StatusCode::OK, Some(new), Vec::new(), None).await
}

#[handler]
pub async fn confirm(visit: Visit, form: Form) -> Result<Response, WebError> {
    let confirmed = visit
        .holdfast
        .confirm_factor(&visit.caller, form.text("code"))
        .await;
    match confirmed {
        Ok(codes) => respond(&visit, StatusCode::OK, None, codes, None).await,
        Err(AppError::Invalid(errors)) => {
            let problem = errors.0.into_values().next();
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            respond(&visit, status, None, Vec::new(), problem).await
        }
        Err(error) => Err(error.into()),
    }
}

#[handler]
pub async fn remove(visit: Visit, _form: Form) -> Result<Response, WebError> {
    let user = visit.caller.user.ok_or(AppError::Forbidden)?;
    visit.holdfast.remove_factor(&visit.caller, user).await?;
    Ok(visit.browser.go("/account/second-factor"))
}

async fn respond(
    visit: &Visit,
    status: StatusCode,
    new: Option<Enrolment>,
    recovery: Vec<Secret>,
    problem: Option<String>,
) -> Result<Response, WebError> {
    let user = visit.caller.user.ok_or(AppError::Forbidden)?;
    let mut code = Field::new("code", "The code that it shows now")
        .autocomplete("one-time-code")
        .required();
    code.autofocus = new.is_some() || problem.is_some();
    code.error = problem;
    let new = match new {
        Some(new) => Some(New {
            drawing: Drawing::of(&new.address)?,
            key: new.key,
        }),
        // A code was wrong: the app has the key already, and it is not shown twice.
        None => None,
    };
    let content = Content {
        token: Token(visit.browser.form_token()),
        has: visit.holdfast.has_second_factor(user).await?,
        new,
        recovery,
        code,
    };
    visit.page_with(status, "Second factor", Section::Activity, &content)
}

impl Content {
    fn asks(&self) -> bool {
        self.new.is_some() || self.code.error.is_some()
    }
}

impl Drawing {
    fn of(address: &Secret) -> Result<Self, WebError> {
        let made = QRBuilder::new(address.expose().as_str()).build();
        let code = made.map_err(|_| WebError::defect("an address fits into no QR code"))?;
        let mut path = String::new();
        for y in 0..code.size {
            for (x, module) in code[y].iter().enumerate() {
                if module.value() {
                    let _ = write!(path, "M{} {}h1v1h-1z", x + QUIET, y + QUIET);
                }
            }
        }
        Ok(Self {
            side: code.size + 2 * QUIET,
            path,
        })
    }
}
