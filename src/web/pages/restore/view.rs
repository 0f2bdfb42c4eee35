//! From a restore's row and events to what its page shows. Pure.

use chrono::{DateTime, Utc};

use crate::{
    domain::{event::Event, manifest::Fingerprint, restore::RestoreEvent},
    log::Recorded,
    readmodel::{apps, restores},
    web::{
        pages::run::{EventRow, event_row},
        parts::{self, Badge, Cancel, Icon},
        words::{self, Moment},
    },
};

/// Differences that are listed; more would not help anybody.
const DIFFERENCES: usize = 20;

#[derive(Debug, Clone)]
pub struct RestoreView {
    pub id: i64,
    pub from: RestoredFrom,
    pub app_slug: String,
    pub app_name: String,
    pub service: String,
    pub container: Option<String>,
    pub badge: Badge,
    pub over: bool,
    pub cancel: Cancel,
    pub can_undo: bool,
    pub undone: bool,
    /// It begins when this run, a backup of what is there, is good; none once it has begun.
    pub waits_for: Option<i64>,
    /// Why it was broken off, while what it left waits to be put in order.
    pub unsettled: Option<String>,
    pub failure: Option<(String, Option<String>, Option<String>)>,
    pub warnings: Vec<String>,
    pub steps: Vec<StepRow>,
    pub proof: Option<Proof>,
    pub kept: Option<Kept>,
    pub events: Vec<EventRow>,
    pub when: Moment,
    pub took: Option<String>,
}

#[derive(Debug, Clone)]
pub struct StepRow {
    pub icon: Icon,
    pub title: String,
    pub took: String,
    /// From here on the destination may have been changed.
    pub touches: bool,
}

/// What was counted after the restore, against what the backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub same: bool,
    pub said: String,
    pub differences: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Kept {
    pub title: String,
    pub size: Option<String>,
    pub until: Option<Moment>,
}

/// What was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoredFrom {
    Run(i64),
    /// A file that was sent, by its name.
    File(String),
}

impl RestoredFrom {
    pub fn of(restore: &restores::Model) -> Self {
        match (restore.run_id, restore.upload()) {
            (Some(run), _) => Self::Run(run),
            (None, upload) => Self::File(upload.map(|upload| upload.name).unwrap_or_default()),
        }
    }
}

impl RestoreView {
    pub fn new(
        restore: &restores::Model,
        expected: Option<&Fingerprint>,
        app: &apps::Model,
        events: &[Recorded],
        now: DateTime<Utc>,
    ) -> Self {
        let at = restore
            .finished_at
            .or(restore.started_at)
            .unwrap_or(restore.requested_at);
        Self {
            id: restore.id,
            from: RestoredFrom::of(restore),
            app_slug: app.slug.clone(),
            app_name: app.name.clone(),
            service: restore.service.clone(),
            container: restore.container.clone(),
            badge: Badge::of_status(&restore.status, !restore.warnings().is_empty()),
            over: restore.is_over(),
            cancel: Cancel::new(
                !restore.is_over() && restore.status != "undoing",
                restore.cancel_requested,
            ),
            can_undo: restore.can_undo(now),
            undone: restore.status == "undone",
            waits_for: restore.safety_run_id.filter(|_| restore.status == "queued"),
            unsettled: unsettled(restore, events),
            failure: restore
                .error_msg
                .clone()
                .map(|message| (message, restore.hint.clone(), restore.error_detail.clone())),
            warnings: restore.warnings(),
            steps: steps(restore, events, now),
            proof: proof(restore, expected),
            kept: restore.kept().map(|kept| Kept {
                title: kept.title,
                size: kept.size.map(words::size),
                until: restore.keep_until.map(|at| Moment::of_millis(now, at)),
            }),
            events: events
                .iter()
                .filter(|e| !matches!(e.event, Event::Restore(RestoreEvent::StepBegun { .. })))
                .map(|event| event_row(event, now))
                .collect(),
            when: Moment::of_millis(now, at),
            took: duration(restore),
        }
    }
}

fn unsettled(restore: &restores::Model, events: &[Recorded]) -> Option<String> {
    let last = events.iter().rev().find_map(|event| match &event.event {
        Event::Restore(RestoreEvent::Interrupted { why, .. }) => Some(why.clone()),
        _ => None,
    });
    last.filter(|_| restore.is_unsettled())
}

fn duration(restore: &restores::Model) -> Option<String> {
    // An undo moves the end; the time it took is not the restore's.
    let end = restore
        .finished_at
        .filter(|_| restore.status == "success")?;
    Some(words::duration(end - restore.started_at?))
}

fn steps(restore: &restores::Model, events: &[Recorded], now: DateTime<Utc>) -> Vec<StepRow> {
    let begun: Vec<(usize, &Recorded)> = events
        .iter()
        .enumerate()
        .filter(|(_, e)| matches!(e.event, Event::Restore(RestoreEvent::StepBegun { .. })))
        .collect();
    let last = begun.len().saturating_sub(1);
    let rows = begun.iter().enumerate().filter_map(|(i, (at, event))| {
        let Event::Restore(RestoreEvent::StepBegun { step, .. }) = &event.event else {
            return None;
        };
        let next = events.get(at + 1);
        let end = next.map_or(now, |next| next.at);
        let present = i == last && !restore.is_over() && next.is_none();
        let broken = next.is_some_and(|next| {
            let Event::Restore(next) = &next.event else {
                return false;
            };
            matches!(
                next,
                RestoreEvent::Failed { .. }
                    | RestoreEvent::AttentionNeeded { .. }
                    | RestoreEvent::Interrupted { .. }
                    | RestoreEvent::UndoFailed { .. }
            )
        });
        Some(StepRow {
            icon: match (present, broken) {
                (true, _) => parts::toned("progress", "run"),
                (_, true) => parts::toned("cross", "bad"),
                _ => parts::toned("check", "ok"),
            },
            title: step.title.clone(),
            took: words::duration((end - event.at).num_milliseconds()),
            touches: step.touches,
        })
    });
    rows.collect()
}

fn proof(restore: &restores::Model, expected: Option<&Fingerprint>) -> Option<Proof> {
    let (found, expected) = (restore.fingerprint()?, expected?);
    let differences = expected.differences(&found, DIFFERENCES);
    let all = format!(
        "{} {} in {}",
        words::count(expected.total()),
        expected.unit,
        words::plural(expected.counts.len(), "part")
    );
    let same = differences.is_empty();
    Some(Proof {
        said: if same {
            format!("All {all} are there, counted after the restore.")
        } else {
            format!("The backup holds {all}; what was counted afterwards differs.")
        },
        same,
        differences,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::samples;

    #[test]
    fn what_waits_to_be_put_in_order_says_why() {
        let why = "the restore failed (the container stopped)";
        let interrupted = RestoreEvent::Interrupted {
            attempt: 1,
            why: why.to_owned(),
        };
        let events = [samples::of_restore(1, interrupted)];
        let settling = restores::Model {
            settling: true,
            ..samples::restore(1)
        };
        assert_eq!(unsettled(&settling, &events).as_deref(), Some(why));
        assert_eq!(unsettled(&settling, &[]), None);
        assert_eq!(unsettled(&samples::restore(1), &events), None);
    }
}
