//! Five-field POSIX cron on the `cron` crate, which itself wants six fields, counts weekdays from
//! 1 = Sunday and joins day-of-month and day-of-week by AND. Here: 0 and 7 are Sunday, and the two
//! day fields are joined by OR when both are restricted, as cron has always done.
//!
//! The crate is asked in wall-clock time without a zone; the zone is applied here, because the
//! crate's own iterator goes back in time when clocks do:
//! - a fixed time inside a spring gap runs at the first instant after the gap;
//! - a fixed time that an autumn change brings twice runs at its first pass only;
//! - schedules whose minute or hour field starts with `*` follow real elapsed minutes.

use std::{collections::BTreeSet, str::FromStr};

use chrono::{DateTime, Duration, LocalResult, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Times on the wall and in UTC are never further apart than this, changes of the clocks included.
const NEAR_DAYS: i64 = 2;

#[derive(Debug, Clone)]
pub struct Schedule {
    /// One, or two whose union counts (both day fields restricted).
    parts: Vec<cron::Schedule>,
    frequent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    #[error(
        "use five fields (minute hour day month weekday), as in '0 2 * * *', or a word such as @daily; found {0}"
    )]
    FieldCount(usize),
    #[error("{field}: {problem}")]
    Field {
        field: &'static str,
        problem: String,
    },
    #[error("this day never comes, so nothing would ever run")]
    Never,
    #[error("an expression is at most 200 characters long")]
    TooLong,
}

/// The zone of that IANA name.
pub fn zone(name: &str) -> Option<Tz> {
    name.parse().ok()
}

impl Schedule {
    pub fn parse(expression: &str) -> Result<Self, CronError> {
        if expression.len() > 200 {
            return Err(CronError::TooLong);
        }
        let expression = match expression.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            other => other,
        };
        let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
        let &[minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(CronError::FieldCount(fields.len()));
        };
        let minutes = Field::new("minute", 0, 59).parse(minute)?;
        let hours = Field::new("hour", 0, 23).parse(hour)?;
        let days = Field::new("day of month", 1, 31).parse(day)?;
        let months = Field::named("month", 1, 12, &MONTHS).parse(month)?;
        let weekdays = weekdays(weekday)?;
        let part = |days: &str, weekdays: &str| {
            cron::Schedule::from_str(&format!(
                "0 {} {} {days} {} {weekdays}",
                list(&minutes),
                list(&hours),
                list(&months)
            ))
            .map_err(|error| CronError::Field {
                field: "schedule",
                problem: error.to_string(),
            })
        };
        let both_restricted = !day.starts_with('*') && !weekday.starts_with('*');
        let parts = if both_restricted {
            vec![part(&list(&days), "*")?, part("*", &list(&weekdays))?]
        } else {
            vec![part(&list(&days), &list(&weekdays))?]
        };
        let schedule = Self {
            parts,
            frequent: minute.starts_with('*') || hour.starts_with('*'),
        };
        let start = NaiveDateTime::default() + Duration::days(20_000);
        schedule.next_naive(start).ok_or(CronError::Never)?;
        Ok(schedule)
    }

    /// The first run strictly after `after`. Monotonic: never at or before `after`.
    pub fn next_after(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        if self.frequent {
            self.next_elapsed(after, zone)
        } else {
            self.next_fixed(after, zone)
        }
    }

    /// Follows real minutes. Minute by minute it goes only near a change of the clocks: what those
    /// bring again lies within a day of `after`, what they skip within a day of the next time on the
    /// wall, and in between nothing is due.
    fn next_elapsed(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let mut after = after;
        loop {
            let local = after.with_timezone(&zone).naive_local();
            let naive = self.next_naive(local)?;
            if let LocalResult::Single(at) = zone.from_local_datetime(&naive) {
                let at = at.with_timezone(&Utc);
                if at - after == naive - local {
                    return Some(at);
                }
            }
            let end = after + Duration::days(NEAR_DAYS);
            if let Some(at) = self.walk(after, end, zone) {
                return Some(at);
            }
            after = end.max(naive.and_utc() - Duration::days(NEAR_DAYS));
        }
    }

    /// The first minute after `after`, up to `end`, whose time on the wall is a run's.
    fn walk(&self, after: DateTime<Utc>, end: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let mut at = after + Duration::seconds(60 - after.timestamp().rem_euclid(60));
        while at <= end {
            let naive = at.with_timezone(&zone).naive_local();
            if self.next_naive(naive - Duration::seconds(1)) == Some(naive) {
                return Some(at);
            }
            at += Duration::minutes(1);
        }
        None
    }

    fn next_fixed(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        // A fixed time in a gap that ends right now must not be lost: begin a day earlier.
        let mut naive = after.with_timezone(&zone).naive_local() - Duration::days(1);
        loop {
            naive = self.next_naive(naive)?;
            let at = match zone.from_local_datetime(&naive) {
                LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at,
                LocalResult::None => first_after_gap(naive, zone)?,
            };
            let at = at.with_timezone(&Utc);
            if at > after {
                return Some(at);
            }
        }
    }

    /// On the wall clock, no zone: strictly after `after`.
    fn next_naive(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        self.parts
            .iter()
            .filter_map(|part| part.after(&after.and_utc()).next())
            .min()
            .map(|at| at.naive_utc())
    }
}

fn first_after_gap(naive: NaiveDateTime, zone: Tz) -> Option<DateTime<Tz>> {
    (1..=24 * 60).find_map(|minutes| {
        zone.from_local_datetime(&(naive + Duration::minutes(minutes)))
            .earliest()
    })
}

/// Cron's 0–7 (0 and 7 are Sunday) as the crate's 1–7 (1 is Sunday).
fn weekdays(text: &str) -> Result<Vec<u32>, CronError> {
    let field = Field::named("weekday", 0, 7, &DAYS);
    let parsed = if let Some(step) = text.strip_prefix("*/") {
        field.parse(&format!("0-6/{step}"))?
    } else if text == "*" {
        (0..=6).collect()
    } else {
        field.parse(text)?
    };
    let shifted: BTreeSet<u32> = parsed.into_iter().map(|day| day % 7 + 1).collect();
    Ok(shifted.into_iter().collect())
}

struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    /// Names for the values from `low` on (weekdays from 0, months from 1).
    names: &'static [&'static str],
}

impl Field {
    fn new(name: &'static str, low: u32, high: u32) -> Self {
        Self::named(name, low, high, &[])
    }

    fn named(name: &'static str, low: u32, high: u32, names: &'static [&'static str]) -> Self {
        Self {
            name,
            low,
            high,
            names,
        }
    }

    /// Lists of values, ranges and steps, sorted and without doubles.
    fn parse(&self, text: &str) -> Result<Vec<u32>, CronError> {
        let mut values = BTreeSet::new();
        for item in text.split(',') {
            let (range, step) = match item.split_once('/') {
                None => (item, 1),
                Some((range, step)) => (range, self.step(range, step)?),
            };
            let (first, last) = self.range(range)?;
            values.extend((first..=last).step_by(step));
        }
        Ok(values.into_iter().collect())
    }

    fn step(&self, range: &str, step: &str) -> Result<usize, CronError> {
        if range != "*" && !range.contains('-') {
            return Err(self.problem(format!(
                "a step needs '*' or a range before it, not '{range}'"
            )));
        }
        match digits(step) {
            Some(step) if step > 0 && step <= self.high => Ok(step as usize),
            _ => Err(self.problem(format!("'{step}' is no step"))),
        }
    }

    fn range(&self, range: &str) -> Result<(u32, u32), CronError> {
        if range == "*" {
            return Ok((self.low, self.high));
        }
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            None => {
                let value = self.value(range)?;
                (value, value)
            }
        };
        if first > last {
            return Err(self.problem(format!("the range {range} goes backwards")));
        }
        Ok((first, last))
    }

    fn value(&self, text: &str) -> Result<u32, CronError> {
        let by_name = self
            .names
            .iter()
            .zip(self.low..)
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        let value = by_name.map(|(_, value)| value).or_else(|| digits(text));
        match value {
            Some(value) if (self.low..=self.high).contains(&value) => Ok(value),
            _ => Err(self.problem(format!(
                "'{}' is not between {} and {}",
                text.escape_default(),
                self.low,
                self.high
            ))),
        }
    }

    fn problem(&self, problem: String) -> CronError {
        CronError::Field {
            field: self.name,
            problem,
        }
    }
}

/// A plain number; `parse` alone would take `+5`.
fn digits(text: &str) -> Option<u32> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn list(values: &[u32]) -> String {
    let texts: Vec<String> = values.iter().map(u32::to_string).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, after: &str, zone_name: &str) -> String {
        let after = after.parse::<DateTime<Utc>>().unwrap();
        Schedule::parse(expression)
            .unwrap()
            .next_after(after, zone(zone_name).unwrap())
            .unwrap()
            .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }

    #[test]
    fn weekdays_count_as_in_posix() {
        // 2026-11-23 is a Monday.
        for (expression, expected) in [
            ("0 0 * * 0", "2026-11-29T00:00:00Z"),
            ("0 0 * * 7", "2026-11-29T00:00:00Z"),
            ("0 0 * * 1", "2026-11-30T00:00:00Z"),
            ("0 0 * * sun", "2026-11-29T00:00:00Z"),
            ("0 0 * * 5-7", "2026-11-27T00:00:00Z"),
            ("@weekly", "2026-11-29T00:00:00Z"),
        ] {
            assert_eq!(next(expression, "2026-11-23T12:00:00Z", "UTC"), expected);
        }
    }

    #[test]
    fn both_day_fields_restricted_means_either() {
        let first = next("30 4 1,15 * 5", "2026-11-23T12:00:00Z", "UTC");
        assert_eq!(first, "2026-11-27T04:30:00Z");
        assert_eq!(next("30 4 1,15 * 5", &first, "UTC"), "2026-12-01T04:30:00Z");
    }

    #[test]
    fn clock_changes_lose_and_double_nothing() {
        // 02:30 does not exist on 2026-03-29 in Berlin: the first instant after the gap.
        assert_eq!(
            next("30 2 * * *", "2026-03-28T12:00:00Z", "Europe/Berlin"),
            "2026-03-29T01:00:00Z"
        );
        // 02:30 comes twice on 2026-10-25: once, at its first pass.
        let first = next("30 2 * * *", "2026-10-24T12:00:00Z", "Europe/Berlin");
        assert_eq!(first, "2026-10-25T00:30:00Z");
        assert_eq!(
            next("30 2 * * *", &first, "Europe/Berlin"),
            "2026-10-26T01:30:00Z"
        );
    }

    #[test]
    fn what_is_far_away_is_found_as_if_every_minute_were_looked_at() {
        for (expression, expected) in [
            ("* * 1 7 *", "2027-06-30T22:00:00Z"),
            ("*/5 * 29 2 *", "2028-02-28T23:00:00Z"),
            // The hour that the clocks skip, and the one that comes twice.
            ("*/20 2 28 3 *", "2028-03-28T00:00:00Z"),
            ("*/20 2 31 10 *", "2027-10-31T00:00:00Z"),
        ] {
            let found = next(expression, "2026-11-23T12:00:00Z", "Europe/Berlin");
            assert_eq!(found, expected, "{expression}");
        }
        for name in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
            let zone = zone(name).unwrap();
            for expression in ["*/7 1,2 * * *", "30 */2 * * 0", "*/15 2 28 3 *"] {
                let schedule = Schedule::parse(expression).unwrap();
                let start = "2027-03-26T00:10:00Z".parse::<DateTime<Utc>>().unwrap();
                for hours in 0..72 {
                    let after = start + Duration::hours(hours);
                    let slow = schedule.walk(after, after + Duration::days(5), zone);
                    let found = schedule.next_after(after, zone);
                    assert!(
                        slow.is_none() || found == slow,
                        "{expression} {name} {after}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_cannot_run_is_refused_with_the_field() {
        for (expression, expected) in [
            ("", "found 0"),
            ("hello", "found 1"),
            ("0 0 12 * * *", "found 6"),
            ("60 * * * *", "minute: '60'"),
            ("* 24 * * *", "hour: '24'"),
            ("0 0 0 * *", "day of month: '0'"),
            ("0 0 * 13 *", "month: '13'"),
            ("0 0 * * 8", "weekday: '8'"),
            ("*/0 * * * *", "minute: '0' is no step"),
            ("5/10 * * * *", "minute: a step needs"),
            ("0 5-1 * * *", "hour: the range 5-1 goes backwards"),
            ("0 0 31 2 *", "never comes"),
            ("+1 * * * *", "minute"),
        ] {
            let error = Schedule::parse(expression).unwrap_err().to_string();
            assert!(error.contains(expected), "{expression:?}: {error}");
        }
        assert_eq!(
            Schedule::parse(&"*".repeat(10_000)).unwrap_err(),
            CronError::TooLong
        );
    }
}
