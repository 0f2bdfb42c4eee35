//! The log as evidence: its check, its checkpoints, and its export, which ends with one so that a copy
//! kept elsewhere shows whether the log was cut short later, or written anew.

mod lines;
mod pruning;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use futures_util::StreamExt;
use poem::{Body as Bytes, Response, http::header};
use poem_openapi::{Object, OpenApi, param::Query, payload::Json};
use serde::Deserialize;

use self::lines::Form;
pub use self::pruning::AuditDetail;
use super::{
    answer::{Answer, Lines},
    body::MaybeBody,
    error::ApiError,
    visit::Visit,
};
use crate::{app::Span, log};

/// Where the log stood, signed by the server. Kept elsewhere, it shows whether the log's end was cut off
/// later, or all of it written anew.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Of the event that was the last one.
    position: i64,
    /// That event's hash, which stands for all before it: lower-hex SHA-256.
    hash: String,
    at: DateTime<Utc>,
    /// The server, as its log is called in targets.
    instance: String,
    /// Ed25519, lower hex.
    public_key: String,
    signature: String,
}

#[derive(Object, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Against {
    /// One that was kept: the log has to hold the very event it was signed for.
    checkpoint: Option<Checkpoint>,
}

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Verification {
    /// The whole chain holds.
    ok: bool,
    events: u64,
    /// Hash of the last event. Compare it with one that left the host: a chain alone cannot show
    /// that its end was cut off.
    head: String,
    /// The event that the checkpoint was compared with.
    compared: Option<i64>,
    /// Events whose detail was pruned; the log vouches for what is left of them.
    pruned: u64,
    /// The segments that hold their detail: target and key.
    pruned_to: Vec<String>,
    findings: Vec<String>,
}

pub struct Audit;

#[OpenApi]
impl Audit {
    /// Where the log stands now, signed
    #[oai(
        path = "/audit/checkpoint",
        method = "get",
        operation_id = "get_checkpoint"
    )]
    async fn get_checkpoint(&self, visit: Visit) -> Answer<Checkpoint> {
        let checkpoint = visit.holdfast.checkpoint(&visit.caller).await?;
        Ok(Json(checkpoint.into()))
    }

    /// Walks the whole log and checks that nothing in it was changed
    #[oai(path = "/audit/verify", method = "post", operation_id = "verify_log")]
    async fn verify_log(&self, visit: Visit, body: MaybeBody<Against>) -> Answer<Verification> {
        let verification = match body.0.checkpoint {
            None => visit.holdfast.verify_log(|_| {}).await?,
            Some(known) => visit.holdfast.verify_log_against(known.into()).await?,
        };
        let findings = verification.findings.iter();
        Ok(Json(Verification {
            ok: verification.holds(),
            events: verification.events,
            findings: findings.map(ToString::to_string).collect(),
            head: verification.head,
            compared: verification.compared,
            pruned: verification.pruned,
            pruned_to: verification.segments,
        }))
    }

    /// The log, oldest first, with the chain's head
    ///
    /// The header `X-Holdfast-Head` is the position and the hash of the last event; the last line
    /// of the answer is a checkpoint of it, so that an answer that broke off can be told from a whole
    /// one: ask for the rest with `after`, and put it behind the last whole line.
    #[oai(path = "/audit/export", method = "get", operation_id = "export_log")]
    async fn export_log(
        &self,
        visit: Visit,
        /// `jsonl` (default) or `csv`
        format: Query<Option<String>>,
        /// A position: only the events after it
        after: Query<Option<i64>>,
        /// A day or a time of RFC 3339: none before it
        from: Query<Option<String>>,
        /// A day or a time of RFC 3339: none from it on
        to: Query<Option<String>>,
    ) -> Result<Lines, ApiError> {
        let form = Form::parse(format.0.as_deref())?;
        let span = Span {
            after: after.0,
            from: time("from", from.0)?,
            to: time("to", to.0)?,
        };
        let export = visit.holdfast.export_log(&visit.caller, span).await?;
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
                .body(Bytes::from_bytes_stream(first.chain(lines).chain(last))),
        ))
    }
}

impl From<log::Checkpoint> for Checkpoint {
    fn from(it: log::Checkpoint) -> Self {
        Self {
            position: it.position,
            hash: it.hash,
            at: it.at,
            instance: it.instance,
            public_key: it.public_key,
            signature: it.signature,
        }
    }
}

impl From<Checkpoint> for log::Checkpoint {
    fn from(it: Checkpoint) -> Self {
        Self {
            position: it.position,
            hash: it.hash,
            at: it.at,
            instance: it.instance,
            public_key: it.public_key,
            signature: it.signature,
        }
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
