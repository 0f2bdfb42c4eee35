//! What belongs to oneself: open sessions, and tokens for programs.

use std::collections::BTreeSet;

use askama::Template;
use chrono::Duration;
use poem::{Response, handler, http::StatusCode, web::Path};

use crate::{
    app::{AppError, Token as Issued},
    domain::{
        access::{Role, TokenSpec},
        failure::FieldErrors,
        grant::TokenScope,
        ids::TokenId,
        secret::Secret,
    },
    web::{
        errors::WebError,
        field::{Field, Token, focus_first_error},
        page::Section,
        parts,
        request::{Form, Visit},
        words::Moment,
    },
};

#[derive(Template)]
#[template(path = "account/content.html")]
struct Content {
    token: Token,
    sessions: Vec<SessionRow>,
    tokens: Vec<TokenRow>,
    fields: [Field; 2],
    roles: Vec<(&'static str, bool)>,
    scopes: Vec<(&'static str, &'static str, bool)>,
    scopes_error: Option<String>,
    /// A token that was made: shown this once.
    made: Option<Secret>,
}

struct SessionRow {
    id: String,
    current: bool,
    agent: String,
    address: String,
    opened: Moment,
    seen: Moment,
}

struct TokenRow {
    id: i64,
    name: String,
    may: String,
    expires: Option<Moment>,
    used: Option<Moment>,
}

const SCOPES: [(TokenScope, &str); 5] = [
    (TokenScope::Read, "Look"),
    (TokenScope::Backup, "Back up, and change apps and configs"),
    (TokenScope::Restore, "Restore, undo, download"),
    (TokenScope::Delete, "Delete apps, configs and backups"),
    (
        TokenScope::Admin,
        "Users, tokens, sessions, the server itself",
    ),
];

#[handler]
pub async fn show(visit: Visit) -> Result<Response, WebError> {
    let none = FieldErrors::default();
    respond(&visit, StatusCode::OK, None, &none, None).await
}

#[handler]
pub async fn issue(visit: Visit, form: Form) -> Result<Response, WebError> {
    let spec = match spec(&visit, &form) {
        Ok(spec) => spec,
        Err(errors) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return respond(&visit, status, Some(&form), &errors, None).await;
        }
    };
    let user = visit.caller.user.ok_or(AppError::Forbidden)?;
    let issued = visit.holdfast.issue_token(&visit.caller, user, spec).await;
    match issued {
        Ok(new) => {
            let none = FieldErrors::default();
            respond(&visit, StatusCode::OK, None, &none, Some(new.token)).await
        }
        Err(AppError::Invalid(errors)) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            respond(&visit, status, Some(&form), &errors, None).await
        }
        Err(error) => Err(error.into()),
    }
}

#[handler]
pub async fn revoke(visit: Visit, Path(id): Path<i64>, _form: Form) -> Result<Response, WebError> {
    let user = visit.caller.user.ok_or(AppError::Forbidden)?;
    visit
        .holdfast
        .revoke_token(&visit.caller, user, TokenId(id))
        .await?;
    Ok(visit.browser.go("/account"))
}

#[handler]
pub async fn end_session(
    visit: Visit,
    Path(id): Path<String>,
    _form: Form,
) -> Result<Response, WebError> {
    visit.holdfast.end_session(&visit.caller, &id).await?;
    Ok(visit.browser.go("/account"))
}

fn spec(visit: &Visit, form: &Form) -> Result<TokenSpec, FieldErrors> {
    let days = form.number("days");
    let days = days.map_err(|problem| FieldErrors::one("expires_at", problem))?;
    let chosen = SCOPES.iter().map(|(scope, _)| *scope);
    let chosen = chosen.filter(|scope| form.checked(&format!("scope.{}", scope.name())));
    Ok(TokenSpec {
        name: form.text("name").to_owned(),
        role: Role::parse(form.text("role")).unwrap_or_default(),
        expires_at: days.map(|days| visit.now + Duration::days(days.min(36_500).into())),
        scopes: Some(chosen.collect::<BTreeSet<_>>()),
    })
}

async fn respond(
    visit: &Visit,
    status: StatusCode,
    sent: Option<&Form>,
    errors: &FieldErrors,
    made: Option<Secret>,
) -> Result<Response, WebError> {
    let (holdfast, caller) = (&visit.holdfast, &visit.caller);
    let mut sessions = holdfast.sessions(caller).await?;
    sessions.retain(|session| Some(session.user) == caller.user);
    let mut tokens = holdfast.tokens(caller).await?;
    tokens.retain(|token| Some(token.user) == caller.user);
    let text = |name: &str| sent.map_or("", |form| form.text(name));
    let mut fields = [
        Field::new("name", "What it is for")
            .value(text("name"))
            .required()
            .error(errors, "name"),
        Field::new("days", "Days until it works no more")
            .kind("number")
            .value(sent.map_or("90", |form| form.text("days")))
            .help("Never, when empty.")
            .error(errors, "expires_at"),
    ];
    focus_first_error(&mut fields);
    let role = Role::parse(text("role")).unwrap_or_default();
    let content = Content {
        token: Token(visit.browser.form_token()),
        sessions: sessions
            .into_iter()
            .map(|session| SessionRow {
                current: visit
                    .browser
                    .session()
                    .is_some_and(|cookie| session.is_of(cookie)),
                id: session.id,
                agent: session.agent,
                address: session.address,
                opened: Moment::new(visit.now, session.opened_at),
                seen: Moment::new(visit.now, session.seen_at),
            })
            .collect(),
        tokens: tokens.into_iter().map(|it| token_row(visit, it)).collect(),
        fields,
        roles: Role::ALL
            .into_iter()
            .filter(|it| *it <= caller.role)
            .map(|it| (it.name(), it == role))
            .collect(),
        scopes: SCOPES
            .map(|(scope, label)| {
                let read = sent.is_none() && scope == TokenScope::Read;
                let name = format!("scope.{}", scope.name());
                let chosen = read || sent.is_some_and(|form| form.checked(&name));
                (scope.name(), label, chosen)
            })
            .into(),
        scopes_error: errors.0.get("scopes").cloned(),
        made,
    };
    visit.page_with(status, "Your account", Section::Activity, &content)
}

fn token_row(visit: &Visit, token: Issued) -> TokenRow {
    let role = token.spec.role.name();
    let moment = |at| Moment::new(visit.now, at);
    TokenRow {
        id: token.id.0,
        may: match &token.spec.scopes {
            None => format!("whatever {} may", with_article(role)),
            Some(scopes) => {
                let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
                format!("{}, as {}", names.join(", "), with_article(role))
            }
        },
        name: token.spec.name,
        expires: token.spec.expires_at.map(moment),
        used: token.last_used_at.map(moment),
    }
}

fn with_article(role: &str) -> String {
    let article = if role.starts_with(['a', 'o']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {role}")
}
