//! How numbers and times are said to people. Pure: "now" is an argument, so a page, a fragment
//! sent later and a test say the same of the same facts.

mod cron;

use chrono::{DateTime, SecondsFormat, Utc};

pub use self::cron::cron;

const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// `634 MiB`, `1.9 GiB`: three figures at most below 1,000, IEC units, PiB is the last.
pub fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, rounded; integers, so that no size is ever off by a float's whim.
    let mut unit = 0;
    let mut tenths = tenths_of(u128::from(bytes), 1024);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        unit += 1;
        tenths = tenths_of(
            u128::from(bytes),
            1024_u128.pow(u32::try_from(unit).unwrap_or(0) + 1),
        );
    }
    let (whole, tenth) = (tenths / 10, tenths % 10);
    if tenth == 0 || whole >= 100 {
        format!(
            "{} {}",
            count(u64::try_from((tenths + 5) / 10).unwrap_or(u64::MAX)),
            UNITS[unit]
        )
    } else {
        format!("{whole}.{tenth} {}", UNITS[unit])
    }
}

fn tenths_of(bytes: u128, unit: u128) -> u128 {
    (bytes * 10 + unit / 2) / unit
}

/// Of a signed column, where a size below zero cannot be and nothing is unknown.
pub fn size_or_dash(bytes: Option<i64>) -> String {
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .map_or_else(|| "–".to_owned(), size)
}

/// `db, cache and 2 more`.
pub fn listed<'a>(names: impl Iterator<Item = &'a str>, limit: usize) -> String {
    let names: Vec<&str> = names.collect();
    let shown = names.iter().take(limit).copied();
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(limit) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `2.5 : 1`; nothing when it says nothing.
pub fn ratio(raw: u64, stored: u64) -> Option<String> {
    if raw == 0 || stored == 0 {
        return None;
    }
    let tenths = (u128::from(raw) * 10 + u128::from(stored) / 2) / u128::from(stored);
    Some(format!("{}.{} : 1", tenths / 10, tenths % 10))
}

/// `812,330`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 run`, `2 runs`; for words that take an `s`.
pub fn plural(number: usize, word: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {word}{s}", count(number as u64))
}

/// `0.3 s`, `41 s`, `3 min 5 s`, `2 h 4 min`, `3 d 4 h`. Milliseconds.
pub fn duration(millis: i64) -> String {
    let millis = millis.max(0);
    if millis < 60 * SECOND {
        let tenths = (millis + 50) / 100;
        return if tenths < 200 && tenths % 10 != 0 {
            format!("{}.{} s", tenths / 10, tenths % 10)
        } else {
            format!("{} s", (millis + 500) / SECOND)
        };
    }
    let (big, name, small, small_name) = if millis < HOUR {
        (millis / MINUTE, "min", millis % MINUTE / SECOND, "s")
    } else if millis < DAY {
        (millis / HOUR, "h", millis % HOUR / MINUTE, "min")
    } else {
        (millis / DAY, "d", millis % DAY / HOUR, "h")
    };
    if small == 0 {
        format!("{big} {name}")
    } else {
        format!("{big} {name} {small} {small_name}")
    }
}

/// One figure is enough for an age: `18 min`, `6 h`, `2 d`, `3 months`.
pub fn age(millis: i64) -> String {
    match millis.max(0) {
        m @ ..MINUTE => format!("{} s", m / SECOND),
        m @ ..HOUR => format!("{} min", m / MINUTE),
        m if m < 2 * DAY => format!("{} h", m / HOUR),
        m if m < 60 * DAY => format!("{} d", m / DAY),
        m if m < 700 * DAY => format!("{} months", m / (30 * DAY)),
        m => format!("{} years", m / (365 * DAY)),
    }
}

/// A moment, said relative to `now`: `18 min ago`, `in 42 min`, `just now`.
pub fn relative(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let passed = (now - at).num_milliseconds();
    match passed {
        p if p.abs() < 5 * SECOND => "just now".to_owned(),
        p if p > 0 => format!("{} ago", age(p)),
        p => format!("in {}", age(-p)),
    }
}

/// A moment for a `<time>` element: what is read, what a machine reads, what hovering shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    pub words: String,
    pub iso: String,
    pub exact: String,
}

impl Moment {
    pub fn new(now: DateTime<Utc>, at: DateTime<Utc>) -> Self {
        Self {
            words: relative(now, at),
            iso: at.to_rfc3339_opts(SecondsFormat::Millis, true),
            exact: at.format("%a %-d %b %Y, %H:%M:%S UTC").to_string(),
        }
    }

    /// Of a column that holds Unix milliseconds.
    pub fn of_millis(now: DateTime<Utc>, millis: i64) -> Self {
        Self::new(
            now,
            DateTime::from_timestamp_millis(millis).unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (634 << 20, "634 MiB"),
            ((1 << 30) - 1, "1 GiB"),
            (1_999_999_999, "1.9 GiB"),
            (68_075_000_000, "63.4 GiB"),
            (1 << 40, "1 TiB"),
            (1 << 50, "1 PiB"),
            (u64::MAX, "16,384 PiB"),
        ] {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
        assert_eq!(size_or_dash(None), "–");
        assert_eq!(size_or_dash(Some(-1)), "–");
    }

    #[test]
    fn durations_and_ages() {
        for (millis, expected) in [
            (0, "0 s"),
            (300, "0.3 s"),
            (12_440, "12.4 s"),
            (41_000, "41 s"),
            (59_999, "60 s"),
            (185_000, "3 min 5 s"),
            (2 * HOUR + 4 * MINUTE, "2 h 4 min"),
            (3 * DAY, "3 d"),
            (-5, "0 s"),
        ] {
            assert_eq!(duration(millis), expected, "{millis}");
        }
        for (millis, expected) in [
            (18 * MINUTE, "18 min"),
            (31 * HOUR, "31 h"),
            (2 * DAY, "2 d"),
            (90 * DAY, "3 months"),
            (800 * DAY, "2 years"),
        ] {
            assert_eq!(age(millis), expected);
        }
    }

    #[test]
    fn moments_look_both_ways() {
        let now = "2026-11-23T10:00:00Z".parse::<DateTime<Utc>>().unwrap();
        let minutes = chrono::Duration::minutes;
        assert_eq!(relative(now, now), "just now");
        assert_eq!(relative(now, now - minutes(18)), "18 min ago");
        assert_eq!(relative(now, now + minutes(42)), "in 42 min");
        let moment = Moment::new(now, now - minutes(18));
        assert_eq!(moment.iso, "2026-11-23T09:42:00.000Z");
        assert_eq!(moment.exact, "Mon 23 Nov 2026, 09:42:00 UTC");
    }

    #[test]
    fn ratios_need_two_sizes() {
        assert_eq!(ratio(250, 100).as_deref(), Some("2.5 : 1"));
        assert_eq!(ratio(0, 100), None);
        assert_eq!(ratio(100, 0), None);
    }
}
