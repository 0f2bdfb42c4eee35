//! Slots of schedules, as the clock brings them: each that has come due ends in one event, in the
//! transaction that looked. The row says up to where; so a tick that comes twice, late or after a crash
//! finds nothing left of what was settled, and all of what was not.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{Holdfast, Result};
use crate::{
    domain::{
        config::{Config, ConfigCommand},
        event::StreamKind,
        ids::{AppId, ConfigId, RunId},
        lateness::{self, Overdue},
        run::{Run, RunCommand, Trigger},
        schedule::{self, Schedule},
        slots::{self, BATCH, CLOCK_SLACK},
    },
    log::{Cause, LogError, Unit},
    readmodel::{
        configs,
        overview::{self, Beat},
        runs,
    },
};

impl Holdfast {
    /// Ends every slot that has come due, of all configs.
    pub async fn settle_slots(&self) -> Result<()> {
        let now = self.log().now();
        for config in self.scheduled_configs().await? {
            let id = config.config_id();
            let mut due = calendar(&config).is_some_and(|it| it.is_due(&config, now));
            while due {
                let settled = self.log().write(Cause::system("schedule"), move |unit| {
                    Box::pin(async move { settle_due(unit, id).await })
                });
                due = settled.await?;
            }
        }
        Ok(())
    }

    /// Tells of each config that does not keep what its schedule promises; once, not at every look.
    pub async fn tell_overdue(&self) -> Result<()> {
        let by_config = |beats: Vec<Beat>| -> BTreeMap<i64, Beat> {
            let pairs = beats.into_iter();
            pairs.map(|beat| (beat.backup_config_id, beat)).collect()
        };
        let configs = self.scheduled_configs().await?;
        if configs.is_empty() {
            return Ok(());
        }
        let successes = by_config(overview::newest_successes(self.db()).await?);
        let newest = by_config(overview::newest(self.db()).await?);
        let now = self.log().now();
        for config in configs {
            let Some(calendar) = calendar(&config) else {
                continue;
            };
            let good = successes.get(&config.id);
            let since = good.map_or(0, |beat| beat.requested_at);
            let since = at(since.max(config.updated_at));
            let Some((how, promised)) =
                lateness::judge(&calendar.schedule, calendar.zone, since, now)
            else {
                continue;
            };
            let at_work = newest
                .get(&config.id)
                .is_some_and(|beat| beat.finished_at.is_none());
            let told = config.overdue_since == Some(promised.timestamp_millis())
                && config.overdue.as_deref() == Some(how.name());
            if told || (at_work && how == Overdue::Late) {
                continue;
            }
            let command = ConfigCommand::TellOverdue { how, promised };
            let cause = Cause::system("schedule");
            self.log()
                .execute::<Config>(cause, config.id, command)
                .await?;
        }
        Ok(())
    }
}

struct Calendar {
    schedule: Schedule,
    zone: Tz,
}

/// None: it only runs by hand.
fn calendar(config: &configs::Model) -> Option<Calendar> {
    Some(Calendar {
        schedule: Schedule::parse(&config.schedule_cron).ok()?,
        zone: schedule::zone(&config.spec().time_zone)?,
    })
}

impl Calendar {
    fn is_due(&self, config: &configs::Model, now: DateTime<Utc>) -> bool {
        let until = at(config.slots_until);
        let next = self.schedule.next_after(until, self.zone);
        next.is_some_and(|slot| slot <= now) || until > now + CLOCK_SLACK
    }

    /// The oldest due slots, and whether there are more.
    fn due(&self, until: DateTime<Utc>, now: DateTime<Utc>) -> (Vec<DateTime<Utc>>, bool) {
        let next = |after| self.schedule.next_after(after, self.zone);
        let slots = std::iter::successors(next(until), |&slot| next(slot));
        let due = slots.take_while(|slot| *slot <= now).take(BATCH + 1);
        let mut due: Vec<DateTime<Utc>> = due.collect();
        let more = due.len() > BATCH;
        due.truncate(BATCH);
        (due, more)
    }
}

/// Ends the oldest slots of the config that have come due. True when there are more.
pub(super) async fn settle_due(unit: &mut Unit, id: ConfigId) -> Result<bool, LogError> {
    let row = configs::get(unit.tx(), id).await?;
    let row = row.filter(|row| row.removed_at.is_none() && row.enabled);
    let Some((row, calendar)) = row.and_then(|row| calendar(&row).map(|it| (row, it))) else {
        return Ok(false);
    };
    let (until, now) = (at(row.slots_until), unit.now());
    if until > now + CLOCK_SLACK {
        let command = ConfigCommand::SetClockBack { now };
        unit.execute::<Config>(id.0, command).await?;
        return Ok(false);
    }
    let (due, more) = calendar.due(until, now);
    if due.is_empty() {
        return Ok(false);
    }
    let busy = runs::unfinished_of(unit.tx(), id).await?;
    let busy = busy.map(|run| run.run_id());
    let settled = slots::settle(row.spec().missed_policy, &due, more, now, busy);
    let missed = settled.missed.map(|slots| (slots, None));
    let skipped = settled.skipped.map(|(slots, run)| (slots, Some(run)));
    for (slots, busy) in missed.into_iter().chain(skipped) {
        let command = ConfigCommand::PassSlots { slots, busy };
        unit.execute::<Config>(id.0, command).await?;
    }
    for slot in settled.runs {
        let run = RunId(unit.next_id(StreamKind::Run).await?);
        let command = RunCommand::Request {
            run,
            app: AppId(row.app_id),
            config: id,
            trigger: Trigger::Schedule,
            key: None,
            slot: Some(slot),
        };
        unit.execute::<Run>(run.0, command).await?;
    }
    Ok(more)
}

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}
