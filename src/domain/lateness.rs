//! Does a config keep what its schedule promises? Late when a slot went by without a good backup, missed
//! when that has lasted: until the slot after it, or for a day where slots are further apart.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::calendar::Calendar;

/// A backup takes its time: a slot this much over is not late yet.
pub const GRACE: TimeDelta = TimeDelta::minutes(5);
/// Whatever the schedule, nobody is left without a word for longer.
const LONGEST: TimeDelta = TimeDelta::hours(24);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overdue {
    Late,
    Missed,
}

impl Overdue {
    pub fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Missed => "missed",
        }
    }
}

/// `since`: when the newest good backup was asked for, or when the schedule was set, whichever is later.
/// What is overdue since then, if anything: how much, and the first slot that was not kept.
pub fn judge(
    calendar: &Calendar,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<(Overdue, DateTime<Utc>)> {
    let mut slots = calendar.slots(since);
    let promised = slots.next()?;
    if promised.at + GRACE >= now {
        return None;
    }
    let longest = promised.at + LONGEST;
    // What came in the same blackout is the same promise.
    let same = |held| held == promised.held_until && promised.held_until.is_some();
    let next = slots.find(|due| !same(due.held_until));
    let given_up = next.map_or(longest, |next| next.at.min(longest));
    let promised = promised.slot;
    let how = if given_up + GRACE < now {
        Overdue::Missed
    } else {
        Overdue::Late
    };
    Some((how, promised))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{config::ConfigSpec, ids::ConfigId};

    #[test]
    fn late_then_missed_by_the_schedules_own_measure() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let since = "2026-11-23T02:00:05Z";
        for (cron, now, expected) in [
            ("0 * * * *", "2026-11-23T03:04:59Z", None),
            ("0 * * * *", "2026-11-23T03:05:01Z", Some(Overdue::Late)),
            ("0 * * * *", "2026-11-23T04:05:01Z", Some(Overdue::Missed)),
            ("0 2 * * *", "2026-11-24T01:00:00Z", None),
            ("0 2 * * *", "2026-11-24T03:00:00Z", Some(Overdue::Late)),
            ("0 2 * * *", "2026-11-25T02:05:01Z", Some(Overdue::Missed)),
            ("0 2 1 * *", "2026-12-02T01:00:00Z", Some(Overdue::Late)),
            ("0 2 1 * *", "2026-12-02T02:06:00Z", Some(Overdue::Missed)),
        ] {
            let spec = ConfigSpec {
                schedule_cron: cron.to_owned(),
                ..ConfigSpec::default()
            };
            let calendar = Calendar::of(ConfigId(1), &spec).unwrap();
            let found = judge(&calendar, time(since), time(now));
            assert_eq!(found.map(|it| it.0), expected, "{cron} {now}");
        }
    }
}
