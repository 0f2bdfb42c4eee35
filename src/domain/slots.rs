//! What becomes of the slots of a schedule that have come due: each ends in one event, as a run, as
//! skipped or as missed. Pure; whoever calls it holds the cursor, up to which all have ended.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::ids::RunId;

/// A slot that is looked at this late or earlier was not missed: the clock ticks every few seconds, and
/// a start takes some.
pub const ON_TIME: TimeDelta = TimeDelta::minutes(5);
/// How many slots are settled at once; whoever has more calls again.
pub const BATCH: usize = 1000;
/// With the policy `all`: at most so many runs are made up for, the newest.
const MAX_RUNS: usize = 100;
/// When the clock stands further before the cursor than this, it had been wrong: waiting until it comes
/// by again would mean no backup for as long.
pub const CLOCK_SLACK: TimeDelta = TimeDelta::hours(24);

/// What happens to slots that passed while nobody could look: the server did not run, or its clock was
/// set forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "snake_case")]
pub enum MissedPolicy {
    /// All of them are missed.
    Skip,
    /// The newest is made up for by one run; the others are missed.
    #[default]
    One,
    /// Each of the last so many hours gets its run, one after the other.
    All { hours: u32 },
}

impl MissedPolicy {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::One => "one",
            Self::All { .. } => "all",
        }
    }

    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Slots that follow each other in the schedule, first and last included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
    pub count: u32,
}

impl Slots {
    /// None of none.
    pub fn of(slots: &[DateTime<Utc>]) -> Option<Self> {
        Some(Self {
            first: *slots.first()?,
            last: *slots.last()?,
            count: u32::try_from(slots.len()).unwrap_or(u32::MAX),
        })
    }
}

/// How due slots end. In this order they are all that was due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    pub missed: Option<Slots>,
    /// They come while an earlier run is not over.
    pub skipped: Option<(Slots, RunId)>,
    /// One run each.
    pub runs: Vec<DateTime<Utc>>,
}

/// `due` are the oldest slots after the cursor that are not after `now`, in order; `more`: there are
/// younger ones that are due as well. `busy` is a run of the config that is not over.
pub fn settle(
    policy: MissedPolicy,
    due: &[DateTime<Utc>],
    more: bool,
    now: DateTime<Utc>,
    busy: Option<RunId>,
) -> Settled {
    let wanted = |slot: &DateTime<Utc>| {
        // Of a batch that is not the last, none is young enough to be made up for.
        let newest = Some(slot) == due.last();
        !more
            && match policy {
                MissedPolicy::Skip => newest && now - *slot <= ON_TIME,
                MissedPolicy::One => newest,
                MissedPolicy::All { hours } => {
                    now - *slot <= TimeDelta::hours(hours.into()) || newest
                }
            }
    };
    let first = due.iter().position(wanted).unwrap_or(due.len());
    let first = first.max(due.len().saturating_sub(MAX_RUNS));
    let (missed, wanted) = due.split_at(first);
    let mut settled = Settled {
        missed: Slots::of(missed),
        ..Settled::default()
    };
    match (busy, Slots::of(wanted)) {
        (Some(run), Some(slots)) => settled.skipped = Some((slots, run)),
        _ => settled.runs = wanted.to_vec(),
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000 + minutes * 60, 0).unwrap()
    }

    fn hourly(count: i64) -> Vec<DateTime<Utc>> {
        (0..count).map(|i| at(i * 60)).collect()
    }

    #[test]
    fn after_downtime_the_policy_decides() {
        let due = hourly(5);
        let now = at(4 * 60 + 30);
        let missed = |slots: &[DateTime<Utc>]| Slots::of(slots);
        for (policy, runs) in [
            (MissedPolicy::Skip, 0),
            (MissedPolicy::One, 1),
            (MissedPolicy::All { hours: 2 }, 2),
            (MissedPolicy::All { hours: 48 }, 5),
        ] {
            let settled = settle(policy, &due, false, now, None);
            assert_eq!(settled.runs, due[5 - runs..], "{policy:?}");
            assert_eq!(settled.missed, missed(&due[..5 - runs]), "{policy:?}");
        }
    }

    #[test]
    fn what_is_on_time_runs_whatever_the_policy_and_waits_for_nobody() {
        let due = hourly(2);
        let now = at(60) + TimeDelta::seconds(5);
        for policy in [MissedPolicy::Skip, MissedPolicy::One] {
            assert_eq!(settle(policy, &due, false, now, None).runs, [at(60)]);
            let busy = settle(policy, &due, false, now, Some(RunId(3)));
            let skipped = Slots::of(&due[1..]).map(|slots| (slots, RunId(3)));
            assert_eq!((busy.skipped, busy.runs.len()), (skipped, 0));
        }
    }

    #[test]
    fn a_batch_that_is_not_the_last_starts_nothing() {
        let due = hourly(3);
        let settled = settle(MissedPolicy::One, &due, true, at(100_000), None);
        assert_eq!(settled.missed, Slots::of(&due));
        assert!(settled.runs.is_empty());
    }
}
