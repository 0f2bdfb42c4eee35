//! What a retention rule will do while the schedule goes on as it is and every run is good.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::{
    ids::RunId,
    retention::{Point, Retention, Verdict, judge},
    schedule::Schedule,
};

pub const DAYS: i64 = 90;
/// How many slots are looked at: more come due in that time only where backups are minutes apart.
const MAX_SLOTS: usize = 10_000;
/// How often the rule is asked: with more slots than this, not after each.
const MAX_STEPS: usize = 400;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forecast {
    /// How far it looks.
    pub until: Option<DateTime<Utc>>,
    /// Slots that come due until then.
    pub slots: usize,
    /// When those that are there today go; absent ones are still there at the end.
    pub leaving: BTreeMap<RunId, DateTime<Utc>>,
    /// Those that are there at the end and are yet to come, oldest first, with why.
    pub staying: Vec<Verdict>,
    /// The most that lie in the target at once.
    pub most: usize,
}

/// From `now` on. `present` is what is there today.
pub fn forecast(
    rule: &Retention,
    zone: Tz,
    schedule: &Schedule,
    present: &[Point],
    now: DateTime<Utc>,
) -> Forecast {
    let end = now + TimeDelta::days(DAYS);
    let slots: Vec<DateTime<Utc>> =
        std::iter::successors(schedule.next_after(now, zone), |&slot| {
            schedule.next_after(slot, zone)
        })
        .take_while(|slot| *slot <= end)
        .take(MAX_SLOTS)
        .collect();
    let mut points = present.to_vec();
    points.sort_by_key(|point| std::cmp::Reverse((point.at, point.run)));
    let mut forecast = Forecast {
        until: slots.last().copied(),
        slots: slots.len(),
        most: points.len(),
        ..Forecast::default()
    };
    let mut verdicts = judge(rule, zone, &points);
    let size = points.first().map_or(1, |newest| newest.raw_bytes);
    let mut next = 0;
    for slots in slots.chunks(slots.len().div_ceil(MAX_STEPS).max(1)) {
        for &at in slots {
            next -= 1; // no run has a negative id, so these are those that are yet to come
            let run = RunId(next);
            let point = Point {
                run,
                at,
                raw_bytes: size,
                verified: true,
            };
            points.insert(0, point);
        }
        forecast.most = forecast.most.max(points.len() + 1 - slots.len());
        verdicts = judge(rule, zone, &points);
        for verdict in verdicts.extract_if(.., |verdict| verdict.reasons.is_empty()) {
            if let (RunId(1..), Some(&at)) = (verdict.point.run, slots.last()) {
                forecast.leaving.insert(verdict.point.run, at);
            }
        }
        points = verdicts.iter().map(|verdict| verdict.point).collect();
    }
    forecast.staying = verdicts
        .into_iter()
        .rev()
        .filter(|verdict| verdict.point.run < RunId(0))
        .collect();
    forecast
}
