//! Another master key: every secret is sealed anew under it, in one transaction with the event that says so.
//! Which of two keys counts after a kill is what the log says.

use super::{AppError, Caller, Holdfast, MasterKey, Result, Vault};
use crate::{
    domain::{
        access::Role,
        audit::AuditEvent,
        event::{Event, Scope, StreamKind},
    },
    log::{Log, LogError},
};

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// Ids of the keys.
    pub from: String,
    pub to: String,
    pub secrets: u64,
    /// What the log is called in targets from now on: its key follows from the master key.
    pub instance: String,
}

impl Holdfast {
    /// What this process holds is the old key afterwards: it must end.
    pub async fn rotate_master_key(&self, caller: &Caller, new: MasterKey) -> Result<Rotated> {
        caller.must_be(Role::Admin)?;
        let (old, new) = (self.0.vault.clone(), Vault::new(new));
        if old.key_id() == new.key_id() {
            return Err(AppError::Conflict("it is the present master key".into()));
        }
        let instance = new.log_key().map(|key| key.instance()).unwrap_or_default();
        let (from, to) = (old.key_id(), new.key_id());
        let (said, told) = ((from.clone(), to.clone()), instance.clone());
        let secrets = self.log().write(caller.cause(), move |unit| {
            Box::pin(async move {
                let secrets = old.seal_anew(unit.tx(), &new).await;
                let secrets = secrets.map_err(|error| {
                    LogError::Database(sea_orm::DbErr::Custom(error.to_string()))
                })?;
                let (from, to) = said;
                let rotated = AuditEvent::MasterKeyRotated {
                    from,
                    to,
                    secrets,
                    instance: told,
                };
                unit.note(rotated, Scope::default()).await?;
                Ok(secrets)
            })
        });
        Ok(Rotated {
            from,
            to,
            secrets: secrets.await?,
            instance,
        })
    }
}

/// Ids of the keys of the newest rotation: the old one, the new one.
pub async fn newest_rotation(log: &Log) -> Result<Option<(String, String)>> {
    let newest = log.newest(StreamKind::Audit, "audit.master_key_rotated");
    Ok(match newest.await?.map(|event| event.event) {
        Some(Event::Audit(AuditEvent::MasterKeyRotated { from, to, .. })) => Some((from, to)),
        _ => None,
    })
}
