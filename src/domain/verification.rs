//! Reading a stored artifact again, long after its run: asked for, tried, retried while its target is
//! away, and what came out. Part of a run's stream, because what it finds is said of the run.
//!
//! A try has a number that is never used again, so that the outcome of an old one is refused.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    aggregate::Refusal,
    failure::Failure,
    run::{Run, RunEvent, RunStatus},
};

/// What is wrong with an artifact. Its name is stored data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// It is not what was stored, or cannot be restored.
    Altered,
    /// It is not there.
    Missing,
}

impl Damage {
    /// As a run's status says it.
    pub fn status(self) -> &'static str {
        match self {
            Self::Altered => "damaged",
            Self::Missing => "missing",
        }
    }
}

/// What was found in a further target, which is read after the first one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyFinding {
    /// Index of the pin's further target.
    pub copy: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
    /// Without damage: why it could not be read, which says nothing about it. Absent when it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerificationCommand {
    Request,
    /// And where the first target is damaged or has lost it, it is copied back from a further one.
    Mend,
    Pass {
        verification: u32,
        copies: Vec<CopyFinding>,
    },
    /// Damage was found: nothing is known to bring it back.
    Fail {
        verification: u32,
        damage: Damage,
        failure: Failure,
        copies: Vec<CopyFinding>,
    },
    /// The target did not give the artifact, so nothing is known about it. `retry_at` is when it may be
    /// asked again, if at all.
    PutOff {
        verification: u32,
        failure: Failure,
        retry_at: Option<DateTime<Utc>>,
        /// Only where it is not asked again.
        copies: Vec<CopyFinding>,
    },
}

/// How far a run's verifications are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Of the present try, or of the last one; 0 before the first.
    number: u32,
    open: bool,
    /// Tries of the present wish that the target did not answer.
    unanswered: u32,
    /// The present wish is also to mend what is found.
    mends: bool,
    pub damage: Option<Damage>,
}

impl Verification {
    /// The try that is due, if one is.
    pub fn due(&self) -> Option<u32> {
        self.open.then_some(self.number)
    }

    pub fn unanswered(&self) -> u32 {
        self.unanswered
    }

    pub fn mends(&self) -> bool {
        self.mends
    }

    pub(super) fn evolve(&mut self, event: &RunEvent) {
        match event {
            RunEvent::VerificationRequested { verification, mend } => {
                self.number = *verification;
                self.open = true;
                self.mends = *mend;
                self.unanswered = 0;
            }
            RunEvent::VerificationPassed { .. } => {
                self.open = false;
                self.damage = None;
            }
            RunEvent::VerificationFailed { damage, .. } => {
                self.open = false;
                self.damage = Some(*damage);
            }
            RunEvent::VerificationRetryScheduled { verification, .. } => {
                self.number = verification + 1;
                self.unanswered += 1;
            }
            RunEvent::ArtifactUnreadable { .. }
            | RunEvent::Expired { .. }
            | RunEvent::Discarded {} => self.open = false,
            _ => {}
        }
    }
}

pub(super) fn decide(run: &Run, command: VerificationCommand) -> Result<Vec<RunEvent>, Refusal> {
    let now = &run.verification;
    let (verification, event) = match command {
        VerificationCommand::Request => return request(run, false),
        VerificationCommand::Mend => return mend(run),
        VerificationCommand::Pass {
            verification,
            copies,
        } => {
            let passed = RunEvent::VerificationPassed {
                verification,
                copies,
            };
            (verification, passed)
        }
        VerificationCommand::Fail {
            verification,
            damage,
            failure,
            copies,
        } => {
            let failed = RunEvent::VerificationFailed {
                verification,
                damage,
                failure,
                copies,
            };
            (verification, failed)
        }
        VerificationCommand::PutOff {
            verification,
            failure,
            retry_at,
            copies,
        } => {
            let put_off = match retry_at.filter(|_| failure.is_temporary()) {
                Some(retry_at) => RunEvent::VerificationRetryScheduled {
                    verification,
                    failure,
                    retry_at,
                },
                None => RunEvent::ArtifactUnreadable {
                    verification,
                    failure,
                    copies,
                },
            };
            (verification, put_off)
        }
    };
    if now.due() == Some(verification) {
        Ok(vec![event])
    } else {
        Err(Refusal::Stale {
            attempt: verification,
            present: now.number,
        })
    }
}

fn request(run: &Run, mend: bool) -> Result<Vec<RunEvent>, Refusal> {
    match run.status {
        RunStatus::Absent => Err(Refusal::NotFound("the run".into())),
        RunStatus::Success if run.expired => Err(Refusal::Conflict(format!(
            "the backup of run {} is not kept any more: there is nothing to verify",
            run.id
        ))),
        RunStatus::Success if run.verification.open => Ok(vec![]),
        RunStatus::Success => Ok(vec![RunEvent::VerificationRequested {
            verification: run.verification.number + 1,
            mend,
        }]),
        _ => Err(Refusal::Conflict(format!(
            "run {} has no backup to verify: it is {}",
            run.id,
            run.status.name()
        ))),
    }
}

fn mend(run: &Run) -> Result<Vec<RunEvent>, Refusal> {
    let wish = request(run, true)?;
    let why = if wish.is_empty() && !run.verification.mends {
        "is being read just now: ask again when that is over"
    } else if run.verification.damage.is_none() {
        "is not known to be damaged in its first target: verify it to have it read again"
    } else if !run.copies.iter().any(|copy| copy.stored) {
        "has no copy that it could be brought back from"
    } else {
        return Ok(wish);
    };
    Err(Refusal::Conflict(format!("run {} {why}", run.id)))
}
