//! Who asks, and what they may do.

use chrono::{DateTime, Utc};

use super::{AppError, Result};
use crate::{
    domain::{
        access::Role,
        event::{Actor, ActorKind},
        ids::UserId,
    },
    log::Cause,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub actor: Actor,
    pub role: Role,
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

    pub fn cause(&self) -> Cause {
        Cause::new(self.actor.clone(), self.request.clone())
    }
}
