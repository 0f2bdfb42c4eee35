//! What a cron expression means, while it is being typed: in words, and the next five runs.

use askama::Template;
use chrono::{DateTime, Utc};
use poem::{Response, handler, http::StatusCode, web::Query};

use super::config::plan;
use crate::{
    domain::{
        blackout::Blackout,
        calendar::Calendar,
        config::ConfigSpec,
        ids::ConfigId,
        schedule::{self, Schedule},
    },
    web::{
        errors::WebError,
        page, parts,
        request::{Form, Visit},
        words,
    },
};

const RUNS: usize = 5;

/// As it stands in the form.
pub struct Planned {
    /// Its id, which jitter follows from; 0 while it has none.
    pub config: i64,
    /// `Err`: what is wrong with the inputs that it is made from.
    pub schedule_cron: Result<String, &'static str>,
    pub time_zone: String,
    pub jitter_seconds: String,
    pub blackout: String,
}

impl Planned {
    /// Of a config that knows neither jitter nor blackout.
    pub fn of(cron: &str, zone: &str) -> Self {
        Self {
            config: 0,
            schedule_cron: Ok(cron.to_owned()),
            time_zone: zone.to_owned(),
            jitter_seconds: String::new(),
            blackout: String::new(),
        }
    }

    pub fn sent(form: &Form) -> Self {
        Self {
            config: form.text("config").parse().unwrap_or_default(),
            schedule_cron: plan::cron_of(form),
            time_zone: form.text("time_zone").to_owned(),
            jitter_seconds: form.text("jitter_seconds").to_owned(),
            blackout: form.text("blackout").to_owned(),
        }
    }
}

#[derive(Debug, Template)]
#[template(path = "config/_schedule.html")]
pub struct Preview {
    said: String,
    next: Vec<String>,
    zone: String,
    problem: Option<String>,
}

impl Preview {
    pub fn new(planned: &Planned, now: DateTime<Utc>) -> Self {
        let cron = match &planned.schedule_cron {
            Ok(cron) => cron.trim().to_owned(),
            Err(problem) => {
                return Self {
                    said: String::new(),
                    next: Vec::new(),
                    zone: String::new(),
                    problem: Some((*problem).to_owned()),
                };
            }
        };
        let spec = ConfigSpec {
            schedule_cron: cron,
            time_zone: planned.time_zone.trim().to_owned(),
            jitter_seconds: planned.jitter_seconds.trim().parse().unwrap_or_default(),
            blackout: planned.blackout.trim().to_owned(),
            ..ConfigSpec::default()
        };
        let problem = problem(&spec);
        let calendar = Calendar::of(ConfigId(planned.config), &spec);
        Self {
            said: words::cron(&spec.schedule_cron),
            next: calendar
                .filter(|_| problem.is_none())
                .map_or_else(Vec::new, |calendar| next(&calendar, &spec, now)),
            zone: spec.time_zone,
            problem,
        }
    }
}

fn problem(spec: &ConfigSpec) -> Option<String> {
    if spec.schedule_cron.is_empty() {
        return None;
    }
    if let Err(error) = Schedule::parse(&spec.schedule_cron) {
        return Some(error.to_string());
    }
    if schedule::zone(&spec.time_zone).is_none() {
        return Some(format!("there is no time zone {}", spec.time_zone));
    }
    let blackout = Some(&spec.blackout).filter(|text| !text.is_empty());
    blackout.and_then(|text| Blackout::parse(text).err())
}

/// When runs start; slots of one blackout share theirs.
fn next(calendar: &Calendar, spec: &ConfigSpec, now: DateTime<Utc>) -> Vec<String> {
    let form = if spec.jitter_seconds > 0 {
        "%a %-d %b, %H:%M:%S"
    } else {
        "%a %-d %b, %H:%M"
    };
    let (mut next, mut at) = (Vec::new(), now);
    while let Some(run) = calendar.next_heeded(at).filter(|_| next.len() < RUNS) {
        next.push(run.with_timezone(&calendar.zone()).format(form).to_string());
        at = run;
    }
    next
}

#[expect(clippy::needless_pass_by_value, reason = "extractors come as values")]
#[handler]
pub fn preview(
    visit: Visit,
    Query(sent): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let preview = Preview::new(&Planned::sent(&Form::of(sent)), visit.now);
    page::fragment(StatusCode::OK, &preview)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_five_are_in_the_zone() {
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        let planned = |cron: &str, blackout: &str| Planned {
            blackout: blackout.to_owned(),
            ..Planned::of(cron, "Europe/Berlin")
        };
        let shown = Preview::new(&planned("0 2 * * *", ""), now);
        assert_eq!(shown.said, "Daily at 02:00");
        assert_eq!(shown.next.len(), 5);
        assert_eq!(shown.next[0], "Tue 24 Nov, 02:00");
        let held = Preview::new(&planned("0 * * * *", "08:00-18:00 Mon-Fri"), now);
        assert_eq!(held.next[0], "Mon 23 Nov, 18:00");
        assert_eq!(held.next[1], "Mon 23 Nov, 19:00");
        for (cron, blackout) in [("0 25 * * *", ""), ("0 2 * * *", "always")] {
            assert!(
                Preview::new(&planned(cron, blackout), now)
                    .problem
                    .is_some()
            );
        }
        assert!(Preview::new(&planned("", ""), now).next.is_empty());
    }
}
