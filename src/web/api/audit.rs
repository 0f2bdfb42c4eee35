//! The log as evidence: its check, and its export, which ends with the chain's head so that a copy
//! kept elsewhere shows whether the log was cut short later.

mod lines;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use futures_util::StreamExt;
use poem::{Body, Response, http::header};
use poem_openapi::{Object, OpenApi, param::Query, payload::Json};

use self::lines::Form;
use super::{
    answer::{Answer, Lines},
    error::ApiError,
    visit::Visit,
};

#[derive(Object)]
#[oai(read_only_all)]
pub struct Verification {
    /// The whole chain holds.
    ok: bool,
    events: u64,
    /// Hash of the last event. Compare it with one that left the host: a chain alone cannot show
    /// that its end was cut off.
    head: String,
    findings: Vec<String>,
}

pub struct Audit;

#[OpenApi]
impl Audit {
    /// Walks the whole log and checks that nothing in it was changed
    #[oai(path = "/audit/verify", method = "post", operation_id = "verify_log")]
    async fn verify_log(&self, visit: Visit) -> Answer<Verification> {
        let verification = visit.holdfast.verify_log(|_| {}).await?;
        let findings = verification.findings.iter();
        Ok(Json(Verification {
            ok: verification.holds(),
            events: verification.events,
            findings: findings.map(ToString::to_string).collect(),
            head: verification.head,
        }))
    }

    /// The log, oldest first, with the chain's head
    ///
    /// The header `X-Holdfast-Head` is the position and the hash of the last event; the last line
    /// of the answer says it again, so that an answer that broke off can be told from a whole one.
    #[oai(path = "/audit/export", method = "get", operation_id = "export_log")]
    async fn export_log(
        &self,
        visit: Visit,
        /// `jsonl` (default) or `csv`
        format: Query<Option<String>>,
        /// A day or a time of RFC 3339: none before it
        from: Query<Option<String>>,
        /// A day or a time of RFC 3339: none from it on
        to: Query<Option<String>>,
    ) -> Result<Lines, ApiError> {
        let form = Form::parse(format.0.as_deref())?;
        let (from, to) = (time("from", from.0)?, time("to", to.0)?);
        let export = visit.holdfast.export_log(&visit.caller, from, to).await?;
        let head = export.head;
        let said = format!("{}:{}", head.position, head.hash);
        let lines = export.events.map(move |event| match event {
            Ok(event) => Ok(form.line(&event)),
            Err(error) => {
                tracing::error!(%error, "an export broke off");
                Err(std::io::Error::other("the log could not be read"))
            }
        });
        let first = futures_util::stream::iter(form.first().map(Ok));
        let last = futures_util::stream::iter([Ok(form.last(&head))]);
        let name = format!(
            "attachment; filename=\"holdfast-audit.{}\"",
            form.extension()
        );
        Ok(Lines(
            Response::builder()
                .content_type(form.content_type())
                .header(header::CONTENT_DISPOSITION, name)
                .header("x-holdfast-head", said)
                .body(Body::from_bytes_stream(first.chain(lines).chain(last))),
        ))
    }
}

fn time(field: &str, text: Option<String>) -> Result<Option<DateTime<Utc>>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let day = || {
        Some(
            text.parse::<NaiveDate>()
                .ok()?
                .and_time(NaiveTime::MIN)
                .and_utc(),
        )
    };
    let time = || {
        Some(
            DateTime::parse_from_rfc3339(&text)
                .ok()?
                .with_timezone(&Utc),
        )
    };
    match day().or_else(time) {
        Some(time) => Ok(Some(time)),
        None => Err(ApiError::invalid(
            field,
            "use a day or a time: 2026-11-23, or 2026-11-23T10:00:00Z",
        )),
    }
}
