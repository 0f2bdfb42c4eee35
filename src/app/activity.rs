//! What happened, as people look it up and as it leaves the host.

use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::{AppError, Caller, Holdfast, Result};
use crate::{
    domain::{
        access::Role,
        audit::AuditEvent,
        event::{Scope, StreamKind},
    },
    log::{Filter, Recorded},
};

/// Events read at once for an export.
const BATCH: u64 = 500;

/// The log on its way out of the host.
pub struct Export<S> {
    /// The log's last event when the export began, its own entry included. Kept elsewhere, it shows
    /// later whether the log's end was cut off.
    pub head: Head,
    /// Oldest first, none after `head`.
    pub events: S,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub position: i64,
    /// Lower hex.
    pub hash: String,
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

    /// Those from `from` on, before `to`. That it was asked for is an event too.
    pub async fn export_log(
        &self,
        caller: &Caller,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
    ) -> Result<Export<impl Stream<Item = Result<Recorded>> + Send + 'static>> {
        caller.must_be(Role::Admin)?;
        self.log()
            .write(caller.cause(), |unit| {
                Box::pin(async move { unit.note(AuditEvent::Exported {}, Scope::default()).await })
            })
            .await?;
        let end = self.log().head();
        let last = self.log().read_from(end - 1, 1).await?.pop();
        let head = Head {
            position: end,
            hash: last.map(|event| event.hash).unwrap_or_default(),
        };
        let wanted = move |event: &Recorded| {
            from.is_none_or(|from| event.at >= from) && to.is_none_or(|to| event.at < to)
        };
        let events = self
            .events_until(end)
            .try_filter(move |event| std::future::ready(wanted(event)));
        Ok(Export { head, events })
    }

    fn events_until(&self, end: i64) -> impl Stream<Item = Result<Recorded>> + Send + use<> {
        let log = self.log().clone();
        let batches = stream::try_unfold(0, move |at| {
            let log = log.clone();
            async move {
                let mut batch = log.read_from(at, BATCH).await?;
                batch.retain(|event| event.position <= end);
                let next = batch.last().map(|last| last.position);
                Ok::<_, AppError>(next.map(|next| (stream::iter(batch).map(Ok), next)))
            }
        });
        batches.try_flatten()
    }
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
