//! Whom to tell of what: the webhooks, what was told to them, and a form for one more.

use std::collections::BTreeMap;

use askama::Template;
use poem::{
    Response, handler,
    http::StatusCode,
    web::{Path, Query},
};
use serde::Deserialize;

use crate::{
    app::{AppError, WebhookInput},
    domain::{access::Role, failure::FieldErrors, ids::WebhookId, secret::Secret, webhook::Topic},
    notify::{self, Channel},
    readmodel::webhooks,
    web::{
        errors::WebError,
        field::{Field, Token, focus_first_error},
        page::Section,
        parts,
        request::{Form, Visit},
    },
};

use super::pings::Told;

const SHOWN: u64 = 10;

#[derive(Template)]
#[template(path = "webhooks/content.html")]
struct Content {
    token: Token,
    hooks: Vec<Hook>,
    fields: Vec<Field>,
    kind: &'static str,
    kinds: Vec<(&'static str, &'static str, bool)>,
    topics: Vec<(&'static str, &'static str, bool)>,
    topics_error: Option<String>,
    /// What was just done: whether it went well, and a sentence.
    said: Option<(bool, String)>,
    /// A secret that was made: shown this once.
    made: Option<Secret>,
}

struct Hook {
    id: i64,
    title: String,
    kind: String,
    origin: String,
    topics: String,
    enabled: bool,
    told: Vec<Told>,
}

#[derive(Deserialize)]
struct Asked {
    /// Form of what would be added.
    #[serde(default)]
    kind: String,
}

#[handler]
pub async fn show(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let typed = Typed::fresh(&asked.kind);
    respond(&visit, StatusCode::OK, &typed, None, None).await
}

#[handler]
pub async fn add(visit: Visit, form: Form) -> Result<Response, WebError> {
    visit.caller.must_be(Role::Admin)?;
    let mut typed = Typed::sent(&form);
    match visit
        .holdfast
        .add_webhook(&visit.caller, typed.input())
        .await
    {
        Ok(saved) => {
            let said = Some((true, "Added. Test it now.".to_owned()));
            respond(&visit, StatusCode::OK, &Typed::fresh(""), said, saved.made).await
        }
        Err(AppError::Invalid(errors)) => {
            typed.errors = errors;
            respond(&visit, StatusCode::UNPROCESSABLE_ENTITY, &typed, None, None).await
        }
        Err(error) => Err(error.into()),
    }
}

#[handler]
pub async fn test(visit: Visit, Path(id): Path<i64>, _form: Form) -> Result<Response, WebError> {
    let sent = visit
        .holdfast
        .test_webhook(&visit.caller, WebhookId(id))
        .await?;
    let said = match sent {
        Ok(status) => (true, format!("The test arrived: it answered {status}.")),
        Err(error) => (false, format!("The test did not arrive: {error}.")),
    };
    respond(&visit, StatusCode::OK, &Typed::fresh(""), Some(said), None).await
}

#[handler]
pub async fn switch(visit: Visit, Path(id): Path<i64>, form: Form) -> Result<Response, WebError> {
    let input = WebhookInput {
        enabled: Some(form.checked("enabled")),
        ..WebhookInput::default()
    };
    visit
        .holdfast
        .change_webhook(&visit.caller, WebhookId(id), input)
        .await?;
    Ok(visit.browser.go("/webhooks"))
}

#[handler]
pub async fn delete(visit: Visit, Path(id): Path<i64>, _form: Form) -> Result<Response, WebError> {
    visit
        .holdfast
        .remove_webhook(&visit.caller, WebhookId(id))
        .await?;
    Ok(visit.browser.go("/webhooks"))
}

#[handler]
pub async fn redeliver(
    visit: Visit,
    Path(id): Path<i64>,
    _form: Form,
) -> Result<Response, WebError> {
    visit.holdfast.redeliver(&visit.caller, id).await?;
    Ok(visit.browser.go("/webhooks"))
}

/// The form as it was typed. Address and secret are not sent back.
struct Typed {
    name: String,
    channel: &'static dyn Channel,
    url: String,
    secret: Secret,
    settings: BTreeMap<String, String>,
    topics: Vec<&'static str>,
    errors: FieldErrors,
}

/// Silence about these costs a backup: they are chosen from the beginning.
const USUAL: [Topic; 5] = [
    Topic::BackupFailed,
    Topic::BackupMissed,
    Topic::VerificationFailed,
    Topic::RestoreFailed,
    Topic::RestoreAttention,
];

impl Typed {
    /// The first form when there is none of that name.
    fn fresh(kind: &str) -> Self {
        Self {
            name: String::new(),
            channel: notify::channel(kind).unwrap_or(notify::ALL[0]),
            url: String::new(),
            secret: Secret::default(),
            settings: BTreeMap::new(),
            topics: USUAL.map(Topic::name).into(),
            errors: FieldErrors::default(),
        }
    }

    fn sent(form: &Form) -> Self {
        let topics = Topic::ALL.map(Topic::name).into_iter();
        Self {
            name: form.text("name").to_owned(),
            url: form.text("url").to_owned(),
            secret: Secret::new(form.text("secret").to_owned()),
            settings: form.group(notify::SETTINGS),
            topics: topics
                .filter(|topic| form.checked(&format!("event.{topic}")))
                .collect(),
            ..Self::fresh(form.text("kind"))
        }
    }

    fn input(&self) -> WebhookInput {
        WebhookInput {
            name: Some(self.name.clone()),
            kind: Some(self.channel.kind().to_owned()),
            url: (!self.url.is_empty()).then(|| Secret::new(self.url.clone())),
            secret: Some(self.secret.clone()),
            settings: self.settings.clone(),
            events: Some(self.topics.iter().map(|&topic| topic.to_owned()).collect()),
            enabled: Some(true),
        }
    }

    fn fields(&self) -> Vec<Field> {
        let own = self.channel.fields().iter().map(|field| self.field(field));
        let mut fields: Vec<Field> = self.address().into_iter().chain(own).collect();
        fields.push(
            Field::new("name", "Name")
                .help("For people.")
                .value(self.name.as_str())
                .error(&self.errors, "name"),
        );
        focus_first_error(&mut fields);
        fields
    }

    /// None where the settings say where to.
    fn address(&self) -> Option<Field> {
        let usual = self.channel.usual_address();
        let field = Field::new("url", "Address").error(&self.errors, "url");
        match usual {
            Some("") => None,
            Some(url) => Some(
                field
                    .help("When empty, the public server. Addresses of private networks are refused unless the server allows them.")
                    .placeholder(url),
            ),
            None => Some(
                field
                    .help("Kept secret: it may hold a token. Addresses of private networks are refused unless the server allows them.")
                    .placeholder("https://example.org/hook")
                    .required(),
            ),
        }
    }

    fn field(&self, field: &notify::Field) -> Field {
        let name = if field.secret {
            "secret".to_owned()
        } else {
            format!("{}.{}", notify::SETTINGS, field.name)
        };
        let mut shown = Field::new(name.clone(), field.label)
            .help(field.help)
            .error(&self.errors, &name);
        shown.required = field.required;
        if field.secret {
            return shown.kind("password").autocomplete("new-password");
        }
        shown.value(self.settings.get(field.name).map_or("", String::as_str))
    }
}

async fn respond(
    visit: &Visit,
    status: StatusCode,
    typed: &Typed,
    said: Option<(bool, String)>,
    made: Option<Secret>,
) -> Result<Response, WebError> {
    let mut hooks = Vec::new();
    for row in visit.holdfast.webhooks(&visit.caller).await? {
        hooks.push(hook(visit, &row).await?);
    }
    let content = Content {
        token: Token(visit.browser.form_token()),
        hooks,
        fields: typed.fields(),
        kind: typed.channel.kind(),
        kinds: notify::ALL
            .iter()
            .map(|it| (it.kind(), it.label(), it.kind() == typed.channel.kind()))
            .collect(),
        topics: Topic::ALL
            .iter()
            .map(|it| (it.name(), it.title(), typed.topics.contains(&it.name())))
            .collect(),
        topics_error: typed.errors.0.get("events").cloned(),
        said,
        made,
    };
    visit.page_with(status, "Notifications", Section::Activity, &content)
}

async fn hook(visit: &Visit, row: &webhooks::Model) -> Result<Hook, WebError> {
    let unknown = || AppError::Internal(format!("webhook {} is of another version", row.id));
    let spec = row.spec().ok_or_else(unknown)?;
    let deliveries = visit
        .holdfast
        .deliveries(&visit.caller, row.webhook_id(), SHOWN)
        .await?;
    let titles: Vec<&str> = spec.topics.iter().map(|topic| topic.title()).collect();
    Ok(Hook {
        id: row.id,
        title: match spec.name.as_str() {
            "" => spec.origin.clone(),
            name => name.to_owned(),
        },
        kind: notify::channel(&spec.kind).map_or(spec.kind.clone(), |it| it.label().to_owned()),
        origin: spec.origin,
        topics: titles.join(", "),
        enabled: spec.enabled,
        told: deliveries
            .into_iter()
            .map(|it| {
                let again = format!("/webhooks/deliveries/{}/redeliver", it.id);
                Told::of(visit, it, Some(again))
            })
            .collect(),
    })
}
