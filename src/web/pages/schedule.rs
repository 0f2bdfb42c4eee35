//! What a cron expression means, while it is being typed: in words, and the next five runs.

use askama::Template;
use chrono::{DateTime, Utc};
use poem::{Response, handler, http::StatusCode, web::Query};
use serde::Deserialize;

use crate::{
    domain::schedule::{self, Schedule},
    web::{errors::WebError, page, parts, request::Visit, words},
};

const RUNS: usize = 5;

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    schedule_cron: String,
    #[serde(default)]
    time_zone: String,
}

#[derive(Debug, Template)]
#[template(path = "config/_schedule.html")]
pub struct Preview {
    said: String,
    next: Vec<String>,
    problem: Option<String>,
}

impl Preview {
    pub fn new(cron: &str, zone_name: &str, now: DateTime<Utc>) -> Self {
        let said = words::cron(cron);
        let mut next = Vec::new();
        let mut problem = None;
        match (Schedule::parse(cron), schedule::zone(zone_name)) {
            _ if cron.is_empty() => {}
            (Err(error), _) => problem = Some(error.to_string()),
            (_, None) => problem = Some(format!("there is no time zone {zone_name}")),
            (Ok(schedule), Some(zone)) => {
                let mut at = now;
                while let Some(run) = schedule.next_after(at, zone).filter(|_| next.len() < RUNS) {
                    next.push(
                        run.with_timezone(&zone)
                            .format("%a %-d %b, %H:%M")
                            .to_string(),
                    );
                    at = run;
                }
            }
        }
        Self {
            said,
            next,
            problem,
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "extractors come as values")]
#[handler]
pub fn preview(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let preview = Preview::new(
        asked.schedule_cron.trim(),
        asked.time_zone.trim(),
        visit.now,
    );
    page::fragment(StatusCode::OK, &preview)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_five_are_in_the_zone() {
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        let shown = Preview::new("0 2 * * *", "Europe/Berlin", now);
        assert_eq!(shown.said, "Daily at 02:00");
        assert_eq!(shown.next.len(), 5);
        assert_eq!(shown.next[0], "Tue 24 Nov, 02:00");
        assert!(Preview::new("0 25 * * *", "UTC", now).problem.is_some());
        assert!(Preview::new("", "UTC", now).next.is_empty());
    }
}
