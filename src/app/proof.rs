//! Proving anew who sits at a browser, before it does what cannot be taken back: a session may have been
//! left open.

use chrono::Duration;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};

use super::{AppError, Caller, Holdfast, Result, auth, auth::Guess};
use crate::domain::{audit::AuditEvent, event::ActorKind, secret::Secret};

/// For so long after a log-in or a proof nothing is asked.
const FRESH: Duration = Duration::minutes(15);

impl Holdfast {
    /// Of a session alone. Tokens have scopes for that, and the command line on the host has the data.
    pub(super) fn must_be_fresh(&self, caller: &Caller) -> Result<()> {
        let now = self.log().now();
        let fresh = caller.proved_at.is_some_and(|at| now - at <= FRESH);
        if caller.actor.kind != ActorKind::User || fresh {
            return Ok(());
        }
        Err(AppError::ProofNeeded)
    }

    /// By the password, or by a code of the second factor.
    pub async fn prove(&self, caller: &Caller, cookie: &str, shown: &Secret) -> Result<()> {
        let user = caller.user.ok_or(AppError::Forbidden)?;
        let name = caller.actor.name.clone();
        let guesses = Guess::by(&caller.actor.address, &name);
        self.may_try(&guesses)?;
        let digest = auth::password(self.db(), user).await?;
        let password = shown.clone();
        let check = move || auth::check_password(password.expose(), digest.as_deref());
        let good = self.slowly(check).await? || self.takes_code(user, shown.expose()).await?;
        if !good {
            let event = AuditEvent::LoginRefused { name };
            self.note(&caller.actor.address, event).await?;
            return Err(AppError::field(
                "password",
                "this is neither the password nor a code of now",
            ));
        }
        self.0.throttle.good(&guesses);
        self.session_proved(&Secret::from(cookie)).await
    }

    /// Whoever holds this session has just shown who they are.
    pub(super) async fn session_proved(&self, cookie: &Secret) -> Result<()> {
        let now = self.log().now().timestamp_millis();
        let digest = auth::digest(cookie.expose());
        self.write_rows("session", move |unit| {
            Box::pin(async move {
                // It may have ended meanwhile: then there is nothing to prove.
                auth::sessions::Entity::update_many()
                    .col_expr(auth::sessions::Column::ProvedAt, Expr::value(now))
                    .filter(auth::sessions::Column::Digest.eq(digest))
                    .exec(unit.tx())
                    .await?;
                Ok(())
            })
        })
        .await
    }
}
