//! Apps.

use sea_orm::{QueryOrder, entity::prelude::*};
use serde::Serialize;

use super::table::ReadModel;
use crate::{
    domain::{
        app::{AppEvent, AppSpec},
        config::SecretRef,
        event::{Event, StreamKind},
        ids::AppId,
    },
    log::Recorded,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "apps")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    pub slug: String,
    pub name: String,
    pub project: String,
    pub compose_path: Option<String>,
    /// Reference of an uploaded compose file in the vault.
    pub compose_upload: Option<String>,
    pub created_at: i64,
    pub removed_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub struct Apps;

impl ReadModel for Apps {
    type Entity = Entity;
    const NAME: &'static str = "apps";
    const VERSION: i32 = 2;

    fn key(event: &Recorded) -> Option<i64> {
        (event.stream.kind == StreamKind::App).then_some(event.stream.id)
    }

    fn id(row: &Model) -> i64 {
        row.id
    }

    fn apply(row: Option<Model>, event: &Recorded) -> Option<Model> {
        let Event::App(change) = &event.event else {
            return row;
        };
        match change {
            AppEvent::Registered { slug, spec, .. } => Some(Model {
                id: event.stream.id,
                slug: slug.clone(),
                name: spec.name.clone(),
                project: spec.project.clone(),
                compose_path: spec.compose_path.clone(),
                compose_upload: uploaded(spec),
                created_at: event.at.timestamp_millis(),
                removed_at: None,
            }),
            AppEvent::Changed { spec } => row.map(|row| Model {
                name: spec.name.clone(),
                project: spec.project.clone(),
                compose_path: spec.compose_path.clone(),
                compose_upload: uploaded(spec),
                ..row
            }),
            AppEvent::Removed {} => row.map(|row| Model {
                removed_at: Some(event.at.timestamp_millis()),
                ..row
            }),
        }
    }
}

impl Model {
    pub fn app_id(&self) -> AppId {
        AppId(self.id)
    }

    pub fn spec(&self) -> AppSpec {
        AppSpec {
            name: self.name.clone(),
            project: self.project.clone(),
            compose_path: self.compose_path.clone(),
            compose_upload: self.compose_upload.clone().map(SecretRef),
        }
    }
}

fn uploaded(spec: &AppSpec) -> Option<String> {
    spec.compose_upload.clone().map(|reference| reference.0)
}

/// Apps that are not removed, by name.
pub async fn list(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::RemovedAt.is_null())
        .order_by_asc(Column::Name)
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

pub async fn by_slug(db: &impl ConnectionTrait, slug: &str) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::Slug.eq(slug))
        .filter(Column::RemovedAt.is_null())
        .one(db)
        .await
}

/// Removed ones too: old runs still name them.
pub async fn get(db: &impl ConnectionTrait, id: AppId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.0).one(db).await
}
