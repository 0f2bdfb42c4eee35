//! Sessions of browsers: opened by a log-in, ended by their owner, an admin, disuse or age. The cookie
//! is shown once and only its digest is stored; a session is spoken of by the digest's first digits.

use chrono::{DateTime, Duration, Utc};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
};

use super::{AppError, Caller, Holdfast, Result, access::caller, auth};
use crate::{
    domain::{
        access::Role,
        audit::AuditEvent,
        event::{Actor, ActorKind, Scope},
        ids::UserId,
        secret::Secret,
    },
    log::Cause,
    readmodel::users,
};

/// A session ends after this long without use, and after `SESSION_MAX` in any case.
const SESSION_IDLE: Duration = Duration::hours(12);
const SESSION_MAX: Duration = Duration::days(7);
/// `seen_at` is written at most this often: a look at a page is no write.
const SEEN_EVERY: Duration = Duration::minutes(5);
/// Digits of a digest that are enough to name a session, and of no use to anybody who reads them.
const ID_DIGITS: usize = 16;

/// A fresh session; the cookie is shown to the browser and nowhere else.
#[derive(Debug)]
pub struct NewSession {
    pub cookie: Secret,
    pub user: UserId,
}

/// A session that is open, as its owner and admins see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    pub id: String,
    pub user: UserId,
    pub user_name: String,
    pub opened_at: DateTime<Utc>,
    /// To within `SEEN_EVERY`.
    pub seen_at: DateTime<Utc>,
    pub address: String,
    /// What the browser called itself.
    pub agent: String,
}

impl OpenSession {
    /// Whether this cookie is the session's.
    pub fn is_of(&self, cookie: &Secret) -> bool {
        auth::digest(cookie.expose()).starts_with(&self.id)
    }
}

impl Holdfast {
    /// Who holds that cookie; `None` when the session is unknown or has ended.
    pub async fn session(&self, cookie: &str, from: &str) -> Result<Option<Caller>> {
        let digest = auth::digest(cookie);
        let Some(session) = auth::sessions::Entity::find_by_id(&digest)
            .one(self.db())
            .await?
        else {
            return Ok(None);
        };
        let now = self.log().now();
        if session.has_ended(now) {
            return Ok(None);
        }
        let Some(user) = users::admitted(self.db(), UserId(session.user_id)).await? else {
            return Ok(None);
        };
        let proved_at = session.proved_at.map(at);
        if now - at(session.seen_at) > SEEN_EVERY {
            let mut row = session.into_active_model();
            row.seen_at = Set(now.timestamp_millis());
            self.write_rows("session", move |unit| {
                Box::pin(async move {
                    auth::sessions::Entity::update(row).exec(unit.tx()).await?;
                    Ok(())
                })
            })
            .await?;
        }
        Ok(Some(Caller {
            proved_at,
            ..caller(&user, ActorKind::User, user.role(), from)
        }))
    }

    pub async fn log_out(&self, cookie: &str, caller: &Caller) -> Result<()> {
        let digest = auth::digest(cookie);
        let user = caller.user;
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    auth::sessions::Entity::delete_by_id(digest)
                        .exec(unit.tx())
                        .await?;
                    if let Some(user) = user {
                        unit.note(AuditEvent::LoggedOut { user }, Scope::default())
                            .await?;
                    }
                    Ok(())
                })
            })
            .await?;
        Ok(())
    }

    /// The caller's open sessions, newest first; an admin's answer has those of everybody.
    pub async fn sessions(&self, caller: &Caller) -> Result<Vec<OpenSession>> {
        let mut find = auth::sessions::Entity::find();
        if caller.role < Role::Admin {
            let own = caller.user.map_or(0, |user| user.0);
            find = find.filter(auth::sessions::Column::UserId.eq(own));
        }
        let rows = find
            .order_by_desc(auth::sessions::Column::CreatedAt)
            .all(self.db())
            .await?;
        let (users, now) = (users::list(self.db()).await?, self.log().now());
        let open = rows.into_iter().filter(|row| !row.has_ended(now));
        let named = open.filter_map(|row| {
            let user = users.iter().find(|user| user.id == row.user_id)?;
            Some(OpenSession {
                id: row.digest[..ID_DIGITS].to_owned(),
                user: user.user_id(),
                user_name: user.name.clone(),
                opened_at: at(row.created_at),
                seen_at: at(row.seen_at),
                address: row.address,
                agent: row.agent,
            })
        });
        Ok(named.collect())
    }

    /// Ends one of the sessions that the caller may see. Whoever holds its cookie has to log in again.
    pub async fn end_session(&self, caller: &Caller, id: &str) -> Result<()> {
        let seen = self.sessions(caller).await?;
        let found = seen.into_iter().find(|session| session.id == id);
        let session = found.ok_or_else(|| AppError::NotFound("the session".into()))?;
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    let user = session.user;
                    auth::sessions::Entity::delete_many()
                        .filter(auth::sessions::Column::Digest.starts_with(&session.id))
                        .exec(unit.tx())
                        .await?;
                    unit.note(AuditEvent::SessionEnded { user }, Scope::default())
                        .await
                })
            })
            .await?;
        Ok(())
    }

    /// `through`: who vouched for them, when it was somebody else.
    pub(super) async fn open_session(
        &self,
        user: UserId,
        name: &str,
        from: &str,
        agent: &str,
        through: Option<String>,
    ) -> Result<NewSession> {
        let cookie = auth::random_token("hfw");
        let at = self.log().now().timestamp_millis();
        let row = auth::sessions::ActiveModel {
            digest: Set(auth::digest(cookie.expose())),
            user_id: Set(user.0),
            created_at: Set(at),
            seen_at: Set(at),
            address: Set(from.chars().take(64).collect()),
            agent: Set(agent
                .chars()
                .filter(|c| !c.is_control())
                .take(200)
                .collect()),
            proved_at: Set(Some(at)),
        };
        let actor = Actor {
            kind: ActorKind::User,
            id: Some(user.0),
            name: name.to_owned(),
            address: from.to_owned(),
        };
        self.log()
            .write(Cause::new(actor, "log-in"), move |unit| {
                Box::pin(async move {
                    auth::sessions::Entity::insert(row)
                        .exec_without_returning(unit.tx())
                        .await?;
                    let logged_in = AuditEvent::LoggedIn { user, through };
                    unit.note(logged_in, Scope::default()).await
                })
            })
            .await?;
        Ok(NewSession { cookie, user })
    }
}

impl auth::sessions::Model {
    fn has_ended(&self, now: DateTime<Utc>) -> bool {
        now - at(self.seen_at) > SESSION_IDLE || now - at(self.created_at) > SESSION_MAX
    }
}

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}
