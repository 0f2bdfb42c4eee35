//! Backup configs, under the table name of the module that Holdfast replaces.

use sea_orm::{QueryOrder, entity::prelude::*};
use serde::Serialize;

use super::{from_json, table::ReadModel, to_json};
use crate::{
    domain::{
        config::{ConfigEvent, ConfigSpec},
        event::{Event, StreamKind},
        ids::{AppId, ConfigId},
    },
    log::Recorded,
};

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
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub struct Configs;

impl ReadModel for Configs {
    type Entity = Entity;
    const NAME: &'static str = "backup_configs";
    const VERSION: i32 = 1;

    fn key(event: &Recorded) -> Option<i64> {
        (event.stream.kind == StreamKind::Config).then_some(event.stream.id)
    }

    fn id(row: &Model) -> i64 {
        row.id
    }

    fn apply(row: Option<Model>, event: &Recorded) -> Option<Model> {
        let Event::Config(change) = &event.event else {
            return row;
        };
        let at = event.at.timestamp_millis();
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
                ..row
            }),
            ConfigEvent::Removed {} => row.map(|row| Model {
                updated_at: at,
                removed_at: Some(at),
                ..row
            }),
        }
    }
}

impl Model {
    pub fn config_id(&self) -> ConfigId {
        ConfigId(self.id)
    }

    pub fn spec(&self) -> ConfigSpec {
        from_json(&self.spec)
    }
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

/// All configs that are not removed.
pub async fn list(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::RemovedAt.is_null())
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// Removed ones too: old runs still name them.
pub async fn get(db: &impl ConnectionTrait, id: ConfigId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.0).one(db).await
}
