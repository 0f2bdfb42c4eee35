//! What comes due by the clock: slots of schedules, services that a hook stopped and that could not
//! be started yet, and work whose worker ended without a word. Stateless: a slot is due when the schedule's first time after the config's
//! newest run (or change) has passed, so downtime ends in one catch-up run, and a crash between
//! looking and asking loses and doubles nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{AppError, Caller, Holdfast},
    domain::{
        ids::ConfigId,
        run::Trigger,
        schedule::{self, Schedule},
    },
    readmodel::{configs, runs},
};

const PERIOD: Duration = Duration::from_secs(5);

pub async fn run(holdfast: Holdfast, stop: CancellationToken) {
    let mut period = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = period.tick() => {}
        }
        if let Err(error) = tick(&holdfast).await {
            tracing::error!(%error, "the clock's work is tried again");
        }
    }
}

async fn tick(holdfast: &Holdfast) -> Result<(), AppError> {
    holdfast.settle_obligations().await?;
    let forsaken = holdfast.settle_forsaken().await?;
    if forsaken > 0 {
        tracing::warn!(forsaken, "jobs without a worker are settled");
    }
    let caller = Caller::system("schedule");
    let now = holdfast.log().now();
    for config in holdfast.scheduled_configs().await? {
        let newest = holdfast.newest_run(config.config_id()).await?;
        if next_slot(&config, newest.as_ref()).is_some_and(|slot| slot <= now) {
            holdfast
                .request_run(&caller, ConfigId(config.id), Trigger::Schedule)
                .await?;
        }
    }
    Ok(())
}

/// The slot that is due next, or has been due since; `None` for manual configs.
pub fn next_slot(config: &configs::Model, newest: Option<&runs::Model>) -> Option<DateTime<Utc>> {
    let spec = config.spec();
    let schedule = Schedule::parse(&spec.schedule_cron).ok()?;
    let since = newest
        .map_or(0, |run| run.requested_at)
        .max(config.updated_at);
    let since = DateTime::from_timestamp_millis(since)?;
    schedule.next_after(since, schedule::zone(&spec.time_zone)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::ConfigSpec;

    fn config(schedule: &str, updated: &str) -> configs::Model {
        let spec = ConfigSpec {
            schedule_cron: schedule.to_owned(),
            ..ConfigSpec::default()
        };
        configs::Model {
            id: 1,
            app_id: 1,
            strategy: String::new(),
            target: String::new(),
            schedule_cron: schedule.to_owned(),
            service: String::new(),
            enabled: true,
            revision: 1,
            spec: serde_json::to_string(&spec).unwrap(),
            created_at: 0,
            updated_at: updated.parse::<DateTime<Utc>>().unwrap().timestamp_millis(),
            removed_at: None,
        }
    }

    #[test]
    fn the_next_slot_counts_from_the_last_change() {
        let slot = next_slot(&config("0 2 * * *", "2026-11-23T12:00:00Z"), None);
        assert_eq!(slot.unwrap().to_rfc3339(), "2026-11-24T02:00:00+00:00");
        assert_eq!(next_slot(&config("", "2026-11-23T12:00:00Z"), None), None);
    }
}
