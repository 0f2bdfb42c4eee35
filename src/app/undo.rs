//! Undo of a restore, and removing what it was kept for when its time is over. Each of these may be
//! called again at any time.

use tokio_util::sync::CancellationToken;

use super::{
    AppError, Holdfast, Result,
    restore::{named, out_of_order},
    restores::job_name,
    sites,
};
use crate::{
    domain::{
        failure::Failure,
        ids::RestoreId,
        restore::{Kept, Restore, RestoreCommand, RestoreStatus},
    },
    engine::restore::RestoreError,
    strategy::StrategyError,
};

enum UndoError {
    /// It may be half done; why.
    Unsettled(String),
    Failed(Failure),
}

impl From<Failure> for UndoError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Holdfast {
    /// Puts back what the restore set aside. One that was cut off half done is settled first.
    pub async fn undo(&self, id: RestoreId, attempt: u32) -> Result<()> {
        let (state, _) = self.log().load::<Restore>(id.0).await?;
        if state.status != RestoreStatus::Undoing || state.attempt != attempt {
            return Ok(());
        }
        let Some(kept) = state.kept.clone() else {
            return Ok(());
        };
        let _working = self.work_on(id)?;
        let settled = if state.undo_is_half_done() {
            self.settle_now(&state).await.map(|_| ())
        } else {
            Ok(())
        };
        if let Err(failure) = &settled
            && failure.is_temporary()
        {
            return Err(AppError::Failed(failure.clone()));
        }
        match self.claim(id, RestoreCommand::StartUndo { attempt }).await {
            Ok(()) => {}
            Err(RestoreError::Superseded) => return Ok(()),
            Err(_) => return Err(AppError::Stopping),
        }
        let undone = match settled {
            Ok(()) => self.undo_now(&state, attempt, &kept).await,
            Err(failure) => Err(UndoError::Failed(out_of_order(failure))),
        };
        let command = match undone {
            Ok(kept) => RestoreCommand::FinishUndo {
                attempt,
                kept: Some(kept),
                keep_until: self.keep_until(),
            },
            Err(UndoError::Unsettled(why)) => RestoreCommand::Interrupt { attempt, why },
            Err(UndoError::Failed(failure)) => RestoreCommand::FailUndo {
                attempt,
                failure,
                keep_until: self.keep_until(),
            },
        };
        self.tell_restore(id, command).await
    }

    async fn undo_now(
        &self,
        state: &Restore,
        attempt: u32,
        kept: &Kept,
    ) -> Result<Kept, UndoError> {
        let mut place = self.restore_place(state, &CancellationToken::new()).await?;
        let turn = self.turn_at(&mut place.site).await;
        let _turn = turn.map_err(Failure::from)?;
        sites::must_run_for(place.strategy, &place.site.container).map_err(Failure::from)?;
        let job = self.0.hub.begin(job_name(state.id));
        let journal = self.journal(attempt, &job, state.id, &place);
        match place.strategy.undo(&place.site, kept, &journal).await {
            Ok(kept) => Ok(kept),
            Err(StrategyError::Unsettled(error)) => Err(UndoError::Unsettled(format!(
                "the undo failed ({})",
                named(state, error.to_string())
            ))),
            Err(error) => Err(UndoError::Failed(error.into())),
        }
    }

    /// Removes what was kept for undo, when its time is over.
    pub async fn forget_kept(&self, id: RestoreId) -> Result<()> {
        let (state, _) = self.log().load::<Restore>(id.0).await?;
        if self.due_to_forget(&state).is_none() {
            return Ok(());
        }
        let mut place = self
            .restore_place(&state, &CancellationToken::new())
            .await?;
        let turn = self.turn_at(&mut place.site).await;
        let _turn = turn.map_err(Failure::from)?;
        // An undo may have been at work until now, and have put something else aside.
        let (state, _) = self.log().load::<Restore>(id.0).await?;
        let Some(kept) = self.due_to_forget(&state) else {
            return Ok(());
        };
        let forgotten = place.strategy.forget(&place.site, &kept).await;
        forgotten.map_err(Failure::from)?;
        self.tell_restore(id, RestoreCommand::Forget { kept }).await
    }

    fn due_to_forget(&self, state: &Restore) -> Option<Kept> {
        let due = state.keep_until? <= self.log().now();
        state.kept.clone().filter(|_| due && state.status.is_over())
    }
}
