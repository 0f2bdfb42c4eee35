//! The runs of a month, day by day: what is missing shows where nothing stands.

use askama::Template;
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::{
    app::AppError,
    domain::schedule,
    readmodel::{
        apps,
        overview::{self, Beat},
    },
    web::{errors::WebError, parts, request::Visit, words},
};

/// More runs than this in a month are not looked at: the newest are.
const MOST: u32 = 20_000;

#[derive(Template)]
#[template(path = "app/_calendar.html")]
pub struct Calendar {
    slug: String,
    /// `November 2026`.
    title: String,
    zone: Tz,
    /// As in the address: `2026-10`.
    earlier: String,
    later: Option<String>,
    weeks: Vec<[Option<Day>; 7]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Day {
    date: NaiveDate,
    is_today: bool,
    succeeded: usize,
    warned: usize,
    failed: usize,
    /// Neither good nor bad: at work, or cancelled.
    other: usize,
    /// What to open: the newest failed run, else the newest.
    run: Option<i64>,
}

impl Calendar {
    /// `month` as in the address, the present one when it is none. Days are those of the first
    /// config's time zone.
    pub async fn load(visit: &Visit, app: &apps::Model, month: &str) -> Result<Self, WebError> {
        let configs = visit.holdfast.configs(&visit.caller, app).await?;
        let zone = configs.first().map(|config| config.spec().time_zone);
        let zone = zone
            .and_then(|name| schedule::zone(&name))
            .unwrap_or(Tz::UTC);
        let today = visit.now.with_timezone(&zone).date_naive();
        let first = first_of(month, today);
        let end = first + Months::new(1);
        let span = (midnight(first, zone), midnight(end, zone));
        let beats = overview::beats_between(visit.holdfast.log().db(), app.app_id(), span, MOST);
        let beats = beats.await.map_err(AppError::from)?;
        Ok(Self::new(&app.slug, first, today, zone, &beats))
    }

    /// `beats` newest first, all of them of that month.
    fn new(slug: &str, first: NaiveDate, today: NaiveDate, zone: Tz, beats: &[Beat]) -> Self {
        let address = |date: NaiveDate| date.format("%Y-%m").to_string();
        let later = first + Months::new(1);
        let mut days: Vec<Day> = first
            .iter_days()
            .take_while(|date| date.month() == first.month())
            .map(|date| Day::new(date, today))
            .collect();
        for beat in beats {
            let at = DateTime::from_timestamp_millis(beat.requested_at).unwrap_or_default();
            let day = at.with_timezone(&zone).day0() as usize;
            if let Some(day) = days.get_mut(day) {
                day.count(beat);
            }
        }
        Self {
            slug: slug.to_owned(),
            title: first.format("%B %Y").to_string(),
            zone,
            earlier: address(first - Months::new(1)),
            later: (later <= today).then(|| address(later)),
            weeks: weeks(days),
        }
    }
}

/// Monday first; `None` where the month has not begun or is over.
fn weeks(days: Vec<Day>) -> Vec<[Option<Day>; 7]> {
    let mut weeks: Vec<[Option<Day>; 7]> = Vec::new();
    for day in days {
        let place = day.date.weekday().num_days_from_monday() as usize;
        if place == 0 || weeks.is_empty() {
            weeks.push([const { None }; 7]);
        }
        if let Some(week) = weeks.last_mut() {
            week[place] = Some(day);
        }
    }
    weeks
}

impl Day {
    fn new(date: NaiveDate, today: NaiveDate) -> Self {
        Self {
            date,
            is_today: date == today,
            succeeded: 0,
            warned: 0,
            failed: 0,
            other: 0,
            run: None,
        }
    }

    fn count(&mut self, beat: &Beat) {
        let failed = beat.status == "failed" || beat.is_damaged();
        let first_failure = failed && self.failed == 0;
        if self.run.is_none() || first_failure {
            self.run = Some(beat.id);
        }
        match beat.status.as_str() {
            "success" if beat.warned => self.warned += 1,
            "success" => self.succeeded += 1,
            _ if failed => self.failed += 1,
            _ => self.other += 1,
        }
    }

    /// Tone, icon and number of what there was: the worst first.
    fn marks(&self) -> Vec<(&'static str, parts::Icon, usize)> {
        [
            ("bad", "cross", self.failed),
            ("warn", "warn", self.warned),
            ("ok", "check", self.succeeded),
            ("idle", "dots", self.other),
        ]
        .into_iter()
        .filter(|(.., number)| *number > 0)
        .map(|(tone, icon, number)| (tone, parts::icon(icon), number))
        .collect()
    }

    /// `3 November: 2 succeeded, 1 failed`.
    fn said(&self) -> String {
        let counts = [
            (self.failed, "failed"),
            (self.warned, "with warnings"),
            (self.succeeded, "succeeded"),
            (self.other, "without an outcome"),
        ];
        let counts: Vec<String> = counts
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| format!("{} {word}", words::count(number as u64)))
            .collect();
        let counts = if counts.is_empty() {
            "no run".to_owned()
        } else {
            counts.join(", ")
        };
        format!("{}: {counts}", self.date.format("%-d %B"))
    }
}

fn first_of(month: &str, today: NaiveDate) -> NaiveDate {
    let asked = NaiveDate::parse_from_str(&format!("{month}-01"), "%Y-%m-%d").ok();
    // Years beyond what a date can be reckoned with are none.
    let asked = asked.filter(|date| (1970..=today.year() + 1).contains(&date.year()));
    asked.unwrap_or_else(|| today.with_day(1).unwrap_or(today))
}

/// Unix milliseconds of a day's beginning; where a clock change leaves midnight out, of the hour after.
fn midnight(date: NaiveDate, zone: Tz) -> i64 {
    let at = |date: NaiveDate, hour: u32| {
        let time = NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or_default();
        zone.from_local_datetime(&date.and_time(time)).earliest()
    };
    let begun = at(date, 0)
        .or_else(|| at(date, 1))
        .or_else(|| at(date + Days::new(1), 0));
    begun.map_or(0, |at| at.with_timezone(&Utc).timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::samples;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn november(beats: &[Beat], zone: Tz) -> Calendar {
        Calendar::new("shop", date("2026-11-01"), date("2026-11-23"), zone, beats)
    }

    #[test]
    fn a_month_stands_in_whole_weeks() {
        let calendar = november(&[], Tz::UTC);
        assert_eq!(calendar.title, "November 2026");
        assert_eq!(
            (calendar.earlier.as_str(), calendar.later),
            ("2026-10", None)
        );
        // It begins on a Sunday and ends on a Monday.
        let ends =
            [&calendar.weeks[0], &calendar.weeks[5]].map(|week| week.iter().flatten().count());
        assert_eq!((calendar.weeks.len(), ends), (6, [1, 1]));
        let days: Vec<u32> = calendar
            .weeks
            .iter()
            .flatten()
            .flatten()
            .map(|day| day.date.day())
            .collect();
        assert_eq!(days, (1..=30).collect::<Vec<_>>());
        let today: Vec<_> = calendar
            .weeks
            .iter()
            .flatten()
            .flatten()
            .filter(|day| day.is_today)
            .collect();
        assert_eq!(today.len(), 1);
        assert_eq!(today[0].said(), "23 November: no run");
    }

    #[test]
    fn a_run_counts_on_the_day_of_its_zone_and_a_failure_is_what_opens() {
        let beats = [
            samples::beat(4, 1, "success", "2026-11-03T23:30:00Z"),
            samples::beat(3, 1, "failed", "2026-11-03T12:00:00Z"),
            samples::beat(2, 1, "failed", "2026-11-03T11:00:00Z"),
            samples::beat(1, 1, "success", "2026-11-03T10:00:00Z"),
        ];
        let third = |zone| {
            november(&beats, zone)
                .weeks
                .into_iter()
                .flatten()
                .flatten()
                .nth(2)
                .unwrap()
        };
        let utc = third(Tz::UTC);
        assert_eq!(
            (utc.run, utc.said().as_str()),
            (Some(3), "3 November: 2 failed, 2 succeeded")
        );
        assert_eq!(
            utc.marks()
                .iter()
                .map(|(tone, ..)| *tone)
                .collect::<Vec<_>>(),
            ["bad", "ok"]
        );
        let berlin = third(Tz::Europe__Berlin);
        assert_eq!(berlin.said(), "3 November: 2 failed, 1 succeeded");
    }

    #[test]
    fn what_is_no_month_is_the_present_one() {
        let today = date("2026-11-23");
        for (asked, expected) in [
            ("2025-02", "2025-02-01"),
            ("", "2026-11-01"),
            ("2026-13", "2026-11-01"),
            ("99999-01", "2026-11-01"),
            ("1-1", "2026-11-01"),
            ("2026-11-01", "2026-11-01"),
        ] {
            assert_eq!(first_of(asked, today), date(expected), "{asked}");
        }
    }

    #[test]
    fn a_day_begins_where_the_clocks_let_it() {
        let utc = |text: &str| samples::time(text).timestamp_millis();
        assert_eq!(
            midnight(date("2026-11-01"), Tz::Europe__Berlin),
            utc("2026-10-31T23:00:00Z")
        );
        // Clocks went from 0:00 to 1:00 there.
        assert_eq!(
            midnight(date("2018-11-04"), Tz::America__Sao_Paulo),
            utc("2018-11-04T03:00:00Z")
        );
    }
}
