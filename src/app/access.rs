//! Set-up, log-in, bearer tokens and users.

use super::{
    AppError, Caller, Holdfast, NewSession, Result, auth, auth::Guess, vault::write_private,
};
use crate::{
    domain::{
        access::{Role, TokenSpec, User, UserCommand},
        audit::AuditEvent,
        event::{Actor, ActorKind, Scope, StreamKind},
        failure::FieldErrors,
        grant::Grants,
        ids::{TokenId, UserId},
        secret::Secret,
    },
    log::{Cause, Unit},
    readmodel::users,
};

const PASSWORD_MIN: usize = 12;
const PASSWORD_MAX: usize = 1000;

/// A fresh bearer token, shown once.
#[derive(Debug)]
pub struct NewToken {
    pub id: TokenId,
    pub token: Secret,
}

impl Holdfast {
    /// True until the first user exists.
    pub async fn needs_setup(&self) -> Result<bool> {
        Ok(users::list(self.db()).await?.is_empty())
    }

    /// Makes sure that a set-up token waits in `{data}/setup-token` (0600) while there is no user,
    /// and answers it.
    pub async fn prepare_setup(&self) -> Result<Option<Secret>> {
        let path = self.settings().data_dir.join("setup-token");
        if !self.needs_setup().await? {
            let _ = std::fs::remove_file(&path);
            return Ok(None);
        }
        if let Ok(token) = std::fs::read_to_string(&path) {
            return Ok(Some(Secret::new(token.trim().to_owned())));
        }
        let token = auth::random_token("hfs");
        write_private(&path, token.expose().as_bytes())
            .map_err(|error| AppError::Internal(format!("{}: {error}", path.display())))?;
        Ok(Some(token))
    }

    /// Creates the first admin. The token works once.
    pub async fn set_up(
        &self,
        token: &str,
        name: &str,
        password: &Secret,
        from: &str,
    ) -> Result<NewSession> {
        self.may_try(&Guess::by(from, "set-up"))?;
        let expected = self.prepare_setup().await?;
        let Some(expected) = expected else {
            return Err(AppError::Conflict("Holdfast is set up already".into()));
        };
        if auth::digest(expected.expose()) != auth::digest(token.trim()) {
            return Err(AppError::field(
                "token",
                "this is not the set-up token; it stands in the server's log and in the file setup-token",
            ));
        }
        self.0.throttle.good(&Guess::by(from, "set-up"));
        let actor = Actor {
            address: from.to_owned(),
            ..Actor::named(ActorKind::Anonymous, "set-up")
        };
        let caller = Caller {
            actor,
            role: Role::Admin,
            grants: Grants::all(),
            scopes: None,
            proved_at: None,
            user: None,
            until: None,
            request: "set-up".to_owned(),
        };
        let user = self.add_user(&caller, name, Role::Admin, password).await?;
        self.open_session(user, name, from, "", None).await
    }

    pub async fn log_in(
        &self,
        name: &str,
        password: &Secret,
        from: &str,
        agent: &str,
    ) -> Result<NewSession> {
        let guesses = Guess::by(from, name);
        self.may_try(&guesses)?;
        let user = users::by_name(self.db(), name).await?;
        let digest = match &user {
            Some(user) => auth::password(self.db(), user.user_id()).await?,
            None => None,
        };
        let password = password.clone();
        let check = move || auth::check_password(password.expose(), digest.as_deref());
        let good = self.slowly(check).await?;
        match user.filter(|user| user.disabled_at.is_none()) {
            Some(user) if good => {
                if let Some(ticket) = self.code_ticket(user.user_id(), None).await? {
                    self.0.throttle.good(&guesses);
                    return Err(AppError::CodeNeeded(ticket));
                }
                self.0.throttle.good(&guesses);
                self.open_session(user.user_id(), name, from, agent, None)
                    .await
            }
            _ => {
                let known: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
                self.note(from, AuditEvent::LoginRefused { name: known })
                    .await?;
                Err(AppError::Unauthenticated)
            }
        }
    }

    /// Who shows that bearer token: the command line on this host, or a user's token.
    pub async fn bearer(&self, token: &str, from: &str) -> Result<Option<Caller>> {
        if auth::digest(token) == auth::digest(self.cli_token().expose()) {
            return Ok(Some(Caller::cli("cli")));
        }
        let Some(row) = auth::token(self.db(), token).await? else {
            return Ok(None);
        };
        let Some(user) = users::admitted(self.db(), UserId(row.user_id)).await? else {
            return Ok(None);
        };
        let now = self.log().now();
        let spec = user.tokens().remove(&TokenId(row.token_id));
        let Some(spec) = spec.filter(|spec| spec.expires_at.is_none_or(|end| end > now)) else {
            return Ok(None);
        };
        self.token_was_used(row).await?;
        let role = user.role().min(spec.role);
        Ok(Some(Caller {
            until: spec.expires_at,
            scopes: spec.scopes,
            ..caller(&user, ActorKind::Token, role, from)
        }))
    }

    pub async fn users(&self, caller: &Caller) -> Result<Vec<users::Model>> {
        caller.must_be(Role::Admin)?;
        Ok(users::list(self.db()).await?)
    }

    pub async fn add_user(
        &self,
        caller: &Caller,
        name: &str,
        role: Role,
        password: &Secret,
    ) -> Result<UserId> {
        caller.must_be(Role::Admin)?;
        self.must_be_fresh(caller)?;
        let digest = self.password_digest(password).await?;
        let name = name.to_owned();
        let user = self
            .log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    if users::by_name(unit.tx(), &name).await?.is_some() {
                        return Err(taken("name", "a user of this name exists").into());
                    }
                    let user = UserId(unit.next_id(StreamKind::User).await?);
                    unit.execute::<User>(user.0, UserCommand::Add { user, name, role })
                        .await?;
                    auth::set_password(unit.tx(), user, digest).await?;
                    Ok(user)
                })
            })
            .await?;
        self.prepare_setup().await?; // nothing is left to set up: takes the token away
        Ok(user)
    }

    pub async fn change_password(
        &self,
        caller: &Caller,
        user: UserId,
        password: &Secret,
    ) -> Result<()> {
        // A token may be weaker than its user, and a password opens sessions.
        if caller.user != Some(user) || caller.actor.kind != ActorKind::User {
            caller.must_be(Role::Admin)?;
        }
        self.must_be_fresh(caller)?;
        let digest = self.password_digest(password).await?;
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    unit.execute::<User>(user.0, UserCommand::ChangePassword)
                        .await?;
                    auth::set_password(unit.tx(), user, digest).await?;
                    auth::end_sessions(unit.tx(), user).await?;
                    Ok(())
                })
            })
            .await?;
        Ok(())
    }

    pub async fn remove_user(&self, caller: &Caller, user: UserId) -> Result<()> {
        self.user(caller, user).await?;
        self.must_be_fresh(caller)?;
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    super::users::must_leave_an_admin(unit, user).await?;
                    unit.execute::<User>(user.0, UserCommand::Remove).await?;
                    auth::forget_user(unit.tx(), user).await?;
                    super::second_factor::forget(unit.tx(), user).await?;
                    Ok(())
                })
            })
            .await?;
        Ok(())
    }

    pub async fn issue_token(
        &self,
        caller: &Caller,
        user: UserId,
        spec: TokenSpec,
    ) -> Result<NewToken> {
        if caller.user != Some(user) {
            caller.must_be(Role::Admin)?;
        }
        self.must_be_fresh(caller)?;
        // A weak token must not be the way to a strong one, nor one that ends to one that does not.
        caller.must_be(spec.role)?;
        if let Some(own) = &caller.scopes
            && spec
                .scopes
                .as_ref()
                .is_none_or(|asked| !asked.is_subset(own))
        {
            let problem = "the token that asks has fewer; name some of its own";
            return Err(AppError::field("scopes", problem));
        }
        if let Some(until) = caller.until
            && spec.expires_at.is_none_or(|end| end > until)
        {
            let until = until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            let problem =
                format!("the token that asks ends at {until}; the new one cannot outlive it");
            return Err(AppError::field("expires_at", problem));
        }
        let token = auth::random_token("hft");
        let secret = token.clone();
        let id = self
            .log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    // Unique within the user is enough: the digest finds both.
                    let (state, version) = unit.load::<User>(user.0).await?;
                    let id = TokenId(version + 1);
                    drop(state);
                    unit.execute::<User>(user.0, UserCommand::IssueToken { token: id, spec })
                        .await?;
                    auth::add_token(unit.tx(), &secret, user, id).await?;
                    Ok(id)
                })
            })
            .await?;
        Ok(NewToken { id, token })
    }

    pub async fn revoke_token(&self, caller: &Caller, user: UserId, token: TokenId) -> Result<()> {
        if caller.user != Some(user) {
            caller.must_be(Role::Admin)?;
        }
        self.must_be_fresh(caller)?;
        let (state, _) = self.log().load::<User>(user.0).await?;
        if let Some(spec) = state.tokens.get(&token) {
            caller.must_be(spec.role)?;
        }
        self.log()
            .execute::<User>(caller.cause(), user.0, UserCommand::RevokeToken { token })
            .await?;
        Ok(())
    }

    /// The user of that name, for commands that name people.
    pub async fn user_by_name(&self, name: &str) -> Result<users::Model> {
        users::by_name(self.db(), name)
            .await?
            .ok_or_else(|| AppError::NotFound(format!("the user {name}")))
    }

    pub(super) async fn note(&self, from: &str, event: AuditEvent) -> Result<()> {
        let actor = Actor {
            address: from.to_owned(),
            ..Actor::named(ActorKind::Anonymous, "somebody")
        };
        self.log()
            .write(Cause::new(actor, "audit"), move |unit| {
                Box::pin(async move { unit.note(event, Scope::default()).await })
            })
            .await?;
        Ok(())
    }

    /// Rows that are no events (sessions), through the one writer all the same.
    pub(super) async fn write_rows<F>(&self, what: &str, work: F) -> Result<()>
    where
        F: for<'u> FnOnce(
                &'u mut Unit,
            )
                -> futures_util::future::BoxFuture<'u, Result<(), crate::log::LogError>>
            + Send
            + 'static,
    {
        Ok(self.log().write(Cause::system(what), work).await?)
    }

    async fn password_digest(&self, password: &Secret) -> Result<String> {
        let length = password.expose().chars().count();
        if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&length) {
            return Err(AppError::field(
                "password",
                format!("use at least {PASSWORD_MIN} characters"),
            ));
        }
        let password = password.clone();
        self.slowly(move || auth::hash_password(password.expose()))
            .await?
            .ok_or_else(|| AppError::Internal("the password could not be hashed".into()))
    }

    pub(super) fn may_try(&self, guesses: &[Guess]) -> Result<()> {
        let begun = self.0.throttle.begin(guesses);
        begun.map_err(AppError::Throttled)
    }

    /// Hashes on a thread of its own, a few at a time: each takes 19 MiB and a core.
    pub(super) async fn slowly<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let failed = |error: &dyn std::fmt::Display| AppError::Internal(error.to_string());
        let _turn = self.0.hashing.acquire().await.map_err(|e| failed(&e))?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|e| failed(&e))
    }
}

pub(super) fn caller(user: &users::Model, kind: ActorKind, role: Role, from: &str) -> Caller {
    Caller {
        actor: Actor {
            kind,
            id: Some(user.id),
            name: user.name.clone(),
            address: from.to_owned(),
        },
        role,
        grants: user.grants(),
        scopes: None,
        proved_at: None,
        user: Some(user.user_id()),
        until: None,
        request: ulid::Ulid::generate().to_string(),
    }
}

fn taken(field: &str, problem: &str) -> crate::domain::aggregate::Refusal {
    crate::domain::aggregate::Refusal::Invalid(FieldErrors::one(field, problem))
}
