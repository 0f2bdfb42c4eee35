//! A run: one backup, from the wish for it to its proven end.
//!
//! ```text
//! queued ─► running(attempt n) ─► success
//!    ▲           │   ├─► failed
//!    └── waiting ◄   └─► cancelled
//! ```
//!
//! An artifact of a success may go later (`expired` or `discarded`, then `pruned`), or be found damaged when
//! it is read again (`verification`); the run stays a success. So it does
//! while copies of it in further targets are made (`copies`), each with attempts of its own.
//!
//! The aggregate is the fence: a job may run twice, but only the present attempt's outcomes are
//! taken. An attempt that a crash ended is interrupted by whoever finds it, and the next attempt
//! has the next number, so that nothing the old one still says can count.

mod command;
mod event;
mod parts;

use chrono::{DateTime, TimeDelta, Utc};

pub use command::RunCommand;
pub use event::RunEvent;
pub use parts::{FoundBackup, Obligation, Pin, RequestKey, Stage, Trigger};

use super::{
    aggregate::{Aggregate, Refusal},
    config::ConfigSpec,
    copies::{self, CopyState},
    event::{Scope, StreamKind},
    failure::Failure,
    ids::{AppId, ConfigId, RunId},
    manifest::{Artifact, Fingerprint},
    verification::{self, Verification},
};

/// Attempts that failed or crashed before a run is given up. A graceful stop of the server does
/// not count.
pub const MAX_FAILURES: u32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunStatus {
    /// No event yet.
    #[default]
    Absent,
    Queued,
    Running,
    /// Between two attempts.
    Waiting,
    Success,
    Failed,
    Cancelled,
}

impl RunStatus {
    /// As the API says it: waiting for a retry is `queued`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Absent | Self::Queued | Self::Waiting => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    pub id: RunId,
    pub app: AppId,
    pub config: ConfigId,
    pub status: RunStatus,
    /// The present attempt, or the last one; 0 before the first.
    pub attempt: u32,
    pub pin: Option<Box<Pin>>,
    pub artifact: Option<Artifact>,
    pub fingerprint: Option<Fingerprint>,
    pub obligations: Vec<Obligation>,
    /// Keys that attempts without success may have left something under.
    pub abandoned: Vec<(ConfigSpec, String)>,
    /// The run is over, and what may lie under those keys is still to be removed.
    pub leftovers_due: bool,
    pub cancel_requested: bool,
    /// In the order of the pin's further targets, once the run is a success.
    pub copies: Vec<CopyState>,
    /// The artifact was let go, by retention or with its config.
    pub expired: bool,
    /// And it is deleted.
    pub pruned: bool,
    /// How often its target would not delete it.
    refusals: u32,
    pub verification: Verification,
    failures: u32,
}

impl Aggregate for Run {
    type Command = RunCommand;
    type Event = RunEvent;
    const KIND: StreamKind = StreamKind::Run;

    fn decide(&self, command: RunCommand) -> Result<Vec<RunEvent>, Refusal> {
        match command {
            RunCommand::Request {
                run,
                app,
                config,
                trigger,
                key,
                slot,
            } => match self.status {
                RunStatus::Absent => Ok(vec![RunEvent::Requested {
                    run,
                    app,
                    config,
                    trigger,
                    key,
                    slot,
                }]),
                _ => Err(Refusal::Conflict(format!("run {} exists", self.id))),
            },
            RunCommand::Start { attempt, pin } => self.start(attempt, pin),
            RunCommand::Reach { attempt, stage } => {
                self.must_run(attempt)?;
                Ok(vec![RunEvent::StageReached { attempt, stage }])
            }
            RunCommand::Oblige {
                attempt,
                obligation,
            } => {
                self.must_run(attempt)?;
                Ok(if self.obligations.contains(&obligation) {
                    vec![]
                } else {
                    vec![RunEvent::Obliged {
                        attempt,
                        obligation,
                    }]
                })
            }
            RunCommand::Settle { obligation } => Ok(if self.obligations.contains(&obligation) {
                vec![RunEvent::ObligationSettled { obligation }]
            } else {
                vec![]
            }),
            RunCommand::TellHook { attempt, hook } => {
                self.must_run(attempt)?;
                Ok(vec![RunEvent::HookRan { attempt, hook }])
            }
            RunCommand::Succeed {
                attempt,
                artifact,
                fingerprint,
                warnings,
            } => {
                self.must_run(attempt)?;
                let succeeded = RunEvent::Succeeded {
                    attempt,
                    artifact,
                    fingerprint,
                    warnings,
                };
                Ok([succeeded]
                    .into_iter()
                    .chain(copies::wanted(self))
                    .collect())
            }
            RunCommand::Fail {
                attempt,
                failure,
                retry_at,
            } => self.fail(attempt, failure, retry_at),
            RunCommand::GiveUp { attempt, failure } => {
                self.must_run(attempt)?;
                Ok(vec![RunEvent::Failed { attempt, failure }])
            }
            RunCommand::Interrupt {
                attempt,
                counts,
                why,
            } => self.interrupt(attempt, counts, why),
            RunCommand::Cancel => self.cancel(),
            RunCommand::ConfirmCancelled { attempt } => {
                self.must_run(attempt)?;
                Ok(self.ending(RunEvent::Cancelled {}))
            }
            RunCommand::ConfirmLeftoversRemoved => Ok(if self.leftovers_due {
                vec![RunEvent::LeftoversRemoved {}]
            } else {
                vec![]
            }),
            RunCommand::Expire { rule } => self.let_go(RunEvent::Expired { rule }),
            RunCommand::Discard => self.let_go(RunEvent::Discarded {}),
            RunCommand::ConfirmPruned => match (self.expired, self.pruned) {
                (false, _) => Err(Refusal::Conflict(format!("run {} is kept", self.id))),
                (true, false) => Ok(vec![RunEvent::Pruned {}]),
                (true, true) => Ok(vec![]),
            },
            RunCommand::TellHeld { failure, now } => Ok(self.tell_held(failure, now)),
            RunCommand::Verify(command) => verification::decide(self, command),
            RunCommand::Adopt {
                run,
                app,
                config,
                found,
            } => match self.status {
                RunStatus::Absent => Ok(vec![RunEvent::Adopted {
                    run,
                    app,
                    config,
                    found,
                }]),
                _ => Err(Refusal::Conflict(format!("run {} exists", self.id))),
            },
            RunCommand::Copy(command) => copies::decide(self, command),
        }
    }

    fn evolve(&mut self, event: &RunEvent) {
        self.verification.evolve(event);
        copies::evolve(&mut self.copies, event);
        match event {
            RunEvent::Requested {
                run, app, config, ..
            } => {
                self.id = *run;
                self.app = *app;
                self.config = *config;
                self.status = RunStatus::Queued;
            }
            RunEvent::Started { attempt, pin } => {
                self.status = RunStatus::Running;
                self.attempt = *attempt;
                self.pin = Some(pin.clone());
            }
            RunEvent::StageReached { .. }
            | RunEvent::HookRan { .. }
            | RunEvent::VerificationRequested { .. }
            | RunEvent::VerificationPassed { .. }
            | RunEvent::VerificationFailed { .. }
            | RunEvent::VerificationRetryScheduled { .. }
            | RunEvent::ArtifactUnreadable { .. }
            | RunEvent::CopyRequested { .. }
            | RunEvent::CopyMade { .. }
            | RunEvent::CopyFailed { .. }
            | RunEvent::CopyRetried { .. } => {}
            RunEvent::Obliged { obligation, .. } => self.obligations.push(obligation.clone()),
            RunEvent::ObligationSettled { obligation } => {
                self.obligations.retain(|open| open != obligation);
            }
            RunEvent::Succeeded {
                artifact,
                fingerprint,
                ..
            } => {
                self.status = RunStatus::Success;
                // An attempt that was cut off may have had the same name.
                self.abandoned.retain(|(_, key)| *key != artifact.key);
                self.artifact = Some(artifact.clone());
                self.fingerprint = Some(fingerprint.clone());
            }
            RunEvent::RetryScheduled { attempt, .. } => {
                // An attempt that failed before it could start has used its number up too.
                self.attempt = *attempt;
                self.failures += 1;
                self.status = RunStatus::Waiting;
                self.abandon();
            }
            RunEvent::Failed { attempt, .. } => {
                self.attempt = *attempt;
                self.status = RunStatus::Failed;
                self.abandon();
            }
            RunEvent::Interrupted { counts, .. } => {
                self.failures += u32::from(*counts);
                self.status = RunStatus::Waiting;
                self.abandon();
            }
            RunEvent::CancelRequested {} => self.cancel_requested = true,
            RunEvent::Cancelled {} => {
                self.status = RunStatus::Cancelled;
                self.abandon();
            }
            RunEvent::LeftoversDue {} => self.leftovers_due = true,
            RunEvent::LeftoversRemoved {} => {
                self.leftovers_due = false;
                self.abandoned.clear();
            }
            RunEvent::Expired { .. } | RunEvent::Discarded {} => self.expired = true,
            RunEvent::Pruned {} => self.pruned = true,
            RunEvent::DeletionRefused { refused, .. } => self.refusals = *refused,
            RunEvent::Adopted {
                run,
                app,
                config,
                found,
            } => {
                self.id = *run;
                self.app = *app;
                self.config = *config;
                self.status = RunStatus::Success;
                self.attempt = 1;
                self.pin = Some(Box::new(found.pin.clone()));
                self.artifact = Some(found.artifact.clone());
                self.fingerprint = Some(found.fingerprint.clone());
            }
        }
    }

    fn scope(&self) -> Scope {
        Scope::config(self.app, self.config)
    }
}

impl Run {
    /// Asked again after a day, then ever more seldom: locks last for weeks.
    fn tell_held(&self, failure: Failure, now: DateTime<Utc>) -> Vec<RunEvent> {
        if !self.expired || self.pruned {
            return vec![];
        }
        let days = 1 << self.refusals.min(4);
        vec![RunEvent::DeletionRefused {
            refused: self.refusals + 1,
            failure,
            retry_at: now + TimeDelta::days(days),
        }]
    }

    fn start(&self, attempt: u32, pin: Box<Pin>) -> Result<Vec<RunEvent>, Refusal> {
        let may_start = matches!(self.status, RunStatus::Queued | RunStatus::Waiting);
        if !may_start || attempt != self.attempt + 1 {
            return Err(self.stale(attempt));
        }
        Ok(vec![RunEvent::Started { attempt, pin }])
    }

    /// An attempt may fail before it started (the source is gone, so there is nothing to pin).
    fn fail(
        &self,
        attempt: u32,
        failure: Failure,
        retry_at: Option<DateTime<Utc>>,
    ) -> Result<Vec<RunEvent>, Refusal> {
        let before_start = matches!(self.status, RunStatus::Queued | RunStatus::Waiting)
            && attempt == self.attempt + 1;
        if !before_start {
            self.must_run(attempt)?;
        }
        if self.cancel_requested {
            return Ok(self.ending(RunEvent::Cancelled {}));
        }
        let last = self.failures + 1 >= MAX_FAILURES;
        Ok(match retry_at {
            Some(retry_at) if failure.is_temporary() && !last => vec![RunEvent::RetryScheduled {
                attempt,
                failure,
                retry_at,
            }],
            _ => self.ending(RunEvent::Failed { attempt, failure }),
        })
    }

    fn interrupt(&self, attempt: u32, counts: bool, why: String) -> Result<Vec<RunEvent>, Refusal> {
        self.must_run(attempt)?;
        if self.cancel_requested {
            return Ok(self.ending(RunEvent::Cancelled {}));
        }
        let interrupted = RunEvent::Interrupted {
            attempt,
            counts,
            why,
        };
        if counts && self.failures + 1 >= MAX_FAILURES {
            let failure = Failure::permanent(
                format!("the server died {MAX_FAILURES} times during this run"),
                "Look at the server's log before you run it again.",
            );
            let end = self.ending(RunEvent::Failed { attempt, failure });
            return Ok([vec![interrupted], end].concat());
        }
        Ok(vec![interrupted])
    }

    fn cancel(&self) -> Result<Vec<RunEvent>, Refusal> {
        match self.status {
            RunStatus::Absent => Err(Refusal::NotFound("the run".into())),
            RunStatus::Queued | RunStatus::Waiting => {
                let end = self.ending(RunEvent::Cancelled {});
                Ok([vec![RunEvent::CancelRequested {}], end].concat())
            }
            RunStatus::Running if self.cancel_requested => Ok(vec![]),
            RunStatus::Running => Ok(vec![RunEvent::CancelRequested {}]),
            RunStatus::Cancelled => Ok(vec![]),
            RunStatus::Success | RunStatus::Failed => Err(Refusal::Conflict(format!(
                "run {} is over: {}",
                self.id,
                self.status.name()
            ))),
        }
    }

    /// An end without success, after which no attempt comes that would tidy up after the others.
    fn ending(&self, end: RunEvent) -> Vec<RunEvent> {
        let may_have_left = self.pin.is_some() || !self.abandoned.is_empty();
        let due = may_have_left.then_some(RunEvent::LeftoversDue {});
        std::iter::once(end).chain(due).collect()
    }

    /// From that event on nobody may count on the artifact.
    fn let_go(&self, event: RunEvent) -> Result<Vec<RunEvent>, Refusal> {
        match self.status {
            RunStatus::Success if self.expired => Ok(vec![]),
            RunStatus::Success => Ok(vec![event]),
            RunStatus::Absent => Err(Refusal::NotFound("the run".into())),
            _ => Err(Refusal::Conflict(format!(
                "run {} has no artifact that could go: it is {}",
                self.id,
                self.status.name()
            ))),
        }
    }

    fn must_run(&self, attempt: u32) -> Result<(), Refusal> {
        if self.status == RunStatus::Running && attempt == self.attempt {
            Ok(())
        } else {
            Err(self.stale(attempt))
        }
    }

    fn stale(&self, attempt: u32) -> Refusal {
        Refusal::Stale {
            attempt,
            present: self.attempt,
        }
    }

    fn abandon(&mut self) {
        if let Some(pin) = self.pin.take() {
            self.abandoned.push((pin.spec, pin.key));
        }
    }

    /// Attempts that failed or crashed so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The attempt that a job for the present state would be.
    pub fn next_attempt(&self) -> u32 {
        self.attempt + 1
    }
}
