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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerificationCommand {
    Request,
    Pass {
        verification: u32,
    },
    /// Damage was found: nothing is known to bring it back.
    Fail {
        verification: u32,
        damage: Damage,
        failure: Failure,
    },
    /// The target did not give the artifact, so nothing is known about it. `retry_at` is when it may be
    /// asked again, if at all.
    PutOff {
        verification: u32,
        failure: Failure,
        retry_at: Option<DateTime<Utc>>,
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

    pub(super) fn evolve(&mut self, event: &RunEvent) {
        match event {
            RunEvent::VerificationRequested { verification } => {
                self.number = *verification;
                self.open = true;
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
        VerificationCommand::Request => return request(run),
        VerificationCommand::Pass { verification } => {
            (verification, RunEvent::VerificationPassed { verification })
        }
        VerificationCommand::Fail {
            verification,
            damage,
            failure,
        } => {
            let failed = RunEvent::VerificationFailed {
                verification,
                damage,
                failure,
            };
            (verification, failed)
        }
        VerificationCommand::PutOff {
            verification,
            failure,
            retry_at,
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

fn request(run: &Run) -> Result<Vec<RunEvent>, Refusal> {
    match run.status {
        RunStatus::Absent => Err(Refusal::NotFound("the run".into())),
        RunStatus::Success if run.expired => Err(Refusal::Conflict(format!(
            "the backup of run {} is not kept any more: there is nothing to verify",
            run.id
        ))),
        RunStatus::Success if run.verification.open => Ok(vec![]),
        RunStatus::Success => Ok(vec![RunEvent::VerificationRequested {
            verification: run.verification.number + 1,
        }]),
        _ => Err(Refusal::Conflict(format!(
            "run {} has no backup to verify: it is {}",
            run.id,
            run.status.name()
        ))),
    }
}
