//! What becomes of the slots of a schedule that have come due: each ends in one event, as a run, as
//! skipped or as missed. Pure; whoever calls it holds the cursor, up to which all have ended.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{calendar::Due, ids::RunId};

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
    fn one(slot: DateTime<Utc>) -> Self {
        Self {
            first: slot,
            last: slot,
            count: 1,
        }
    }
}

/// Why slots end without a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// Nobody could look when they were due.
    Missed,
    /// They came while this run was not over.
    Busy(RunId),
    /// They came in a blackout, and a later one is made up for.
    BlackedOut,
}

/// How due slots end: together they are all that was due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// In order; neighbours that end alike are one.
    pub passed: Vec<(Slots, Passed)>,
    /// One run each.
    pub runs: Vec<DateTime<Utc>>,
}

/// `due` are the oldest slots after the cursor that are heeded by `now`, in order; `more`: there are
/// younger ones that are due as well. `busy` is a run of the config that is not over.
pub fn settle(
    policy: MissedPolicy,
    due: &[Due],
    more: bool,
    now: DateTime<Utc>,
    busy: Option<RunId>,
) -> Settled {
    let wanted = |it: &Due| {
        // Of a batch that is not the last, none is young enough to be made up for.
        let newest = Some(it) == due.last();
        !more
            && match policy {
                MissedPolicy::Skip => newest && now - it.at <= ON_TIME,
                MissedPolicy::One => newest,
                MissedPolicy::All { hours } => {
                    now - it.at <= TimeDelta::hours(hours.into()) || newest
                }
            }
    };
    let first = due.iter().position(wanted).unwrap_or(due.len());
    let first = first.max(due.len().saturating_sub(MAX_RUNS));
    let mut settled = Settled::default();
    for (index, it) in due.iter().enumerate() {
        // One run after a blackout makes up for all that came in it.
        let next = due.get(index + 1).and_then(|next| next.held_until);
        let made_up = index < first || next == it.held_until;
        let how = if it.held_until.is_some() && made_up {
            Passed::BlackedOut
        } else if index < first {
            Passed::Missed
        } else if let Some(run) = busy {
            Passed::Busy(run)
        } else {
            settled.runs.push(it.slot);
            continue;
        };
        let follows = index > 0 && settled.runs.last() != Some(&due[index - 1].slot);
        match settled.passed.last_mut() {
            Some((slots, last)) if *last == how && follows => {
                slots.last = it.slot;
                slots.count += 1;
            }
            _ => settled.passed.push((Slots::one(it.slot), how)),
        }
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000 + minutes * 60, 0).unwrap()
    }

    fn hourly(count: i64) -> Vec<Due> {
        (0..count).map(|i| due(i * 60, None)).collect()
    }

    fn due(minutes: i64, held_until: Option<i64>) -> Due {
        Due {
            slot: at(minutes),
            at: at(held_until.unwrap_or(minutes)),
            held_until: held_until.map(at),
        }
    }

    fn passed(due: &[Due], how: Passed) -> Option<(Slots, Passed)> {
        let slots = Slots {
            first: due.first()?.slot,
            last: due.last()?.slot,
            count: u32::try_from(due.len()).unwrap(),
        };
        Some((slots, how))
    }

    fn names(due: &[Due]) -> Vec<DateTime<Utc>> {
        due.iter().map(|it| it.slot).collect()
    }

    #[test]
    fn after_downtime_the_policy_decides() {
        let due = hourly(5);
        let now = at(4 * 60 + 30);
        for (policy, runs) in [
            (MissedPolicy::Skip, 0),
            (MissedPolicy::One, 1),
            (MissedPolicy::All { hours: 2 }, 2),
            (MissedPolicy::All { hours: 48 }, 5),
        ] {
            let settled = settle(policy, &due, false, now, None);
            let (missed, wanted) = due.split_at(5 - runs);
            assert_eq!(settled.runs, names(wanted), "{policy:?}");
            let missed: Vec<_> = passed(missed, Passed::Missed).into_iter().collect();
            assert_eq!(settled.passed, missed, "{policy:?}");
        }
    }

    #[test]
    fn what_is_on_time_runs_whatever_the_policy_and_waits_for_nobody() {
        let due = hourly(2);
        let now = at(60) + TimeDelta::seconds(5);
        for policy in [MissedPolicy::Skip, MissedPolicy::One] {
            assert_eq!(settle(policy, &due, false, now, None).runs, [at(60)]);
            let busy = settle(policy, &due, false, now, Some(RunId(3)));
            let skipped = passed(&due[1..], Passed::Busy(RunId(3)));
            assert_eq!((busy.passed.last().copied(), busy.runs.len()), (skipped, 0));
        }
    }

    #[test]
    fn a_batch_that_is_not_the_last_starts_nothing() {
        let due = hourly(3);
        let settled = settle(MissedPolicy::One, &due, true, at(100_000), None);
        assert_eq!(settled.passed.last().copied(), passed(&due, Passed::Missed));
        assert!(settled.runs.is_empty());
    }

    #[test]
    fn one_run_after_a_blackout_makes_up_for_all_that_came_in_it() {
        let mut slots: Vec<Due> = (0..3).map(|i| due(i * 60, Some(170))).collect();
        let now = at(170) + TimeDelta::seconds(3);
        for policy in [
            MissedPolicy::Skip,
            MissedPolicy::One,
            MissedPolicy::All { hours: 24 },
        ] {
            let settled = settle(policy, &slots, false, now, None);
            assert_eq!(settled.runs, [at(120)], "{policy:?}");
            let held = passed(&slots[..2], Passed::BlackedOut);
            assert_eq!(settled.passed.last().copied(), held, "{policy:?}");
        }
        // One that comes when it is over does so too; with a run each, both have one.
        slots.push(due(180, None));
        let one = settle(MissedPolicy::One, &slots, false, at(180), None);
        assert_eq!(one.runs, [at(180)]);
        assert_eq!(
            one.passed.last().copied(),
            passed(&slots[..3], Passed::BlackedOut)
        );
        let each = settle(
            MissedPolicy::All { hours: 24 },
            &slots,
            false,
            at(180),
            None,
        );
        assert_eq!(each.runs, [at(120), at(180)]);
    }
}
