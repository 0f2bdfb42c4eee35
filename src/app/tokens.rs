//! Bearer tokens as people see them: what they may do, until when, and when they were last used.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, EntityTrait, IntoActiveModel};

use super::{Caller, Holdfast, Result, auth};
use crate::{
    domain::{
        access::{Role, TokenSpec},
        ids::{TokenId, UserId},
    },
    readmodel::users,
};

/// `last_used_at` is written at most this often: a request that looks is no write.
const USED_EVERY: chrono::Duration = chrono::Duration::minutes(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub user: UserId,
    pub user_name: String,
    pub id: TokenId,
    pub spec: TokenSpec,
    pub last_used_at: Option<DateTime<Utc>>,
}

impl Holdfast {
    /// The caller's own; an admin's view has those of everybody.
    pub async fn tokens(&self, caller: &Caller) -> Result<Vec<Token>> {
        let used: BTreeMap<(i64, i64), Option<i64>> = auth::tokens::Entity::find()
            .all(self.db())
            .await?
            .into_iter()
            .map(|row| ((row.user_id, row.token_id), row.last_used_at))
            .collect();
        let mut tokens = Vec::new();
        for user in users::list(self.db()).await? {
            if caller.role < Role::Admin && caller.user != Some(user.user_id()) {
                continue;
            }
            for (id, spec) in user.tokens() {
                let used = used.get(&(user.id, id.0)).copied().flatten();
                tokens.push(Token {
                    user: user.user_id(),
                    user_name: user.name.clone(),
                    id,
                    spec,
                    last_used_at: used.and_then(DateTime::from_timestamp_millis),
                });
            }
        }
        Ok(tokens)
    }

    pub(super) async fn token_was_used(&self, row: auth::tokens::Model) -> Result<()> {
        let now = self.log().now();
        let used = row.last_used_at.and_then(DateTime::from_timestamp_millis);
        if used.is_some_and(|used| now - used < USED_EVERY) {
            return Ok(());
        }
        let mut row = row.into_active_model();
        row.last_used_at = Set(Some(now.timestamp_millis()));
        self.write_rows("token", move |unit| {
            Box::pin(async move {
                auth::tokens::Entity::update(row).exec(unit.tx()).await?;
                Ok(())
            })
        })
        .await
    }
}
