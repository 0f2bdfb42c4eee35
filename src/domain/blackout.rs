//! Hours of the week in which a schedule starts nothing: `08:00-18:00 Mon-Fri`, in the config's own time
//! zone. A window belongs to the day on which it begins, also when it goes past midnight: `22:00-06:00 Fri`
//! ends on Saturday morning. What comes due in one waits for its end.

use chrono::{
    DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta,
    TimeZone, Utc, Weekday,
};
use chrono_tz::Tz;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Mon),
    ("tue", Weekday::Tue),
    ("wed", Weekday::Wed),
    ("thu", Weekday::Thu),
    ("fri", Weekday::Fri),
    ("sat", Weekday::Sat),
    ("sun", Weekday::Sun),
];
const DAY: u32 = 24 * 60;
const HOW: &str =
    "write it as 08:00-18:00, with days as in Mon-Fri or Sat,Sun where it is not every day";
/// The longest gap of a change of the clocks there ever was is a day.
const GAP_MINUTES: u32 = DAY + 60;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blackout {
    /// Minutes since midnight; `until` may be 24:00, and lies on the next day where it is not after `from`.
    from: u32,
    until: u32,
    /// Monday first.
    days: [bool; 7],
}

impl Blackout {
    /// Says how to write it, or that nothing would ever run.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || HOW.to_owned();
        let mut words = text.split_whitespace();
        let hours = words.next().ok_or_else(wrong)?;
        let days = words
            .next()
            .map_or(Ok([true; 7]), days)
            .map_err(|()| wrong())?;
        let (from, until) = hours.split_once('-').ok_or_else(wrong)?;
        let (from, until) = (minutes(from), minutes(until));
        let (Some(from), Some(until), None) = (from, until, words.next()) else {
            return Err(wrong());
        };
        if from == DAY {
            return Err(wrong());
        }
        let whole = until == from || until - from.min(until) == DAY;
        if whole && days == [true; 7] {
            return Err("it never ends, so nothing would ever run".to_owned());
        }
        Ok(Self { from, until, days })
    }

    /// When it is over, if `at` lies in it. What follows without a break is one with it.
    pub fn end(&self, at: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let mut end = instant(self.window(at, zone)?.1, at, zone);
        for _ in DAYS {
            match self.window(end, zone) {
                Some((_, later)) => end = instant(later, end, zone),
                None => break,
            }
        }
        Some(end)
    }

    /// Since when it lasts, if `at` lies in it.
    pub fn start(&self, at: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let second = TimeDelta::seconds(1);
        let since = |at: DateTime<Utc>| {
            let (from, _) = self.window(at, zone)?;
            Some(at - (at.with_timezone(&zone).naive_local() - from))
        };
        let mut start = since(at)?;
        for _ in DAYS {
            match since(start - second) {
                Some(earlier) => start = earlier,
                None => break,
            }
        }
        Some(start)
    }

    /// The window that `at` lies in, by the clock on the wall: of today, or of yesterday still.
    fn window(&self, at: DateTime<Utc>, zone: Tz) -> Option<(NaiveDateTime, NaiveDateTime)> {
        let local = at.with_timezone(&zone).naive_local();
        let today = local.date();
        let days = [today.checked_sub_days(Days::new(1)), Some(today)];
        let chosen = |day: &NaiveDate| self.days[day.weekday().num_days_from_monday() as usize];
        days.into_iter().flatten().filter(chosen).find_map(|day| {
            let midnight = day.and_time(NaiveTime::MIN);
            let from = midnight + TimeDelta::minutes(self.from.into());
            let next_day = if self.until > self.from { 0 } else { DAY };
            let until = midnight + TimeDelta::minutes((self.until + next_day).into());
            (from <= local && local < until).then_some((from, until))
        })
    }
}

/// The first instant after `after` at which clocks show `local` or, where they skip it, what comes next.
fn instant(local: NaiveDateTime, after: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    for skipped in 0..GAP_MINUTES {
        let wall = local + TimeDelta::minutes(skipped.into());
        let found = match zone.from_local_datetime(&wall) {
            LocalResult::None => continue,
            LocalResult::Single(at) => at,
            LocalResult::Ambiguous(first, second) if first <= after => second,
            LocalResult::Ambiguous(first, _) => first,
        };
        let found = found.with_timezone(&Utc);
        if found > after {
            return found;
        }
    }
    after + TimeDelta::minutes(1)
}

/// `08:00`, up to `24:00`.
fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let sum = hours * 60 + minutes;
    (minutes < 60 && sum <= DAY).then_some(sum)
}

/// `Mon-Fri`, `Sat,Sun`, `Fri-Mon`.
fn days(text: &str) -> Result<[bool; 7], ()> {
    let mut chosen = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (weekday(first)?, weekday(last)?);
        loop {
            chosen[day.num_days_from_monday() as usize] = true;
            if day == last {
                break;
            }
            day = day.succ();
        }
    }
    Ok(chosen)
}

fn weekday(text: &str) -> Result<Weekday, ()> {
    let text = text.to_ascii_lowercase();
    let known = DAYS.iter().find(|(name, _)| *name == text);
    known.map(|(_, day)| *day).ok_or(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(blackout: &str, at: &str, zone: Tz) -> Option<String> {
        let at = at.parse().unwrap();
        let end = Blackout::parse(blackout).unwrap().end(at, zone)?;
        Some(end.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    }

    #[test]
    fn what_lies_in_it_waits_for_its_end() {
        // 2026-11-23 is a Monday.
        let utc = Tz::UTC;
        for (blackout, at, expected) in [
            (
                "08:00-18:00 Mon-Fri",
                "2026-11-23T08:00:00Z",
                Some("2026-11-23T18:00:00Z"),
            ),
            ("08:00-18:00 Mon-Fri", "2026-11-23T18:00:00Z", None),
            ("08:00-18:00 Mon-Fri", "2026-11-22T12:00:00Z", None),
            (
                "22:00-06:00 Fri",
                "2026-11-28T05:59:00Z",
                Some("2026-11-28T06:00:00Z"),
            ),
            ("22:00-06:00 Fri", "2026-11-27T05:59:00Z", None),
            (
                "22:00-06:00",
                "2026-11-23T23:00:00Z",
                Some("2026-11-24T06:00:00Z"),
            ),
            (
                "00:00-24:00 Sat,Sun",
                "2026-11-28T10:00:00Z",
                Some("2026-11-30T00:00:00Z"),
            ),
            (
                "08:00-08:00 fri-mon",
                "2026-11-27T09:00:00Z",
                Some("2026-12-01T08:00:00Z"),
            ),
        ] {
            assert_eq!(
                end(blackout, at, utc).as_deref(),
                expected,
                "{blackout} {at}"
            );
        }
    }

    #[test]
    fn it_knows_since_when_it_lasts() {
        let blackout = Blackout::parse("00:00-24:00 Sat,Sun").unwrap();
        let at = "2026-11-29T10:00:00Z".parse().unwrap();
        let start = blackout.start(at, Tz::UTC).unwrap();
        assert_eq!(start.to_rfc3339(), "2026-11-28T00:00:00+00:00");
        assert_eq!(blackout.start(start - TimeDelta::seconds(1), Tz::UTC), None);
    }

    #[test]
    fn clocks_that_change_end_it_all_the_same() {
        let berlin = Tz::Europe__Berlin;
        // 02:30 is skipped on 2026-03-29, and comes twice on 2026-10-25.
        for (at, expected) in [
            ("2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"),
            ("2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z"),
        ] {
            let found = end("01:00-02:30", at, berlin);
            assert_eq!(found.as_deref(), Some(expected));
        }
        // In the second pass of the hour it is over at the second 02:30.
        let found = end("01:00-02:30", "2026-10-25T01:10:00Z", berlin);
        assert_eq!(found.as_deref(), Some("2026-10-25T01:30:00Z"));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "8-18",
            "08:00",
            "08:00-25:00",
            "08:60-09:00",
            "24:00-06:00",
            "08:00-18:00 Mo",
            "08:00-18:00 Mon-",
            "08:00-18:00 Mon Tue",
            "+8:00-18:00",
            "-08:00-18:00",
        ] {
            assert!(Blackout::parse(text).is_err(), "{text}");
        }
        for text in ["00:00-24:00", "09:00-09:00", "00:00-24:00 Mon-Sun"] {
            assert!(
                Blackout::parse(text).unwrap_err().contains("never ends"),
                "{text}"
            );
        }
    }
}
