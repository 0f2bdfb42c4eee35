//! What was told outside, and what became of it: to be looked at, and to be sent again.

use sea_orm::{ActiveValue::Set, QueryOrder, QuerySelect, Select, entity::prelude::*};

use super::{
    AppError, Caller, Holdfast, Result,
    deliveries::{Delivery, row},
};
use crate::domain::ids::{ConfigId, WebhookId};

impl Holdfast {
    /// The newest of a webhook, newest first.
    pub async fn deliveries(
        &self,
        caller: &Caller,
        webhook: WebhookId,
        limit: u64,
    ) -> Result<Vec<Delivery>> {
        self.webhook(caller, webhook).await?;
        let of_it = row::Entity::find().filter(row::Column::WebhookId.eq(webhook.0));
        self.newest_told(of_it, limit).await
    }

    /// The newest pings of a config's dead man's switch, newest first.
    pub async fn pings(
        &self,
        caller: &Caller,
        config: ConfigId,
        limit: u64,
    ) -> Result<Vec<Delivery>> {
        self.config(caller, config).await?;
        self.newest_told(pings_of(config), limit).await
    }

    /// Sends it again, under the id it has always had.
    pub async fn redeliver(&self, caller: &Caller, id: i64) -> Result<Delivery> {
        let found = self.delivery(id).await?;
        self.webhook(caller, WebhookId(found.webhook_id)).await?;
        self.send_again(id).await
    }

    /// Sends the newest ping of a config again. An older one would say what is no longer so.
    pub async fn ping_again(&self, caller: &Caller, config: ConfigId) -> Result<Delivery> {
        let row = self.config_to_act_on(caller, config).await?;
        if row.spec().ping.is_none() {
            let problem = "this config pings nothing; give it an address to ping first";
            return Err(AppError::Conflict(problem.into()));
        }
        let newest = self.newest_told(pings_of(config), 1).await?;
        let none = "nothing was pinged yet; the next run does it";
        let newest = newest
            .first()
            .ok_or_else(|| AppError::Conflict(none.into()))?;
        self.send_again(newest.id).await
    }

    async fn newest_told(&self, which: Select<row::Entity>, limit: u64) -> Result<Vec<Delivery>> {
        let rows = which.order_by_desc(row::Column::Id).limit(limit);
        Ok(rows.all(self.db()).await?)
    }

    async fn send_again(&self, id: i64) -> Result<Delivery> {
        let change = row::ActiveModel {
            status: Set("pending".to_owned()),
            attempts: Set(0),
            next_at: Set(self.log().now().timestamp_millis()),
            delivered_at: Set(None),
            ..Default::default()
        };
        self.change_deliveries(change, move |it| it.filter(row::Column::Id.eq(id)))
            .await?;
        self.letters().notify_one();
        self.delivery(id).await
    }

    async fn delivery(&self, id: i64) -> Result<Delivery> {
        let found = row::Entity::find_by_id(id).one(self.db()).await?;
        found.ok_or_else(|| AppError::NotFound(format!("the delivery {id}")))
    }
}

fn pings_of(config: ConfigId) -> Select<row::Entity> {
    row::Entity::find().filter(row::Column::ConfigId.eq(config.0))
}
