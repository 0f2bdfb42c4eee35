//! Logging in at somebody else's, as a use case: who is on their way there, whether who comes back may come
//! in, and as which user. The identity is the issuer's name for them; names and addresses are never taken
//! for one.

mod rules;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use self::rules::Admission;
use super::{AppError, Caller, Holdfast, NewSession, Result, auth};
use crate::{
    domain::{
        access::{Role, User, UserCommand},
        event::{Actor, ActorKind, StreamKind},
        ids::UserId,
        secret::Secret,
        text,
    },
    log::{Cause, LogError, Unit},
    readmodel::users,
    sso::{Begun, Kept, Person, Provider, ProviderSettings, SsoError},
};

/// Who went there and is not back by then begins again.
const AWAY: Duration = Duration::from_secs(10 * 60);
/// So many are on their way at most; the oldest make room.
const TRAVELLERS: usize = 2_000;

/// Only the server's own configuration says any of it.
#[derive(Debug, Clone)]
pub struct SsoSettings {
    pub provider: ProviderSettings,
    /// What the button says: `Log in with …`.
    pub label: String,
    /// Only who has a verified e-mail address of one of these comes in; anybody when none is named.
    pub domains: Vec<String>,
    /// From a value of the role claim to what it makes of somebody, anew with each log-in.
    pub roles: BTreeMap<String, Role>,
    /// What somebody becomes whom no value makes anything of; who is not known is turned away when `None`.
    pub new_users: Option<Role>,
}

pub(super) struct Sso {
    pub settings: SsoSettings,
    provider: Provider,
    travellers: Mutex<HashMap<String, Traveller>>,
}

/// Somebody at the provider's.
struct Traveller {
    kept: Kept,
    /// Digest of what their browser holds: a link with somebody else's answer is of no use in it.
    browser: String,
    purpose: Purpose,
    since: Instant,
}

/// What for, and the page they go on to.
#[derive(Debug, Clone)]
pub enum Purpose {
    LogIn {
        next: String,
    },
    /// To prove anew who holds this session.
    Prove {
        next: String,
        user: UserId,
        cookie: Secret,
    },
}

/// With what somebody comes back, unchecked.
#[derive(Debug, Clone, Default)]
pub struct SsoAnswer {
    pub state: String,
    pub code: String,
    pub error: String,
    pub issuer: Option<String>,
}

/// Why somebody did not come in that way, in words for the page that they came from.
#[derive(Debug, thiserror::Error)]
pub enum SsoProblem {
    /// They may not, or what they brought is not to be believed.
    #[error("you were not let in: {0}")]
    Refused(&'static str),
    /// The provider did not do its part.
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    App(#[from] AppError),
}

/// They are who they were to be.
pub enum Arrival {
    LoggedIn {
        session: NewSession,
        next: String,
    },
    /// The code of their own second factor is still to come.
    CodeNeeded {
        ticket: Secret,
        next: String,
    },
    Proved {
        next: String,
    },
}

impl Sso {
    pub(super) fn new(settings: SsoSettings) -> Self {
        Self {
            provider: Provider::new(settings.provider.clone()),
            settings,
            travellers: Mutex::default(),
        }
    }

    fn sets_out(&self, state: &Secret, traveller: Traveller) {
        let mut away = self
            .travellers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        away.retain(|_, it| it.since.elapsed() < AWAY);
        if away.len() >= TRAVELLERS {
            let oldest = away.iter().min_by_key(|(_, it)| it.since);
            if let Some(oldest) = oldest.map(|(state, _)| state.clone()) {
                away.remove(&oldest);
            }
        }
        away.insert(auth::digest(state.expose()), traveller);
    }

    /// Each state once.
    fn returns(&self, state: &str, browser: &Secret) -> Option<Traveller> {
        let mut away = self
            .travellers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let traveller = away.remove(&auth::digest(state))?;
        let same = traveller.browser == auth::digest(browser.expose());
        (same && traveller.since.elapsed() < AWAY).then_some(traveller)
    }
}

impl Holdfast {
    /// What the button says; `None` when nobody is asked.
    pub fn sso_label(&self) -> Option<&str> {
        let sso = self.0.sso.as_ref();
        sso.map(|sso| sso.settings.label.as_str())
    }

    /// Whether the caller proves anew who they are at the provider: they have no password here.
    pub async fn proves_by_sso(&self, caller: &Caller) -> Result<bool> {
        let (Some(user), Some(_)) = (caller.user, &self.0.sso) else {
            return Ok(false);
        };
        Ok(auth::password(self.db(), user).await?.is_none())
    }

    /// Where to send the browser, which holds `browser` until it is back.
    pub async fn begin_sso(
        &self,
        purpose: Purpose,
        browser: &Secret,
    ) -> Result<String, SsoProblem> {
        let sso = self.sso()?;
        if self.needs_setup().await? {
            return Err(SsoProblem::Refused("nobody has set this server up yet"));
        }
        let anew = matches!(purpose, Purpose::Prove { .. });
        let Begun {
            address,
            state,
            kept,
        } = sso.provider.begin(anew).await?;
        let traveller = Traveller {
            kept,
            browser: auth::digest(browser.expose()),
            purpose,
            since: Instant::now(),
        };
        sso.sets_out(&state, traveller);
        Ok(address)
    }

    pub async fn finish_sso(
        &self,
        answer: &SsoAnswer,
        browser: &Secret,
        from: &str,
        agent: &str,
    ) -> Result<Arrival, SsoProblem> {
        let sso = self.sso()?;
        let arrived = self.let_in(sso, answer, browser, from, agent).await;
        if let Err(SsoProblem::Refused(why)) = &arrived {
            let what = "log-in by single sign-on".to_owned();
            self.note_refusal(None, from, what, why).await?;
        }
        arrived
    }

    async fn let_in(
        &self,
        sso: &Sso,
        answer: &SsoAnswer,
        browser: &Secret,
        from: &str,
        agent: &str,
    ) -> Result<Arrival, SsoProblem> {
        let unknown = "this browser is not on its way here, or no more; begin again";
        let traveller = sso.returns(&answer.state, browser);
        let traveller = traveller.ok_or(SsoProblem::Refused(unknown))?;
        if answer.code.is_empty() {
            tracing::info!(
                error = rules::plain(&answer.error),
                "a log-in was broken off elsewhere"
            );
            return Err(SsoProblem::Refused("the login service did not let them in"));
        }
        let issuer = answer.issuer.as_deref();
        let person = sso.provider.finish(&answer.code, issuer, traveller.kept);
        let person = person.await?;
        match traveller.purpose {
            Purpose::LogIn { next } => {
                let user = self.admit(sso, &person, from).await?;
                let Some(row) = users::admitted(self.db(), user)
                    .await
                    .map_err(AppError::from)?
                else {
                    return Err(SsoProblem::Refused("the user is switched off"));
                };
                let through = Some(person.issuer);
                if let Some(ticket) = self.code_ticket(user, through.clone()).await? {
                    return Ok(Arrival::CodeNeeded { ticket, next });
                }
                let session = self.open_session(user, &row.name, from, agent, through);
                let session = session.await?;
                Ok(Arrival::LoggedIn { session, next })
            }
            Purpose::Prove { next, user, cookie } => {
                let known = users::by_identity(self.db(), &person.issuer, &person.subject);
                let known = known.await.map_err(AppError::from)?;
                if known.is_none_or(|row| row.user_id() != user) {
                    return Err(SsoProblem::Refused("somebody else logged in there"));
                }
                self.session_proved(&cookie).await?;
                Ok(Arrival::Proved { next })
            }
        }
    }

    /// The user that this identity is, made when there is none and there may be.
    async fn admit(&self, sso: &Sso, person: &Person, from: &str) -> Result<UserId, SsoProblem> {
        let role = match rules::admission(&sso.settings, person) {
            Admission::As(role) => role,
            Admission::Refused(why) => return Err(SsoProblem::Refused(why)),
        };
        let mapped = !sso.settings.roles.is_empty();
        let actor = Actor {
            address: from.to_owned(),
            ..Actor::named(ActorKind::Anonymous, "single sign-on")
        };
        let person = person.clone();
        let admitted = self.log().write(Cause::new(actor, "log-in"), move |unit| {
            Box::pin(async move { admit(unit, &person, role, mapped).await })
        });
        let admitted = admitted.await.map_err(AppError::from)?;
        admitted.map_err(SsoProblem::Refused)
    }

    fn sso(&self) -> Result<&Sso> {
        let sso = self.0.sso.as_ref();
        sso.ok_or_else(|| AppError::NotFound("single sign-on".into()))
    }
}

async fn admit(
    unit: &mut Unit,
    person: &Person,
    role: Role,
    mapped: bool,
) -> Result<Result<UserId, &'static str>, LogError> {
    let known = users::by_identity(unit.tx(), &person.issuer, &person.subject).await?;
    if let Some(known) = known {
        let user = known.user_id();
        if known.removed_at.is_some() {
            return Ok(Err("the user was removed, which is for good"));
        }
        if mapped && known.role() != role {
            if role != Role::Admin {
                super::users::must_leave_an_admin(unit, user).await?;
            }
            let change = UserCommand::ChangeRole { role };
            unit.execute::<User>(user.0, change).await?;
        }
        return Ok(Ok(user));
    }
    let name = free_name(unit, person).await?;
    let user = UserId(unit.next_id(StreamKind::User).await?);
    let add = UserCommand::Add { user, name, role };
    unit.execute::<User>(user.0, add).await?;
    let link = UserCommand::Link {
        issuer: person.issuer.clone(),
        subject: person.subject.clone(),
    };
    unit.execute::<User>(user.0, link).await?;
    Ok(Ok(user))
}

/// As they call themselves, with a number where somebody is called so already.
async fn free_name(unit: &Unit, person: &Person) -> Result<String, LogError> {
    let wished = rules::name_of(person);
    let mut name = wished.clone();
    for number in 2.. {
        if users::by_name(unit.tx(), &name).await?.is_none() {
            break;
        }
        name = format!("{wished}-{number}");
    }
    debug_assert!(text::container_name("name", &name).is_ok(), "{name}");
    Ok(name)
}

impl From<SsoError> for SsoProblem {
    fn from(error: SsoError) -> Self {
        match error {
            SsoError::Untrusted(why) => Self::Refused(why),
            SsoError::Unreachable(_) | SsoError::Refused(_) => Self::Failed(error.to_string()),
        }
    }
}
