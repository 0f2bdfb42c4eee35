//! A restore: look at what it would do, confirm with the app's name, watch it, and take it back.

mod preview;
mod view;

use askama::Template;
use poem::{
    Response, handler,
    http::StatusCode,
    web::{Path, Query},
};
use serde::Deserialize;

pub use self::view::RestoredFrom;
use self::{preview::PreviewView, view::RestoreView};
use crate::{
    app::{AppError, Preview, RestoreInput},
    domain::{
        event::StreamKind,
        failure::FieldErrors,
        ids::{AppId, RestoreId, RunId},
    },
    log::StreamId,
    web::{
        errors::WebError,
        field::{Field, Token},
        live::Part,
        page::{self, Section},
        pages::run::Progress,
        parts,
        request::{Form, Visit},
        words,
    },
};

#[derive(Template)]
#[template(path = "restore/new.html")]
struct NewRestore {
    preview: PreviewView,
    form: ConfirmForm,
}

#[derive(Template)]
#[template(path = "restore/_form.html")]
struct ConfirmForm {
    run: i64,
    app: String,
    service: String,
    /// The place to read from, when one was chosen; empty else.
    from: String,
    /// What is there now is backed up before.
    back_up_first: bool,
    /// Said on the button: what will be replaced.
    target: String,
    keep: String,
    possible: bool,
    /// Asked for when the backup is encrypted.
    identity: Option<Field>,
    confirm: Field,
    problem: Option<String>,
    token: Token,
}

#[derive(Template)]
#[template(path = "restore/content.html")]
struct Content {
    restore: RestoreContent,
    id: i64,
    over: bool,
    position: i64,
}

/// What is sent again with every event of the restore.
#[derive(Template)]
#[template(path = "restore/_restore.html")]
struct RestoreContent {
    restore: RestoreView,
    progress: Option<Progress>,
    can_act: bool,
    token: Token,
}

#[derive(Default, Deserialize)]
struct Picked {
    /// Another service of the same app; the one that was backed up when empty.
    #[serde(default)]
    service: String,
    /// The place to read from; the first that has the backup when empty.
    #[serde(default)]
    from: String,
}

/// As it is picked: where to, and where from.
struct Choice<'a> {
    service: &'a str,
    from: &'a str,
    back_up_first: bool,
}

impl Choice<'_> {
    fn from(&self) -> Result<Option<u32>, AppError> {
        match self.from {
            "" => Ok(None),
            number => number
                .parse()
                .map(Some)
                .map_err(|_| AppError::field("from", "choose one of the places")),
        }
    }
}

#[handler]
pub async fn preview_form(
    visit: Visit,
    Path(id): Path<i64>,
    Query(picked): Query<Picked>,
) -> Result<Response, WebError> {
    visit
        .holdfast
        .run_to_act_on(&visit.caller, RunId(id))
        .await?;
    let choice = Choice {
        service: &picked.service,
        from: &picked.from,
        back_up_first: false,
    };
    let content = NewRestore::load(&visit, RunId(id), &choice, "", None).await?;
    visit.page(&format!("Restore run {id}"), Section::Apps, &content)
}

#[handler]
pub async fn request(visit: Visit, Path(id): Path<i64>, form: Form) -> Result<Response, WebError> {
    let run = visit.holdfast.run(&visit.caller, RunId(id)).await?;
    let app = visit
        .holdfast
        .app_by_id(&visit.caller, AppId(run.app_id))
        .await?;
    let typed = form.text("confirm");
    let choice = Choice {
        service: form.text("service"),
        from: form.text("from"),
        back_up_first: form.checked("safety_backup"),
    };
    let result = if typed == app.name || typed == app.slug {
        let input = RestoreInput {
            service: (!choice.service.is_empty()).then(|| choice.service.to_owned()),
            identity: Some(form.secret("identity")),
            from: choice.from()?,
            safety_backup: choice.back_up_first,
        };
        visit
            .holdfast
            .request_restore(&visit.caller, RunId(id), input)
            .await
    } else {
        let problem = format!("type {} to confirm", app.name);
        Err(AppError::Invalid(FieldErrors::one("confirm", problem)))
    };
    let errors = match result {
        Ok(restore) => return Ok(visit.browser.go(&format!("/restores/{restore}"))),
        Err(AppError::Invalid(errors)) => errors,
        Err(error) => return Err(error.into()),
    };
    let content = NewRestore::load(&visit, RunId(id), &choice, typed, Some(&errors)).await?;
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    if visit.wants("restore-form") {
        return visit.page_with(status, "", Section::Apps, &content.form);
    }
    visit.page_with(
        status,
        &format!("Restore run {id}"),
        Section::Apps,
        &content,
    )
}

#[handler]
pub async fn show(visit: Visit, Path(id): Path<i64>) -> Result<Response, WebError> {
    let position = visit.holdfast.log().head();
    let restore = RestoreContent::load(&visit, RestoreId(id)).await?;
    let content = Content {
        id,
        over: restore.restore.over,
        restore,
        position,
    };
    visit.page(&format!("Restore {id}"), Section::Apps, &content)
}

#[handler]
pub async fn undo(visit: Visit, Path(id): Path<i64>, _form: Form) -> Result<Response, WebError> {
    visit
        .holdfast
        .undo_restore(&visit.caller, RestoreId(id))
        .await?;
    Ok(visit.browser.go(&format!("/restores/{id}")))
}

#[handler]
pub async fn cancel(visit: Visit, Path(id): Path<i64>, _form: Form) -> Result<Response, WebError> {
    visit
        .holdfast
        .cancel_restore(&visit.caller, RestoreId(id))
        .await?;
    Ok(visit.browser.go(&format!("/restores/{id}")))
}

/// What the live stream sends, and whether that was the last of it.
pub async fn live(visit: &Visit, id: RestoreId) -> Result<(Vec<Part>, bool), WebError> {
    let content = RestoreContent::load(visit, id).await?;
    let part = Part::new("restore", page::render(&content)?);
    Ok((vec![part], content.restore.over))
}

impl NewRestore {
    async fn load(
        visit: &Visit,
        run: RunId,
        choice: &Choice<'_>,
        typed: &str,
        errors: Option<&FieldErrors>,
    ) -> Result<Self, WebError> {
        let picked = (!choice.service.is_empty()).then(|| choice.service.to_owned());
        let from = choice.from()?;
        let preview = visit
            .holdfast
            .preview_restore(&visit.caller, run, picked, from)
            .await?;
        // An offer; without the engine's answer the service that was backed up remains.
        let services = visit.holdfast.services(&visit.caller, &preview.app).await;
        let keep = visit.holdfast.settings().keep_undo;
        let mut identity = identity(&preview);
        let preview = PreviewView::new(&preview, &services.unwrap_or_default(), from, visit.now);
        let problem = |name: &str| errors.and_then(|errors| errors.0.get(name).cloned());
        let mut confirm = Field::new("confirm", format!("Type {} to confirm", preview.app_name))
            .value(typed)
            .required();
        confirm.error = problem("confirm");
        confirm.autofocus = confirm.error.is_some();
        if let Some(identity) = &mut identity {
            identity.error = problem("identity");
            identity.autofocus = identity.error.is_some();
        }
        let form = ConfirmForm {
            run: run.0,
            app: preview.app_name.clone(),
            service: preview.service.clone(),
            from: from.map_or_else(String::new, |from| from.to_string()),
            back_up_first: choice.back_up_first,
            target: preview.overwritten.clone(),
            keep: words::duration(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)),
            possible: preview.possible,
            // What is said of an input that is not there.
            problem: problem("service")
                .or(problem("from"))
                .or(problem("safety_backup"))
                .or(problem("identity").filter(|_| identity.is_none())),
            identity,
            confirm,
            token: Token(visit.browser.form_token()),
        };
        Ok(Self { preview, form })
    }
}

/// The private key, when there has to be one or may be.
fn identity(preview: &Preview) -> Option<Field> {
    let artifact = &preview.manifest.artifact;
    let encryption = preview.run.pin()?.spec.encryption;
    let ask = |help: String| {
        Field::new("identity", "Private key")
            .kind("password")
            .autocomplete("off")
            .help(help)
    };
    let field = match encryption.own {
        Some(_) => {
            ask("Only where the server's own key is lost. Forgotten after this restore.".to_owned())
        }
        None => ask(format!(
            "The backup is encrypted to {}. AGE-SECRET-KEY-1…; forgotten after this restore.",
            encryption.recipients.join(", ")
        ))
        .required(),
    };
    artifact.is_encrypted().then_some(field)
}

impl RestoreContent {
    async fn load(visit: &Visit, id: RestoreId) -> Result<Self, WebError> {
        let holdfast = &visit.holdfast;
        let restore = holdfast.restore(&visit.caller, id).await?;
        let expected = match restore.run_id {
            Some(run) => holdfast.run(&visit.caller, RunId(run)).await?.fingerprint(),
            None => restore.upload().map(|upload| upload.fingerprint),
        };
        let app = holdfast
            .app_by_id(&visit.caller, AppId(restore.app_id))
            .await?;
        let stream = StreamId {
            kind: StreamKind::Restore,
            id: id.0,
        };
        let events = holdfast.history(stream).await?;
        let progress = holdfast
            .progress()
            .snapshot(&format!("restore-{id}"))
            .filter(|_| !restore.is_over())
            .map(|snapshot| Progress::new(&snapshot));
        Ok(Self {
            restore: RestoreView::new(&restore, expected.as_ref(), &app, &events, visit.now),
            progress,
            can_act: visit.caller.acts_in(app.app_id()),
            token: Token(visit.browser.form_token()),
        })
    }
}
