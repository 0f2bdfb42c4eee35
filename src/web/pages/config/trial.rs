//! Trying the target's settings out as they stand in the form, before they are saved.

use std::collections::BTreeMap;

use askama::Template;
use poem::{Response, handler, http::StatusCode};

use crate::{
    app::{AppError, FoundDraft, MASK},
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
pub struct Shown {
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
    let mut settings = form.group(&group(&form));
    if let Some(kept) = kept(&visit, &form).await? {
        let kept = kept.group(&group(&form));
        for (name, value) in &mut settings {
            if let Some(known) = kept.get(name).filter(|_| value == MASK) {
                value.clone_from(known);
            }
        }
    }
    let shown = tried(&visit, &form, settings).await?;
    page::fragment(StatusCode::OK, &shown)
}

/// `form` as it stands, secrets among it.
pub async fn try_out(visit: &Visit, form: &Form) -> Result<Shown, WebError> {
    tried(visit, form, form.group(&group(form))).await
}

fn group(form: &Form) -> String {
    format!("target.{}", form.text("target"))
}

/// What was entered on this and other steps.
async fn kept(visit: &Visit, form: &Form) -> Result<Option<Form>, WebError> {
    let (slug, id) = (form.text("app"), form.text("draft"));
    if id.is_empty() {
        return Ok(None);
    }
    let app = visit.holdfast.app_to_act_in(&visit.caller, slug).await?;
    let found = visit.holdfast.draft(&visit.caller, app.app_id(), id);
    Ok(match found {
        Some(FoundDraft::Open(fields)) => Some(Form::of(fields.expose().clone())),
        Some(FoundDraft::Done(_)) | None => None,
    })
}

async fn tried(
    visit: &Visit,
    form: &Form,
    settings: BTreeMap<String, String>,
) -> Result<Shown, WebError> {
    let settings = settings.into_iter();
    let settings = settings
        .map(|(name, value)| (name, Secret::new(value)))
        .collect();
    let config = form.text("config").parse().ok().map(ConfigId);
    let tried = visit
        .holdfast
        .try_target(&visit.caller, form.text("target"), settings, config)
        .await;
    match tried {
        Ok(trials) => Ok(Shown {
            good: trials.problem().is_none(),
            trials: trials.0,
            problems: Vec::new(),
        }),
        Err(AppError::Invalid(FieldErrors(problems))) => Ok(Shown {
            good: false,
            trials: Vec::new(),
            problems: problems.into_iter().collect(),
        }),
        Err(error) => Err(error.into()),
    }
}
