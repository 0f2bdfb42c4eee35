//! One run: how far it is, how it ended, what it stored, and how to get that back.

mod progress;
mod view;

use askama::Template;
use poem::{Body, Response, handler, http::StatusCode, web::Path};

pub use self::progress::Progress;
use self::view::RunView;
pub use self::view::{EventRow, event_row};
use crate::{
    app::AppError,
    domain::{
        event::StreamKind,
        ids::{AppId, ConfigId, RunId},
    },
    log::StreamId,
    web::{
        errors::WebError,
        field::Token,
        live::Part,
        page::{self, Section},
        parts,
        request::{Form, Visit},
        words,
    },
};

#[derive(Template)]
#[template(path = "run/content.html")]
struct Content {
    run: RunContent,
    id: i64,
    live: bool,
    position: i64,
}

/// What is sent again with every event of the run.
#[derive(Template)]
#[template(path = "run/_run.html")]
struct RunContent {
    run: RunView,
    progress: Option<Progress>,
    can_act: bool,
    token: Token,
}

#[derive(Template)]
#[template(path = "run/by_hand.html")]
struct ByHand {
    id: i64,
    commands: String,
    /// Why the commands cannot be shown: the manifest is not where it should be.
    problem: Option<(String, String)>,
    /// The page of its own, not the fragment inside the run's.
    whole: bool,
}

#[handler]
pub async fn show(visit: Visit, Path(id): Path<i64>) -> Result<Response, WebError> {
    let position = visit.holdfast.log().head();
    let run = RunContent::load(&visit, RunId(id)).await?;
    let title = format!("Run {id}, {}", run.run.title);
    let content = Content {
        id,
        live: run.run.is_live(),
        run,
        position,
    };
    visit.page(&title, Section::Apps, &content)
}

#[handler]
pub async fn cancel(visit: Visit, Path(id): Path<i64>, _form: Form) -> Result<Response, WebError> {
    visit.holdfast.cancel_run(&visit.caller, RunId(id)).await?;
    Ok(visit.browser.go(&format!("/runs/{id}")))
}

#[handler]
pub async fn verify(visit: Visit, Path(id): Path<i64>, _form: Form) -> Result<Response, WebError> {
    visit
        .holdfast
        .request_verification(&visit.caller, RunId(id))
        .await?;
    Ok(visit.browser.go(&format!("/runs/{id}")))
}

#[handler]
pub async fn copy_again(
    visit: Visit,
    Path((id, copy)): Path<(i64, u32)>,
    _form: Form,
) -> Result<Response, WebError> {
    let run = RunId(id);
    visit.holdfast.copy_again(&visit.caller, run, copy).await?;
    Ok(visit.browser.go(&format!("/runs/{id}")))
}

/// Read from the target itself, so showing it also proves that the backup can be found.
#[handler]
pub async fn by_hand(visit: Visit, Path(id): Path<i64>) -> Result<Response, WebError> {
    let (commands, problem) = match visit.holdfast.manifest(&visit.caller, RunId(id)).await {
        Ok(manifest) => (manifest.restore_by_hand.join("\n"), None),
        Err(AppError::Failed(failure)) => (String::new(), Some((failure.message, failure.hint))),
        Err(error) => return Err(error.into()),
    };
    let content = ByHand {
        id,
        commands,
        problem,
        whole: !visit.browser.htmx,
    };
    visit.page(&format!("Run {id} by hand"), Section::Apps, &content)
}

#[handler]
pub async fn download(visit: Visit, Path(id): Path<i64>) -> Result<Response, WebError> {
    let download = visit
        .holdfast
        .download(&visit.caller, RunId(id), None)
        .await?;
    // Names of artifacts are made of letters, digits, dots and dashes: nothing to quote.
    let name = format!("attachment; filename=\"{}\"", download.name);
    Ok(Response::builder()
        .status(StatusCode::OK)
        .content_type("application/octet-stream")
        .header("Content-Disposition", name)
        .header("Content-Length", download.size)
        .header("X-Checksum-Sha256", download.sha256)
        .body(Body::from_bytes_stream(download.body)))
}

/// What the live stream sends, and whether that was the last of it.
pub async fn live(visit: &Visit, id: RunId) -> Result<(Vec<Part>, bool), WebError> {
    let content = RunContent::load(visit, id).await?;
    let part = Part::new("run", page::render(&content)?);
    Ok((vec![part], !content.run.is_live()))
}

impl RunContent {
    async fn load(visit: &Visit, id: RunId) -> Result<Self, WebError> {
        let holdfast = &visit.holdfast;
        let run = holdfast.run(&visit.caller, id).await?;
        let app = holdfast.app_by_id(&visit.caller, AppId(run.app_id)).await?;
        let config = holdfast
            .config(&visit.caller, ConfigId(run.backup_config_id))
            .await?;
        let events = holdfast
            .history(StreamId {
                kind: StreamKind::Run,
                id: id.0,
            })
            .await?;
        let before = holdfast
            .newest_success(&visit.caller, config.config_id())
            .await?;
        let expected = before
            .as_ref()
            .filter(|_| !run.is_over())
            .and_then(words_of);
        let progress = holdfast
            .progress()
            .snapshot(&format!("run-{id}"))
            .filter(|_| !run.is_over() || run.verifying.is_some())
            .map(|snapshot| Progress::new(&snapshot));
        Ok(Self {
            run: RunView::new(&run, &app, &config.spec(), &events, expected, visit.now),
            progress,
            can_act: visit.caller.acts_in(app.app_id()),
            token: Token(visit.browser.form_token()),
        })
    }
}

/// How the last good one went: `634 MiB in 12.4 s`.
fn words_of(run: &crate::readmodel::runs::Model) -> Option<String> {
    let took = words::duration(run.duration_ms()?);
    Some(format!("{} in {took}", words::size_or_dash(run.size_bytes)))
}

#[cfg(test)]
mod tests;
