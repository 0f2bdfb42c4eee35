//! There and back again: to the login service, and what comes back from it.

use poem::{
    Response, handler,
    http::{HeaderValue, StatusCode, header},
    web::{Data, Query},
};
use serde::Deserialize;

use super::login::{self, own_path, with_session};
use crate::{
    app::{Arrival, Purpose, SsoAnswer, SsoProblem, random_token},
    domain::secret::Secret,
    web::{
        Web,
        errors::WebError,
        request::{Browser, Visit},
    },
};

#[derive(Deserialize)]
pub struct Next {
    #[serde(default)]
    next: String,
}

/// What a login service sends people back with; which of it there is says how it went.
#[derive(Deserialize)]
pub struct Answer {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    error: String,
    iss: Option<String>,
}

#[handler]
pub async fn log_in(
    Data(web): Data<&Web>,
    browser: Browser,
    Query(query): Query<Next>,
) -> Result<Response, WebError> {
    let next = own_path(&query.next).to_owned();
    set_out(web, &browser, Purpose::LogIn { next }).await
}

/// Before what cannot be taken back, for those who have no password here.
#[handler]
pub async fn prove_it(
    visit: Visit,
    Data(web): Data<&Web>,
    Query(query): Query<Next>,
) -> Result<Response, WebError> {
    let cookie = visit.browser.session().ok_or(WebError::LogInFirst)?.clone();
    let user = visit.caller.user.ok_or(WebError::LogInFirst)?;
    let next = own_path(&query.next).to_owned();
    set_out(web, &visit.browser, Purpose::Prove { next, user, cookie }).await
}

async fn set_out(web: &Web, browser: &Browser, purpose: Purpose) -> Result<Response, WebError> {
    let ticket = random_token("hfo");
    match web.holdfast.begin_sso(purpose, &ticket).await {
        Ok(address) => {
            let mut response = browser.go(&address);
            hold(browser, &mut response, Some(&ticket))?;
            Ok(response)
        }
        Err(problem) => failed(web, browser, problem),
    }
}

/// From another site, so nothing here is believed but what fits what this browser holds.
#[handler]
pub async fn come_back(
    Data(web): Data<&Web>,
    browser: Browser,
    Query(answer): Query<Answer>,
) -> Result<Response, WebError> {
    let held = browser.sso().cloned().unwrap_or_else(|| Secret::from(""));
    let answer = SsoAnswer {
        state: answer.state,
        code: answer.code,
        error: answer.error,
        issuer: answer.iss,
    };
    let arrived = web
        .holdfast
        .finish_sso(&answer, &held, &browser.address, &browser.agent)
        .await;
    let mut response = match arrived {
        Ok(Arrival::LoggedIn { session, next }) => {
            with_session(&browser, Some(&session.cookie), &next)?
        }
        Ok(Arrival::CodeNeeded { ticket, next }) => {
            login::ask_for_code(web, &browser, ticket, &next)?
        }
        Ok(Arrival::Proved { next }) => browser.go(&next),
        Err(problem) => failed(web, &browser, problem)?,
    };
    hold(&browser, &mut response, None)?;
    Ok(response)
}

fn hold(
    browser: &Browser,
    response: &mut Response,
    ticket: Option<&Secret>,
) -> Result<(), WebError> {
    let mut value = HeaderValue::from_str(&browser.set_sso(ticket))
        .map_err(|_| WebError::defect("a cookie is no header value"))?;
    value.set_sensitive(true);
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}

fn failed(web: &Web, browser: &Browser, problem: SsoProblem) -> Result<Response, WebError> {
    let (status, said) = match problem {
        SsoProblem::App(error) => return Err(error.into()),
        SsoProblem::Refused(why) => (
            StatusCode::FORBIDDEN,
            format!("You were not let in: {why}."),
        ),
        SsoProblem::Failed(why) => (
            StatusCode::BAD_GATEWAY,
            format!(
                "This way in does not work now: {why}. Try again, or tell an admin of this server."
            ),
        ),
    };
    login::say(web, browser, status, said)
}
