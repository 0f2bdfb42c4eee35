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

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    aggregate::{Aggregate, Refusal},
    config::ConfigSpec,
    copies::{self, CopyCommand, CopyState},
    event::{Scope, StreamKind},
    failure::Failure,
    hook::HookReport,
    ids::{AppId, ConfigId, RunId},
    manifest::{Artifact, Fingerprint, Source},
    retention::Retention,
    verification::{self, Damage, Verification, VerificationCommand},
};

/// Attempts that failed or crashed before a run is given up. A graceful stop of the server does
/// not count.
pub const MAX_FAILURES: u32 = 4;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    Manual,
    Schedule,
    Api,
    Cli,
    /// The config's own address was called from outside.
    Hook,
}

impl Trigger {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Schedule => "schedule",
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Hook => "hook",
        }
    }
}

/// What a client calls one wish of its, to say it again without a second run: the digest of its
/// `Idempotency-Key`, because keys are as long as their clients like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestKey(pub String);

/// What an attempt works on, fixed when it starts. Restores use this, never today's config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub config_revision: u32,
    pub spec: ConfigSpec,
    pub source: Source,
    /// Key of the artifact in the target; the manifest lies beside it.
    pub key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Looking at the source and the target.
    Prepare,
    /// Moving the bytes.
    Dump,
    /// Reading them back.
    Verify,
    /// Writing the manifest.
    Commit,
}

impl Stage {
    pub const ALL: [Self; 4] = [Self::Prepare, Self::Dump, Self::Verify, Self::Commit];

    pub fn title(self) -> &'static str {
        match self {
            Self::Prepare => "Prepare",
            Self::Dump => "Dump and store",
            Self::Verify => "Read back and verify",
            Self::Commit => "Write manifest",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Dump => "dump",
            Self::Verify => "verify",
            Self::Commit => "commit",
        }
    }
}

/// Something that must be made good whatever becomes of the run: a service that was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Obligation {
    /// Start this container again.
    Start {
        service: String,
        /// Its id.
        container: String,
        /// The engine may need as long to end it: that it runs before then proves nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends_by: Option<DateTime<Utc>>,
    },
}

impl Obligation {
    /// Id of the container it is about.
    pub fn container(&self) -> &str {
        let Self::Start { container, .. } = self;
        container
    }

    pub fn service(&self) -> &str {
        let Self::Start { service, .. } = self;
        service
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunCommand {
    Request {
        run: RunId,
        app: AppId,
        config: ConfigId,
        trigger: Trigger,
        key: Option<RequestKey>,
        slot: Option<DateTime<Utc>>,
    },
    Start {
        attempt: u32,
        pin: Box<Pin>,
    },
    Reach {
        attempt: u32,
        stage: Stage,
    },
    Oblige {
        attempt: u32,
        obligation: Obligation,
    },
    Settle {
        obligation: Obligation,
    },
    TellHook {
        attempt: u32,
        hook: HookReport,
    },
    Succeed {
        attempt: u32,
        artifact: Artifact,
        fingerprint: Fingerprint,
        warnings: Vec<String>,
    },
    /// `retry_at` is when a temporary failure may be tried again, if at all; the caller adds the jitter.
    Fail {
        attempt: u32,
        failure: Failure,
        retry_at: Option<DateTime<Utc>>,
    },
    /// The attempt ended without an outcome: a crash (`counts`) or a graceful stop.
    Interrupt {
        attempt: u32,
        counts: bool,
        why: String,
    },
    Cancel,
    /// The worker of `attempt` has stopped and removed what it left.
    ConfirmCancelled {
        attempt: u32,
    },
    /// Retention lets the artifact go: from here on nobody may count on it.
    Expire {
        rule: Retention,
    },
    /// Somebody removes the config and its artifacts with it.
    Discard,
    /// The artifact is gone from the target.
    ConfirmPruned,
    Verify(VerificationCommand),
    Copy(CopyCommand),
    /// A backup was found in a target, and no run of it is known.
    Adopt {
        run: RunId,
        app: AppId,
        config: ConfigId,
        found: Box<FoundBackup>,
    },
}

/// A backup as its manifest tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundBackup {
    pub pin: Pin,
    pub artifact: Artifact,
    pub fingerprint: Fingerprint,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", content = "data")]
pub enum RunEvent {
    #[serde(rename = "run.requested")]
    Requested {
        run: RunId,
        app: AppId,
        config: ConfigId,
        trigger: Trigger,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<RequestKey>,
        /// The due time of the schedule that it is the run of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slot: Option<DateTime<Utc>>,
    },
    #[serde(rename = "run.started")]
    Started { attempt: u32, pin: Box<Pin> },
    #[serde(rename = "run.stage_reached")]
    StageReached { attempt: u32, stage: Stage },
    #[serde(rename = "run.obliged")]
    Obliged {
        attempt: u32,
        obligation: Obligation,
    },
    #[serde(rename = "run.obligation_settled")]
    ObligationSettled { obligation: Obligation },
    #[serde(rename = "run.hook_ran")]
    HookRan { attempt: u32, hook: HookReport },
    #[serde(rename = "run.succeeded")]
    Succeeded {
        attempt: u32,
        artifact: Artifact,
        fingerprint: Fingerprint,
        warnings: Vec<String>,
    },
    #[serde(rename = "run.retry_scheduled")]
    RetryScheduled {
        attempt: u32,
        failure: Failure,
        retry_at: DateTime<Utc>,
    },
    #[serde(rename = "run.failed")]
    Failed { attempt: u32, failure: Failure },
    #[serde(rename = "run.interrupted")]
    Interrupted {
        attempt: u32,
        counts: bool,
        why: String,
    },
    #[serde(rename = "run.cancel_requested")]
    CancelRequested {},
    #[serde(rename = "run.cancelled")]
    Cancelled {},
    /// The rule, as it was, let the artifact go; its deletion follows.
    #[serde(rename = "run.expired")]
    Expired { rule: Retention },
    /// Its config was removed, and its artifact was to go with it; its deletion follows.
    #[serde(rename = "run.discarded")]
    Discarded {},
    #[serde(rename = "run.pruned")]
    Pruned {},
    #[serde(rename = "run.verification_requested")]
    VerificationRequested { verification: u32 },
    #[serde(rename = "run.verification_passed")]
    VerificationPassed { verification: u32 },
    /// The artifact is damaged or gone; one that passes later is whole again.
    #[serde(rename = "run.verification_failed")]
    VerificationFailed {
        verification: u32,
        damage: Damage,
        failure: Failure,
    },
    #[serde(rename = "run.verification_retry_scheduled")]
    VerificationRetryScheduled {
        verification: u32,
        failure: Failure,
        retry_at: DateTime<Utc>,
    },
    /// Its target did not give it: that says nothing about the artifact.
    #[serde(rename = "run.artifact_unreadable")]
    ArtifactUnreadable { verification: u32, failure: Failure },
    #[serde(rename = "run.adopted")]
    Adopted {
        run: RunId,
        app: AppId,
        config: ConfigId,
        found: Box<FoundBackup>,
    },
    /// `copy` is the index of the pin's further target, from 0.
    #[serde(rename = "run.copy_requested")]
    CopyRequested { copy: u32 },
    /// Artifact and manifest lie there, with the bytes that were proved.
    #[serde(rename = "run.copy_made")]
    CopyMade { copy: u32, attempt: u32 },
    #[serde(rename = "run.copy_failed")]
    CopyFailed {
        copy: u32,
        attempt: u32,
        failure: Failure,
        retry_at: DateTime<Utc>,
    },
}

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
    pub cancel_requested: bool,
    /// In the order of the pin's further targets, once the run is a success.
    pub copies: Vec<CopyState>,
    /// The artifact was let go, by retention or with its config.
    pub expired: bool,
    /// And it is deleted.
    pub pruned: bool,
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
            RunCommand::Interrupt {
                attempt,
                counts,
                why,
            } => self.interrupt(attempt, counts, why),
            RunCommand::Cancel => self.cancel(),
            RunCommand::ConfirmCancelled { attempt } => {
                self.must_run(attempt)?;
                Ok(vec![RunEvent::Cancelled {}])
            }
            RunCommand::Expire { rule } => self.let_go(RunEvent::Expired { rule }),
            RunCommand::Discard => self.let_go(RunEvent::Discarded {}),
            RunCommand::ConfirmPruned => match (self.expired, self.pruned) {
                (false, _) => Err(Refusal::Conflict(format!("run {} is kept", self.id))),
                (true, false) => Ok(vec![RunEvent::Pruned {}]),
                (true, true) => Ok(vec![]),
            },
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
            | RunEvent::CopyFailed { .. } => {}
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
            RunEvent::Expired { .. } | RunEvent::Discarded {} => self.expired = true,
            RunEvent::Pruned {} => self.pruned = true,
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
            return Ok(vec![RunEvent::Cancelled {}]);
        }
        let last = self.failures + 1 >= MAX_FAILURES;
        Ok(vec![match retry_at {
            Some(retry_at) if failure.is_temporary() && !last => RunEvent::RetryScheduled {
                attempt,
                failure,
                retry_at,
            },
            _ => RunEvent::Failed { attempt, failure },
        }])
    }

    fn interrupt(&self, attempt: u32, counts: bool, why: String) -> Result<Vec<RunEvent>, Refusal> {
        self.must_run(attempt)?;
        if self.cancel_requested {
            return Ok(vec![RunEvent::Cancelled {}]);
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
            return Ok(vec![interrupted, RunEvent::Failed { attempt, failure }]);
        }
        Ok(vec![interrupted])
    }

    fn cancel(&self) -> Result<Vec<RunEvent>, Refusal> {
        match self.status {
            RunStatus::Absent => Err(Refusal::NotFound("the run".into())),
            RunStatus::Queued | RunStatus::Waiting => {
                Ok(vec![RunEvent::CancelRequested {}, RunEvent::Cancelled {}])
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
