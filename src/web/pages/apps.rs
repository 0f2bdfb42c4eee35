//! The apps, the compose projects that could become one, and the form that adds one.

use std::collections::BTreeMap;

use askama::Template;
use poem::{Response, handler, http::StatusCode, web::Query};
use serde::Deserialize;

use super::dashboard::{AppRow, Facts, NextRun, app_rows};
use crate::{
    app::{AppError, Project},
    domain::{access::Role, app::AppSpec, failure::FieldErrors},
    web::{
        catalog::{self, Tag},
        errors::WebError,
        field::{Field, Token, focus_first_error},
        page::Section,
        parts,
        request::{Form, Visit},
        words,
    },
};

#[derive(Template)]
#[template(path = "apps/content.html")]
struct Content {
    apps: Vec<AppRow>,
    found: Found,
    can_act: bool,
}

/// What the engine shows and no app looks after yet.
struct Found {
    projects: Vec<FoundProject>,
    /// Why there is nothing, when the engine did not answer.
    problem: Option<String>,
}

struct FoundProject {
    name: String,
    services: usize,
    tags: Vec<Tag>,
}

#[derive(Template)]
#[template(path = "apps/new.html")]
struct NewApp {
    found: Found,
    form: AddForm,
}

#[derive(Template)]
#[template(path = "apps/_form.html")]
struct AddForm {
    fields: [Field; 4],
    token: Token,
}

#[derive(Deserialize)]
struct Asked {
    /// Picked from what the engine shows.
    #[serde(default)]
    project: String,
}

#[handler]
pub async fn show(visit: Visit) -> Result<Response, WebError> {
    let facts = Facts::load(&visit).await?;
    let content = Content {
        apps: app_rows(&facts, &facts.healths(visit.now), visit.now),
        found: found(&visit).await,
        can_act: visit.can_act_everywhere(),
    };
    visit.page("Apps", Section::Apps, &content)
}

#[handler]
pub async fn add_form(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    visit.caller.must_be_everywhere(Role::Operator)?;
    let typed = Typed {
        slug: &slug_of(&asked.project),
        name: "",
        project: &asked.project,
        compose_path: "",
    };
    let content = NewApp {
        found: found(&visit).await,
        form: AddForm::new(&visit, &typed, &FieldErrors::default()),
    };
    visit.page("Add app", Section::Apps, &content)
}

#[handler]
pub async fn add(visit: Visit, form: Form) -> Result<Response, WebError> {
    let typed = Typed {
        slug: form.text("slug"),
        name: form.text("name"),
        project: form.text("project"),
        compose_path: form.text("compose_path"),
    };
    let spec = AppSpec {
        name: typed.name.to_owned(),
        project: typed.project.to_owned(),
        compose_path: (!typed.compose_path.is_empty()).then(|| typed.compose_path.to_owned()),
        compose_upload: None,
    };
    let added = visit
        .holdfast
        .register_app(&visit.caller, typed.slug, spec)
        .await;
    let errors = match added {
        Ok(app) => return Ok(visit.browser.go(&format!("/apps/{}", app.slug))),
        Err(AppError::Invalid(errors)) => errors,
        Err(error) => return Err(error.into()),
    };
    let form = AddForm::new(&visit, &typed, &errors);
    if visit.browser.htmx {
        return visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, "", Section::Apps, &form);
    }
    let content = NewApp {
        found: found(&visit).await,
        form,
    };
    visit.page_with(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Add app",
        Section::Apps,
        &content,
    )
}

struct Typed<'a> {
    slug: &'a str,
    name: &'a str,
    project: &'a str,
    compose_path: &'a str,
}

impl AddForm {
    fn new(visit: &Visit, typed: &Typed<'_>, errors: &FieldErrors) -> Self {
        let mut fields = [
            Field::new("project", "Compose project")
                .help("As the engine names it: the label com.docker.compose.project.")
                .value(typed.project)
                .error(errors, "project"),
            Field::new("slug", "Short name")
                .help("Part of addresses and folder names; it stays for good. Lower-case letters, digits and dashes.")
                .value(typed.slug)
                .required()
                .error(errors, "slug"),
            Field::new("name", "Name")
                .help("For people. The short name when empty.")
                .value(typed.name)
                .error(errors, "name"),
            Field::new("compose_path", "Compose file")
                .help("Absolute path on this server, when it can be read here: then services are found that do not run, and labels count as they are written today.")
                .value(typed.compose_path)
                .error(errors, "compose_path"),
        ];
        if errors.0.is_empty() {
            let first = usize::from(!typed.project.is_empty());
            fields[first].autofocus = true;
        } else {
            focus_first_error(&mut fields);
        }
        Self {
            fields,
            token: Token(visit.browser.form_token()),
        }
    }
}

/// Pages must not fail because the engine is away: what it shows is an offer, no more.
async fn found(visit: &Visit) -> Found {
    if !visit.can_act_everywhere() {
        return Found {
            projects: Vec::new(),
            problem: None,
        };
    }
    match visit.holdfast.discover(&visit.caller).await {
        Ok(projects) => Found {
            projects: projects
                .iter()
                .filter(|p| p.registered.is_none())
                .map(found_project)
                .collect(),
            problem: None,
        },
        Err(error) => Found {
            projects: Vec::new(),
            problem: Some(error.to_string()),
        },
    }
}

fn found_project(project: &Project) -> FoundProject {
    let kinds: BTreeMap<&str, Tag> = project
        .services
        .iter()
        .flat_map(|service| service.strategies.keys())
        .map(|kind| (*kind, catalog::strategy_tag(kind)))
        .collect();
    FoundProject {
        name: project.name.clone(),
        services: project.services.len(),
        tags: kinds.into_values().collect(),
    }
}

/// A slug close to a project's name.
fn slug_of(project: &str) -> String {
    let dashed: String = project
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(63)
        .collect();
    dashed.trim_matches('-').to_owned()
}
