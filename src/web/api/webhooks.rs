//! Webhooks: whom to tell of what, and what was told. Addresses and secrets are write-only.

use std::collections::BTreeMap;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    answer::{Accepted, Answer, Created, Done},
    body::{Body, MaybeBody, Nothing},
    error::ApiError,
    runs::page_size,
    values::Time,
    visit::Visit,
};
use crate::{
    app::{self, MASK, WebhookInput},
    domain::{ids::WebhookId, secret::Secret},
    readmodel::webhooks,
};

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Webhook {
    id: i64,
    name: String,
    /// `standard`, `slack`, `discord`, `telegram`, `ntfy` or `email`.
    kind: String,
    /// What the form asks for beside an address; no secrets.
    settings: BTreeMap<String, String>,
    /// Scheme and host; the rest may hold a token, and is masked.
    url: String,
    events: Vec<String>,
    enabled: bool,
    /// It has a secret, to sign with or to log in with.
    secret_set: bool,
    created_at: Time,
    updated_at: Time,
    /// Only in the answer that made it; it cannot be shown again.
    secret: Option<String>,
}

/// Absent fields keep their value, or get their default in a new one.
#[derive(Object, Deserialize, Default)]
#[oai(write_only_all, rename = "WebhookInput")]
#[serde(deny_unknown_fields, default)]
pub struct WebhookBody {
    /// For people.
    name: Option<String>,
    /// The form of what is sent: `standard` (JSON, signed after the Standard Webhooks specification; the
    /// default), `slack`, `discord`, `telegram`, `ntfy` or `email`.
    kind: Option<String>,
    /// Where to. Addresses of private networks are refused, unless the server allows them. `telegram` and
    /// `ntfy` know the public server; `email` goes by its settings.
    url: Option<String>,
    /// `standard`: to sign with, 24 to 64 bytes in base64, made when it is absent in a new one. `telegram`: the
    /// bot's token. `ntfy`: an access token. `email`: the password.
    secret: Option<String>,
    /// What the form asks for beside these. `telegram`: `chat_id`; `ntfy`: `topic`, `priority`; `email`: `host`,
    /// `port`, `security` (`starttls`, `tls`, `none`), `user`, `from`, `to`. Names that are absent keep their
    /// value, empty ones lose it.
    settings: BTreeMap<String, String>,
    /// What to tell of: `backup_success`, `backup_failed`, `backup_missed`, `copy_failed`, `verification_passed`,
    /// `verification_failed`, `verification_unreadable`, `restore_success`, `restore_failed`,
    /// `restore_attention`, `restore_undone`; all by default.
    events: Option<Vec<String>>,
    enabled: Option<bool>,
}

#[derive(Object, Deserialize)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields)]
pub struct WebhookToTest {
    id: i64,
}

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Tested {
    ok: bool,
    /// Of the answer, when there was a good one.
    status: Option<u32>,
    error: Option<String>,
}

/// Something that was or is to be told to a webhook, or to the ping address of a config.
#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Delivery {
    id: i64,
    /// What receivers know it by: the same in every repetition.
    message_id: String,
    event: String,
    /// `pending`, `delivered` or `failed`.
    status: String,
    attempts: i32,
    created_at: Time,
    /// Of the next attempt, while it is pending.
    next_at: Option<Time>,
    delivered_at: Option<Time>,
    /// Of the last attempt.
    error: Option<String>,
    data: Value,
}

impl Webhook {
    fn of(row: &webhooks::Model, made: Option<&Secret>) -> Self {
        let spec = row.spec();
        let spec = spec.as_ref();
        Self {
            id: row.id,
            name: spec.map(|it| it.name.clone()).unwrap_or_default(),
            kind: spec.map(|it| it.kind.clone()).unwrap_or_default(),
            settings: spec.map(|it| it.settings.clone()).unwrap_or_default(),
            url: spec.map_or_else(String::new, |it| format!("{}/{MASK}", it.origin)),
            events: spec.map_or_else(Vec::new, |it| {
                let names = it.topics.iter().map(|topic| topic.name().to_owned());
                names.collect()
            }),
            enabled: spec.is_some_and(|it| it.enabled),
            secret_set: spec.is_some_and(|it| it.secret.is_some()),
            created_at: Time::of(row.created_at),
            updated_at: Time::of(row.updated_at),
            secret: made.map(|secret| secret.expose().clone()),
        }
    }
}

impl From<app::Delivery> for Delivery {
    fn from(row: app::Delivery) -> Self {
        let message = row.message();
        let pending = row.status == "pending";
        Self {
            id: row.id,
            message_id: message.as_ref().map(|it| it.id.clone()).unwrap_or_default(),
            event: message
                .as_ref()
                .map(|it| it.topic.clone())
                .unwrap_or_default(),
            data: message.map(|it| it.data).unwrap_or_default(),
            status: row.status,
            attempts: row.attempts,
            created_at: Time::of(row.created_at),
            next_at: pending.then(|| Time::of(row.next_at)),
            delivered_at: row.delivered_at.map(Time::of),
            error: row.last_error,
        }
    }
}

impl From<WebhookBody> for WebhookInput {
    fn from(body: WebhookBody) -> Self {
        Self {
            name: body.name,
            kind: body.kind,
            url: body.url.map(Secret::new),
            secret: body.secret.map(Secret::new),
            settings: body.settings,
            events: body.events,
            enabled: body.enabled,
        }
    }
}

pub struct Webhooks;

#[OpenApi]
impl Webhooks {
    /// All webhooks, oldest first
    #[oai(path = "/webhooks", method = "get", operation_id = "list_webhooks")]
    async fn list_webhooks(&self, visit: Visit) -> Answer<Vec<Webhook>> {
        let rows = visit.holdfast.webhooks(&visit.caller).await?;
        Ok(Json(
            rows.iter().map(|row| Webhook::of(row, None)).collect(),
        ))
    }

    /// Adds a webhook; a secret that was made for it is shown this once
    #[oai(path = "/webhooks", method = "post", operation_id = "add_webhook")]
    async fn add_webhook(
        &self,
        visit: Visit,
        body: Body<WebhookBody>,
    ) -> Result<Created<Webhook>, ApiError> {
        let saved = visit
            .holdfast
            .add_webhook(&visit.caller, body.0.into())
            .await?;
        Ok(Created(Webhook::of(&saved.row, saved.made.as_ref())))
    }

    /// Changes a webhook; absent fields, a masked address and a masked secret stay
    #[oai(
        path = "/webhooks/:id",
        method = "put",
        operation_id = "change_webhook"
    )]
    async fn change_webhook(
        &self,
        visit: Visit,
        id: Path<i64>,
        body: Body<WebhookBody>,
    ) -> Answer<Webhook> {
        let saved = visit
            .holdfast
            .change_webhook(&visit.caller, WebhookId(*id), body.0.into())
            .await?;
        Ok(Json(Webhook::of(&saved.row, saved.made.as_ref())))
    }

    /// Removes a webhook; what is still to be told to it is given up
    #[oai(
        path = "/webhooks/:id",
        method = "delete",
        operation_id = "remove_webhook"
    )]
    async fn remove_webhook(&self, visit: Visit, id: Path<i64>) -> Result<Done, ApiError> {
        visit
            .holdfast
            .remove_webhook(&visit.caller, WebhookId(*id))
            .await?;
        Ok(Done)
    }

    /// Sends a message of the type `test`, at once and once only
    #[oai(
        path = "/webhooks/test",
        method = "post",
        operation_id = "test_webhook"
    )]
    async fn test_webhook(&self, visit: Visit, body: Body<WebhookToTest>) -> Answer<Tested> {
        let sent = visit
            .holdfast
            .test_webhook(&visit.caller, WebhookId(body.0.id))
            .await?;
        Ok(Json(match sent {
            Ok(status) => Tested {
                ok: true,
                status: Some(status.into()),
                error: None,
            },
            Err(error) => Tested {
                ok: false,
                status: None,
                error: Some(error.to_string()),
            },
        }))
    }

    /// What was and is to be told to a webhook, newest first; what is over is kept for 30 days
    #[oai(
        path = "/webhooks/:id/deliveries",
        method = "get",
        operation_id = "list_deliveries"
    )]
    async fn list_deliveries(
        &self,
        visit: Visit,
        id: Path<i64>,
        /// At most this many, 50 when absent, 1,000 at most
        limit: Query<Option<u64>>,
    ) -> Answer<Vec<Delivery>> {
        let limit = page_size(limit.0)?;
        let rows = visit
            .holdfast
            .deliveries(&visit.caller, WebhookId(*id), limit)
            .await?;
        Ok(Json(rows.into_iter().map(Into::into).collect()))
    }

    /// Sends it again, under the id it has always had
    #[oai(
        path = "/webhooks/deliveries/:id/redelivery",
        method = "post",
        operation_id = "redeliver"
    )]
    async fn redeliver(
        &self,
        visit: Visit,
        id: Path<i64>,
        _nothing: MaybeBody<Nothing>,
    ) -> Result<Accepted<Delivery>, ApiError> {
        let row = visit.holdfast.redeliver(&visit.caller, *id).await?;
        Ok(Accepted(row.into()))
    }
}
