//! Log in and out.

use askama::Template;
use poem::{
    Response, handler,
    http::{HeaderValue, StatusCode, header},
    web::{Data, Query},
};
use serde::Deserialize;

use crate::{
    app::AppError,
    domain::secret::Secret,
    web::{
        Web,
        errors::WebError,
        parts,
        request::{Browser, Form, Visit},
    },
};

#[derive(Template)]
#[template(path = "login/content.html")]
struct Content<'a> {
    name: &'a str,
    /// Where to go afterwards.
    next: &'a str,
    /// The password was right, and a code is still to come.
    ticket: Option<Secret>,
    problem: Option<String>,
    /// Where else one can log in.
    sso: Option<&'a str>,
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

#[handler]
pub async fn show(
    Data(web): Data<&Web>,
    browser: Browser,
    Query(query): Query<Next>,
) -> Result<Response, WebError> {
    if web.holdfast.needs_setup().await? {
        return Ok(browser.go("/setup"));
    }
    let content = Content {
        name: "",
        next: own_path(&query.next),
        ticket: None,
        problem: None,
        sso: web.holdfast.sso_label(),
    };
    browser.bare_page(StatusCode::OK, "Log in", &content)
}

#[handler]
pub async fn log_in(
    Data(web): Data<&Web>,
    browser: Browser,
    form: Form,
) -> Result<Response, WebError> {
    let name = form.text("name");
    let next = own_path(form.text("next"));
    let mut ticket = (!form.text("ticket").is_empty()).then(|| form.secret("ticket"));
    let session = match &ticket {
        Some(ticket) => {
            let code = form.text("code");
            web.holdfast
                .log_in_with_code(ticket, code, &browser.address, &browser.agent)
                .await
        }
        None => {
            let password = form.secret("password");
            web.holdfast
                .log_in(name, &password, &browser.address, &browser.agent)
                .await
        }
    };
    let (status, problem) = match session {
        Ok(session) => return with_session(&browser, Some(&session.cookie), next),
        Err(AppError::CodeNeeded(issued)) => {
            ticket = Some(issued);
            (StatusCode::OK, None)
        }
        Err(AppError::Unauthenticated) => {
            let problem = match &ticket {
                Some(_) => {
                    "This is not a code of now, or it was used. After some tries the log-in begins again."
                }
                None => "This name and password do not go together.",
            };
            (StatusCode::UNPROCESSABLE_ENTITY, Some(problem.to_owned()))
        }
        Err(AppError::Throttled(seconds)) => {
            let problem = format!("Too many attempts. Try again in {seconds} s.");
            (StatusCode::TOO_MANY_REQUESTS, Some(problem))
        }
        Err(error) => return Err(error.into()),
    };
    let content = Content {
        name,
        next,
        ticket,
        problem,
        sso: web.holdfast.sso_label(),
    };
    browser.bare_page(status, "Log in", &content)
}

/// The second half, for who showed the first one elsewhere.
pub fn ask_for_code(
    web: &Web,
    browser: &Browser,
    ticket: Secret,
    next: &str,
) -> Result<Response, WebError> {
    let content = Content {
        name: "",
        next,
        ticket: Some(ticket),
        problem: None,
        sso: web.holdfast.sso_label(),
    };
    browser.bare_page(StatusCode::OK, "Log in", &content)
}

/// Why it did not go well elsewhere, and the way in from the beginning.
pub fn say(
    web: &Web,
    browser: &Browser,
    status: StatusCode,
    problem: String,
) -> Result<Response, WebError> {
    let content = Content {
        name: "",
        next: "/",
        ticket: None,
        problem: Some(problem),
        sso: web.holdfast.sso_label(),
    };
    browser.bare_page(status, "Log in", &content)
}

#[handler]
pub async fn log_out(visit: Visit, _form: Form) -> Result<Response, WebError> {
    if let Some(cookie) = visit.browser.session() {
        visit
            .holdfast
            .log_out(cookie.expose(), &visit.caller)
            .await?;
    }
    with_session(&visit.browser, None, "/login")
}

/// On to `path` with a new session, or without one.
pub fn with_session(
    browser: &Browser,
    cookie: Option<&Secret>,
    path: &str,
) -> Result<Response, WebError> {
    opening_session(browser.go(path), browser, cookie)
}

/// The same with another answer.
pub fn opening_session(
    mut response: Response,
    browser: &Browser,
    cookie: Option<&Secret>,
) -> Result<Response, WebError> {
    let mut value = HeaderValue::from_str(&browser.set_session(cookie))
        .map_err(|_| WebError::defect("a session cookie is no header value"))?;
    value.set_sensitive(true);
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(response)
}

/// A path of this server, whatever a link says: else the overview.
pub fn own_path(path: &str) -> &str {
    let plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if plain && path.starts_with('/') && !path.starts_with("//") {
        path
    } else {
        "/"
    }
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn a_log_in_leads_nowhere_else() {
        assert_eq!(own_path("/runs/3?x=1"), "/runs/3?x=1");
        for path in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil",
            "/a\r\nb",
            "runs/3",
        ] {
            assert_eq!(own_path(path), "/", "{path:?}");
        }
    }
}
