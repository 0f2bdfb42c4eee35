//! Whom to tell of what: the webhooks, what was told to them, and a form for one more.

use askama::Template;
use poem::{Response, handler, http::StatusCode, web::Path};

use crate::{
    app::{AppError, WebhookInput},
    domain::{access::Role, failure::FieldErrors, ids::WebhookId, secret::Secret, webhook::Topic},
    notify,
    readmodel::webhooks,
    web::{
        errors::WebError,
        field::{Field, Token, focus_first_error},
        page::Section,
        parts,
        request::{Form, Visit},
        words::Moment,
    },
};

const SHOWN: u64 = 10;

#[derive(Template)]
#[template(path = "webhooks/content.html")]
struct Content {
    token: Token,
    hooks: Vec<Hook>,
    fields: [Field; 2],
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
    deliveries: Vec<Delivery>,
}

struct Delivery {
    id: i64,
    what: String,
    status: String,
    attempts: i32,
    error: String,
    at: Moment,
    over: bool,
}

#[handler]
pub async fn show(visit: Visit) -> Result<Response, WebError> {
    respond(&visit, StatusCode::OK, &Typed::fresh(), None, None).await
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
            respond(&visit, StatusCode::OK, &Typed::fresh(), said, saved.made).await
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
    respond(&visit, StatusCode::OK, &Typed::fresh(), Some(said), None).await
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

/// The form as it was typed. The address is a secret, and not sent back.
struct Typed {
    name: String,
    kind: String,
    url: String,
    topics: Vec<&'static str>,
    errors: FieldErrors,
}

impl Typed {
    fn fresh() -> Self {
        Self {
            name: String::new(),
            kind: "standard".to_owned(),
            url: String::new(),
            topics: [Topic::BackupFailed, Topic::BackupMissed]
                .map(Topic::name)
                .into(),
            errors: FieldErrors::default(),
        }
    }

    fn sent(form: &Form) -> Self {
        let topics = Topic::ALL.map(Topic::name).into_iter();
        Self {
            name: form.text("name").to_owned(),
            kind: form.text("kind").to_owned(),
            url: form.text("url").to_owned(),
            topics: topics
                .filter(|topic| form.checked(&format!("event.{topic}")))
                .collect(),
            errors: FieldErrors::default(),
        }
    }

    fn input(&self) -> WebhookInput {
        WebhookInput {
            name: Some(self.name.clone()),
            kind: Some(self.kind.clone()),
            url: (!self.url.is_empty()).then(|| Secret::new(self.url.clone())),
            secret: None,
            events: Some(self.topics.iter().map(|&topic| topic.to_owned()).collect()),
            enabled: Some(true),
        }
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
    let mut fields = [
        Field::new("url", "Address")
            .help("Kept secret: it may hold a token. Addresses of private networks are refused unless the server allows them.")
            .placeholder("https://example.org/hook")
            .required()
            .error(&typed.errors, "url"),
        Field::new("name", "Name")
            .help("For people.")
            .value(typed.name.as_str())
            .error(&typed.errors, "name"),
    ];
    focus_first_error(&mut fields);
    let content = Content {
        token: Token(visit.browser.form_token()),
        hooks,
        fields,
        kinds: notify::ALL
            .iter()
            .map(|it| (it.kind(), it.label(), it.kind() == typed.kind))
            .collect(),
        topics: Topic::ALL
            .iter()
            .map(|it| (it.name(), it.title(), typed.topics.contains(&it.name())))
            .collect(),
        topics_error: typed.errors.0.get("events").cloned(),
        said,
        made,
    };
    visit.page_with(status, "Webhooks", Section::Activity, &content)
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
        deliveries: deliveries
            .into_iter()
            .map(|it| Delivery {
                id: it.id,
                what: it
                    .message()
                    .map_or_else(String::new, |message| message.text),
                over: it.status != "pending",
                status: it.status,
                attempts: it.attempts,
                error: it.last_error.unwrap_or_default(),
                at: Moment::of_millis(visit.now, it.created_at),
            })
            .collect(),
    })
}
