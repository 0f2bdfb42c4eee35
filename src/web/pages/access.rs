//! Who may open which page: one table, and the gate that keeps to it. What is not in the table is not
//! found, so a page that somebody forgot to add is closed, not open.

use std::sync::Arc;

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{Method, StatusCode},
};

use crate::{
    domain::access::Role,
    web::{Web, api::access::fits, errors::WebError, request::Browser},
};

/// `None`: anybody. Within an app, grants are looked at where the app is.
type Least = Option<Role>;

const VIEWER: Least = Some(Role::Viewer);
const OPERATOR: Least = Some(Role::Operator);
const ADMIN: Least = Some(Role::Admin);

/// Methods with commas between them, path, least role.
pub const PAGES: &[(&str, &str, Least)] = &[
    ("GET,POST", "/login", None),
    ("GET", "/login/sso", None),
    ("GET", "/login/sso/return", None),
    ("GET,POST", "/setup", None),
    ("POST", "/logout", VIEWER),
    ("POST", "/theme", None),
    ("GET", "/", VIEWER),
    ("GET", "/apps", VIEWER),
    ("GET,POST", "/apps/new", OPERATOR),
    ("GET", "/apps/{slug}", VIEWER),
    ("POST", "/apps/{slug}/run", OPERATOR),
    ("GET,POST", "/apps/{slug}/upload-restore", OPERATOR),
    ("GET,POST", "/apps/{slug}/configs/new", OPERATOR),
    ("GET,POST", "/apps/{slug}/configs/new/{step}", OPERATOR),
    ("GET", "/apps/{slug}/configs/all", OPERATOR),
    ("GET,POST", "/configs/{id}", OPERATOR),
    ("POST", "/configs/{id}/run", OPERATOR),
    ("POST", "/configs/{id}/switch", OPERATOR),
    ("GET", "/configs/{id}/retention", VIEWER),
    ("POST", "/configs/{id}/delete", OPERATOR),
    ("GET,POST", "/configs/{id}/trigger", OPERATOR),
    ("POST", "/configs/{id}/trigger/revoke", OPERATOR),
    ("GET", "/configs/{id}/pings", VIEWER),
    ("POST", "/configs/{id}/pings/again", OPERATOR),
    ("GET,POST", "/keys", OPERATOR),
    ("GET", "/schedule", VIEWER),
    ("GET", "/retention", VIEWER),
    ("POST", "/targets/trial", OPERATOR),
    ("GET", "/runs/{id}", VIEWER),
    ("POST", "/runs/{id}/verify", OPERATOR),
    ("POST", "/runs/{id}/copies/{copy}", OPERATOR),
    ("POST", "/runs/{id}/cancel", OPERATOR),
    ("GET", "/runs/{id}/by-hand", VIEWER),
    ("GET", "/runs/{id}/download", OPERATOR),
    ("GET,POST", "/runs/{id}/restore", OPERATOR),
    ("GET", "/restores/{id}", VIEWER),
    ("POST", "/restores/{id}/undo", OPERATOR),
    ("POST", "/restores/{id}/cancel", OPERATOR),
    ("GET", "/activity", VIEWER),
    ("GET", "/activity/{position}", VIEWER),
    ("GET", "/apps/{slug}/activity", VIEWER),
    ("GET", "/find", VIEWER),
    ("GET", "/api-reference", VIEWER),
    // Of one's own
    ("GET", "/account", VIEWER),
    ("GET,POST", "/prove", VIEWER),
    ("GET", "/prove/sso", VIEWER),
    ("GET,POST", "/account/second-factor", VIEWER),
    ("POST", "/account/second-factor/confirmation", VIEWER),
    ("POST", "/account/second-factor/remove", VIEWER),
    ("POST", "/account/tokens", VIEWER),
    ("POST", "/account/tokens/{id}/revoke", VIEWER),
    ("POST", "/account/sessions/{id}/end", VIEWER),
    // Of the server
    ("GET,POST", "/users", ADMIN),
    ("POST", "/users/{id}", ADMIN),
    ("POST", "/users/{id}/switch", ADMIN),
    ("POST", "/users/{id}/delete", ADMIN),
    ("GET", "/system", ADMIN),
    ("POST", "/system/log-check", ADMIN),
    ("POST", "/system/rebuild", ADMIN),
    ("GET", "/system/artifacts", ADMIN),
    ("POST", "/system/artifacts/adopt", ADMIN),
    ("POST", "/system/artifacts/delete", ADMIN),
    ("POST", "/system/artifacts/verify", ADMIN),
    ("GET,POST", "/system/backup", ADMIN),
    ("POST", "/system/backup/run", ADMIN),
    ("POST", "/system/backup/download", ADMIN),
    ("GET,POST", "/webhooks", ADMIN),
    ("POST", "/webhooks/{id}/test", ADMIN),
    ("POST", "/webhooks/{id}/switch", ADMIN),
    ("POST", "/webhooks/{id}/delete", ADMIN),
    ("POST", "/webhooks/deliveries/{id}/redeliver", ADMIN),
];

/// Round all pages.
pub async fn check<E: Endpoint>(endpoint: Arc<E>, req: Request) -> Result<Response> {
    let least = wanted(req.method(), req.uri().path())
        .ok_or_else(|| poem::Error::from_status(StatusCode::NOT_FOUND))?;
    if let Some(role) = least {
        must_be(&req, role).await?;
    }
    endpoint.call(req).await.map(IntoResponse::into_response)
}

async fn must_be(req: &Request, role: Role) -> Result<(), WebError> {
    let web = req.data::<Web>();
    let web = web.ok_or_else(|| WebError::defect("the pages were assembled without their data"))?;
    let browser = Browser::of(req, web);
    let caller = match browser.session() {
        Some(cookie) => {
            web.holdfast
                .session(cookie.expose(), &browser.address)
                .await?
        }
        None => None,
    };
    match caller {
        Some(caller) => Ok(caller.must_be(role)?),
        // Where to go instead is for whoever takes the visit to say.
        None => Ok(()),
    }
}

fn wanted(method: &Method, path: &str) -> Option<Least> {
    let method = match *method {
        Method::HEAD => "GET",
        _ => method.as_str(),
    };
    let mut rows = PAGES.iter().filter(|(_, form, _)| fits(form, path));
    // A name in the place of a number comes later in the table than the path it would hide.
    let row = rows.find(|(methods, ..)| methods.split(',').any(|one| one == method));
    row.map(|(.., least)| *least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_table_is_closed() {
        assert_eq!(wanted(&Method::GET, "/apps/new"), Some(OPERATOR));
        assert_eq!(wanted(&Method::GET, "/apps/shop"), Some(VIEWER));
        assert_eq!(wanted(&Method::HEAD, "/"), Some(VIEWER));
        assert_eq!(wanted(&Method::POST, "/apps/shop"), None);
        assert_eq!(wanted(&Method::GET, "/nothing"), None);
        assert_eq!(wanted(&Method::DELETE, "/users"), None);
    }

    /// The routes as their file has them: the router does not tell.
    #[test]
    fn every_route_is_in_the_table() {
        let routes = include_str!("mod.rs").split(".at(").skip(1);
        for route in routes {
            let path = route.split('"').nth(1).unwrap_or_default();
            let parts = path.split('/').map(|part| match part.strip_prefix(':') {
                Some(name) => format!("{{{name}}}"),
                None => part.to_owned(),
            });
            let form = parts.collect::<Vec<_>>().join("/");
            assert!(PAGES.iter().any(|(_, known, _)| *known == form), "{form}");
        }
    }
}
