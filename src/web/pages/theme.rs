//! Light, dark or as the system: kept in a cookie, so that the server sends the right page at once
//! and nothing flashes.

use poem::{Response, handler, http::header};

use super::login::own_path;
use crate::web::{
    errors::WebError,
    page::Theme,
    request::{Browser, Form},
};

#[expect(clippy::needless_pass_by_value, reason = "extractors come as values")]
#[handler]
pub fn choose(browser: Browser, form: Form) -> Result<Response, WebError> {
    let theme = Theme::parse(form.text("theme"));
    let mut response = browser.go(own_path(form.text("back")));
    let cookie = browser
        .set_theme(theme)
        .parse()
        .map_err(|_| WebError::defect("a theme is no header value"))?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}
