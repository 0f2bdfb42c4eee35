//! What a page answers when it cannot do what was asked: the true status, and words for people. A
//! defect shows an id and nothing else; its cause goes to the log, once, here.

use std::sync::Arc;

use askama::Template;
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    error::ResponseError,
    http::{Method, StatusCode, header},
};

use super::{Web, page, parts, request::Browser};
use crate::app::AppError;

#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error(transparent)]
    App(#[from] AppError),
    #[error("log in first")]
    LogInFirst,
    #[error("nobody has set this server up yet")]
    SetUpFirst,
    /// The form's token is missing or of another session.
    #[error("this form is from another session")]
    ForeignForm,
    /// Another site sent this request.
    #[error("another site asked for this change")]
    CrossSite,
}

impl WebError {
    pub fn defect(cause: impl Into<String>) -> Self {
        Self::App(AppError::Internal(cause.into()))
    }
}

impl From<crate::log::LogError> for WebError {
    fn from(error: crate::log::LogError) -> Self {
        Self::App(error.into())
    }
}

impl ResponseError for WebError {
    fn status(&self) -> StatusCode {
        match self {
            Self::App(error) => status_of(error),
            Self::LogInFirst | Self::SetUpFirst => StatusCode::UNAUTHORIZED,
            Self::ForeignForm | Self::CrossSite => StatusCode::FORBIDDEN,
        }
    }
}

fn status_of(error: &AppError) -> StatusCode {
    match error {
        AppError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        AppError::NotFound(_) | AppError::Hidden(_) => StatusCode::NOT_FOUND,
        AppError::Conflict(_) => StatusCode::CONFLICT,
        AppError::Unauthenticated | AppError::CodeNeeded(_) => StatusCode::UNAUTHORIZED,
        AppError::ProofNeeded => StatusCode::FORBIDDEN,
        AppError::Forbidden | AppError::OutOfScope(_) => StatusCode::FORBIDDEN,
        AppError::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
        AppError::Failed(_) => StatusCode::BAD_GATEWAY,
        AppError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        AppError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What a person is told: one line, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    status: StatusCode,
    title: String,
    hint: String,
    detail: String,
}

#[derive(Template)]
#[template(path = "error/page.html")]
struct ErrorPage<'a> {
    told: &'a Told,
}

#[derive(Template)]
#[template(path = "error/alert.html")]
struct Alert<'a> {
    told: &'a Told,
}

/// Round everything: whatever went wrong below becomes a page, or an alert for htmx.
pub async fn show<E: Endpoint>(endpoint: Arc<E>, req: Request) -> Result<Response> {
    let browser = req.data::<Web>().map(|web| Browser::of(&req, web));
    let web = req.data::<Web>().cloned();
    let came_to_look = req.method() == Method::GET;
    let came_from = page_before(&req);
    let asked = format!("{} {}", req.method(), plain(req.original_uri().path()));
    let error = match endpoint.call(req).await {
        Ok(response) => return Ok(response.into_response()),
        Err(error) => error,
    };
    let Some(browser) = browser else {
        return Err(error);
    };
    if let (Some(web), Some(why)) = (&web, refusal(&error)) {
        note(web, &browser, asked, why).await;
    }
    match error.downcast_ref::<WebError>() {
        Some(WebError::SetUpFirst) => return Ok(browser.go("/setup")),
        Some(WebError::App(AppError::ProofNeeded)) => {
            return Ok(browser.go(&format!("/prove?next={}", escaped(&came_from))));
        }
        Some(WebError::LogInFirst) => {
            return Ok(browser.go(&log_in_path(&browser, came_to_look)));
        }
        _ => {}
    }
    let told = tell(&error);
    let mut response = if browser.htmx {
        page::fragment(told.status, &Alert { told: &told })?
    } else {
        browser.bare_page(told.status, &told.title, &ErrorPage { told: &told })?
    };
    if let Some(WebError::App(AppError::Throttled(seconds))) = error.downcast_ref() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, (*seconds).into());
    }
    Ok(response)
}

/// Why somebody was turned away, when they were.
fn refusal(error: &poem::Error) -> Option<&'static str> {
    match error.downcast_ref::<WebError>()? {
        WebError::App(AppError::Forbidden | AppError::OutOfScope(_)) => Some("not allowed"),
        WebError::App(AppError::Hidden(_)) => Some("not granted"),
        WebError::ForeignForm | WebError::CrossSite => Some("not from a page of this server"),
        _ => None,
    }
}

/// In the audit log. That it cannot be noted is no reason to let anybody in, or to say more.
async fn note(web: &Web, browser: &Browser, asked: String, why: &'static str) {
    let caller = match browser.session() {
        Some(cookie) => {
            web.holdfast
                .session(cookie.expose(), &browser.address)
                .await
        }
        None => Ok(None),
    };
    let caller = caller.unwrap_or_default();
    let noted = web
        .holdfast
        .note_refusal(caller.as_ref(), &browser.address, asked, why);
    if let Err(error) = noted.await {
        tracing::error!(%error, "a refusal could not be noted");
    }
}

/// A path, short and printable.
fn plain(path: &str) -> String {
    path.chars()
        .filter(char::is_ascii_graphic)
        .take(80)
        .collect()
}

/// Back to the page that was asked for, not to a form that was sent.
fn log_in_path(browser: &Browser, came_to_look: bool) -> String {
    if came_to_look && browser.path != "/" && !browser.htmx {
        format!("/login?next={}", escaped(&browser.path))
    } else {
        "/login".to_owned()
    }
}

/// Of the page that the request came from, its path.
fn page_before(req: &Request) -> String {
    let from = req.header(header::REFERER).unwrap_or_default();
    let path = from
        .split_once("://")
        .and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    path.unwrap_or("/").to_owned()
}

/// As part of a query.
pub fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

fn tell(error: &poem::Error) -> Told {
    let status = error.status();
    let told = |title: &str, hint: &str| Told {
        status,
        title: title.to_owned(),
        hint: hint.to_owned(),
        detail: String::new(),
    };
    match error.downcast_ref::<WebError>() {
        Some(WebError::App(AppError::Internal(cause))) => defect(status, cause),
        Some(WebError::App(app)) => tell_app(app, status),
        Some(WebError::ForeignForm) => told(
            "This form is from another session",
            "Load the page again and send it once more. Nothing was changed.",
        ),
        Some(WebError::CrossSite) => told(
            "Another site asked for this change",
            "It was refused. Use the buttons of this page.",
        ),
        _ if status == StatusCode::NOT_FOUND => told(
            "There is nothing here",
            "The address may be old, or what it named was removed.",
        ),
        _ if status.is_server_error() => defect(status, &error.to_string()),
        _ => told(
            "That request makes no sense here",
            "Go back and try it from the page.",
        ),
    }
}

fn tell_app(error: &AppError, status: StatusCode) -> Told {
    let (title, hint, detail) = match error {
        AppError::Invalid(fields) => {
            let problems: Vec<String> = fields
                .0
                .iter()
                .map(|(field, problem)| format!("{field}: {problem}"))
                .collect();
            (error.to_string(), problems.join("; "), String::new())
        }
        AppError::Failed(failure) => (
            failure.message.clone(),
            failure.hint.clone(),
            failure.detail.clone(),
        ),
        AppError::Forbidden => (
            error.to_string(),
            "Ask an administrator for the role of an operator.".to_owned(),
            String::new(),
        ),
        _ => (error.to_string(), String::new(), String::new()),
    };
    Told {
        status,
        title: sentence(&title),
        hint,
        detail,
    }
}

/// Says an id, logs the cause under it.
fn defect(status: StatusCode, cause: &str) -> Told {
    let id = ulid::Ulid::generate().to_string();
    tracing::error!(%id, cause, "a page failed");
    Told {
        status,
        title: "Something went wrong inside Holdfast".to_owned(),
        hint: format!("The server's log says more under the id {id}."),
        detail: String::new(),
    }
}

/// A handler panicked: a defect like any other, told without anything that could fail too.
pub fn panicked(_: Box<dyn std::any::Any + Send>) -> (StatusCode, String) {
    let told = defect(StatusCode::INTERNAL_SERVER_ERROR, "a handler panicked");
    (told.status, format!("{}. {}", told.title, told.hint))
}

/// Our errors begin in lower case, as parts of a longer line; alone they are a sentence.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
