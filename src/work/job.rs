//! What a job is: a few numbers, and the one use case it calls.

use serde::{Deserialize, Serialize};
use tracing::{Span, error_span};

use crate::{
    app::{AppError, Holdfast, Settings},
    domain::ids::{RestoreId, RunId},
};

/// A queue has workers of its own, so that long backups cannot starve restores.
#[derive(Debug, PartialEq, Eq)]
pub struct Queue {
    pub name: &'static str,
    /// Jobs at work at the same time, where the server was not told otherwise.
    concurrency: usize,
}

impl Queue {
    /// Jobs at work at the same time. Those that wait are taken in the order in which they came.
    pub fn at_once(&self, settings: &Settings) -> usize {
        if *self == BACKUPS {
            settings.backups + IN_LINE
        } else {
            self.concurrency
        }
    }
}

/// Jobs that may wait for their turn outside the queue, so that what waits for one thing does not hold up
/// what waits for another. Each is a few kilobytes.
const IN_LINE: usize = 128;

pub const BACKUPS: Queue = Queue {
    name: "backup",
    concurrency: Settings::BACKUPS,
};
pub const RESTORES: Queue = Queue {
    name: "restore",
    concurrency: 2,
};
/// Reads one target and writes another: no service waits for it.
pub const COPIES: Queue = Queue {
    name: "copy",
    concurrency: 2,
};
/// What is short and must not wait for backups.
pub const UPKEEP: Queue = Queue {
    name: "upkeep",
    concurrency: 2,
};
/// Reading artifacts again: hours of it must hold up nothing else, nor fill the disk's and the net's time.
pub const VERIFICATIONS: Queue = Queue {
    name: "verification",
    concurrency: 2,
};
pub const QUEUES: [&Queue; 5] = [&BACKUPS, &RESTORES, &COPIES, &UPKEEP, &VERIFICATIONS];

/// Stored as JSON in the queue's table: names are stored data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Job {
    BackUp {
        run: RunId,
        attempt: u32,
    },
    BringBack {
        restore: RestoreId,
        attempt: u32,
    },
    SettleRestore {
        restore: RestoreId,
        attempt: u32,
    },
    Undo {
        restore: RestoreId,
        attempt: u32,
    },
    /// `attempt` only tells the jobs of two undos apart.
    Forget {
        restore: RestoreId,
        attempt: u32,
    },
    /// Lets go what the run's config does not keep, now that the run is good.
    Retain {
        run: RunId,
    },
    /// Copies a proved artifact to a further target.
    Copy {
        run: RunId,
        copy: u32,
        attempt: u32,
    },
    /// Deletes what was let go. `refused`: how often its target would not.
    Prune {
        run: RunId,
        refused: u32,
    },
    /// Removes what a run that is over may have left in its target.
    RemoveLeftovers {
        run: RunId,
    },
    /// Reads the run's artifact again and judges it.
    Verify {
        run: RunId,
        verification: u32,
    },
}

impl Job {
    pub fn queue(&self) -> &'static Queue {
        match self {
            Self::BackUp { .. } => &BACKUPS,
            Self::BringBack { .. }
            | Self::SettleRestore { .. }
            | Self::Undo { .. }
            | Self::Forget { .. } => &RESTORES,
            Self::Copy { .. } => &COPIES,
            Self::Retain { .. } | Self::Prune { .. } | Self::RemoveLeftovers { .. } => &UPKEEP,
            Self::Verify { .. } => &VERIFICATIONS,
        }
    }

    /// The same wish always has the same key: enqueued twice, it is there once.
    pub fn key(&self) -> String {
        match self {
            Self::BackUp { run, attempt } => format!("run-{run}:{attempt}"),
            Self::BringBack { restore, attempt } => format!("restore-{restore}:{attempt}"),
            Self::SettleRestore { restore, attempt } => format!("settle-{restore}:{attempt}"),
            Self::Undo { restore, attempt } => format!("undo-{restore}:{attempt}"),
            Self::Forget { restore, attempt } => format!("forget-{restore}:{attempt}"),
            Self::Copy { run, copy, attempt } => format!("copy-{run}-{copy}:{attempt}"),
            Self::Retain { run } => format!("retain-{run}"),
            Self::Prune { run, refused } => format!("prune-{run}:{refused}"),
            Self::RemoveLeftovers { run } => format!("leftovers-{run}"),
            Self::Verify { run, verification } => format!("verify-{run}:{verification}"),
        }
    }

    /// Around all that is done for the job: every line of the log that is written meanwhile says what it is
    /// about. Of the level of errors, so that no filter takes the number from a line that it lets through.
    pub fn span(&self) -> Span {
        match *self {
            Self::BackUp { run, attempt } => error_span!("backup", run = run.0, attempt),
            Self::BringBack { restore, attempt } => {
                error_span!("restore", restore = restore.0, attempt)
            }
            Self::SettleRestore { restore, .. } => error_span!("settle", restore = restore.0),
            Self::Undo { restore, .. } => error_span!("undo", restore = restore.0),
            Self::Forget { restore, .. } => error_span!("forget", restore = restore.0),
            Self::Retain { run } => error_span!("retain", run = run.0),
            Self::Copy { run, copy, attempt } => {
                error_span!("copy", run = run.0, copy = copy + 1, attempt)
            }
            Self::Prune { run, .. } => error_span!("prune", run = run.0),
            Self::RemoveLeftovers { run } => error_span!("leftovers", run = run.0),
            Self::Verify { run, .. } => error_span!("verify", run = run.0),
        }
    }

    pub async fn perform(self, holdfast: &Holdfast) -> Result<(), AppError> {
        match self {
            Self::BackUp { run, attempt } => holdfast.back_up(run, attempt).await,
            Self::BringBack { restore, attempt } => holdfast.bring_back(restore, attempt).await,
            Self::SettleRestore { restore, attempt } => {
                holdfast.settle_restore(restore, attempt).await
            }
            Self::Undo { restore, attempt } => holdfast.undo(restore, attempt).await,
            Self::Forget { restore, .. } => holdfast.forget_kept(restore).await,
            Self::Copy { run, copy, attempt } => holdfast.copy_out(run, copy, attempt).await,
            Self::Retain { run } => holdfast.retain(run).await,
            Self::Prune { run, .. } => holdfast.prune(run).await,
            Self::RemoveLeftovers { run } => holdfast.remove_leftovers(run).await,
            Self::Verify { run, verification } => holdfast.verify(run, verification).await,
        }
    }
}
