//! From a request to who asks and what was sent. A handler that takes a `Visit` cannot be reached
//! without a session; one that takes a `Form` cannot be reached without the form's token.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use poem::{Body, FromRequest, Request, RequestBody, http::header};
use sha2::{Digest, Sha256};

use super::{Web, errors::WebError, page::Theme};
use crate::{
    app::{Caller, Holdfast},
    domain::{access::Role, secret::Secret},
};

/// A form is names and choices; more than this is none of ours.
const FORM_MAX: usize = 256 * 1024;
/// Name of the hidden field.
pub const TOKEN: &str = "csrf";

/// What a browser says about itself, known or not.
#[derive(Debug, Clone)]
pub struct Browser {
    pub theme: Theme,
    /// htmx asks for a fragment; the id of the element it goes to, when it has one.
    pub htmx: bool,
    pub target: Option<String>,
    /// Path and query of this page, to come back to.
    pub path: String,
    pub address: String,
    pub agent: String,
    pub https: bool,
    /// A token or a session's cookie came with the request, good or bad.
    pub shows_something: bool,
    cookie: Option<Secret>,
    sso: Option<Secret>,
}

/// Somebody who is logged in, on their way through one request.
pub struct Visit {
    pub holdfast: Holdfast,
    pub caller: Caller,
    pub browser: Browser,
    pub now: DateTime<Utc>,
}

impl Visit {
    /// May they start, change and restore?
    pub fn can_act(&self) -> bool {
        self.caller.role >= Role::Operator
    }

    /// The same in every app, and so with what the whole host runs.
    pub fn can_act_everywhere(&self) -> bool {
        self.caller.must_be_everywhere(Role::Operator).is_ok()
    }

    pub fn is_admin(&self) -> bool {
        self.caller.role >= Role::Admin
    }
}

impl Browser {
    pub fn of(req: &Request, web: &Web) -> Self {
        let https = web.https || req.scheme() == &poem::http::uri::Scheme::HTTPS;
        let path = req.original_uri();
        Self {
            theme: cookie(req, Theme::COOKIE).map_or(Theme::System, Theme::parse),
            htmx: req.header("HX-Request").is_some(),
            target: req.header("HX-Target").map(ToOwned::to_owned),
            path: path.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
            address: req
                .remote_addr()
                .as_socket_addr()
                .map_or_else(String::new, |address| address.ip().to_string()),
            agent: req
                .header(header::USER_AGENT)
                .unwrap_or_default()
                .to_owned(),
            shows_something: req.headers().contains_key(header::AUTHORIZATION)
                || cookie(req, session_cookie(https)).is_some(),
            cookie: cookie(req, session_cookie(https)).map(Secret::from),
            sso: cookie(req, sso_cookie(https)).map(Secret::from),
            https,
        }
    }

    pub fn session(&self) -> Option<&Secret> {
        self.cookie.as_ref()
    }

    /// What this session's forms carry. It follows from the cookie, which no other site can read,
    /// so there is nothing to store. Without a session there is nothing to protect.
    pub fn form_token(&self) -> String {
        self.cookie.as_ref().map_or_else(String::new, |cookie| {
            let mut sha = Sha256::new();
            sha.update(b"holdfast form token\0");
            sha.update(cookie.expose().as_bytes());
            hex::encode(sha.finalize())
        })
    }

    /// `Set-Cookie` of a new session, or of the end of one.
    pub fn set_session(&self, value: Option<&Secret>) -> String {
        let age = if value.is_some() { "" } else { "; Max-Age=0" };
        let value = value.map_or("", |secret| secret.expose().as_str());
        let name = session_cookie(self.https);
        format!(
            "{name}={value}; Path=/; HttpOnly; SameSite=Lax{}{age}",
            self.secure()
        )
    }

    /// What it was given when it went to log in elsewhere.
    pub fn sso(&self) -> Option<&Secret> {
        self.sso.as_ref()
    }

    /// `Set-Cookie` of that, for as long as the way takes; or its end.
    pub fn set_sso(&self, value: Option<&Secret>) -> String {
        let age = if value.is_some() { 600 } else { 0 };
        let value = value.map_or("", |secret| secret.expose().as_str());
        let (name, secure) = (sso_cookie(self.https), self.secure());
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}; Max-Age={age}")
    }

    pub fn set_theme(&self, theme: Theme) -> String {
        let (name, value) = (Theme::COOKIE, theme.name());
        format!(
            "{name}={value}; Path=/; Max-Age=31536000; SameSite=Lax{}",
            self.secure()
        )
    }

    fn secure(&self) -> &'static str {
        if self.https { "; Secure" } else { "" }
    }
}

/// `__Host-` needs https; a plain name on http, where the server is on loopback.
fn session_cookie(https: bool) -> &'static str {
    if https { "__Host-holdfast" } else { "holdfast" }
}

fn sso_cookie(https: bool) -> &'static str {
    if https {
        "__Host-holdfast-sso"
    } else {
        "holdfast-sso"
    }
}

fn cookie<'r>(req: &'r Request, name: &str) -> Option<&'r str> {
    req.headers()
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

fn web(req: &Request) -> Result<&Web, WebError> {
    req.data::<Web>()
        .ok_or_else(|| WebError::defect("the endpoint was assembled without its data"))
}

impl<'a> FromRequest<'a> for Browser {
    async fn from_request(req: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self::of(req, web(req)?))
    }
}

impl<'a> FromRequest<'a> for Visit {
    async fn from_request(req: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(visit(req).await?)
    }
}

async fn visit(req: &Request) -> Result<Visit, WebError> {
    let web = web(req)?;
    let browser = Browser::of(req, web);
    let caller = match browser.session() {
        Some(cookie) => {
            web.holdfast
                .session(cookie.expose(), &browser.address)
                .await?
        }
        None => None,
    };
    let Some(caller) = caller else {
        let set_up = web.holdfast.needs_setup().await?;
        return Err(if set_up {
            WebError::SetUpFirst
        } else {
            WebError::LogInFirst
        });
    };
    Ok(Visit {
        holdfast: web.holdfast.clone(),
        caller,
        now: web.holdfast.log().now(),
        browser,
    })
}

/// The fields of a submitted form, in order.
#[derive(Debug, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// From names and values that were not sent, or not now.
    pub fn of(fields: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(fields.into_iter().collect())
    }

    /// With further ones behind them: of one name the first counts.
    #[must_use]
    pub fn and(mut self, fields: impl IntoIterator<Item = (String, String)>) -> Self {
        self.0.extend(fields);
        self
    }

    /// Names and values, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Trimmed; empty when it was not sent.
    pub fn text(&self, name: &str) -> &str {
        self.first(name).unwrap_or_default().trim()
    }

    /// As typed: spaces may be part of it.
    pub fn secret(&self, name: &str) -> Secret {
        Secret::from(self.first(name).unwrap_or_default())
    }

    pub fn checked(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// `None` when empty; an error of that field when it is no number.
    pub fn number(&self, name: &str) -> Result<Option<u32>, String> {
        match self.text(name) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| "use a whole number".to_owned()),
        }
    }

    /// `option.database` and its like: what follows the prefix, and its value.
    pub fn group(&self, prefix: &str) -> BTreeMap<String, String> {
        let fields = self.0.iter();
        fields
            .filter_map(|(name, value)| {
                let name = name.strip_prefix(prefix)?.strip_prefix('.')?;
                Some((name.to_owned(), value.trim().to_owned()))
            })
            .collect()
    }

    fn first(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        fields.find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }
}

impl<'a> FromRequest<'a> for Form {
    async fn from_request(req: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let bytes = body.take()?.into_bytes_limit(FORM_MAX).await?;
        let mut read = RequestBody::new(Body::from_bytes(bytes));
        let fields = poem::web::Form::<Vec<(String, String)>>::from_request(req, &mut read).await?;
        let form = Self(fields.0);
        let expected = Browser::of(req, web(req)?).form_token();
        // Digests are compared, so that the time it takes tells nothing of the token.
        if Sha256::digest(form.text(TOKEN)) != Sha256::digest(&expected) {
            return Err(WebError::ForeignForm.into());
        }
        Ok(form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(cookies: &str) -> Request {
        Request::builder().header("cookie", cookies).finish()
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let req = request("theme=dark; xholdfast=1; holdfast=hfw_a=b");
        assert_eq!(cookie(&req, "holdfast"), Some("hfw_a=b"));
        assert_eq!(cookie(&req, "theme"), Some("dark"));
        assert_eq!(cookie(&req, "fast"), None);
    }

    #[test]
    fn groups_take_what_follows_the_prefix() {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let form = Form(vec![
            field("option.database", " shop "),
            field("options", "no"),
            field("days", "x"),
        ]);
        assert_eq!(
            form.group("option").get("database").map(String::as_str),
            Some("shop")
        );
        assert_eq!(form.group("option").len(), 1);
        assert_eq!(form.number("days"), Err("use a whole number".to_owned()));
        assert_eq!(form.number("count"), Ok(None));
    }
}
