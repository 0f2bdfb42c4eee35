//! What every request that changes something, and every answer, has to pass.

use std::sync::Arc;

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
};

use super::{Web, errors::WebError};

/// No inline script or style, nothing from elsewhere, in nobody's frame.
const CSP: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; \
                   frame-ancestors 'none'; object-src 'none'";

/// Refuses changes that another site asks a logged-in browser for. Browsers say where a request
/// comes from (`Sec-Fetch-Site`, before that `Origin`); what says neither is no browser, and has
/// no session that somebody else could use. A bearer token is never sent unasked.
pub async fn changes<E: Endpoint>(endpoint: Arc<E>, req: Request) -> Result<Response> {
    let safe = matches!(*req.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let bearer = req.headers().contains_key(header::AUTHORIZATION);
    if !safe && !bearer && is_foreign(req.headers()) {
        return if req.original_uri().path().starts_with("/api/") {
            Ok(foreign_call())
        } else {
            Err(WebError::CrossSite.into())
        };
    }
    endpoint.call(req).await.map(IntoResponse::into_response)
}

/// In the API's form of an error.
fn foreign_call() -> Response {
    let body = serde_json::json!({
        "error": "forbidden",
        "message": "another site asked for this change; use a bearer token",
    });
    Response::builder()
        .status(StatusCode::FORBIDDEN)
        .content_type("application/json")
        .body(body.to_string())
}

fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(header::ORIGIN) else {
        return false;
    };
    let host = text(header::HOST).unwrap_or_default();
    origin
        .split_once("://")
        .is_none_or(|(_, from)| from != host)
}

/// Headers of every answer. Pages are private and always asked for anew; what sets its own
/// `Cache-Control` keeps it.
pub async fn headers<E: Endpoint>(endpoint: Arc<E>, req: Request) -> Result<Response> {
    let https = req.data::<Web>().is_some_and(|web| web.https);
    let mut response = endpoint.get_response(req).await;
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", CSP),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        (
            "permissions-policy",
            "camera=(), geolocation=(), microphone=()",
        ),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    if https {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.append(
        header::VARY,
        HeaderValue::from_static("Accept-Encoding, Cookie, HX-Request, HX-Target"),
    );
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers_of(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn only_the_own_site_may_change_things() {
        let host = ("host", "backup.example:7700");
        for (headers, foreign) in [
            (vec![host], false),
            (vec![host, ("sec-fetch-site", "same-origin")], false),
            (vec![host, ("sec-fetch-site", "none")], false),
            (vec![host, ("sec-fetch-site", "same-site")], true),
            (vec![host, ("sec-fetch-site", "cross-site")], true),
            (vec![host, ("origin", "http://backup.example:7700")], false),
            (vec![host, ("origin", "http://backup.example")], true),
            (vec![host, ("origin", "https://evil.example")], true),
            (vec![host, ("origin", "null")], true),
        ] {
            assert_eq!(is_foreign(&headers_of(&headers)), foreign, "{headers:?}");
        }
    }
}
