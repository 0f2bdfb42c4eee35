//! What hooks owe to services, kept in the log of their run.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::TimeDelta;

use crate::{
    app::{Holdfast, backup::internal},
    docker::Container,
    domain::{
        failure::Failure,
        ids::RunId,
        run::{Obligation, RunCommand},
    },
    hook::Ledger,
    strategy::service::Found,
};

/// What an engine may need beyond the grace that it was given.
const ENGINE: TimeDelta = TimeDelta::seconds(10);

pub(super) struct RunLedger {
    holdfast: Holdfast,
    run: RunId,
    attempt: u32,
    /// Containers that this attempt owes a start.
    owed: Mutex<BTreeSet<String>>,
}

impl RunLedger {
    pub(super) fn new(holdfast: Holdfast, run: RunId, attempt: u32) -> Self {
        Self {
            holdfast,
            run,
            attempt,
            owed: Mutex::default(),
        }
    }
}

#[async_trait]
impl Ledger for RunLedger {
    async fn owe_start(&self, container: &Container, grace: Duration) -> Result<bool, Failure> {
        let fresh = {
            let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
            owed.insert(container.id.clone())
        };
        if !fresh {
            return Ok(false);
        }
        let grace = TimeDelta::from_std(grace).unwrap_or(ENGINE) + ENGINE;
        let service = container.service().unwrap_or(&container.name);
        let obligation = Obligation::Start {
            service: service.to_owned(),
            container: container.id.clone(),
            ends_by: Some(self.holdfast.log().now() + grace),
        };
        let attempt = self.attempt;
        let oblige = RunCommand::Oblige {
            attempt,
            obligation,
        };
        self.holdfast.tell(self.run, oblige).await?;
        Ok(true)
    }

    async fn is_owed_start(&self, container: &str) -> Result<bool, Failure> {
        let owed = self.holdfast.owed(container).await;
        Ok(!owed.map_err(internal)?.is_empty())
    }

    async fn start_again(&self, container: &str, ended: bool) -> Result<Found, Failure> {
        let started = self.holdfast.start_owed(container, ended).await;
        started.map_err(internal)
    }
}
