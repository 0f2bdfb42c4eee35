//! Refusals as events of the audit log: who was turned away from what. Whoever is turned away can do it
//! again as often as they like, so only so many of an address are written; the rest are counted, and the
//! next one that is written says how many.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Caller, Holdfast, Result};
use crate::{
    domain::{
        audit::AuditEvent,
        event::{Actor, ActorKind, Scope},
    },
    log::Cause,
};

const WINDOW: Duration = Duration::from_secs(60);
/// Of one address, and of all together, in a window.
const EACH: u32 = 10;
const ALL: u32 = 100;

/// How often each address was turned away of late.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    by_address: HashMap<String, u32>,
    all: u32,
    since: Option<Instant>,
    unwritten: u64,
}

impl Refusals {
    /// How many went unwritten before this one; none: so does this.
    fn count(&self, address: &str) -> Option<u64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.since.is_none_or(|since| since.elapsed() > WINDOW) {
            *counts = Counts {
                since: Some(Instant::now()),
                unwritten: counts.unwritten,
                ..Counts::default()
            };
        }
        let own = counts.by_address.get(address).copied().unwrap_or(0);
        if own >= EACH || counts.all >= ALL {
            counts.unwritten += 1;
            return None;
        }
        counts.by_address.insert(address.to_owned(), own + 1);
        counts.all += 1;
        Some(std::mem::take(&mut counts.unwritten))
    }
}

impl Holdfast {
    /// Notes that somebody was turned away from `what`, as in `DELETE /apps/{slug}`: a route's form, never
    /// what was sent. `caller` is nobody when nobody is known.
    pub async fn note_refusal(
        &self,
        caller: Option<&Caller>,
        address: &str,
        what: String,
        why: &'static str,
    ) -> Result<()> {
        let Some(unwritten) = self.0.refusals.count(address) else {
            return Ok(());
        };
        let nobody = || Actor {
            address: address.to_owned(),
            ..Actor::named(ActorKind::Anonymous, "somebody")
        };
        let actor = caller.map_or_else(nobody, |caller| caller.actor.clone());
        let event = AuditEvent::Refused {
            what,
            why: why.to_owned(),
            unwritten,
        };
        self.log()
            .write(Cause::new(actor, "audit"), move |unit| {
                Box::pin(async move { unit.note(event, Scope::default()).await })
            })
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let refusals = Refusals::default();
        let written = |address: &str| (0..1000).filter_map(|_| refusals.count(address)).count();
        assert_eq!(written("192.0.2.1"), 10);
        assert_eq!(refusals.count("192.0.2.2"), Some(990));
        assert_eq!(refusals.count("192.0.2.2"), Some(0));
        let many = (0..1000).filter_map(|n| refusals.count(&format!("host {n}")));
        assert_eq!(many.count(), 88, "a hundred in all");
    }
}
