//! Triggers: a config's own address, which asks for a run of it and for nothing else. For a deploy script
//! that should know no more than this. Whoever has the address may do so, unless what it sends has to be
//! signed as well; of the token only its hash is stored.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{AppError, Caller, Holdfast, Result, auth};
use crate::{
    domain::{
        access::Role,
        config::{Config, ConfigCommand, SecretRef, Trigger},
        event::{Actor, ActorKind},
        grant::Grants,
        ids::{ConfigId, RunId},
        run,
        secret::Secret,
    },
    notify::{self, Signed},
    readmodel::{configs, runs},
};

/// So many calls within `WINDOW` are heard of one token, and of all that are none from one address.
const CALLS: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Callers that are counted at a time; when there are more, the count begins anew.
const COUNTED: usize = 10_000;

/// What is shown once.
#[derive(Debug, Clone)]
pub struct IssuedTrigger {
    pub token: Secret,
    /// To sign with, when calls have to be signed.
    pub secret: Option<Secret>,
}

/// A call as it came in.
#[derive(Debug, Clone, Default)]
pub struct Call {
    pub token: String,
    pub address: String,
    pub body: Vec<u8>,
    pub signed: Option<Signed>,
    /// What the caller calls this wish, to say it again without a second run.
    pub key: Option<String>,
}

/// When the last calls were, by who made them.
#[derive(Default)]
pub struct Calls(Mutex<HashMap<String, VecDeque<Instant>>>);

impl Calls {
    /// Counts one, or says how many seconds to wait until the next is heard.
    fn count(&self, caller: String) -> Result<()> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() >= COUNTED {
            calls.clear();
        }
        let last = calls.entry(caller).or_default();
        last.retain(|at| at.elapsed() < WINDOW);
        if last.len() < CALLS {
            last.push_back(Instant::now());
            return Ok(());
        }
        let oldest = last.front().map_or(Duration::ZERO, Instant::elapsed);
        Err(AppError::Throttled(
            WINDOW.saturating_sub(oldest).as_secs() + 1,
        ))
    }
}

impl Holdfast {
    /// Makes the config's trigger; one that it had works no more.
    pub async fn issue_trigger(
        &self,
        caller: &Caller,
        id: ConfigId,
        signed: bool,
    ) -> Result<IssuedTrigger> {
        caller.must_be(Role::Operator)?;
        self.config_to_act_on(caller, id).await?;
        let issued = IssuedTrigger {
            token: auth::random_token("hook"),
            secret: signed.then(|| notify::new_secret(&auth::random_bytes::<32>())),
        };
        let digest = auth::digest(issued.token.expose());
        let (vault, secret) = (self.0.vault.clone(), issued.secret.clone());
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    let secret = match &secret {
                        Some(secret) => Some(vault.seal(unit, secret).await?),
                        None => None,
                    };
                    let trigger = Some(Trigger { digest, secret });
                    unit.execute::<Config>(id.0, ConfigCommand::SetTrigger { trigger })
                        .await
                })
            })
            .await?;
        Ok(issued)
    }

    /// When the newest run was requested that a call asked for, in Unix milliseconds.
    pub async fn trigger_used(&self, id: ConfigId) -> Result<Option<i64>> {
        Ok(runs::newest_triggered(self.db(), id, &run::Trigger::Hook).await?)
    }

    pub async fn revoke_trigger(&self, caller: &Caller, id: ConfigId) -> Result<()> {
        caller.must_be(Role::Operator)?;
        self.config_to_act_on(caller, id).await?;
        let command = ConfigCommand::SetTrigger { trigger: None };
        self.log()
            .execute::<Config>(caller.cause(), id.0, command)
            .await?;
        Ok(())
    }

    /// The run that follows from a call. A token that is none, or of a config that is gone, is not found;
    /// so is one whose signature is missing or wrong, which tells nobody that it exists.
    pub async fn pull_trigger(&self, call: Call) -> Result<RunId> {
        let unknown = || AppError::NotFound("the trigger".into());
        let digest = auth::digest(&call.token);
        let row = configs::triggered_by(self.db(), &digest).await?;
        let Some(row) = row.filter(|row| row.removed_at.is_none()) else {
            self.0.calls.count(format!("from {}", call.address))?;
            return Err(unknown());
        };
        self.0.calls.count(digest)?;
        if let Some(reference) = row.trigger_secret.clone().map(SecretRef) {
            let secret = self.0.vault.get(self.db(), &reference).await?;
            let now = self.log().now();
            let signed = call.signed.as_ref();
            if !signed.is_some_and(|signed| signed.is_by(&secret, &call.body, now)) {
                return Err(unknown());
            }
        }
        let id = row.config_id();
        let mut actor = Actor::named(ActorKind::Token, format!("trigger of config {id}"));
        actor.address = call.address;
        let caller = Caller {
            actor,
            role: Role::Operator,
            grants: Grants::all(),
            scopes: None,
            proved_at: None,
            user: None,
            until: None,
            request: format!("trigger-{id}"),
        };
        // A signed call that is repeated by whoever saw it is the same wish.
        let key = call.signed.map(|signed| signed.id).or(call.key);
        self.request_run_as(&caller, id, run::Trigger::Hook, key.as_deref())
            .await
    }
}
