//! The `events` table.

use chrono::DateTime;
use sea_orm::entity::prelude::*;

use super::{CodecError, LogError, Recorded, StreamId, codec};
use crate::domain::{
    audit::{AuditEvent, prunable},
    event::{Event, Scope, StreamKind},
    ids::{AppId, ConfigId},
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "events")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i64,
    pub stream_kind: String,
    pub stream_id: i64,
    pub version: i64,
    pub name: String,
    pub schema: i32,
    pub data: String,
    pub actor: String,
    pub correlation: String,
    pub causation: Option<i64>,
    pub app_id: Option<i64>,
    pub config_id: Option<i64>,
    /// Unix time in milliseconds.
    pub at: i64,
    pub prev_hash: Vec<u8>,
    pub hash: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// No stored form is empty: what this event said was taken out.
    pub fn is_emptied(&self) -> bool {
        self.data.is_empty()
    }

    /// Its name, when it is an event whose detail may be pruned.
    pub fn prunable(&self) -> Option<&'static str> {
        let name = prunable(&self.name)?;
        (self.stream_kind == StreamKind::Audit.name()).then_some(name)
    }

    pub fn recorded(self) -> Result<Recorded, LogError> {
        let unreadable = |what: &str| CodecError::Envelope {
            position: self.position,
            what: what.to_owned(),
        };
        let kind = StreamKind::parse(&self.stream_kind).ok_or_else(|| unreadable("stream kind"))?;
        let at = DateTime::from_timestamp_millis(self.at).ok_or_else(|| unreadable("time"))?;
        let actor = serde_json::from_str(&self.actor).map_err(|_| unreadable("actor"))?;
        let event = match self.prunable().filter(|_| self.is_emptied()) {
            Some(name) => Event::Audit(AuditEvent::DetailPruned(name.to_owned())),
            None => codec::decode(kind, &self.name, self.schema, &self.data)?,
        };
        Ok(Recorded {
            position: self.position,
            stream: StreamId {
                kind,
                id: self.stream_id,
            },
            version: self.version,
            name: self.name,
            schema: self.schema,
            event,
            data: self.data,
            actor,
            correlation: self.correlation,
            causation: self.causation,
            scope: Scope {
                app: self.app_id.map(AppId),
                config: self.config_id.map(ConfigId),
            },
            at,
            hash: hex::encode(self.hash),
        })
    }
}
