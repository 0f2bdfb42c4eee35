//! Webhooks as people see them: list, add, change, remove, try out.

use super::{AppError, Caller, Holdfast, Result, auth, configs::MASK, configs::one_of};
use crate::{
    domain::{
        access::Role,
        event::StreamKind,
        failure::FieldErrors,
        ids::WebhookId,
        secret::Secret,
        webhook::{Topic, Webhook, WebhookCommand, WebhookSpec},
    },
    log::LogError,
    notify::{self, Address, Channel, Message, SendError},
    readmodel::webhooks,
};

/// As asked for. Absent fields keep their value, or get their default in a new one.
#[derive(Debug, Clone, Default)]
pub struct WebhookInput {
    pub name: Option<String>,
    /// The form: `standard` by default.
    pub kind: Option<String>,
    /// Where to; masked keeps the present one.
    pub url: Option<Secret>,
    /// To sign with; made when it is absent in a new one, kept when it is masked.
    pub secret: Option<Secret>,
    /// Names of topics; all by default.
    pub events: Option<Vec<String>>,
    pub enabled: Option<bool>,
}

/// A new or changed one.
#[derive(Debug, Clone)]
pub struct SavedWebhook {
    pub row: webhooks::Model,
    /// The secret that was made: shown this once.
    pub made: Option<Secret>,
}

/// A form that was checked, with secrets that are not sealed yet.
struct Draft {
    name: String,
    kind: String,
    topics: Vec<Topic>,
    enabled: bool,
    address: Option<Address>,
    secret: Option<Secret>,
}

impl Holdfast {
    pub async fn webhooks(&self, caller: &Caller) -> Result<Vec<webhooks::Model>> {
        caller.must_be(Role::Admin)?;
        Ok(webhooks::list(self.db()).await?)
    }

    pub async fn webhook(&self, caller: &Caller, id: WebhookId) -> Result<webhooks::Model> {
        caller.must_be(Role::Admin)?;
        webhooks::get(self.db(), id)
            .await?
            .ok_or_else(|| AppError::NotFound(format!("the webhook {id}")))
    }

    pub async fn add_webhook(&self, caller: &Caller, input: WebhookInput) -> Result<SavedWebhook> {
        caller.must_be(Role::Admin)?;
        let mut draft = self.drafted(None, input).await?;
        let mut made = None;
        if draft.secret.is_none() && signed(&draft.kind) {
            let secret = notify::new_secret(&auth::random_bytes::<32>());
            draft.secret = Some(secret.clone());
            made = Some(secret);
        }
        let vault = self.0.vault.clone();
        let id = self
            .log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    let Some(address) = &draft.address else {
                        return Err(missing_url().into());
                    };
                    let url = vault.seal(unit, &address.secret()).await?;
                    let secret = match &draft.secret {
                        Some(secret) => Some(vault.seal(unit, secret).await?),
                        None => None,
                    };
                    let spec = WebhookSpec {
                        origin: address.origin(),
                        name: draft.name,
                        kind: draft.kind,
                        topics: draft.topics,
                        enabled: draft.enabled,
                        url,
                        secret,
                    };
                    let webhook = WebhookId(unit.next_id(StreamKind::Webhook).await?);
                    let command = WebhookCommand::Add { webhook, spec };
                    unit.execute::<Webhook>(webhook.0, command).await?;
                    Ok(webhook)
                })
            })
            .await?;
        let row = self.webhook(caller, id).await?;
        Ok(SavedWebhook { row, made })
    }

    pub async fn change_webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
        input: WebhookInput,
    ) -> Result<webhooks::Model> {
        let present = self.webhook(caller, id).await?.spec();
        let mut spec = present.ok_or_else(|| AppError::NotFound(format!("the webhook {id}")))?;
        let draft = self.drafted(Some(&spec), input).await?;
        let vault = self.0.vault.clone();
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    if let Some(address) = &draft.address {
                        spec.origin = address.origin();
                        spec.url = vault.seal(unit, &address.secret()).await?;
                    }
                    if let Some(secret) = &draft.secret {
                        spec.secret = Some(vault.seal(unit, secret).await?);
                    }
                    spec.name = draft.name;
                    spec.kind = draft.kind;
                    spec.topics = draft.topics;
                    spec.enabled = draft.enabled;
                    let command = WebhookCommand::Change { spec };
                    unit.execute::<Webhook>(id.0, command).await?;
                    Ok::<_, LogError>(())
                })
            })
            .await?;
        self.webhook(caller, id).await
    }

    /// What is still to be delivered to it is given up.
    pub async fn remove_webhook(&self, caller: &Caller, id: WebhookId) -> Result<()> {
        self.webhook(caller, id).await?;
        self.log()
            .execute::<Webhook>(caller.cause(), id.0, WebhookCommand::Remove)
            .await?;
        Ok(())
    }

    /// Sends a message of the topic `test` at once, and once only: the answer's status.
    pub async fn test_webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
    ) -> Result<std::result::Result<u16, SendError>> {
        let row = self.webhook(caller, id).await?;
        let now = self.log().now();
        let message = Message {
            id: format!("test_{}", hex::encode(auth::random_bytes::<12>())),
            topic: "test".to_owned(),
            at: now,
            text: "Holdfast can reach this webhook.".to_owned(),
            data: serde_json::json!({ "webhook_id": id.0 }),
        };
        self.send(&row, &message).await
    }

    /// One attempt. `Err`: the log or the vault failed, not the receiver.
    pub(super) async fn send(
        &self,
        row: &webhooks::Model,
        message: &Message,
    ) -> Result<std::result::Result<u16, SendError>> {
        let unknown = || AppError::Internal(format!("webhook {} is of another version", row.id));
        let spec = row.spec().ok_or_else(unknown)?;
        let channel = notify::channel(&spec.kind).ok_or_else(unknown)?;
        let url = self.0.vault.get(self.db(), &spec.url).await?;
        let secret = match &spec.secret {
            Some(reference) => Some(self.0.vault.get(self.db(), reference).await?),
            None => None,
        };
        let address = match Address::parse(url.expose()) {
            Ok(address) => address,
            Err(error) => return Ok(Err(error.into())),
        };
        let letter = channel.letter(message, secret.as_ref(), self.log().now());
        let private = self.settings().private_webhooks;
        Ok(notify::send(&address, &letter, private).await)
    }

    /// All problems at once. The name in the address is looked up too: what cannot work is not stored.
    async fn drafted(&self, present: Option<&WebhookSpec>, input: WebhookInput) -> Result<Draft> {
        let mut errors = FieldErrors::default();
        let kind = input.kind.or_else(|| present.map(|spec| spec.kind.clone()));
        let kind = kind.unwrap_or_else(|| "standard".to_owned());
        if notify::channel(&kind).is_none() {
            let kinds = notify::ALL.iter().map(|channel| channel.kind());
            errors.add("kind", one_of(kinds));
        }
        let topics = match input.events {
            Some(names) => topics(&names, &mut errors),
            None => present.map_or(Topic::ALL.to_vec(), |spec| spec.topics.clone()),
        };
        let secret = input.secret.filter(|secret| !is_kept(secret));
        if let Some(secret) = &secret
            && !notify::usable_secret(secret.expose())
        {
            let problem = "use 24 to 64 bytes in base64, with or without whsec_ before them";
            errors.add("secret", problem);
        }
        let url = input.url.filter(|url| !is_kept(url));
        let address = match url.map(|url| Address::parse(url.expose())) {
            Some(Ok(address)) => {
                let private = self.settings().private_webhooks;
                if let Err(error) = address.resolve(private).await {
                    errors.add("url", error.to_string());
                }
                Some(address)
            }
            Some(Err(error)) => {
                errors.add("url", error.to_string());
                None
            }
            None if present.is_none() => return Err(missing_url().into()),
            None => None,
        };
        let name = input.name.or_else(|| present.map(|spec| spec.name.clone()));
        let enabled = input.enabled.or_else(|| present.map(|spec| spec.enabled));
        errors.into_result()?;
        Ok(Draft {
            name: name.unwrap_or_default(),
            kind,
            topics,
            enabled: enabled.unwrap_or(true),
            address,
            secret,
        })
    }
}

fn missing_url() -> crate::domain::aggregate::Refusal {
    crate::domain::aggregate::Refusal::field("url", "say where to")
}

/// Empty or sent back masked: the present one stays.
fn is_kept(secret: &Secret) -> bool {
    secret.expose().is_empty() || secret.expose().ends_with(MASK)
}

fn signed(kind: &str) -> bool {
    notify::channel(kind).is_some_and(Channel::is_signed)
}

fn topics(names: &[String], errors: &mut FieldErrors) -> Vec<Topic> {
    let mut topics: Vec<Topic> = names.iter().filter_map(|name| Topic::parse(name)).collect();
    if topics.len() < names.len() {
        errors.add("events", one_of(Topic::ALL.map(Topic::name)));
    } else if topics.is_empty() {
        errors.add("events", "choose at least one");
    }
    topics.sort_unstable();
    topics.dedup();
    topics
}
