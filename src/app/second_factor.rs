//! A second factor: codes that an app on a telephone makes every 30 seconds (RFC 6238), and recovery codes
//! for when it is gone. The secret lies in the vault, recovery codes as hashes; a code counts once.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::{ActiveValue::Set, entity::prelude::*, sea_query::OnConflict};
use totp_rs::{Builder, Totp};

use super::{AppError, Caller, Holdfast, NewSession, Result, auth, auth::Guess};
use crate::{
    domain::{
        access::{User, UserCommand},
        audit::AuditEvent,
        config::SecretRef,
        event::{ActorKind, Scope},
        ids::UserId,
        secret::Secret,
    },
    log::{Cause, LogError},
    readmodel::users,
};

const RECOVERY_CODES: usize = 10;
/// Between the password and the code.
const TICKET_VALID: Duration = Duration::from_secs(5 * 60);
const TICKET_TRIES: u32 = 5;

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "second_factors")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: i64,
        /// Names the secret in the vault.
        pub secret: String,
        /// A code of it was shown; until then it is asked of nobody.
        pub confirmed: bool,
        /// The newest step of 30 seconds whose code was used.
        pub last_step: i64,
        /// JSON list of the hashes of recovery codes that are left.
        pub recovery: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What an app is told, once: as an address to be drawn, and to type.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// `otpauth://totp/…`
    pub address: Secret,
    /// In base32.
    pub key: Secret,
}

/// Whose password was right, and whose code is still to come.
#[derive(Default)]
pub(super) struct Tickets(Mutex<HashMap<String, Ticket>>);

struct Ticket {
    user: UserId,
    /// Who vouched for the first factor, when it was somebody else.
    through: Option<String>,
    tries: u32,
    since: Instant,
}

impl Tickets {
    fn issue(&self, user: UserId, through: Option<String>) -> Secret {
        let ticket = auth::random_token("hfl");
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, it| it.since.elapsed() < TICKET_VALID);
        let issued = Ticket {
            user,
            through,
            tries: 0,
            since: Instant::now(),
        };
        open.insert(auth::digest(ticket.expose()), issued);
        ticket
    }

    /// Counts a try.
    fn user(&self, ticket: &Secret) -> Option<(UserId, Option<String>)> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let it = open.get_mut(&auth::digest(ticket.expose()))?;
        it.tries += 1;
        let good = it.tries <= TICKET_TRIES && it.since.elapsed() < TICKET_VALID;
        good.then(|| (it.user, it.through.clone()))
    }

    fn close(&self, ticket: &Secret) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&auth::digest(ticket.expose()));
    }
}

impl Holdfast {
    pub async fn has_second_factor(&self, user: UserId) -> Result<bool> {
        Ok(self.factor(user).await?.is_some_and(|row| row.confirmed))
    }

    /// Makes a new secret for the caller. It counts once a code of it was shown.
    pub async fn enrol(&self, caller: &Caller) -> Result<Enrolment> {
        let user = self.own_user(caller)?;
        if self.has_second_factor(user).await? {
            let present = "there is a second factor; remove it first";
            return Err(AppError::Conflict(present.into()));
        }
        let raw = auth::random_bytes::<20>();
        let totp = totp(&raw, &caller.actor.name);
        let (vault, sealed) = (self.0.vault.clone(), Secret::new(hex::encode(raw)));
        self.write_rows("second factor", move |unit| {
            Box::pin(async move {
                let SecretRef(secret) = vault.seal(unit, &sealed).await?;
                let row = row::ActiveModel {
                    user_id: Set(user.0),
                    secret: Set(secret),
                    confirmed: Set(false),
                    last_step: Set(0),
                    recovery: Set("[]".to_owned()),
                };
                let again = OnConflict::column(row::Column::UserId)
                    .update_columns([row::Column::Secret, row::Column::LastStep])
                    .to_owned();
                row::Entity::insert(row)
                    .on_conflict(again)
                    .exec_without_returning(unit.tx())
                    .await?;
                Ok(())
            })
        })
        .await?;
        Ok(Enrolment {
            address: Secret::new(totp.to_url().unwrap_or_default()),
            key: Secret::new(totp.secret().to_base32()),
        })
    }

    /// From now on it is asked for. Answers the recovery codes: shown this once.
    pub async fn confirm_factor(&self, caller: &Caller, code: &str) -> Result<Vec<Secret>> {
        let user = self.own_user(caller)?;
        let row = self.factor(user).await?.filter(|row| !row.confirmed);
        let row = row.ok_or_else(|| AppError::NotFound("the new second factor".into()))?;
        let step = self.step_of(&row, code).await?;
        let step = step.ok_or_else(|| AppError::field("code", "this is not its code of now"))?;
        let codes: Vec<Secret> = (0..RECOVERY_CODES).map(|_| recovery_code()).collect();
        let hashes: Vec<String> = codes.iter().map(|it| auth::digest(it.expose())).collect();
        let recovery = serde_json::to_string(&hashes).unwrap_or_default();
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    let change = row::ActiveModel {
                        user_id: Set(user.0),
                        confirmed: Set(true),
                        last_step: Set(step),
                        recovery: Set(recovery),
                        ..Default::default()
                    };
                    row::Entity::update(change).exec(unit.tx()).await?;
                    let command = UserCommand::SetSecondFactor { on: true };
                    unit.execute::<User>(user.0, command).await
                })
            })
            .await?;
        Ok(codes)
    }

    /// One's own, or for an admin anybody's: who has lost it comes in by the password alone again.
    pub async fn remove_factor(&self, caller: &Caller, user: UserId) -> Result<()> {
        self.must_be_fresh(caller)?;
        if caller.user != Some(user) {
            self.user(caller, user).await?;
        }
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    row::Entity::delete_by_id(user.0).exec(unit.tx()).await?;
                    let command = UserCommand::SetSecondFactor { on: false };
                    unit.execute::<User>(user.0, command).await
                })
            })
            .await?;
        Ok(())
    }

    /// What a log-in still has to show, when it has.
    pub(super) async fn code_ticket(
        &self,
        user: UserId,
        through: Option<String>,
    ) -> Result<Option<Secret>> {
        let has = self.has_second_factor(user).await?;
        Ok(has.then(|| self.0.tickets.issue(user, through)))
    }

    /// The second half of a log-in.
    pub async fn log_in_with_code(
        &self,
        ticket: &Secret,
        code: &str,
        from: &str,
        agent: &str,
    ) -> Result<NewSession> {
        let known = self.0.tickets.user(ticket);
        let (user, through) = known.ok_or(AppError::Unauthenticated)?;
        let row = users::admitted(self.db(), user).await?;
        let row = row.ok_or(AppError::Unauthenticated)?;
        // Counted apart: a password that is right must not forgive codes that are wrong.
        let guesses = Guess::by(from, &format!("code of {}", row.name));
        self.may_try(&guesses)?;
        if !self.takes_code(user, code).await? {
            let event = AuditEvent::LoginRefused { name: row.name };
            self.note(from, event).await?;
            return Err(AppError::Unauthenticated);
        }
        self.0.throttle.good(&guesses);
        self.0.tickets.close(ticket);
        self.open_session(user, &row.name, from, agent, through)
            .await
    }

    /// Whether it is a code of now that was not used yet, or a recovery code that is left. It is used then.
    pub(super) async fn takes_code(&self, user: UserId, code: &str) -> Result<bool> {
        let Some(row) = self.factor(user).await?.filter(|row| row.confirmed) else {
            return Ok(false);
        };
        if let Some(step) = self.step_of(&row, code).await? {
            return self.use_step(user, step).await;
        }
        self.use_recovery(user, auth::digest(&plain(code))).await
    }

    /// Two requests with one code: the second finds the step used.
    async fn use_step(&self, user: UserId, step: i64) -> Result<bool> {
        let used = self
            .log()
            .write(Cause::system("second factor"), move |unit| {
                Box::pin(async move {
                    let used = row::Entity::update_many()
                        .col_expr(row::Column::LastStep, Expr::value(step))
                        .filter(row::Column::UserId.eq(user.0))
                        .filter(row::Column::LastStep.lt(step))
                        .exec(unit.tx())
                        .await?;
                    Ok::<_, LogError>(used.rows_affected == 1)
                })
            });
        Ok(used.await?)
    }

    async fn use_recovery(&self, user: UserId, digest: String) -> Result<bool> {
        let used = self
            .log()
            .write(Cause::system("second factor"), move |unit| {
                Box::pin(async move {
                    let found = row::Entity::find_by_id(user.0).one(unit.tx()).await?;
                    let Some(found) = found else {
                        return Ok(false);
                    };
                    let mut left: Vec<String> =
                        serde_json::from_str(&found.recovery).unwrap_or_default();
                    let before = left.len();
                    left.retain(|one| *one != digest);
                    if left.len() == before {
                        return Ok(false);
                    }
                    let change = row::ActiveModel {
                        user_id: Set(user.0),
                        recovery: Set(serde_json::to_string(&left).unwrap_or_default()),
                        ..Default::default()
                    };
                    row::Entity::update(change).exec(unit.tx()).await?;
                    let left = left.len() as u64;
                    unit.note(
                        AuditEvent::RecoveryCodeUsed { user, left },
                        Scope::default(),
                    )
                    .await?;
                    Ok::<_, LogError>(true)
                })
            });
        Ok(used.await?)
    }

    async fn step_of(&self, row: &row::Model, code: &str) -> Result<Option<i64>> {
        let reference = SecretRef(row.secret.clone());
        let sealed = self.0.vault.get(self.db(), &reference).await?;
        let unusable = |_| AppError::Internal("a second factor's secret is damaged".into());
        let raw = hex::decode(sealed.expose()).map_err(unusable)?;
        let now = u64::try_from(self.log().now().timestamp()).unwrap_or(0);
        let step = totp(&raw, "").check(&plain(code), now);
        let step = step.and_then(|step| i64::try_from(step).ok());
        Ok(step.filter(|step| *step > row.last_step))
    }

    async fn factor(&self, user: UserId) -> Result<Option<row::Model>> {
        Ok(row::Entity::find_by_id(user.0).one(self.db()).await?)
    }

    /// A person in a browser: a token has no telephone.
    fn own_user(&self, caller: &Caller) -> Result<UserId> {
        self.must_be_fresh(caller)?;
        match caller.actor.kind {
            ActorKind::User => caller.user.ok_or(AppError::Forbidden),
            _ => Err(AppError::Forbidden),
        }
    }
}

/// What goes with a user who is removed.
pub(super) async fn forget(tx: &impl ConnectionTrait, user: UserId) -> Result<(), DbErr> {
    row::Entity::delete_by_id(user.0).exec(tx).await.map(drop)
}

/// SHA-1, six digits, 30 seconds: what every such app does.
fn totp(raw: &[u8], account: &str) -> Totp {
    let builder = Builder::new()
        .with_secret(raw)
        .with_issuer(Some("Holdfast"))
        .with_account_name(account);
    builder.build_noncompliant()
}

/// `k3m9-x2pa-…`: 80 bits in four groups.
fn recovery_code() -> Secret {
    let digits = hex::encode(auth::random_bytes::<10>());
    let groups: Vec<&str> = [0, 5, 10, 15].map(|at| &digits[at..at + 5]).into();
    Secret::new(groups.join("-"))
}

/// As people type it: with blanks, in capitals.
fn plain(code: &str) -> String {
    let kept = code.chars().filter(|c| !c.is_whitespace()).take(64);
    kept.collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 6238, appendix B: eight digits there, of which six are shown.
    #[test]
    fn codes_are_those_of_the_specification() {
        let totp = totp(b"12345678901234567890", "ada");
        for (time, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(totp.check(&code[2..], time), Some(time / 30), "{time}");
            assert_eq!(totp.check(&code[2..], time + 90), None, "{time}");
        }
        assert_eq!(totp.check("", 59), None);
        assert_eq!(totp.check("2870820", 59), None);
    }

    #[test]
    fn a_ticket_is_good_for_a_few_tries() {
        let tickets = Tickets::default();
        let ticket = tickets.issue(UserId(7), None);
        let known = Some((UserId(7), None));
        let heard = (0..50).filter(|_| tickets.user(&ticket) == known);
        assert_eq!(heard.count(), 5);
        assert_eq!(tickets.user(&Secret::from("hfl_none")), None);
        let other = tickets.issue(UserId(8), None);
        tickets.close(&other);
        assert_eq!(tickets.user(&other), None);
    }
}
