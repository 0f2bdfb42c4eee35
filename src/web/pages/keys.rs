//! A new key pair for a person to keep: made for this answer, and kept nowhere.

use askama::Template;
use poem::{Response, handler, http::StatusCode};

use crate::{
    app::new_key,
    domain::access::Role,
    web::{
        errors::WebError,
        field::Token,
        page::{self, Section},
        parts,
        request::{Form, Visit},
    },
};

#[derive(Template)]
#[template(path = "keys/content.html")]
struct Content {
    /// As HTML, once it is made.
    pair: Option<String>,
    token: Token,
}

#[derive(Template)]
#[template(path = "keys/_pair.html")]
struct Pair {
    public: String,
    private: String,
}

#[handler]
pub fn show(visit: Visit) -> Result<Response, WebError> {
    respond(&visit, None)
}

#[handler]
pub fn make(visit: Visit, _form: Form) -> Result<Response, WebError> {
    visit.caller.must_be(Role::Operator)?;
    let (public, private) = new_key();
    let private = private.expose().clone();
    let pair = Pair { public, private };
    if visit.browser.htmx {
        return page::fragment(StatusCode::OK, &pair);
    }
    respond(&visit, Some(page::render(&pair)?))
}

fn respond(visit: &Visit, pair: Option<String>) -> Result<Response, WebError> {
    visit.caller.must_be(Role::Operator)?;
    let token = Token(visit.browser.form_token());
    visit.page("A new key", Section::Apps, &Content { pair, token })
}
