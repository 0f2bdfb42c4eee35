//! Bearer tokens, under the name that they have in the contract. The token itself is shown once.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use poem_openapi::{Object, OpenApi, param::Path, payload::Json};
use serde::Deserialize;

use super::{
    answer::{Answer, Created, Done},
    body::Body,
    error::ApiError,
    users::role,
    values::Time,
    visit::Visit,
};
use crate::{
    app::{AppError, Token},
    domain::{
        access::TokenSpec,
        grant::TokenScope,
        ids::{TokenId, UserId},
    },
    readmodel::users,
};

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct ApiKey {
    id: String,
    name: String,
    /// Whose it is.
    user: String,
    /// `viewer`, `operator` or `admin`; never above the user's own.
    role: String,
    /// What it may be used for; absent: whatever its role may.
    scopes: Option<Vec<String>>,
    expires_at: Option<Time>,
    /// To within five minutes.
    last_used_at: Option<Time>,
    /// Only in the answer that made it; it cannot be shown again.
    token: Option<String>,
}

impl From<Token> for ApiKey {
    fn from(token: Token) -> Self {
        Self {
            id: format!("{}-{}", token.user, token.id),
            scopes: token.spec.scopes.map(|scopes| {
                let names = scopes.iter().map(|scope| scope.name().to_owned());
                names.collect()
            }),
            name: token.spec.name,
            user: token.user_name,
            role: token.spec.role.name().to_owned(),
            expires_at: token.spec.expires_at.map(Into::into),
            last_used_at: token.last_used_at.map(Into::into),
            token: None,
        }
    }
}

#[derive(Object, Deserialize)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// For people: what it is for.
    name: String,
    /// The user's own when absent.
    #[serde(default)]
    role: Option<String>,
    /// Some of `read`, `backup`, `restore`, `delete`, `admin`: what it may be used for, within its role. All when
    /// absent.
    #[serde(default)]
    scopes: Option<Vec<String>>,
    /// Name of the user; the caller when absent. Others are for admins to name.
    #[serde(default)]
    user: Option<String>,
    /// RFC 3339; never when absent.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
    /// Instead of `expires_at`.
    #[serde(default)]
    expires_in_days: Option<u32>,
}

pub struct ApiKeys;

#[OpenApi]
impl ApiKeys {
    /// The caller's tokens; an admin's answer has those of everybody
    #[oai(path = "/apikeys", method = "get", operation_id = "list_api_keys")]
    async fn list_api_keys(&self, visit: Visit) -> Answer<Vec<ApiKey>> {
        let tokens = visit.holdfast.tokens(&visit.caller).await?;
        Ok(Json(tokens.into_iter().map(Into::into).collect()))
    }

    /// Issues a token
    #[oai(path = "/apikeys", method = "post", operation_id = "add_api_key")]
    async fn add_api_key(
        &self,
        visit: Visit,
        body: Body<NewApiKey>,
    ) -> Result<Created<ApiKey>, ApiError> {
        let sent = body.0;
        let user = owner(&visit, sent.user.as_deref()).await?;
        let spec = TokenSpec {
            role: match &sent.role {
                Some(name) => role(name)?,
                None => user.role().min(visit.caller.role),
            },
            expires_at: end(&sent, visit.holdfast.log().now())?,
            scopes: sent.scopes.as_deref().map(scopes).transpose()?,
            name: sent.name,
        };
        let new = visit
            .holdfast
            .issue_token(&visit.caller, user.user_id(), spec.clone())
            .await?;
        let mut key = ApiKey::from(Token {
            user: user.user_id(),
            user_name: user.name,
            id: new.id,
            spec,
            last_used_at: None,
        });
        key.token = Some(new.token.expose().clone());
        Ok(Created(key))
    }

    /// Revokes a token; it works no more from now on
    #[oai(
        path = "/apikeys/:id",
        method = "delete",
        operation_id = "remove_api_key"
    )]
    async fn remove_api_key(&self, visit: Visit, id: Path<String>) -> Result<Done, ApiError> {
        let known = visit.holdfast.tokens(&visit.caller).await?;
        let (user, token) = parse(&id)
            .filter(|(user, id)| known.iter().any(|t| t.user == *user && t.id == *id))
            .ok_or_else(|| AppError::NotFound("the token".into()))?;
        visit
            .holdfast
            .revoke_token(&visit.caller, user, token)
            .await?;
        Ok(Done)
    }
}

fn scopes(names: &[String]) -> Result<BTreeSet<TokenScope>, ApiError> {
    let parsed = names.iter().map(|name| TokenScope::parse(name));
    parsed.collect::<Option<_>>().ok_or_else(|| {
        let known = TokenScope::ALL.map(TokenScope::name).join(", ");
        ApiError::invalid("scopes", format!("use some of: {known}"))
    })
}

fn parse(id: &str) -> Option<(UserId, TokenId)> {
    let (user, token) = id.split_once('-')?;
    Some((UserId(user.parse().ok()?), TokenId(token.parse().ok()?)))
}

async fn owner(visit: &Visit, name: Option<&str>) -> Result<users::Model, ApiError> {
    let own = &visit.caller.actor.name;
    let name = match (name, visit.caller.user) {
        (Some(name), _) => name,
        (None, Some(_)) => own,
        (None, None) => return Err(ApiError::invalid("user", "name the user it is for")),
    };
    if visit.caller.user.is_none() || name != own {
        visit.caller.must_be(crate::domain::access::Role::Admin)?;
    }
    match visit.holdfast.user_by_name(name).await {
        Err(AppError::NotFound(what)) => {
            Err(ApiError::invalid("user", format!("{what} does not exist")))
        }
        found => Ok(found?),
    }
}

/// A hundred years.
const LONGEST_DAYS: u32 = 36_500;

fn end(sent: &NewApiKey, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, ApiError> {
    let end = match sent.expires_in_days {
        Some(days) if days > LONGEST_DAYS => {
            let problem = format!("use at most {LONGEST_DAYS} days, or none for no end");
            return Err(ApiError::invalid("expires_in_days", problem));
        }
        Some(days) if sent.expires_at.is_none() => Some(now + Duration::days(days.into())),
        Some(_) => {
            let twice = "send either this or expires_at";
            return Err(ApiError::invalid("expires_in_days", twice));
        }
        None => sent.expires_at,
    };
    match end {
        Some(end) if end <= now => Err(ApiError::invalid("expires_at", "use a time to come")),
        end => Ok(end),
    }
}
