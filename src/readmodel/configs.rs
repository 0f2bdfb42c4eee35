//! Backup configs, under the table name of the module that Holdfast replaces.

use sea_orm::{FromQueryResult, QueryOrder, QuerySelect, entity::prelude::*};
use serde::Serialize;

use super::{from_json, table::ReadModel, to_json};
use crate::{
    domain::{
        config::{ConfigEvent, ConfigSpec},
        event::{Event, StreamKind},
        ids::{AppId, ConfigId},
        run::{RunEvent, Trigger},
    },
    log::Recorded,
};

/// Ids in one statement.
const AT_ONCE: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "backup_configs")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    pub app_id: i64,
    pub strategy: String,
    pub target: String,
    pub schedule_cron: String,
    pub service: String,
    pub enabled: bool,
    pub revision: i32,
    /// `ConfigSpec` as JSON.
    pub spec: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub removed_at: Option<i64>,
    /// All slots of the schedule up to here have ended, as a run or without one.
    pub slots_until: i64,
    /// The slot since which the schedule's promise is known to be broken, and how much: `late`,
    /// `missed`.
    pub overdue_since: Option<i64>,
    pub overdue: Option<String>,
    /// Of the token of its trigger, if it has one.
    pub trigger_digest: Option<String>,
    /// Where the vault keeps what calls have to be signed with.
    pub trigger_secret: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub struct Configs;

impl ReadModel for Configs {
    type Entity = Entity;
    const NAME: &'static str = "backup_configs";
    const VERSION: i32 = 3;

    fn key(event: &Recorded) -> Option<i64> {
        match &event.event {
            Event::Run(RunEvent::Requested {
                config,
                trigger: Trigger::Schedule,
                ..
            }) => Some(config.0),
            _ => (event.stream.kind == StreamKind::Config).then_some(event.stream.id),
        }
    }

    fn id(row: &Model) -> i64 {
        row.id
    }

    fn apply(row: Option<Model>, event: &Recorded) -> Option<Model> {
        let at = event.at.timestamp_millis();
        if let Event::Run(RunEvent::Requested { slot, .. }) = &event.event {
            // Before slots were said, a run took the place of all that were due.
            let slot = slot.map_or(at, |slot| slot.timestamp_millis());
            return row.map(|row| row.with_slots_until(slot));
        }
        let Event::Config(change) = &event.event else {
            return row;
        };
        match change {
            ConfigEvent::Created { app, spec, .. } => Some(Model {
                id: event.stream.id,
                app_id: app.0,
                strategy: spec.strategy.clone(),
                target: spec.target.clone(),
                schedule_cron: spec.schedule_cron.clone(),
                service: spec.service.clone(),
                enabled: spec.enabled,
                revision: 1,
                spec: to_json(spec),
                created_at: at,
                updated_at: at,
                removed_at: None,
                slots_until: at,
                overdue_since: None,
                overdue: None,
                trigger_digest: None,
                trigger_secret: None,
            }),
            ConfigEvent::Changed { revision, spec } => row.map(|row| Model {
                strategy: spec.strategy.clone(),
                target: spec.target.clone(),
                schedule_cron: spec.schedule_cron.clone(),
                service: spec.service.clone(),
                enabled: spec.enabled,
                revision: i32::try_from(*revision).unwrap_or(i32::MAX),
                spec: to_json(spec),
                updated_at: at,
                // What was due before has been settled under the old schedule.
                slots_until: at,
                overdue_since: None,
                overdue: None,
                ..row
            }),
            ConfigEvent::Removed {} => row.map(|row| Model {
                updated_at: at,
                removed_at: Some(at),
                ..row
            }),
            ConfigEvent::TriggerIssued { trigger } => row.map(|row| Model {
                trigger_digest: Some(trigger.digest.clone()),
                trigger_secret: trigger.secret.as_ref().map(|secret| secret.0.clone()),
                ..row
            }),
            ConfigEvent::TriggerRevoked {} => row.map(|row| Model {
                trigger_digest: None,
                trigger_secret: None,
                ..row
            }),
            ConfigEvent::SlotsSkipped { slots, .. }
            | ConfigEvent::SlotsMissed { slots }
            | ConfigEvent::SlotsBlackedOut { slots } => {
                row.map(|row| row.with_slots_until(slots.last.timestamp_millis()))
            }
            ConfigEvent::ClockSetBack { now } => row.map(|row| Model {
                slots_until: now.timestamp_millis(),
                ..row
            }),
            ConfigEvent::Overdue { how, promised } => row.map(|row| Model {
                overdue_since: Some(promised.timestamp_millis()),
                overdue: Some(how.name().to_owned()),
                ..row
            }),
        }
    }
}

impl Model {
    fn with_slots_until(self, slot: i64) -> Self {
        Self {
            slots_until: self.slots_until.max(slot),
            ..self
        }
    }

    pub fn config_id(&self) -> ConfigId {
        ConfigId(self.id)
    }

    pub fn spec(&self) -> ConfigSpec {
        from_json(&self.spec)
    }
}

/// As much of a config with a schedule as says whether its slots have to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Cursor {
    pub id: i64,
    pub revision: i32,
    pub slots_until: i64,
}

/// Of all enabled configs with a schedule.
pub async fn cursors(db: &impl ConnectionTrait) -> Result<Vec<Cursor>, DbErr> {
    Entity::find()
        .select_only()
        .columns([Column::Id, Column::Revision, Column::SlotsUntil])
        .filter(Column::RemovedAt.is_null())
        .filter(Column::Enabled.eq(true))
        .filter(Column::ScheduleCron.ne(""))
        .order_by_asc(Column::Id)
        .into_model()
        .all(db)
        .await
}

/// Those of these ids, by id.
pub async fn of_ids(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<Model>, DbErr> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(AT_ONCE) {
        let query = Entity::find().filter(Column::Id.is_in(ids.iter().copied()));
        found.extend(query.order_by_asc(Column::Id).all(db).await?);
    }
    Ok(found)
}

/// Configs of an app that are not removed, oldest first: "the first config" is the first of them.
pub async fn of_app(db: &impl ConnectionTrait, app: AppId) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::AppId.eq(app.0))
        .filter(Column::RemovedAt.is_null())
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// Whether that service ever had a config of this strategy, removed ones included.
pub async fn ever_of(
    db: &impl ConnectionTrait,
    app: AppId,
    service: &str,
    strategy: &str,
) -> Result<bool, DbErr> {
    let found = Entity::find()
        .filter(Column::AppId.eq(app.0))
        .filter(Column::Service.eq(service))
        .filter(Column::Strategy.eq(strategy))
        .count(db)
        .await?;
    Ok(found > 0)
}

/// The config whose trigger has a token of that digest.
pub async fn triggered_by(db: &impl ConnectionTrait, digest: &str) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::TriggerDigest.eq(digest))
        .one(db)
        .await
}

/// Enabled configs with a schedule, the server's own among them.
pub async fn scheduled(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::RemovedAt.is_null())
        .filter(Column::Enabled.eq(true))
        .filter(Column::ScheduleCron.ne(""))
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// All configs of apps that are not removed.
pub async fn list(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::RemovedAt.is_null())
        .filter(Column::AppId.ne(AppId::OWN.0))
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// Those, and the server's own at the end, unless it is removed: all that stores something.
pub async fn storing(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    let mut all = list(db).await?;
    let own = get(db, ConfigId::OWN).await?;
    all.extend(own.filter(|own| own.removed_at.is_none()));
    Ok(all)
}

/// Removed ones too: old runs still name them.
pub async fn get(db: &impl ConnectionTrait, id: ConfigId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.0).one(db).await
}
