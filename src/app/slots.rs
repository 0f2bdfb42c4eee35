//! Slots of schedules, as the clock brings them: each that has come due ends in one event, in the
//! transaction that looked. The row says up to where; so a tick that comes twice, late or after a crash
//! finds nothing left of what was settled, and all of what was not.
//!
//! Ten thousand configs may be due in the same second, and none at all in most. So what comes next is kept
//! in mind, by the row's cursor and revision, and those that are due end many in a transaction.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{Holdfast, Result};
use crate::{
    domain::{
        calendar::{Calendar, Due},
        config::{Config, ConfigCommand},
        event::StreamKind,
        ids::{AppId, ConfigId, RunId},
        lateness::{self, Overdue},
        run::{Run, RunCommand, Trigger},
        slots::{self, BATCH, CLOCK_SLACK},
    },
    log::{Cause, LogError, Unit},
    readmodel::{
        configs::{self, Cursor},
        overview::{self, Beat},
        runs,
    },
};

/// Configs a transaction: commands of people wait for it.
const TOGETHER: usize = 500;

/// What is known of configs between two looks; all of it can be found out again.
#[derive(Default)]
pub(super) struct Coming(Mutex<HashMap<i64, Known>>);

struct Known {
    cursor: Cursor,
    /// Of this revision; `None`: by hand only.
    calendar: Option<Arc<Calendar>>,
    next: Option<DateTime<Utc>>,
}

impl Holdfast {
    /// Ends every slot that has come due, of all configs. How long until the next one does, as far as is
    /// known now.
    pub async fn settle_slots(&self) -> Result<Option<Duration>> {
        loop {
            let now = self.log().now();
            let (due, next) = self.due_configs(now).await?;
            if due.is_empty() {
                return Ok(next.and_then(|next| (next - now).to_std().ok()));
            }
            for configs in due.chunks(TOGETHER) {
                let configs = configs.to_vec();
                let settled = self.log().write(Cause::system("schedule"), move |unit| {
                    Box::pin(async move { settle_together(unit, &configs).await })
                });
                settled.await?;
            }
        }
    }

    /// Those with slots that are due, and when the first of the others comes due.
    async fn due_configs(
        &self,
        now: DateTime<Utc>,
    ) -> Result<(Vec<ConfigId>, Option<DateTime<Utc>>)> {
        let cursors = configs::cursors(self.db()).await?;
        let unknown = self.0.coming.changed(&cursors);
        let mut calendars = HashMap::new();
        for row in configs::of_ids(self.db(), &unknown).await? {
            let calendar = Calendar::of(row.config_id(), &row.spec()).map(Arc::new);
            calendars.insert((row.id, row.revision), calendar);
        }
        Ok(self.0.coming.look(&cursors, &calendars, now))
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
            let Some(calendar) = Calendar::of(config.config_id(), &config.spec()) else {
                continue;
            };
            let good = successes.get(&config.id);
            // One that was made while the clock was ahead promises nothing.
            let good = good.map(|beat| at(beat.requested_at));
            let good = good.filter(|made| *made <= now + CLOCK_SLACK);
            let set = at(config.updated_at);
            let since = good.map_or(set, |made| made.max(set));
            let Some((how, promised)) = lateness::judge(&calendar, since, now) else {
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

impl Coming {
    /// Configs whose schedule is not known as it is now.
    fn changed(&self, cursors: &[Cursor]) -> Vec<i64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = cursors.iter().filter(|cursor| {
            let known = known.get(&cursor.id);
            known.is_none_or(|known| known.cursor.revision != cursor.revision)
        });
        changed.map(|cursor| cursor.id).collect()
    }

    fn look(
        &self,
        cursors: &[Cursor],
        calendars: &HashMap<(i64, i32), Option<Arc<Calendar>>>,
        now: DateTime<Utc>,
    ) -> (Vec<ConfigId>, Option<DateTime<Utc>>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *known);
        let (mut due, mut next) = (Vec::new(), None);
        for cursor in cursors {
            let new = match before.get(&cursor.id) {
                Some(old) if old.cursor == *cursor => Known {
                    calendar: old.calendar.clone(),
                    ..*old
                },
                old => {
                    let calendar = calendars.get(&(cursor.id, cursor.revision));
                    let same = old.filter(|old| old.cursor.revision == cursor.revision);
                    let calendar = calendar.or(same.map(|old| &old.calendar));
                    let Some(calendar) = calendar.cloned() else {
                        continue; // it changed between the two looks
                    };
                    let until = at(cursor.slots_until);
                    let coming = calendar.as_ref().and_then(|it| it.next_after(until));
                    Known {
                        cursor: *cursor,
                        next: coming.map(|coming| coming.at),
                        calendar,
                    }
                }
            };
            let wrong = new.calendar.is_some() && at(cursor.slots_until) > now + CLOCK_SLACK;
            match new.next {
                Some(at) if at > now && !wrong => {
                    next = Some(next.map_or(at, |next: DateTime<Utc>| next.min(at)));
                }
                None if !wrong => {}
                _ => due.push(ConfigId(cursor.id)),
            }
            known.insert(cursor.id, new);
        }
        (due, next)
    }
}

/// Ends the oldest due slots of each of these configs. Those with more come again.
async fn settle_together(unit: &mut Unit, configs: &[ConfigId]) -> Result<(), LogError> {
    let ids: Vec<i64> = configs.iter().map(|id| id.0).collect();
    let busy = runs::unfinished_of_configs(unit.tx(), &ids).await?;
    let busy: BTreeMap<i64, RunId> = busy.into_iter().collect();
    let mut wanted = Vec::new();
    for row in configs::of_ids(unit.tx(), &ids).await? {
        let busy = busy.get(&row.id).copied();
        settle_one(unit, &row, busy, &mut wanted).await?;
    }
    request(unit, wanted).await
}

/// Ends the oldest slots of the config that have come due. True when there are more.
pub(super) async fn settle_due(unit: &mut Unit, id: ConfigId) -> Result<bool, LogError> {
    let Some(row) = configs::get(unit.tx(), id).await? else {
        return Ok(false);
    };
    let busy = runs::unfinished_of(unit.tx(), id).await?;
    let busy = busy.map(|run| run.run_id());
    let mut wanted = Vec::new();
    let more = settle_one(unit, &row, busy, &mut wanted).await?;
    request(unit, wanted).await?;
    Ok(more)
}

/// A run that a slot asks for.
struct Wanted {
    app: AppId,
    config: ConfigId,
    slot: DateTime<Utc>,
}

async fn settle_one(
    unit: &mut Unit,
    row: &configs::Model,
    busy: Option<RunId>,
    wanted: &mut Vec<Wanted>,
) -> Result<bool, LogError> {
    let id = row.config_id();
    if row.removed_at.is_some() || !row.enabled {
        return Ok(false);
    }
    let spec = row.spec();
    let Some(calendar) = Calendar::of(id, &spec) else {
        return Ok(false);
    };
    let (until, now) = (at(row.slots_until), unit.now());
    if until > now + CLOCK_SLACK {
        let command = ConfigCommand::SetClockBack { now };
        unit.execute::<Config>(id.0, command).await?;
        return Ok(false);
    }
    let due = calendar.slots(until).take_while(|due| due.at <= now);
    let mut due: Vec<Due> = due.take(BATCH + 1).collect();
    let more = due.len() > BATCH;
    due.truncate(BATCH);
    let settled = slots::settle(spec.missed_policy, &due, more, now, busy);
    for (slots, why) in settled.passed {
        let command = ConfigCommand::PassSlots { slots, why };
        unit.execute::<Config>(id.0, command).await?;
    }
    wanted.extend(settled.runs.into_iter().map(|slot| Wanted {
        app: AppId(row.app_id),
        config: id,
        slot,
    }));
    Ok(more)
}

async fn request(unit: &mut Unit, wanted: Vec<Wanted>) -> Result<(), LogError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let first = unit.next_id(StreamKind::Run).await?;
    let commands = (first..).zip(wanted).map(|(id, wanted)| {
        let command = RunCommand::Request {
            run: RunId(id),
            app: wanted.app,
            config: wanted.config,
            trigger: Trigger::Schedule,
            key: None,
            slot: Some(wanted.slot),
        };
        (id, command)
    });
    unit.begin_all::<Run>(commands.collect()).await
}

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}
