//! What happened, as people look it up and as it leaves the host.

use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::{AppError, Caller, Holdfast, Result};
use crate::{
    domain::{
        access::Role,
        audit::{AuditEvent, Pruning},
        event::{Scope, StreamKind},
    },
    log::{Checkpoint, Entry, Filter, LogKey, Recorded},
};

/// Events read at once for an export.
const BATCH: u64 = 500;

/// The log on its way out of the host.
pub struct Export<S> {
    /// The log's last event when the export began, its own entry included. Kept elsewhere, it shows
    /// later whether the log's end was cut off.
    pub head: Checkpoint,
    /// Oldest first, none after `head`.
    pub events: S,
}

/// Which events; all when nothing is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span {
    /// None up to this position: an export that broke off goes on after its last line.
    pub after: Option<i64>,
    pub from: Option<DateTime<Utc>>,
    /// None from it on.
    pub to: Option<DateTime<Utc>>,
}

impl Holdfast {
    /// Newest first. Who logged in from where is for admins alone.
    pub async fn activity(&self, caller: &Caller, mut filter: Filter) -> Result<Vec<Recorded>> {
        let asked = std::mem::take(&mut filter.kinds);
        let all = asked.is_empty();
        filter.kinds = StreamKind::ALL
            .into_iter()
            .filter(|kind| all || asked.contains(kind))
            .filter(|kind| may_see(caller, *kind))
            .collect();
        filter.apps = caller.apps();
        if filter.kinds.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.log().list(&filter).await?)
    }

    pub async fn event(&self, caller: &Caller, position: i64) -> Result<Recorded> {
        let found = self.log().read_from(position.saturating_sub(1), 1).await?;
        let found = found.into_iter().find(|event| event.position == position);
        let what = format!("the event {position}");
        match found {
            None => Err(AppError::NotFound(what)),
            Some(event) if sees(caller, &event) => Ok(event),
            Some(_) => Err(AppError::Hidden(what)),
        }
    }

    /// That it was asked for is an event too, and stands in the export itself.
    pub async fn export_log(
        &self,
        caller: &Caller,
        span: Span,
    ) -> Result<Export<impl Stream<Item = Result<Entry>> + Send + 'static>> {
        caller.must_be(Role::Admin)?;
        // Nothing is pruned while it goes out.
        let whole = self.0.exports.clone().read_owned().await;
        let prunings = self.log().prunings().await?;
        self.log()
            .write(caller.cause(), |unit| {
                Box::pin(async move { unit.note(AuditEvent::Exported {}, Scope::default()).await })
            })
            .await?;
        let head = self.checkpoint(caller).await?;
        let after = span.after.unwrap_or(0).max(0);
        let Span { from, to, .. } = span;
        let millis = move |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp_millis());
        let (from, to) = (millis(from), millis(to));
        let is_wanted = move |event: &Entry| {
            let at = event.millis().unwrap_or(0);
            from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to)
        };
        let events = self
            .entries(after, head.position)
            .try_filter(move |event| std::future::ready(is_wanted(event)))
            .map_ok(move |mut event| {
                let _ = &whole;
                event.pruned_to = key_of(&prunings, &event);
                event
            });
        Ok(Export { head, events })
    }

    /// Where the log stands, signed: to be kept elsewhere, for `verify_against`.
    pub async fn checkpoint(&self, caller: &Caller) -> Result<Checkpoint> {
        caller.must_be(Role::Admin)?;
        Ok(self.log().checkpoint(&self.log_key()?).await?)
    }

    /// What the log is signed with.
    pub(super) fn log_key(&self) -> Result<LogKey> {
        let key = self.0.vault.log_key();
        key.ok_or_else(|| AppError::Internal("the log's key cannot be made".into()))
    }

    /// Those after `after` and up to `end`, oldest first.
    fn entries(&self, after: i64, end: i64) -> impl Stream<Item = Result<Entry>> + Send + use<> {
        let log = self.log().clone();
        let batches = stream::try_unfold(after, move |at| {
            let log = log.clone();
            async move {
                let mut batch = log.entries_from(at, BATCH).await?;
                batch.retain(|event| event.position <= end);
                let next = batch.last().map(|last| last.position);
                Ok::<_, AppError>(next.map(|next| (stream::iter(batch).map(Ok), next)))
            }
        });
        batches.try_flatten()
    }
}

/// The segment that holds what was pruned of it.
fn key_of(prunings: &[(i64, Pruning)], event: &Entry) -> Option<String> {
    let mut newest = prunings.iter().rev().filter(|_| event.is_pruned());
    let piece = newest.find_map(|(_, it)| it.piece_of(event.position, &event.name))?;
    Some(piece.key.clone())
}

fn sees(caller: &Caller, event: &Recorded) -> bool {
    may_see(caller, event.stream.kind) && caller.sees_scope(&event.scope)
}

fn may_see(caller: &Caller, kind: StreamKind) -> bool {
    let private = matches!(
        kind,
        StreamKind::User | StreamKind::Audit | StreamKind::Webhook
    );
    caller.role >= Role::Admin || !private
}
