//! Which jobs follow from an event, and which are due for the present state after a start. Pure.

use chrono::{DateTime, Utc};

use super::job::Job;
use crate::{
    domain::{
        event::Event,
        ids::{RestoreId, RunId},
        restore::RestoreEvent,
        run::RunEvent,
    },
    log::Recorded,
    readmodel::{overview::Beat, restores, runs},
};

/// A job and the earliest time it may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub job: Job,
    pub not_before: Option<DateTime<Utc>>,
}

impl Order {
    fn now(job: Job) -> Self {
        Self {
            job,
            not_before: None,
        }
    }

    fn at(job: Job, time: DateTime<Utc>) -> Self {
        Self {
            job,
            not_before: Some(time),
        }
    }
}

/// What the dispatcher enqueues for a committed event.
pub fn follow(event: &Recorded) -> Vec<Order> {
    match &event.event {
        Event::Run(change) => after_run(RunId(event.stream.id), change),
        Event::Restore(change) => after_restore(RestoreId(event.stream.id), change),
        Event::App(_)
        | Event::Config(_)
        | Event::Access(_)
        | Event::Audit(_)
        | Event::Webhook(_) => vec![],
    }
}

/// The run that is over with this event: what waited for it is due.
pub fn ended(event: &Recorded) -> Option<RunId> {
    match &event.event {
        Event::Run(
            RunEvent::Succeeded { .. } | RunEvent::Failed { .. } | RunEvent::Cancelled {},
        ) => Some(RunId(event.stream.id)),
        _ => None,
    }
}

fn after_run(run: RunId, change: &RunEvent) -> Vec<Order> {
    match change {
        RunEvent::Requested { .. } => vec![Order::now(Job::BackUp { run, attempt: 1 })],
        RunEvent::RetryScheduled {
            attempt, retry_at, ..
        } => {
            let attempt = attempt + 1;
            vec![Order::at(Job::BackUp { run, attempt }, *retry_at)]
        }
        RunEvent::Interrupted { attempt, .. } => {
            let attempt = attempt + 1;
            vec![Order::now(Job::BackUp { run, attempt })]
        }
        RunEvent::Succeeded { .. } => vec![Order::now(Job::Retain { run })],
        RunEvent::LeftoversDue {} => vec![Order::now(Job::RemoveLeftovers { run })],
        RunEvent::CopyRequested { copy } => vec![Order::now(copy_out(run, *copy, 0))],
        RunEvent::CopyFailed {
            copy,
            attempt,
            retry_at,
            ..
        } => vec![Order::at(copy_out(run, *copy, *attempt), *retry_at)],
        RunEvent::CopyRetried { copy, attempt } => {
            vec![Order::now(copy_out(run, *copy, *attempt))]
        }
        RunEvent::Expired { .. } | RunEvent::Discarded {} => {
            vec![Order::now(Job::Prune { run, refused: 0 })]
        }
        RunEvent::DeletionRefused {
            refused, retry_at, ..
        } => {
            let refused = *refused;
            vec![Order::at(Job::Prune { run, refused }, *retry_at)]
        }
        RunEvent::VerificationRequested { verification, .. } => {
            let verification = *verification;
            vec![Order::now(Job::Verify { run, verification })]
        }
        RunEvent::VerificationRetryScheduled {
            verification,
            retry_at,
            ..
        } => {
            let verification = verification + 1;
            vec![Order::at(Job::Verify { run, verification }, *retry_at)]
        }
        _ => vec![],
    }
}

fn after_restore(restore: RestoreId, change: &RestoreEvent) -> Vec<Order> {
    match change {
        // Else it is due when its safety backup is over.
        RestoreEvent::Requested { source, .. } if source.safety().is_none() => {
            vec![Order::now(Job::BringBack {
                restore,
                attempt: 1,
            })]
        }
        // Which of the two is due depends on the state; the other one finds nothing to do.
        RestoreEvent::Interrupted { attempt, .. } => {
            let attempt = attempt + 1;
            vec![
                Order::now(Job::SettleRestore { restore, attempt }),
                Order::now(Job::Undo { restore, attempt }),
            ]
        }
        RestoreEvent::UndoRequested { attempt } => {
            let attempt = *attempt;
            vec![Order::now(Job::Undo { restore, attempt })]
        }
        RestoreEvent::Succeeded {
            attempt,
            kept: Some(_),
            keep_until,
            ..
        }
        | RestoreEvent::Undone {
            attempt,
            kept: Some(_),
            keep_until,
        }
        | RestoreEvent::UndoFailed {
            attempt,
            keep_until: Some(keep_until),
            ..
        } => {
            let attempt = *attempt;
            vec![Order::at(Job::Forget { restore, attempt }, *keep_until)]
        }
        _ => vec![],
    }
}

/// The attempt after `attempts` others.
fn copy_out(run: RunId, copy: u32, attempts: u32) -> Job {
    Job::Copy {
        run,
        copy,
        attempt: attempts + 1,
    }
}

/// Copies that are still to be made.
pub fn copies(row: &runs::Model) -> Vec<Order> {
    let copies = (0..).zip(row.copies());
    let open = copies.filter(|(_, copy)| copy.is_open());
    open.map(|(copy, state)| Order {
        job: copy_out(row.run_id(), copy, state.attempts),
        not_before: state.retry_at,
    })
    .collect()
}

/// What is due for a run that is not over.
pub fn resume_run(row: &runs::Model) -> Order {
    let attempt = u32::try_from(row.attempt).unwrap_or_default() + 1;
    Order {
        job: Job::BackUp {
            run: row.run_id(),
            attempt,
        },
        not_before: row.retry_at.and_then(DateTime::from_timestamp_millis),
    }
}

/// What may be due after a config's newest good run: whether it was done, nobody has noted.
pub fn retain(newest: &Beat) -> Order {
    Order::now(Job::Retain {
        run: RunId(newest.id),
    })
}

/// What was let go and is not known to be deleted.
pub fn prune(row: &runs::Model) -> Order {
    Order::now(Job::Prune {
        run: row.run_id(),
        refused: 0,
    })
}

/// What a run that is over may have left.
pub fn remove_leftovers(row: &runs::Model) -> Order {
    Order::now(Job::RemoveLeftovers { run: row.run_id() })
}

/// The verification that a run's artifact waits for.
pub fn verify(row: &runs::Model) -> Order {
    Order {
        job: Job::Verify {
            run: row.run_id(),
            verification: row.verifying.and_then(|it| it.try_into().ok()).unwrap_or(0),
        },
        not_before: row.verify_at.and_then(DateTime::from_timestamp_millis),
    }
}

/// What is due for a restore or undo that is not over, and waits for no run.
pub fn resume_restore(row: &restores::Model) -> Order {
    let restore = row.restore_id();
    let attempt = u32::try_from(row.attempt).unwrap_or_default();
    Order::now(match row.status.as_str() {
        "undoing" => Job::Undo { restore, attempt },
        _ if row.settling => Job::SettleRestore { restore, attempt },
        _ => Job::BringBack {
            restore,
            attempt: attempt + 1,
        },
    })
}

/// When what a restore set aside may go.
pub fn forget(row: &restores::Model) -> Order {
    Order {
        job: Job::Forget {
            restore: row.restore_id(),
            attempt: u32::try_from(row.attempt).unwrap_or_default(),
        },
        not_before: row.keep_until.and_then(DateTime::from_timestamp_millis),
    }
}
