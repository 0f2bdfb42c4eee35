//! A restore: bring a service back to what a run stored, without ever making it worse.
//!
//! ```text
//! queued ─► running ─► success ─► undoing ─► undone
//!             │ ├─► failed            (the source is as it was)
//!             │ ├─► needs_attention   (a safety copy is named)
//!             │ └─► cancelled
//!             └─► settling ─► failed | success   (after a crash, or when the service was out of
//!                                                 reach: look what was left, as soon as one can)
//! ```
//!
//! It never retries by itself: after a crash it is settled to "as before" or "restored". Each step
//! that leaves a trace is recorded before it is done, so settling knows where to look.

mod command;
mod event;
mod parts;

use chrono::{DateTime, Utc};

pub use command::RestoreCommand;
pub use event::RestoreEvent;
pub use parts::{Destination, Kept, RestoreSource, Step, Upload};

use super::{
    aggregate::{Aggregate, Refusal},
    config::SecretRef,
    event::{Scope, StreamKind},
    failure::Failure,
    ids::{AppId, RestoreId},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestoreStatus {
    #[default]
    Absent,
    Queued,
    Running,
    /// Its worker died; what it left is being looked at.
    Settling,
    Success,
    Failed,
    NeedsAttention,
    Cancelled,
    Undoing,
    Undone,
}

impl RestoreStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Absent | Self::Queued => "queued",
            Self::Running | Self::Settling => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::NeedsAttention => "needs_attention",
            Self::Cancelled => "cancelled",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
        }
    }

    pub fn is_over(self) -> bool {
        !matches!(
            self,
            Self::Absent | Self::Queued | Self::Running | Self::Settling | Self::Undoing
        )
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restore {
    pub id: RestoreId,
    pub source: RestoreSource,
    pub app: AppId,
    pub service: String,
    pub identity: Option<SecretRef>,
    pub status: RestoreStatus,
    /// Raised by the start, each settling and each undo: the fence.
    pub attempt: u32,
    pub destination: Option<Destination>,
    pub steps: Vec<Step>,
    pub kept: Option<Kept>,
    pub keep_until: Option<DateTime<Utc>>,
    pub cancel_requested: bool,
    undo_running: bool,
    /// A step of the present undo was recorded: cut off, it may have left its traces.
    undo_begun: bool,
    /// Why the last attempt ended without an outcome.
    broken_off: String,
}

impl Aggregate for Restore {
    type Command = RestoreCommand;
    type Event = RestoreEvent;
    const KIND: StreamKind = StreamKind::Restore;

    fn decide(&self, command: RestoreCommand) -> Result<Vec<RestoreEvent>, Refusal> {
        use RestoreCommand as C;
        use RestoreEvent as E;
        use RestoreStatus as S;
        match command {
            C::Request {
                restore,
                source,
                app,
                service,
                identity,
            } => match self.status {
                S::Absent => Ok(vec![E::Requested {
                    restore,
                    source,
                    app,
                    service,
                    identity,
                }]),
                _ => Err(Refusal::Conflict(format!("restore {} exists", self.id))),
            },
            C::Start {
                attempt,
                destination,
            } => {
                if self.status != S::Queued || attempt != self.attempt + 1 {
                    return Err(self.stale(attempt));
                }
                Ok(vec![E::Started {
                    attempt,
                    destination,
                }])
            }
            C::Step { attempt, step } => {
                self.must_work(attempt)?;
                Ok(vec![E::StepBegun { attempt, step }])
            }
            C::Succeed {
                attempt,
                fingerprint,
                kept,
                keep_until,
                warnings,
            } => {
                self.must_restore(attempt)?;
                Ok(vec![E::Succeeded {
                    attempt,
                    fingerprint,
                    kept,
                    keep_until,
                    warnings,
                }])
            }
            C::Fail {
                attempt,
                failure,
                needs_attention,
            } => {
                let before_start = self.status == S::Queued && attempt == self.attempt + 1;
                if !before_start {
                    self.must_restore(attempt)?;
                }
                Ok(vec![if needs_attention {
                    E::AttentionNeeded { attempt, failure }
                } else {
                    E::Failed { attempt, failure }
                }])
            }
            C::Interrupt { attempt, why } => self.interrupt(attempt, why),
            C::SettleAsBefore { attempt } => self.settle_as_before(attempt),
            C::Cancel => self.cancel(),
            C::ConfirmCancelled { attempt } => {
                self.must_restore(attempt)?;
                Ok(vec![E::Cancelled {}])
            }
            C::Undo { now } => self.undo(now),
            C::StartUndo { attempt } => {
                if self.status != S::Undoing || self.undo_running || attempt != self.attempt {
                    return Err(self.stale(attempt));
                }
                Ok(vec![E::UndoStarted { attempt }])
            }
            C::FinishUndo {
                attempt,
                kept,
                keep_until,
            } => {
                self.must_undo(attempt)?;
                Ok(vec![E::Undone {
                    attempt,
                    kept,
                    keep_until,
                }])
            }
            C::FailUndo {
                attempt,
                failure,
                keep_until,
            } => {
                self.must_undo(attempt)?;
                Ok(vec![E::UndoFailed {
                    attempt,
                    failure,
                    keep_until: Some(keep_until),
                }])
            }
            C::Forget { kept } => Ok(if self.kept == Some(kept) && self.status.is_over() {
                vec![E::KeptRemoved {}]
            } else {
                vec![]
            }),
        }
    }

    fn evolve(&mut self, event: &RestoreEvent) {
        use RestoreEvent as E;
        use RestoreStatus as S;
        match event {
            E::Requested {
                restore,
                source,
                app,
                service,
                identity,
            } => {
                self.id = *restore;
                self.identity.clone_from(identity);
                self.source.clone_from(source);
                self.app = *app;
                self.service.clone_from(service);
                self.status = S::Queued;
            }
            E::Started {
                attempt,
                destination,
            } => {
                self.status = S::Running;
                self.attempt = *attempt;
                self.destination = Some(destination.clone());
            }
            E::StepBegun { step, .. } => {
                self.steps.push(step.clone());
                self.undo_begun |= self.undo_running;
            }
            E::Succeeded {
                kept, keep_until, ..
            } => {
                self.status = S::Success;
                self.keep(kept.as_ref(), *keep_until);
            }
            E::Failed { .. } => self.status = S::Failed,
            E::AttentionNeeded { .. } => self.status = S::NeedsAttention,
            E::Interrupted { attempt, why } => {
                self.broken_off.clone_from(why);
                // The settling is an attempt of its own, so the dead worker's words cannot count.
                self.attempt = attempt + 1;
                self.undo_running = false;
                if self.status == S::Running {
                    self.status = S::Settling;
                }
            }
            E::CancelRequested {} => self.cancel_requested = true,
            E::Cancelled {} => self.status = S::Cancelled,
            E::UndoRequested { attempt } => {
                self.status = S::Undoing;
                self.attempt = *attempt;
                self.undo_running = false;
                self.undo_begun = false;
            }
            E::UndoStarted { .. } => self.undo_running = true,
            E::Undone {
                kept, keep_until, ..
            } => {
                self.status = S::Undone;
                self.undo_running = false;
                self.keep(kept.as_ref(), *keep_until);
            }
            E::UndoFailed { keep_until, .. } => {
                self.status = S::Success;
                self.undo_running = false;
                self.keep_until = keep_until.or(self.keep_until);
            }
            E::KeptRemoved {} => {
                self.kept = None;
                self.keep_until = None;
            }
        }
    }

    fn scope(&self) -> Scope {
        Scope::app(self.app)
    }
}

impl Restore {
    fn interrupt(&self, attempt: u32, why: String) -> Result<Vec<RestoreEvent>, Refusal> {
        let working = matches!(
            self.status,
            RestoreStatus::Running | RestoreStatus::Settling
        ) || self.undo_running;
        if !working || attempt != self.attempt {
            return Err(self.stale(attempt));
        }
        Ok(vec![RestoreEvent::Interrupted { attempt, why }])
    }

    fn settle_as_before(&self, attempt: u32) -> Result<Vec<RestoreEvent>, Refusal> {
        if self.status != RestoreStatus::Settling || attempt != self.attempt {
            return Err(self.stale(attempt));
        }
        Ok(vec![if self.cancel_requested {
            RestoreEvent::Cancelled {}
        } else {
            RestoreEvent::Failed {
                attempt,
                failure: Failure::permanent(
                    format!("{}; the original content is as it was", self.broken_off),
                    "Start the restore again.",
                ),
            }
        }])
    }

    fn cancel(&self) -> Result<Vec<RestoreEvent>, Refusal> {
        match self.status {
            RestoreStatus::Absent => Err(Refusal::NotFound("the restore".into())),
            RestoreStatus::Queued => Ok(vec![
                RestoreEvent::CancelRequested {},
                RestoreEvent::Cancelled {},
            ]),
            RestoreStatus::Running | RestoreStatus::Settling if !self.cancel_requested => {
                Ok(vec![RestoreEvent::CancelRequested {}])
            }
            RestoreStatus::Running | RestoreStatus::Settling | RestoreStatus::Cancelled => {
                Ok(vec![])
            }
            _ => Err(Refusal::Conflict(format!(
                "restore {} is over: {}",
                self.id,
                self.status.name()
            ))),
        }
    }

    /// From the end of its time on what was set aside is removed, and may be half gone already.
    fn undo(&self, now: DateTime<Utc>) -> Result<Vec<RestoreEvent>, Refusal> {
        match self.status {
            RestoreStatus::Undoing => Ok(vec![]),
            RestoreStatus::Success | RestoreStatus::NeedsAttention
                if self.keep_until.is_some_and(|until| now < until) =>
            {
                Ok(vec![RestoreEvent::UndoRequested {
                    attempt: self.attempt + 1,
                }])
            }
            RestoreStatus::Success => Err(Refusal::Conflict(
                "what this restore set aside is removed, because its time is over, so it cannot be undone".into(),
            )),
            _ => Err(Refusal::Conflict(format!(
                "only a successful restore can be undone; this one is {}",
                self.status.name()
            ))),
        }
    }

    fn must_work(&self, attempt: u32) -> Result<(), Refusal> {
        if self.undo_running {
            self.must_undo(attempt)
        } else {
            self.must_restore(attempt)
        }
    }

    fn must_restore(&self, attempt: u32) -> Result<(), Refusal> {
        let working = matches!(
            self.status,
            RestoreStatus::Running | RestoreStatus::Settling
        );
        if working && attempt == self.attempt {
            Ok(())
        } else {
            Err(self.stale(attempt))
        }
    }

    fn must_undo(&self, attempt: u32) -> Result<(), Refusal> {
        if self.status == RestoreStatus::Undoing && self.undo_running && attempt == self.attempt {
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

    fn keep(&mut self, kept: Option<&Kept>, until: DateTime<Utc>) {
        self.kept = kept.cloned();
        self.keep_until = kept.map(|_| until);
    }

    /// Whether an undo was cut off after it had begun to change something.
    pub fn undo_is_half_done(&self) -> bool {
        self.status == RestoreStatus::Undoing && self.undo_begun && !self.undo_running
    }

    /// Why the attempt before this one ended without an outcome.
    pub fn broken_off(&self) -> &str {
        &self.broken_off
    }

    /// The attempt that a job for the present state would be.
    pub fn next_attempt(&self) -> u32 {
        match self.status {
            RestoreStatus::Queued => self.attempt + 1,
            _ => self.attempt,
        }
    }
}
