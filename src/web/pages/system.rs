//! The server itself, for admins: what it needs from its surroundings, how its workers are, and
//! whether its log is whole.

use askama::Template;
use poem::{Response, handler, web::Data};

use crate::{
    app::Verdict,
    log::Verification,
    web::{
        Web,
        errors::WebError,
        field::Token,
        page::Section,
        parts::{self, Badge},
        request::{Form, Visit},
        words,
    },
};

#[derive(Template)]
#[template(path = "system/content.html")]
struct Content {
    token: Token,
    version: &'static str,
    events: String,
    checks: Vec<CheckRow>,
    /// Queue, how it is, jobs at work.
    workers: Vec<(&'static str, Badge, String)>,
    said: Option<Said>,
}

struct CheckRow {
    name: &'static str,
    badge: Badge,
    found: String,
    hint: String,
}

/// What came of what was asked for here.
struct Said {
    well: bool,
    sentence: String,
    details: Vec<String>,
}

#[handler]
pub async fn show(visit: Visit, Data(web): Data<&Web>) -> Result<Response, WebError> {
    respond(&visit, web, None).await
}

/// Walks the whole chain.
#[handler]
pub async fn check_log(
    visit: Visit,
    Data(web): Data<&Web>,
    _form: Form,
) -> Result<Response, WebError> {
    let found = visit.holdfast.verify_log(|_| {}).await?;
    let events = words::count(found.events);
    let said = Said {
        well: found.holds(),
        sentence: if found.holds() {
            format!(
                "All {events} events are as they were written. The last one's hash is {}: kept \
                 elsewhere, it shows later whether the log was cut short.",
                found.head
            )
        } else {
            format!("The log was changed. {events} events were looked at:")
        },
        details: found
            .findings
            .iter()
            .map(ToString::to_string)
            .chain(pruned(&found))
            .collect(),
    };
    respond(&visit, web, Some(said)).await
}

fn pruned(found: &Verification) -> Option<String> {
    let segments = found.segments.join(", ");
    let events = words::count(found.pruned);
    let text = format!("{events} events were pruned; their detail lies in {segments}");
    (found.pruned > 0).then_some(text)
}

/// Fills every read model again from the log.
#[handler]
pub async fn rebuild(
    visit: Visit,
    Data(web): Data<&Web>,
    _form: Form,
) -> Result<Response, WebError> {
    let report = visit.holdfast.rebuild().await?;
    let took = words::duration(i64::try_from(report.milliseconds).unwrap_or(i64::MAX));
    let differed = report.differed.into_iter();
    let details: Vec<String> = differed.map(|it| format!("{it} differed")).collect();
    let said = Said {
        well: details.is_empty(),
        sentence: format!(
            "What the pages show was made again from {} events in {took}.",
            words::count(report.events)
        ),
        details,
    };
    respond(&visit, web, Some(said)).await
}

async fn respond(visit: &Visit, web: &Web, said: Option<Said>) -> Result<Response, WebError> {
    let holdfast = &visit.holdfast;
    let checks = holdfast.doctor().await?.into_iter().map(|check| CheckRow {
        name: check.name,
        badge: match check.verdict {
            Verdict::Good => Badge::new("ok", "check", "ok"),
            Verdict::Warning => Badge::new("warn", "warn", "warning"),
            Verdict::Bad => Badge::new("bad", "cross", "bad"),
        },
        found: check.found,
        hint: check.hint,
    });
    let workers = web.work.as_ref().map(|work| work.workers());
    let workers = workers.unwrap_or_default().into_iter().map(|worker| {
        let badge = if worker.alive {
            Badge::new("ok", "check", "alive")
        } else {
            Badge::new("bad", "cross", "silent")
        };
        let busy = words::plural(worker.busy, "job");
        let waiting = match holdfast.backups_at_work() {
            (_, waiting) if worker.queue == "backup" && waiting > 0 => {
                format!(", {waiting} of them waiting for others")
            }
            _ => String::new(),
        };
        (worker.queue, badge, format!("{busy} in hand{waiting}"))
    });
    let content = Content {
        token: Token(visit.browser.form_token()),
        version: env!("CARGO_PKG_VERSION"),
        events: words::count(holdfast.log().head().unsigned_abs()),
        checks: checks.collect(),
        workers: workers.collect(),
        said,
    };
    visit.page("System", Section::Activity, &content)
}
