//! Trying the target's settings out as they stand in the form, before they are saved.

use askama::Template;
use poem::{Response, handler, http::StatusCode};

use crate::{
    app::AppError,
    domain::{access::Role, failure::FieldErrors, ids::ConfigId, secret::Secret},
    target::Trial,
    web::{
        errors::WebError,
        page, parts,
        request::{Form, Visit},
    },
};

#[derive(Template)]
#[template(path = "config/_trial.html")]
struct Shown {
    trials: Vec<Trial>,
    good: bool,
    problems: Vec<(String, String)>,
}

impl Shown {
    /// `read_back` → `read back`.
    fn words(trial: &Trial) -> String {
        trial.name.replace('_', " ")
    }
}

#[handler]
pub async fn try_target(visit: Visit, form: Form) -> Result<Response, WebError> {
    visit.caller.must_be(Role::Operator)?;
    let kind = form.text("target");
    let settings = form.group(&format!("target.{kind}")).into_iter();
    let settings = settings
        .map(|(name, value)| (name, Secret::new(value)))
        .collect();
    let config = form.text("config").parse().ok().map(ConfigId);
    let tried = visit
        .holdfast
        .try_target(&visit.caller, kind, settings, config)
        .await;
    let shown = match tried {
        Ok(trials) => Shown {
            good: trials.problem().is_none(),
            trials: trials.0,
            problems: Vec::new(),
        },
        Err(AppError::Invalid(FieldErrors(problems))) => Shown {
            good: false,
            trials: Vec::new(),
            problems: problems.into_iter().collect(),
        },
        Err(error) => return Err(error.into()),
    };
    page::fragment(StatusCode::OK, &shown)
}
