//! What has to be told to webhooks, kept until it has arrived. A row is written in the transaction that
//! moves the subscriber's checkpoint, so no event is forgotten; it is sent until the receiver says that it
//! has it, under an id that never changes, so a message may arrive twice and be known as the same.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ActiveValue::Set, QueryOrder, QuerySelect, UpdateMany, entity::prelude::*};
use serde_json::{Value, json};

use super::{AppError, Holdfast, Result};
use crate::{
    domain::{
        config::ConfigEvent,
        event::Event,
        failure::Failure,
        ids::{ConfigId, RunId, WebhookId},
        restore::RestoreEvent,
        run::RunEvent,
        webhook::Topic,
    },
    log::{Cause, LogError, Recorded, Unit},
    notify::{Message, SendError},
    readmodel::{apps, configs, runs, webhooks},
};

/// Pauses after each failed attempt, in seconds; after the last it is given up. As the specification of
/// Standard Webhooks advises.
const RETRIES: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// How long a delivery that is over can be looked at.
const KEPT: TimeDelta = TimeDelta::days(30);
const AT_ONCE: u64 = 16;

pub(super) mod row {
    use chrono::{DateTime, Utc};
    use sea_orm::{
        ActiveValue::{NotSet, Set},
        entity::prelude::*,
    };

    use crate::{log::LogError, notify::Message};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "webhook_deliveries")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub webhook_id: i64,
        /// `Message` as JSON.
        pub message: String,
        /// `pending`, `delivered`, `failed`.
        pub status: String,
        pub attempts: i32,
        pub next_at: i64,
        pub last_error: Option<String>,
        pub created_at: i64,
        pub delivered_at: Option<i64>,
        /// It pings this config's switch, and is of no webhook.
        pub config_id: Option<i64>,
        pub ping: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    /// To be sent at once.
    pub fn new(
        webhook: i64,
        message: &Message,
        now: DateTime<Utc>,
    ) -> Result<ActiveModel, LogError> {
        let text = serde_json::to_string(message);
        let text = text.map_err(|e| LogError::Database(DbErr::Custom(e.to_string())))?;
        Ok(ActiveModel {
            id: NotSet,
            webhook_id: Set(webhook),
            message: Set(text),
            status: Set("pending".to_owned()),
            attempts: Set(0),
            next_at: Set(now.timestamp_millis()),
            last_error: Set(None),
            created_at: Set(now.timestamp_millis()),
            delivered_at: Set(None),
            config_id: Set(None),
            ping: Set(None),
        })
    }
}

pub use row::Model as Delivery;

impl Delivery {
    /// None only in a row of another version.
    pub fn message(&self) -> Option<Message> {
        serde_json::from_str(&self.message).ok()
    }
}

/// As what an event is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub topic: &'static str,
    pub title: &'static str,
    pub urgent: bool,
}

impl From<Topic> for Told {
    fn from(topic: Topic) -> Self {
        Self {
            topic: topic.name(),
            title: topic.title(),
            urgent: topic.is_bad(),
        }
    }
}

impl Holdfast {
    /// Writes down for each webhook what the event is to it.
    pub async fn note_deliveries(&self, unit: &mut Unit, event: &Recorded) -> Result<(), LogError> {
        self.note_ping(unit, event).await?;
        let Some(topic) = Topic::of(&event.event) else {
            return Ok(());
        };
        let now = unit.now();
        let mut message = None;
        for webhook in webhooks::list(unit.tx()).await? {
            let spec = webhook.spec();
            if !spec.is_some_and(|spec| spec.enabled && spec.topics.contains(&topic)) {
                continue;
            }
            let message = match &message {
                Some(message) => message,
                None => message.insert(self.message_of(unit, event, topic.into()).await?),
            };
            row::Entity::insert(row::new(webhook.id, message, now)?)
                .exec_without_returning(unit.tx())
                .await?;
        }
        row::Entity::delete_many()
            .filter(row::Column::Status.ne("pending"))
            .filter(row::Column::CreatedAt.lt((now - KEPT).timestamp_millis()))
            .exec(unit.tx())
            .await?;
        Ok(())
    }

    /// Sends what is due, some at a time; true when there may be more.
    pub async fn deliver_due(&self) -> Result<bool> {
        let now = self.log().now().timestamp_millis();
        let due = row::Entity::find()
            .filter(row::Column::Status.eq("pending"))
            .filter(row::Column::NextAt.lte(now))
            .order_by_asc(row::Column::NextAt)
            .limit(AT_ONCE)
            .all(self.db())
            .await?;
        let more = due.len() as u64 == AT_ONCE;
        let sent = due.into_iter().map(|delivery| self.deliver(delivery));
        for sent in futures_util::future::join_all(sent).await {
            sent?;
        }
        Ok(more)
    }

    /// One attempt, and what became of it.
    async fn deliver(&self, delivery: Delivery) -> Result<()> {
        // A secret that cannot be read is told like a receiver that cannot be reached: a new master key
        // or a new address may help.
        let sent = match self.bring(&delivery).await {
            Ok(sent) => sent.map_err(|error| (error.is_final(), error.to_string())),
            Err(AppError::NotFound(what)) => Err((true, format!("{what} was removed"))),
            Err(error) => Err((false, error.to_string())),
        };
        let attempt = usize::try_from(delivery.attempts).unwrap_or(0);
        match (sent, RETRIES.get(attempt)) {
            (Ok(_), _) => self.conclude(&delivery, "delivered", None, None).await,
            (Err((false, error)), Some(pause)) => {
                let next = self.log().now() + TimeDelta::seconds(*pause);
                self.conclude(&delivery, "pending", Some(error), Some(next))
                    .await
            }
            (Err((_, error)), _) => self.conclude(&delivery, "failed", Some(error), None).await,
        }
    }

    /// The event in words and numbers. No more of a failure than its page shows, which is masked already.
    pub(super) async fn message_of(
        &self,
        unit: &Unit,
        event: &Recorded,
        told: Told,
    ) -> Result<Message, LogError> {
        let app = match event.scope.app {
            Some(app) => apps::get(unit.tx(), app).await?,
            None => None,
        };
        let config = match event.scope.config {
            Some(config) => configs::get(unit.tx(), config).await?,
            None => None,
        };
        let mut data = json!({
            "app": app.as_ref().map(|app| app.slug.clone()),
            "app_name": app.as_ref().map(|app| app.name.clone()),
            "config_id": config.as_ref().map(|config| config.id),
            "service": config.as_ref().map(|config| config.service.clone()),
            "strategy": config.as_ref().map(|config| config.strategy.clone()),
        });
        let mut about = String::new();
        let mut page = app
            .as_ref()
            .map_or("/".to_owned(), |app| format!("/apps/{}", app.slug));
        match &event.event {
            Event::Run(change) => {
                let run = runs::get(unit.tx(), RunId(event.stream.id)).await?;
                data["run_id"] = json!(event.stream.id);
                page = format!("/runs/{}", event.stream.id);
                if let (RunEvent::Succeeded { .. }, Some(run)) = (change, &run) {
                    data["size_bytes"] = json!(run.size_bytes);
                    data["checksum"] = json!(run.checksum);
                    data["duration_ms"] = json!(run.duration_ms());
                    data["warnings"] = json!(run.warnings());
                }
                if let RunEvent::VerificationFailed { damage, .. } = change {
                    data["found"] = json!(damage.status());
                }
                if let RunEvent::Failed { failure, .. }
                | RunEvent::VerificationFailed { failure, .. }
                | RunEvent::ArtifactUnreadable { failure, .. }
                | RunEvent::CopyFailed { failure, .. } = change
                {
                    about = tell(&mut data, failure);
                }
                if let RunEvent::VerificationPassed { copies, .. } = change
                    && let Some(bad) = copies.iter().find(|copy| copy.damage.is_some())
                    && let Some(failure) = &bad.failure
                {
                    about = tell(&mut data, failure);
                }
            }
            Event::Restore(change) => {
                data["restore_id"] = json!(event.stream.id);
                page = format!("/restores/{}", event.stream.id);
                if let RestoreEvent::Failed { failure, .. }
                | RestoreEvent::AttentionNeeded { failure, .. } = change
                {
                    about = tell(&mut data, failure);
                }
            }
            Event::Config(ConfigEvent::Overdue { promised, .. }) => {
                data["missed_since"] = json!(promised.to_rfc3339());
                about = format!("no good backup since {}", promised.format("%F %H:%M UTC"));
                data["hint"] = json!("Look at the newest run of this config, and run it by hand.");
            }
            _ => {}
        }
        let place = match (&app, &config) {
            (Some(app), Some(config)) => format!("{} › {}", app.name, config.service),
            (Some(app), None) => app.name.clone(),
            (None, _) => "Holdfast".to_owned(),
        };
        let about = match about.as_str() {
            "" => String::new(),
            about => format!(": {about}"),
        };
        Ok(Message {
            id: format!("evt_{}", event.position),
            topic: told.topic.to_owned(),
            at: event.at,
            text: format!("{}: {place}{about}", told.title),
            hint: data["hint"].as_str().map(str::to_owned),
            link: self.link(&page),
            urgent: told.urgent,
            data,
        })
    }

    async fn bring(&self, delivery: &Delivery) -> Result<std::result::Result<u16, SendError>> {
        let unknown = || AppError::Internal("the delivery is of another version".into());
        let message = delivery.message().ok_or_else(unknown)?;
        if let (Some(config), Some(ping)) = (delivery.config_id, &delivery.ping) {
            return self.ping(ConfigId(config), ping, &message).await;
        }
        let webhook = webhooks::get(self.db(), WebhookId(delivery.webhook_id)).await?;
        let webhook = webhook.ok_or_else(|| AppError::NotFound("the webhook".into()))?;
        self.send(&webhook, &message).await
    }

    async fn conclude(
        &self,
        delivery: &Delivery,
        status: &'static str,
        error: Option<String>,
        next: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let change = row::ActiveModel {
            status: Set(status.to_owned()),
            attempts: Set(delivery.attempts.saturating_add(1)),
            next_at: Set(next.map_or(delivery.next_at, |next| next.timestamp_millis())),
            last_error: Set(error),
            delivered_at: Set((status == "delivered").then(|| self.log().now().timestamp_millis())),
            ..Default::default()
        };
        let id = delivery.id;
        // One whose place a newer one has taken meanwhile stays as it is.
        self.change_deliveries(change, move |it| {
            it.filter(row::Column::Id.eq(id))
                .filter(row::Column::Status.eq("pending"))
        })
        .await
    }

    pub(super) async fn change_deliveries(
        &self,
        change: row::ActiveModel,
        which: impl FnOnce(UpdateMany<row::Entity>) -> UpdateMany<row::Entity> + Send + 'static,
    ) -> Result<()> {
        self.log()
            .write(Cause::system("webhooks"), move |unit| {
                Box::pin(async move {
                    which(row::Entity::update_many().set(change))
                        .exec(unit.tx())
                        .await?;
                    Ok(())
                })
            })
            .await?;
        Ok(())
    }

    /// Rung when there is something to deliver.
    pub fn letters(&self) -> &tokio::sync::Notify {
        &self.0.letters
    }
}

/// Notes the failure; its sentence.
fn tell(data: &mut Value, failure: &Failure) -> String {
    data["error"] = json!(failure.message);
    data["hint"] = json!(failure.hint);
    failure.message.clone()
}
