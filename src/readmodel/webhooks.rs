//! Webhooks: whom to tell of what.

use sea_orm::{QueryOrder, entity::prelude::*};
use serde::Serialize;

use super::{from_optional_json, table::ReadModel, to_json};
use crate::{
    domain::{
        event::{Event, StreamKind},
        ids::WebhookId,
        webhook::{WebhookEvent, WebhookSpec},
    },
    log::Recorded,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "webhooks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// `WebhookSpec` as JSON.
    pub spec: String,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub struct Webhooks;

impl ReadModel for Webhooks {
    type Entity = Entity;
    const NAME: &'static str = "webhooks";
    const VERSION: i32 = 1;

    fn key(event: &Recorded) -> Option<i64> {
        (event.stream.kind == StreamKind::Webhook).then_some(event.stream.id)
    }

    fn id(row: &Model) -> i64 {
        row.id
    }

    fn apply(row: Option<Model>, event: &Recorded) -> Option<Model> {
        let Event::Webhook(change) = &event.event else {
            return row;
        };
        let at = event.at.timestamp_millis();
        match change {
            WebhookEvent::Added { spec, .. } => Some(Model {
                id: event.stream.id,
                spec: to_json(spec),
                created_at: at,
                updated_at: at,
            }),
            WebhookEvent::Changed { spec } => row.map(|row| Model {
                spec: to_json(spec),
                updated_at: at,
                ..row
            }),
            WebhookEvent::Removed {} => None,
        }
    }
}

impl Model {
    pub fn webhook_id(&self) -> WebhookId {
        WebhookId(self.id)
    }

    /// None only in a row of another version, which the next start rebuilds.
    pub fn spec(&self) -> Option<WebhookSpec> {
        from_optional_json(Some(&self.spec))
    }
}

pub async fn list(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find().order_by_asc(Column::Id).all(db).await
}

pub async fn get(db: &impl ConnectionTrait, id: WebhookId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.0).one(db).await
}
