//! Who may call what: one table, and the gate that keeps to it. What is not in the table cannot be
//! called, so an operation that somebody forgot to add is closed, not open.

use std::sync::Arc;

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{Method, StatusCode, header},
};

use super::error::ApiError;
use crate::{
    app::{AppError, Caller},
    domain::{access::Role, grant::TokenScope},
    web::{Web, request::Browser},
};

/// What an operation asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Anybody,
    /// The least role, and what a token must be for.
    Needs(Role, TokenScope),
}

const VIEWER: Access = Access::Needs(Role::Viewer, TokenScope::Read);
const OPERATOR: Access = Access::Needs(Role::Operator, TokenScope::Backup);
const RESTORER: Access = Access::Needs(Role::Operator, TokenScope::Restore);
const REMOVER: Access = Access::Needs(Role::Operator, TokenScope::Delete);
const ADMIN: Access = Access::Needs(Role::Admin, TokenScope::Admin);
/// Of one's own, whatever one's role.
const OWNER: Access = Access::Needs(Role::Viewer, TokenScope::Admin);

/// Method, path below `/api`, what it asks for.
pub type Operation = (&'static str, &'static str, Access);

/// Every operation there is.
pub const OPERATIONS: &[Operation] = &[
    ("GET", "/openapi.json", Access::Anybody),
    ("POST", "/login", Access::Anybody),
    ("POST", "/logout", VIEWER),
    ("POST", "/session/proof", VIEWER),
    ("GET", "/me", VIEWER),
    ("GET", "/sessions", VIEWER),
    ("DELETE", "/sessions/{id}", OWNER),
    // Apps
    ("GET", "/apps", VIEWER),
    ("POST", "/apps", OPERATOR),
    ("POST", "/apps/discover", OPERATOR),
    ("GET", "/apps/{slug}", VIEWER),
    ("PUT", "/apps/{slug}", OPERATOR),
    ("DELETE", "/apps/{slug}", REMOVER),
    ("GET", "/apps/{slug}/backups/detect", VIEWER),
    // Configs
    ("GET", "/apps/{slug}/backups/configs", VIEWER),
    ("POST", "/apps/{slug}/backups/configs", OPERATOR),
    ("PUT", "/backups/configs/{id}", OPERATOR),
    ("DELETE", "/backups/configs/{id}", REMOVER),
    ("GET", "/backups/configs/{id}/retention", VIEWER),
    ("POST", "/backups/test-s3", OPERATOR),
    ("POST", "/backups/configs/{id}/trigger", OPERATOR),
    ("DELETE", "/backups/configs/{id}/trigger", OPERATOR),
    ("GET", "/backups/configs/{id}/pings", VIEWER),
    ("POST", "/backups/configs/{id}/pings/redelivery", OPERATOR),
    // Runs
    ("GET", "/backups/summary", VIEWER),
    ("GET", "/apps/{slug}/backups/runs", VIEWER),
    ("POST", "/apps/{slug}/backups/run", OPERATOR),
    ("POST", "/backups/configs/{id}/run", OPERATOR),
    ("GET", "/backups/runs/{id}", VIEWER),
    ("GET", "/backups/runs/{id}/log", VIEWER),
    ("GET", "/backups/runs/{id}/download", RESTORER),
    ("POST", "/backups/runs/{id}/cancellation", OPERATOR),
    ("POST", "/backups/runs/{id}/verification", OPERATOR),
    ("POST", "/backups/runs/{id}/copies/{copy}", OPERATOR),
    // Restores
    ("GET", "/backups/runs/{id}/restore-preview", RESTORER),
    ("POST", "/backups/restore/{id}", RESTORER),
    ("POST", "/apps/{slug}/backups/upload-restore", RESTORER),
    ("GET", "/restores", VIEWER),
    ("GET", "/restores/{id}", VIEWER),
    ("POST", "/restores/{id}/undo", RESTORER),
    ("POST", "/restores/{id}/cancellation", RESTORER),
    // What happened
    ("GET", "/activity", VIEWER),
    ("GET", "/activity/{position}", VIEWER),
    ("GET", "/apps/{slug}/activity", VIEWER),
    ("GET", "/audit/checkpoint", ADMIN),
    ("GET", "/audit/export", ADMIN),
    ("POST", "/audit/verify", ADMIN),
    ("POST", "/audit/pruning", ADMIN),
    // Users; everybody has tokens of their own
    ("GET", "/users", ADMIN),
    ("POST", "/users", ADMIN),
    ("PUT", "/users/{id}", ADMIN),
    ("DELETE", "/users/{id}", ADMIN),
    ("GET", "/users/{id}/grants", ADMIN),
    ("PUT", "/users/{id}/grants", ADMIN),
    ("PUT", "/users/{id}/password", ADMIN),
    ("GET", "/apikeys", VIEWER),
    ("POST", "/apikeys", OWNER),
    ("DELETE", "/apikeys/{id}", OWNER),
    // Who is told outside
    ("GET", "/webhooks", ADMIN),
    ("POST", "/webhooks", ADMIN),
    ("POST", "/webhooks/test", ADMIN),
    ("PUT", "/webhooks/{id}", ADMIN),
    ("DELETE", "/webhooks/{id}", ADMIN),
    ("GET", "/webhooks/{id}/deliveries", ADMIN),
    ("POST", "/webhooks/deliveries/{id}/redelivery", ADMIN),
    // The server itself
    ("GET", "/system/doctor", ADMIN),
    ("POST", "/system/rebuild", ADMIN),
    ("GET", "/system/artifacts", ADMIN),
    ("POST", "/system/artifacts/adoption", ADMIN),
    ("POST", "/system/artifacts/deletion", ADMIN),
    ("POST", "/system/artifacts/verification", ADMIN),
    ("GET", "/system/backup/config", ADMIN),
    ("POST", "/system/backup/config", ADMIN),
    ("GET", "/system/backup/runs", ADMIN),
    ("POST", "/system/backup/run", ADMIN),
    ("POST", "/system/backup/download", ADMIN),
];

/// Round all operations: finds the row, asks who is there, hands the caller on; and notes whom it, or the
/// operation, turned away.
pub async fn check<E: Endpoint>(endpoint: Arc<E>, req: Request) -> Result<Response> {
    let (method, form, access) = wanted(req.method(), req.uri().path())?;
    let web = req.data::<Web>().cloned();
    let browser = web.as_ref().map(|web| Browser::of(&req, web));
    let mut caller = None;
    let answer = enter(&*endpoint, req, (method, form, access), &mut caller).await;
    let (Err(error), Some(web), Some(browser)) = (&answer, web, browser) else {
        return answer;
    };
    let refusal = error.downcast_ref::<ApiError>().and_then(ApiError::refusal);
    // Whoever shows nothing was not turned away: they came to the wrong door.
    if let Some(why) = refusal.filter(|_| caller.is_some() || browser.shows_something) {
        let what = format!("{method} {form}");
        let noted = web
            .holdfast
            .note_refusal(caller.as_ref(), &browser.address, what, why);
        noted.await.map_err(ApiError::from)?;
    }
    answer
}

async fn enter<E: Endpoint>(
    endpoint: &E,
    mut req: Request,
    (method, form, access): Operation,
    known: &mut Option<Caller>,
) -> Result<Response> {
    if let Access::Needs(role, scope) = access {
        let caller = known.insert(caller(&req).await?);
        caller.must_be(role).map_err(ApiError::from)?;
        caller.must_have(scope).map_err(ApiError::from)?;
        req.extensions_mut().insert(caller.clone());
    }
    super::queries::check(method, form, req.uri().query())?;
    endpoint.call(req).await.map(IntoResponse::into_response)
}

/// Whoever asks, by session or token.
pub async fn caller(req: &Request) -> Result<Caller, ApiError> {
    let caller = authenticate(req).await?;
    Ok(caller.ok_or(AppError::Unauthenticated)?)
}

fn wanted(method: &Method, path: &str) -> Result<Operation, ApiError> {
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let rows = || OPERATIONS.iter().filter(|(_, form, _)| fits(form, path));
    if let Some(operation) = rows().find(|(name, ..)| *name == method.as_str()) {
        return Ok(*operation);
    }
    let allowed: Vec<&str> = rows().map(|(name, ..)| *name).collect();
    Err(if allowed.is_empty() {
        ApiError::no_such_route()
    } else {
        ApiError::method_not_allowed(&allowed)
    })
}

/// `/apps/{slug}` fits `/apps/shop`: a name in braces stands for one part, never for none.
pub fn fits(form: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    let same = form.split('/').all(|expected| {
        parts.next().is_some_and(|part| {
            if expected.starts_with('{') {
                !part.is_empty()
            } else {
                part == expected
            }
        })
    });
    same && parts.next().is_none()
}

/// By bearer token or session cookie. One that is shown must be good: a bad token with a good
/// cookie is refused.
async fn authenticate(req: &Request) -> Result<Option<Caller>, ApiError> {
    let Some(web) = req.data::<Web>() else {
        return Err(AppError::Internal("the API was assembled without its data".into()).into());
    };
    let browser = Browser::of(req, web);
    let from = &browser.address;
    if req.headers().contains_key(header::AUTHORIZATION) {
        let token = bearer(req).ok_or(AppError::Unauthenticated)?;
        return Ok(web.holdfast.bearer(token, from).await?);
    }
    Ok(match browser.session() {
        Some(cookie) => web.holdfast.session(cookie.expose(), from).await?,
        None => None,
    })
}

fn bearer(req: &Request) -> Option<&str> {
    let value = req.header(header::AUTHORIZATION)?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

impl ApiError {
    fn no_such_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such operation; /api/openapi.json lists them all",
        )
    }
}

#[cfg(test)]
mod tests {
    use poem::error::ResponseError;

    use super::*;

    #[test]
    fn a_path_fits_part_by_part() {
        assert!(fits("/apps/{slug}", "/apps/shop"));
        assert!(fits("/apps/{slug}/backups/run", "/apps/shop/backups/run"));
        for path in [
            "/apps",
            "/apps/",
            "/apps/shop/",
            "/apps/a/b",
            "apps/a",
            "/Apps/a",
        ] {
            assert!(!fits("/apps/{slug}", path), "{path}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_closed() {
        let get = |path| wanted(&Method::GET, path).map(|(_, _, access)| access);
        assert_eq!(get("/apps").ok(), Some(VIEWER));
        assert_eq!(
            wanted(&Method::HEAD, "/apps").ok(),
            Some(("GET", "/apps", VIEWER))
        );
        let missing = get("/nothing").map_err(|error| error.status().as_u16());
        assert_eq!(missing, Err(404));
        let refused = wanted(&Method::PATCH, "/apps/shop").map_err(|error| error.to_string());
        assert_eq!(refused, Err("use GET, PUT, DELETE here".to_owned()));
    }
}
