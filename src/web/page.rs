//! The frame round a page's content. A content is a template of its own; a normal request gets it
//! inside the frame, htmx gets it alone. Both come from the same value, so they cannot drift.

use askama::Template;
use poem::{IntoResponse, Response, http::StatusCode};

use super::{
    assets,
    errors::WebError,
    parts,
    request::{Browser, Visit},
};

/// Which entry of the navigation a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Backups,
    Apps,
    Activity,
}

impl Section {
    /// The navigation: section, address, label, icon.
    pub const ALL: [(Self, &'static str, &'static str, &'static str); 3] = [
        (Self::Backups, "/", "Backups", "shield-check"),
        (Self::Apps, "/apps", "Apps", "apps"),
        (Self::Activity, "/activity", "Activity", "activity"),
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    System,
    Light,
    Dark,
}

impl Theme {
    pub const COOKIE: &'static str = "theme";
    pub const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::System, "System", "screen"),
        (Self::Light, "Light", "sun"),
        (Self::Dark, "Dark", "moon"),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub fn parse(name: &str) -> Self {
        match name {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::System,
        }
    }
}

#[derive(Template)]
#[template(path = "base.html")]
struct Framed<'a, C: Template> {
    title: &'a str,
    theme: Theme,
    section: Option<Section>,
    /// Name and role; nobody on the pages before the log-in.
    person: Option<(&'a str, &'static str)>,
    csrf: String,
    path: &'a str,
    content: &'a C,
}

impl<C: Template> Framed<'_, C> {
    fn theme_attribute(&self) -> Option<&'static str> {
        (self.theme != Theme::System).then(|| self.theme.name())
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates hand over references"
    )]
    fn is_here(&self, section: &Section) -> bool {
        self.section == Some(*section)
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates hand over references"
    )]
    fn is_chosen(&self, theme: &Theme) -> bool {
        self.theme == *theme
    }
}

impl Visit {
    /// The whole page, or its content alone for htmx.
    pub fn page<C: Template>(
        &self,
        title: &str,
        section: Section,
        content: &C,
    ) -> Result<Response, WebError> {
        self.page_with(StatusCode::OK, title, section, content)
    }

    pub fn page_with<C: Template>(
        &self,
        status: StatusCode,
        title: &str,
        section: Section,
        content: &C,
    ) -> Result<Response, WebError> {
        if self.browser.htmx {
            return fragment(status, content);
        }
        fragment(
            status,
            &Framed {
                title,
                theme: self.browser.theme,
                section: Some(section),
                person: Some((&self.caller.actor.name, self.caller.role.name())),
                csrf: self.browser.form_token(),
                path: &self.browser.path,
                content,
            },
        )
    }

    /// True when htmx asks for that element alone.
    pub fn wants(&self, element: &str) -> bool {
        self.browser.htmx && self.browser.target.as_deref() == Some(element)
    }
}

impl Browser {
    /// A page for whoever is not logged in: no navigation.
    pub fn bare_page<C: Template>(
        &self,
        status: StatusCode,
        title: &str,
        content: &C,
    ) -> Result<Response, WebError> {
        if self.htmx {
            return fragment(status, content);
        }
        fragment(
            status,
            &Framed {
                title,
                theme: self.theme,
                section: None,
                person: None,
                csrf: self.form_token(),
                path: &self.path,
                content,
            },
        )
    }

    /// On to another page after something was done: 303, or htmx' word for it.
    pub fn go(&self, path: &str) -> Response {
        if self.htmx {
            Response::builder().header("HX-Redirect", path).finish()
        } else {
            Response::builder()
                .status(StatusCode::SEE_OTHER)
                .header("Location", path)
                .finish()
        }
    }
}

/// A template as an answer.
pub fn fragment<C: Template>(status: StatusCode, content: &C) -> Result<Response, WebError> {
    let html = render(content)?;
    Ok(poem::web::Html(html).with_status(status).into_response())
}

pub fn render<C: Template>(content: &C) -> Result<String, WebError> {
    content
        .render()
        .map_err(|error| WebError::defect(format!("a template failed: {error}")))
}
