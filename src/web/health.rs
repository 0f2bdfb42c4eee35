//! Is a config protected, now? Judged from what its schedule promises and what its runs did: pure,
//! so that the dashboard, a live fragment and a test judge alike.

use chrono::{DateTime, Utc};

use super::parts::Badge;
use crate::{
    domain::{
        calendar::Calendar,
        lateness::{self, Overdue},
    },
    readmodel::{configs, overview::Beat},
};

/// From best to worst: an app is what the worst of its configs is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Protected,
    Paused,
    /// No run yet, and none was due.
    Waiting,
    /// A slot went by without a good backup.
    Late,
    /// And that has lasted.
    Missed,
    Failed,
    /// The newest backup was found damaged, or is gone.
    Damaged,
}

impl State {
    pub fn badge(self) -> Badge {
        match self {
            Self::Protected => Badge::new("ok", "shield-check", "Protected"),
            Self::Paused => Badge::new("idle", "stop", "Paused"),
            Self::Waiting => Badge::new("idle", "clock", "First run pending"),
            Self::Late => Badge::new("warn", "warn", "Late"),
            Self::Missed => Badge::new("bad", "warn", "Missed"),
            Self::Failed => Badge::new("bad", "cross", "Failing"),
            Self::Damaged => Badge::new("bad", "warn", "Damaged"),
        }
    }

    pub fn needs_a_person(self) -> bool {
        matches!(
            self,
            Self::Late | Self::Missed | Self::Failed | Self::Damaged
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub state: State,
    pub next: Next,
    /// End of the newest successful run.
    pub restore_point: Option<DateTime<Utc>>,
    /// Whether the schedule's promise is broken, whatever else is the matter.
    pub overdue: Option<Overdue>,
}

/// When the next run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    At(DateTime<Utc>),
    /// It should have been then.
    Overdue(DateTime<Utc>),
    /// It is queued or at work.
    Now,
    Manual,
    Paused,
}

/// `newest` is the config's newest run, `success` its newest successful one.
pub fn judge(
    config: &configs::Model,
    newest: Option<&Beat>,
    success: Option<&Beat>,
    now: DateTime<Utc>,
) -> Health {
    let (next, overdue) = next_run(config, newest, success, now);
    let failed = newest.is_some_and(|beat| beat.status == "failed");
    let state = match (&next, success) {
        _ if newest.is_some_and(Beat::is_damaged) => State::Damaged,
        _ if failed => State::Failed,
        (Next::Overdue(_), _) if overdue == Some(Overdue::Missed) => State::Missed,
        (Next::Overdue(_), _) => State::Late,
        (Next::Paused, _) => State::Paused,
        (_, None) => State::Waiting,
        _ => State::Protected,
    };
    Health {
        state,
        next,
        restore_point: success.map(|beat| at(beat.finished_at.unwrap_or(beat.requested_at))),
        overdue,
    }
}

fn next_run(
    config: &configs::Model,
    newest: Option<&Beat>,
    success: Option<&Beat>,
    now: DateTime<Utc>,
) -> (Next, Option<Overdue>) {
    let at_work = newest.is_some_and(|beat| matches!(beat.status.as_str(), "queued" | "running"));
    if !config.enabled {
        return (if at_work { Next::Now } else { Next::Paused }, None);
    }
    let Some(calendar) = Calendar::of(config.config_id(), &config.spec()) else {
        return (if at_work { Next::Now } else { Next::Manual }, None);
    };
    // What a schedule promised before it was changed is no promise any more.
    let since = success.map_or(config.updated_at, |beat| {
        beat.requested_at.max(config.updated_at)
    });
    let overdue = lateness::judge(&calendar, at(since), now);
    let next = match overdue {
        _ if at_work => Next::Now,
        Some((_, promised)) => Next::Overdue(promised),
        None => calendar.next_heeded(now).map_or(Next::Manual, Next::At),
    };
    (next, overdue.map(|(how, _)| how))
}

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::ConfigSpec;

    const NOW: &str = "2026-11-23T10:00:00Z";

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn config(cron: &str, enabled: bool) -> configs::Model {
        let spec = ConfigSpec {
            schedule_cron: cron.to_owned(),
            enabled,
            ..ConfigSpec::default()
        };
        let created = time("2026-11-01T00:00:00Z").timestamp_millis();
        configs::Model {
            id: 1,
            app_id: 1,
            strategy: "postgres".to_owned(),
            target: "local".to_owned(),
            schedule_cron: cron.to_owned(),
            service: "db".to_owned(),
            enabled,
            revision: 1,
            spec: serde_json::to_string(&spec).unwrap(),
            created_at: created,
            updated_at: created,
            removed_at: None,
            slots_until: created,
            overdue_since: None,
            overdue: None,
            trigger_digest: None,
            trigger_secret: None,
        }
    }

    fn beat(status: &str, at: &str) -> Beat {
        let at = time(at).timestamp_millis();
        Beat {
            id: 1,
            app_id: 1,
            backup_config_id: 1,
            status: status.to_owned(),
            warned: false,
            lacks_copy: false,
            size_bytes: Some(1),
            requested_at: at,
            started_at: Some(at),
            finished_at: (status != "running").then_some(at),
        }
    }

    #[test]
    fn judged_by_what_the_schedule_promised() {
        let fresh = beat("success", "2026-11-23T02:00:00Z");
        let old = beat("success", "2026-11-21T02:00:00Z");
        let yesterday = beat("success", "2026-11-22T02:00:00Z");
        let failed = beat("failed", "2026-11-23T02:00:00Z");
        let damaged = beat("damaged", "2026-11-23T02:00:00Z");
        let running = beat("running", "2026-11-23T09:59:00Z");
        let daily = config("0 2 * * *", true);
        for (config, newest, success, state) in [
            (&daily, Some(&fresh), Some(&fresh), State::Protected),
            (&daily, Some(&old), Some(&old), State::Missed),
            (&daily, Some(&yesterday), Some(&yesterday), State::Late),
            (&daily, Some(&failed), Some(&old), State::Failed),
            (&daily, Some(&damaged), Some(&yesterday), State::Damaged),
            (&daily, Some(&running), Some(&old), State::Protected),
            (&daily, None, None, State::Missed),
            (&config("0 2 1 12 *", true), None, None, State::Waiting),
            (&config("", true), None, None, State::Waiting),
            (&config("", true), Some(&old), Some(&old), State::Protected),
            (
                &config("0 2 * * *", false),
                Some(&old),
                Some(&old),
                State::Paused,
            ),
        ] {
            let health = judge(config, newest, success, time(NOW));
            assert_eq!(health.state, state, "{} {newest:?}", config.schedule_cron);
        }
    }

    #[test]
    fn the_next_run_is_said_even_when_the_last_is_late() {
        let old = beat("success", "2026-11-21T02:00:00Z");
        let daily = config("0 2 * * *", true);
        assert_eq!(
            judge(&daily, Some(&old), Some(&old), time(NOW)).next,
            Next::Overdue(time("2026-11-22T02:00:00Z"))
        );
        let fresh = beat("success", "2026-11-23T02:00:00Z");
        assert_eq!(
            judge(&daily, Some(&fresh), Some(&fresh), time(NOW)).next,
            Next::At(time("2026-11-24T02:00:00Z"))
        );
    }
}
