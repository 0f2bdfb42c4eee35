//! Log in and out, as the pages do, for clients that keep cookies; who one is; and which sessions are open.

use poem::{
    IntoResponse, Response,
    http::{HeaderValue, StatusCode, header},
    web::Data,
};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::Path,
    payload::Json,
    registry::{MetaResponses, Registry},
};
use serde::Deserialize;

use super::{
    answer::{Answer, Done},
    body::Body,
    error::ApiError,
    values::Time,
    visit::Visit,
};
use crate::{
    app::{AppError, OpenSession},
    domain::{event::ActorKind, secret::Secret},
    web::{Web, request::Browser},
};

#[derive(Object, Deserialize)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    name: String,
    password: String,
    /// Of the second factor, or a recovery code, for who has one.
    #[serde(default)]
    code: Option<String>,
}

#[derive(Object, Deserialize)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The password, or a code of the second factor.
    password: String,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct Me {
    name: String,
    /// `user`, `token` or `cli`.
    kind: String,
    /// `viewer`, `operator` or `admin`.
    role: String,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct Session {
    /// Names the session in `DELETE /sessions/{id}`; opens nothing.
    id: String,
    /// Whose it is.
    user: String,
    opened_at: Time,
    /// To within five minutes.
    seen_at: Time,
    address: String,
    /// What the browser called itself.
    agent: String,
    /// The one that asks.
    current: bool,
}

impl Session {
    fn of(session: OpenSession, browser: &Browser) -> Self {
        Self {
            current: browser
                .session()
                .is_some_and(|cookie| session.is_of(cookie)),
            id: session.id,
            user: session.user_name,
            opened_at: session.opened_at.into(),
            seen_at: session.seen_at.into(),
            address: session.address,
            agent: session.agent,
        }
    }
}

/// 204 with the session's cookie, or with its end.
pub struct Cookie(HeaderValue);

impl Cookie {
    fn of(browser: &Browser, session: Option<&Secret>) -> Result<Self, ApiError> {
        let unfit = |_| AppError::Internal("a session cookie is no header value".into());
        let mut value = HeaderValue::from_str(&browser.set_session(session)).map_err(unfit)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl ApiResponse for Cookie {
    fn meta() -> MetaResponses {
        Done::meta()
    }

    fn register(_: &mut Registry) {}
}

impl IntoResponse for Cookie {
    fn into_response(self) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        response.headers_mut().append(header::SET_COOKIE, self.0);
        response
    }
}

pub struct Sessions;

#[OpenApi]
impl Sessions {
    /// Opens a session and sets its cookie
    #[oai(path = "/login", method = "post", operation_id = "log_in")]
    async fn log_in(
        &self,
        web: Data<&Web>,
        browser: Browser,
        body: Body<Credentials>,
    ) -> Result<Cookie, ApiError> {
        let password = Secret::new(body.0.password);
        let opened = web
            .holdfast
            .log_in(&body.0.name, &password, &browser.address, &browser.agent)
            .await;
        let opened = match (opened, &body.0.code) {
            (Err(AppError::CodeNeeded(ticket)), Some(code)) => {
                web.holdfast
                    .log_in_with_code(&ticket, code, &browser.address, &browser.agent)
                    .await
            }
            (opened, _) => opened,
        };
        match opened {
            Ok(session) => Cookie::of(&browser, Some(&session.cookie)),
            Err(AppError::Unauthenticated) => Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "this name and password do not go together",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// Proves anew who holds the session: what cannot be taken back asks for it 15 minutes after the log-in
    #[oai(
        path = "/session/proof",
        method = "post",
        operation_id = "prove_session"
    )]
    async fn prove_session(
        &self,
        visit: Visit,
        browser: Browser,
        body: Body<Proof>,
    ) -> Result<Done, ApiError> {
        let Some(cookie) = own_session(&visit, &browser)? else {
            return Err(AppError::Forbidden.into());
        };
        let shown = Secret::new(body.0.password);
        visit
            .holdfast
            .prove(&visit.caller, cookie.expose(), &shown)
            .await?;
        Ok(Done)
    }

    /// Ends the session
    #[oai(path = "/logout", method = "post", operation_id = "log_out")]
    async fn log_out(&self, visit: Visit, browser: Browser) -> Result<Cookie, ApiError> {
        if let Some(cookie) = own_session(&visit, &browser)? {
            visit
                .holdfast
                .log_out(cookie.expose(), &visit.caller)
                .await?;
        }
        Cookie::of(&browser, None)
    }

    /// The caller's open sessions; an admin's answer has those of everybody
    #[oai(path = "/sessions", method = "get", operation_id = "list_sessions")]
    async fn list_sessions(&self, visit: Visit, browser: Browser) -> Answer<Vec<Session>> {
        let open = visit.holdfast.sessions(&visit.caller).await?;
        let shown = open
            .into_iter()
            .map(|session| Session::of(session, &browser));
        Ok(Json(shown.collect()))
    }

    /// Ends a session; its browser has to log in again
    #[oai(
        path = "/sessions/:id",
        method = "delete",
        operation_id = "end_session"
    )]
    async fn end_session(&self, visit: Visit, id: Path<String>) -> Result<Done, ApiError> {
        visit.holdfast.end_session(&visit.caller, &id).await?;
        Ok(Done)
    }

    /// Who the caller is
    #[oai(path = "/me", method = "get", operation_id = "who_am_i")]
    #[allow(clippy::unused_async)] // as all operations are
    async fn who_am_i(&self, visit: Visit) -> Answer<Me> {
        Ok(Json(Me {
            name: visit.caller.actor.name,
            kind: visit.caller.actor.kind.name().to_owned(),
            role: visit.caller.role.name().to_owned(),
        }))
    }
}

/// The session that the caller was let in by. One that comes with a token may be anybody's.
fn own_session<'a>(visit: &Visit, browser: &'a Browser) -> Result<Option<&'a Secret>, ApiError> {
    match browser.session() {
        Some(_) if visit.caller.actor.kind != ActorKind::User => Err(AppError::Forbidden.into()),
        session => Ok(session),
    }
}
