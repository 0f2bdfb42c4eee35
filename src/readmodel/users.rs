//! Users and what their tokens may do. No digests: those lie with the vault.

use std::collections::BTreeMap;

use sea_orm::{QueryOrder, entity::prelude::*};
use serde::Serialize;

use super::{from_json, table::ReadModel, to_json};
use crate::{
    domain::{
        access::{AccessEvent, Role, TokenSpec},
        event::{Event, StreamKind},
        grant::Grants,
        ids::{TokenId, UserId},
    },
    log::Recorded,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    pub name: String,
    pub role: String,
    /// JSON object from token id to `TokenSpec`.
    pub tokens: String,
    pub created_at: i64,
    pub removed_at: Option<i64>,
    /// `Grants` as JSON.
    pub grants: String,
    pub disabled_at: Option<i64>,
    /// Who they are elsewhere: the issuer, a space, and what it calls them.
    pub identity: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub struct Users;

impl ReadModel for Users {
    type Entity = Entity;
    const NAME: &'static str = "users";
    const VERSION: i32 = 3;

    fn key(event: &Recorded) -> Option<i64> {
        (event.stream.kind == StreamKind::User).then_some(event.stream.id)
    }

    fn id(row: &Model) -> i64 {
        row.id
    }

    fn apply(row: Option<Model>, event: &Recorded) -> Option<Model> {
        let Event::Access(change) = &event.event else {
            return row;
        };
        if let AccessEvent::UserAdded { name, role, .. } = change {
            return Some(Model {
                id: event.stream.id,
                name: name.clone(),
                role: role.name().to_owned(),
                tokens: "{}".to_owned(),
                created_at: event.at.timestamp_millis(),
                removed_at: None,
                grants: to_json(&Grants::all()),
                disabled_at: None,
                identity: None,
            });
        }
        row.map(|mut row| {
            let mut tokens = row.tokens();
            match change {
                AccessEvent::UserAdded { .. }
                | AccessEvent::PasswordChanged {}
                | AccessEvent::SecondFactorAdded {}
                | AccessEvent::SecondFactorRemoved {} => {}
                AccessEvent::Linked { issuer, subject } => {
                    row.identity = Some(identity(issuer, subject));
                }
                AccessEvent::RoleChanged { role } => role.name().clone_into(&mut row.role),
                AccessEvent::Granted { grants } => row.grants = to_json(grants),
                AccessEvent::Disabled {} => {
                    row.disabled_at = Some(event.at.timestamp_millis());
                }
                AccessEvent::Enabled {} => row.disabled_at = None,
                AccessEvent::TokenIssued { token, spec } => {
                    tokens.insert(*token, spec.clone());
                }
                AccessEvent::TokenRevoked { token } => {
                    tokens.remove(token);
                }
                AccessEvent::UserRemoved {} => {
                    tokens.clear();
                    row.removed_at = Some(event.at.timestamp_millis());
                }
            }
            row.tokens = to_json(&tokens);
            row
        })
    }
}

impl Model {
    pub fn user_id(&self) -> UserId {
        UserId(self.id)
    }

    pub fn role(&self) -> Role {
        Role::parse(&self.role).unwrap_or_default()
    }

    pub fn grants(&self) -> Grants {
        from_json(&self.grants)
    }

    pub fn tokens(&self) -> BTreeMap<TokenId, TokenSpec> {
        from_json(&self.tokens)
    }
}

/// Users that are not removed, by name.
pub async fn list(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::RemovedAt.is_null())
        .order_by_asc(Column::Name)
        .all(db)
        .await
}

pub async fn by_name(db: &impl ConnectionTrait, name: &str) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::Name.eq(name))
        .filter(Column::RemovedAt.is_null())
        .one(db)
        .await
}

/// Whoever that is here, removed or not. An issuer is an address, so that no two pairs give one text.
pub async fn by_identity(
    db: &impl ConnectionTrait,
    issuer: &str,
    subject: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::Identity.eq(identity(issuer, subject)))
        .order_by_desc(Column::Id)
        .one(db)
        .await
}

fn identity(issuer: &str, subject: &str) -> String {
    format!("{issuer} {subject}")
}

/// Present users only.
pub async fn get(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.0)
        .filter(Column::RemovedAt.is_null())
        .one(db)
        .await
}

/// Those who may come in: present, and not disabled.
pub async fn admitted(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Model>, DbErr> {
    let user = get(db, id).await?;
    Ok(user.filter(|user| user.disabled_at.is_none()))
}
