//! Webhooks as people see them: list, add, change, remove, try out.

use std::collections::BTreeMap;

use super::{AppError, Caller, Holdfast, Result, Vault, auth, configs::MASK};
use crate::{
    domain::{
        access::Role,
        event::StreamKind,
        failure::{FieldErrors, one_of},
        ids::WebhookId,
        secret::Secret,
        webhook::{Topic, Webhook, WebhookCommand, WebhookSpec},
    },
    log::{LogError, Unit},
    notify::{self, Address, AddressError, Message, Recipient, SETTINGS, SendError},
    readmodel::webhooks,
};

/// As asked for. Absent fields keep their value, or get their default in a new one.
#[derive(Debug, Clone, Default)]
pub struct WebhookInput {
    pub name: Option<String>,
    /// The form: `standard` by default.
    pub kind: Option<String>,
    /// Where to; masked keeps the present one. Some forms know it by themselves.
    pub url: Option<Secret>,
    /// To sign with, or what the receiver asks for; kept when it is masked. One to sign with is made when it
    /// is absent.
    pub secret: Option<Secret>,
    /// What the form asks for beside these; what is not named here stays, what is empty goes.
    pub settings: BTreeMap<String, String>,
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
    to: Destination,
}

enum Destination {
    /// As it was: its address is not looked up again, so that it can be turned off while that fails.
    Kept(WebhookSpec),
    New {
        to: Recipient,
        /// The secret was made here: shown this once.
        made: bool,
    },
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
        let draft = self.drafted(None, input).await?;
        let made = draft.made();
        let vault = self.0.vault.clone();
        let id = self
            .log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    let spec = draft.seal(&vault, unit).await?;
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
    ) -> Result<SavedWebhook> {
        let present = self.webhook(caller, id).await?.spec();
        let present = present.ok_or_else(|| AppError::NotFound(format!("the webhook {id}")))?;
        let draft = self.drafted(Some(&present), input).await?;
        let made = draft.made();
        let vault = self.0.vault.clone();
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    let spec = draft.seal(&vault, unit).await?;
                    let command = WebhookCommand::Change { spec };
                    unit.execute::<Webhook>(id.0, command).await?;
                    Ok::<_, LogError>(())
                })
            })
            .await?;
        let row = self.webhook(caller, id).await?;
        Ok(SavedWebhook { row, made })
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
            hint: None,
            link: self.link("/webhooks"),
            urgent: false,
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
        let to = match self.recipient(&spec).await? {
            Ok(to) => to,
            Err(error) => return Ok(Err(error.into())),
        };
        let letter = channel.letter(message, &to, self.log().now());
        Ok(notify::send(&letter, self.settings().private_webhooks).await)
    }

    async fn recipient(
        &self,
        spec: &WebhookSpec,
    ) -> Result<std::result::Result<Recipient, AddressError>> {
        let url = self.0.vault.get(self.db(), &spec.url).await?;
        let secret = match &spec.secret {
            Some(reference) => Some(self.0.vault.get(self.db(), reference).await?),
            None => None,
        };
        Ok(Address::stored(url.expose()).map(|address| Recipient {
            address,
            secret,
            settings: spec.settings.clone(),
        }))
    }

    /// All problems at once. The name in the address is looked up too: what cannot work is not stored.
    async fn drafted(&self, present: Option<&WebhookSpec>, input: WebhookInput) -> Result<Draft> {
        let mut errors = FieldErrors::default();
        let kind = input.kind.clone();
        let kind = kind.or_else(|| present.map(|spec| spec.kind.clone()));
        let kind = kind.unwrap_or_else(|| "standard".to_owned());
        let topics = match &input.events {
            Some(names) => topics(names, &mut errors),
            None => present.map_or(Topic::ALL.to_vec(), |spec| spec.topics.clone()),
        };
        let name = input.name.clone();
        let name = name.or_else(|| present.map(|spec| spec.name.clone()));
        let enabled = input.enabled.or_else(|| present.map(|spec| spec.enabled));
        // What one form was told, its secret above all, is not another's.
        let same = present.filter(|spec| spec.kind == kind);
        let to = match same {
            Some(spec) if input.keeps_destination() => Some(Destination::Kept(spec.clone())),
            _ => self.destination(&kind, same, input, &mut errors).await?,
        };
        let (Some(to), true) = (to, errors.0.is_empty()) else {
            return Err(AppError::Invalid(errors));
        };
        Ok(Draft {
            name: name.unwrap_or_default(),
            kind,
            topics,
            enabled: enabled.unwrap_or(true),
            to,
        })
    }

    /// None, with the problems noted, when it cannot be one.
    async fn destination(
        &self,
        kind: &str,
        present: Option<&WebhookSpec>,
        input: WebhookInput,
        errors: &mut FieldErrors,
    ) -> Result<Option<Destination>> {
        let Some(channel) = notify::channel(kind) else {
            let kinds = notify::ALL.iter().map(|channel| channel.kind());
            errors.add("kind", one_of(kinds));
            return Ok(None);
        };
        let kept = match present {
            Some(spec) => self.recipient(spec).await?.ok(),
            None => None,
        };
        let mut settings = present.map_or_else(BTreeMap::new, |spec| spec.settings.clone());
        settings.extend(input.settings);
        settings.retain(|_, value| !value.is_empty());
        let sent = input.secret.filter(|secret| !is_kept(secret));
        let mut secret = sent.or_else(|| kept.as_ref().and_then(|kept| kept.secret.clone()));
        let made = secret.is_none() && channel.is_signed();
        if made {
            secret = Some(notify::new_secret(&auth::random_bytes::<32>()));
        }
        errors.merge(notify::check(channel, &settings, secret.as_ref()));
        let sent = input.url.filter(|url| !is_kept(url));
        let url = sent.or_else(|| kept.map(|kept| kept.address.secret()));
        let address = match &url {
            Some(url) => Some(channel.address(url.expose(), &settings)),
            None => channel
                .usual_address()
                .map(|url| channel.address(url, &settings)),
        };
        let address = self.reachable(address, errors).await;
        Ok(address.map(|address| {
            let to = Recipient {
                address,
                settings,
                secret,
            };
            Destination::New { to, made }
        }))
    }

    /// The address, when it may be connected to; else its problem is noted.
    async fn reachable(
        &self,
        address: Option<std::result::Result<Address, AddressError>>,
        errors: &mut FieldErrors,
    ) -> Option<Address> {
        let found = match address {
            None => {
                errors.add("url", "say where to");
                return None;
            }
            Some(Ok(address)) => {
                let private = self.settings().private_webhooks;
                address.resolve(private).await.map(|_| address)
            }
            Some(Err(error)) => Err(error),
        };
        match found {
            Ok(address) => Some(address),
            Err(error @ AddressError::Host) => {
                errors.add(format!("{SETTINGS}.host"), error.to_string());
                None
            }
            Err(error) => {
                errors.add("url", error.to_string());
                None
            }
        }
    }

    /// Of a page, when the server knows where people reach it.
    pub(super) fn link(&self, path: &str) -> Option<String> {
        let base = self.settings().public_url.as_ref()?;
        Some(format!("{}{path}", base.trim_end_matches('/')))
    }
}

impl WebhookInput {
    fn keeps_destination(&self) -> bool {
        let sent = |secret: &Option<Secret>| secret.as_ref().is_some_and(|it| !is_kept(it));
        !sent(&self.url) && !sent(&self.secret) && self.settings.is_empty()
    }
}

impl Draft {
    fn made(&self) -> Option<Secret> {
        match &self.to {
            Destination::New { to, made: true } => to.secret.clone(),
            _ => None,
        }
    }

    /// Puts a new address and secret into the vault and their references into the spec.
    async fn seal(self, vault: &Vault, unit: &Unit) -> std::result::Result<WebhookSpec, LogError> {
        let (origin, settings, url, secret) = match self.to {
            Destination::Kept(spec) => (spec.origin, spec.settings, spec.url, spec.secret),
            Destination::New { to, .. } => {
                let url = vault.seal(unit, &to.address.secret()).await?;
                let secret = match &to.secret {
                    Some(secret) => Some(vault.seal(unit, secret).await?),
                    None => None,
                };
                (to.address.origin(), to.settings, url, secret)
            }
        };
        Ok(WebhookSpec {
            name: self.name,
            kind: self.kind,
            topics: self.topics,
            enabled: self.enabled,
            settings,
            origin,
            url,
            secret,
        })
    }
}

/// Empty or sent back masked: the present one stays.
fn is_kept(secret: &Secret) -> bool {
    secret.expose().is_empty() || secret.expose().ends_with(MASK)
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
