//! Remembers what was recorded, so that an error can be settled from the same steps as a crash.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::strategy::{Journal, JournalClosed, Step};

pub struct Recorder<'a> {
    journal: &'a dyn Journal,
    last: Mutex<Option<Step>>,
}

impl<'a> Recorder<'a> {
    pub fn new(journal: &'a dyn Journal) -> Self {
        let last = Mutex::new(None);
        Self { journal, last }
    }

    /// The last step, when there is one: all that a settlement looks at.
    pub fn steps(&self) -> Vec<Step> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().cloned().collect()
    }
}

#[async_trait]
impl Journal for Recorder<'_> {
    async fn record(&self, step: Step) -> Result<(), JournalClosed> {
        self.journal.record(step.clone()).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
        Ok(())
    }

    fn progress(&self, bytes: u64) {
        self.journal.progress(bytes);
    }
}
