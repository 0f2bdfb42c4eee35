//! Who asks, and what they may do.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{AppError, Result};
use crate::{
    domain::{
        access::Role,
        event::{Actor, ActorKind, Scope},
        grant::{Grants, TokenScope},
        ids::{AppId, UserId},
    },
    log::Cause,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub actor: Actor,
    /// At most, in whatever app.
    pub role: Role,
    pub grants: Grants,
    /// Of the token they showed; none: whatever the role may.
    pub scopes: Option<BTreeSet<TokenScope>>,
    /// When the session last showed who holds it; only of sessions.
    pub proved_at: Option<DateTime<Utc>>,
    pub user: Option<UserId>,
    /// When what they showed ends: a token's expiry.
    pub until: Option<DateTime<Utc>>,
    /// Id of the request, for logs and the events it causes.
    pub request: String,
}

impl Caller {
    /// Holdfast itself.
    pub fn system(request: impl Into<String>) -> Self {
        Self {
            actor: Actor::system(),
            role: Role::Admin,
            grants: Grants::all(),
            scopes: None,
            proved_at: None,
            user: None,
            until: None,
            request: request.into(),
        }
    }

    /// The command line on the server's own host: whoever may read the data folder.
    pub fn cli(request: impl Into<String>) -> Self {
        Self {
            actor: Actor::named(ActorKind::Cli, "cli"),
            role: Role::Admin,
            grants: Grants::all(),
            scopes: None,
            proved_at: None,
            user: None,
            until: None,
            request: request.into(),
        }
    }

    /// Fails with `Forbidden` when the caller's role is below `role`.
    pub fn must_be(&self, role: Role) -> Result<()> {
        if self.role >= role {
            Ok(())
        } else {
            Err(AppError::Forbidden)
        }
    }

    /// The same within an app: it does not exist for whom it was not granted to, and a lower role there is
    /// `Forbidden`.
    pub fn must_be_in(&self, role: Role, app: AppId) -> Result<()> {
        match self.grants.role_in(app, self.role) {
            Some(own) if own >= role => Ok(()),
            Some(_) => Err(AppError::Forbidden),
            None => Err(AppError::Hidden("the app".into())),
        }
    }

    /// The same for what concerns the whole host: somebody with a grant on some apps has it nowhere.
    pub fn must_be_everywhere(&self, role: Role) -> Result<()> {
        match self.grants.role_everywhere(self.role) {
            Some(own) if own >= role => Ok(()),
            _ => Err(AppError::Forbidden),
        }
    }

    /// Fails when what they showed may not be used for this.
    pub fn must_have(&self, scope: TokenScope) -> Result<()> {
        match &self.scopes {
            Some(scopes) if !scopes.contains(&scope) => Err(AppError::OutOfScope(scope.name())),
            _ => Ok(()),
        }
    }

    pub fn sees(&self, app: AppId) -> bool {
        self.grants.role_in(app, self.role).is_some()
    }

    /// What was found, for those who may see the app it belongs to.
    pub fn seen<T>(&self, found: Option<T>, app: fn(&T) -> AppId, what: String) -> Result<T> {
        let Some(found) = found else {
            return Err(AppError::NotFound(what));
        };
        if self.sees(app(&found)) {
            Ok(found)
        } else {
            Err(AppError::Hidden(what))
        }
    }

    /// May act in the app: run, change, restore.
    pub fn acts_in(&self, app: AppId) -> bool {
        self.must_be_in(Role::Operator, app).is_ok()
    }

    /// What belongs to no app is for everybody whose role lets them ask.
    pub fn sees_scope(&self, scope: &Scope) -> bool {
        scope.app.is_none_or(|app| self.sees(app))
    }

    /// The apps they may see; none: all there are.
    pub fn apps(&self) -> Option<Vec<AppId>> {
        match self.grants.role_everywhere(self.role) {
            Some(_) => None,
            None => Some(self.grants.apps.keys().copied().collect()),
        }
    }

    pub fn cause(&self) -> Cause {
        Cause::new(self.actor.clone(), self.request.clone())
    }
}
