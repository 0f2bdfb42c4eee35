//! Old detail of the audit log, taken out of the database.

use chrono::{DateTime, Utc};
use poem_openapi::{Object, OpenApi, payload::Json};
use serde::Deserialize;

use crate::{
    app::{Kept, PruneReport},
    log::Proven,
    web::api::{answer::Answer, body::Body, visit::Visit},
};

#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneBody {
    /// What happened more than so many days ago; at least 1.
    older_than_days: u32,
    /// Only tell what would go.
    #[serde(default)]
    #[oai(default)]
    dry_run: bool,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct PrunedDetail {
    dry_run: bool,
    /// What happened before this time.
    before: DateTime<Utc>,
    /// Events that lost their detail, or would.
    events: u64,
    /// Where it lies: sealed segments that were read back from a target.
    segments: Vec<DetailSegment>,
    /// What is old enough and stays, because no target could show it whole.
    kept: Vec<KeptDetail>,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct DetailSegment {
    first: i64,
    last: i64,
    /// Those of them that lose their detail.
    events: u64,
    /// The target, in words.
    target: String,
    key: String,
    /// Of the segment as it lies there.
    sha256: String,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct KeptDetail {
    first: i64,
    last: i64,
    events: u64,
    error_msg: String,
    hint: String,
}

pub struct AuditDetail;

#[OpenApi]
impl AuditDetail {
    /// Prunes the detail of old audit events
    ///
    /// Of log-ins, refusals, downloads, exports and the like; their rows stay in the chain, without data, name and
    /// address. Only by whole segments of 2,000 events that a target holds now, which is looked at: each is read back.
    #[oai(
        path = "/audit/pruning",
        method = "post",
        operation_id = "prune_audit_detail"
    )]
    async fn prune_audit_detail(
        &self,
        visit: Visit,
        body: Body<PruneBody>,
    ) -> Answer<PrunedDetail> {
        let PruneBody {
            older_than_days,
            dry_run,
        } = body.0;
        let report = visit
            .holdfast
            .prune_audit(&visit.caller, older_than_days, dry_run)
            .await?;
        Ok(Json(PrunedDetail::new(dry_run, report)))
    }
}

impl PrunedDetail {
    fn new(dry_run: bool, report: PruneReport) -> Self {
        Self {
            dry_run,
            before: report.before,
            events: report.events,
            segments: report.proven.into_iter().map(Into::into).collect(),
            kept: report.kept.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Proven> for DetailSegment {
    fn from(it: Proven) -> Self {
        Self {
            first: it.stretch.first,
            last: it.stretch.last,
            events: it.stretch.events,
            target: it.place,
            key: it.key,
            sha256: it.sha256,
        }
    }
}

impl From<Kept> for KeptDetail {
    fn from(it: Kept) -> Self {
        Self {
            first: it.stretch.first,
            last: it.stretch.last,
            events: it.stretch.events,
            error_msg: it.why.message,
            hint: it.why.hint,
        }
    }
}
