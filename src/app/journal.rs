//! A strategy's journal, kept in the log: each step is durable before it is done.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Holdfast, restores::job_name};
use crate::{
    domain::{
        ids::RestoreId,
        restore::{Restore, RestoreCommand, Step},
    },
    engine::progress::Progress,
    failpoint,
    log::Cause,
    strategy::{Journal, JournalClosed},
};

pub struct RestoreJournal {
    pub holdfast: Holdfast,
    pub restore: RestoreId,
    pub attempt: u32,
    pub progress: Arc<Progress>,
    /// Raw bytes of the artifact.
    pub estimate: Option<u64>,
}

#[async_trait]
impl Journal for RestoreJournal {
    async fn record(&self, step: Step) -> Result<(), JournalClosed> {
        self.progress.enter(step.title.clone(), self.estimate);
        let point = format!("restore.step.{}", step.name);
        let command = RestoreCommand::Step {
            attempt: self.attempt,
            step,
        };
        let cause = Cause::system(job_name(self.restore));
        self.holdfast
            .log()
            .execute::<Restore>(cause, self.restore.0, command)
            .await
            .map(|_| failpoint::hit(&point))
            .map_err(|error| JournalClosed(error.to_string()))
    }

    fn progress(&self, bytes: u64) {
        self.progress.set_raw(bytes);
    }
}
