//! Verifying artifacts again: when somebody asks, and one by one what nobody has read for long. Every place
//! that is said to hold one is read. The outcome is an event of the run; what it says of the run, and of
//! each copy, follows from that.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::{AppError, Caller, Holdfast, Result, own, runs::job_name, sites};
use crate::{
    domain::{
        access::Role,
        aggregate::Refusal,
        config::ConfigSpec,
        copies::FurtherTarget,
        failure::Failure,
        ids::{ConfigId, RunId},
        run::{Run, RunCommand},
        verification::{CopyFinding, VerificationCommand},
    },
    engine::{examine, verify::Flaw},
    log::{Cause, LogError},
    readmodel::runs,
    strategy::Validator,
};

/// When rolling verification may go on. Forgotten by a restart, which costs one artifact that is read
/// a little earlier.
#[derive(Default)]
pub(super) struct Pace(Mutex<DateTime<Utc>>);

impl Holdfast {
    /// Asks that the run's artifact is read again and judged. One that is due already is that wish.
    pub async fn request_verification(&self, caller: &Caller, id: RunId) -> Result<()> {
        caller.must_be(Role::Operator)?;
        self.run(caller, id).await?;
        let command = RunCommand::Verify(VerificationCommand::Request);
        self.log()
            .execute::<Run>(caller.cause(), id.0, command)
            .await?;
        Ok(())
    }

    /// Works off one try. `Err` brings the job back.
    pub async fn verify(&self, id: RunId, verification: u32) -> Result<()> {
        let (run, _) = self.log().load::<Run>(id.0).await?;
        if run.verification.due() != Some(verification) {
            return Ok(());
        }
        let name = name_of(id);
        let Some(working) = self.0.jobs.begin(&name, &self.0.interrupt) else {
            return Ok(());
        };
        let stop = &working.cancel;
        let mut found = self.examine_first(&run, stop).await;
        let damaged = found.as_ref().err().and_then(Flaw::damage).is_some();
        if damaged && run.verification.mends() {
            found = match self.copy_back(&run, stop).await {
                Ok(()) => self.examine_first(&run, stop).await,
                // It stays as damaged as it was known to be.
                Err(failure) => Err(Flaw::Unreadable(failure)),
            };
        }
        let unanswered = run.verification.unanswered();
        let retry_at = match &found {
            Err(Flaw::Cancelled) => return Err(AppError::Stopping),
            Err(Flaw::Unreadable(_)) if stop.is_cancelled() => return Err(AppError::Stopping),
            Err(Flaw::Unreadable(failure)) if failure.is_temporary() => {
                let again = unanswered + 1 < self.settings().attempts;
                again.then(|| self.log().now() + self.retry_pause(unanswered))
            }
            _ => None,
        };
        // Those are read once, with what ends it.
        let copies = match retry_at {
            Some(_) => Vec::new(),
            None => self.examine_copies(&run, stop).await?,
        };
        let outcome = match found {
            Ok(()) => VerificationCommand::Pass {
                verification,
                copies,
            },
            Err(flaw) => match (flaw.damage(), flaw.into()) {
                (Some(damage), failure) => VerificationCommand::Fail {
                    verification,
                    damage,
                    failure,
                    copies,
                },
                (None, failure) => VerificationCommand::PutOff {
                    verification,
                    failure,
                    retry_at,
                    copies,
                },
            },
        };
        let cause = Cause::system(job_name(id));
        let command = RunCommand::Verify(outcome);
        match self.log().execute::<Run>(cause, id.0, command).await {
            // Retention let it go meanwhile, or another try has spoken.
            Ok(_) | Err(LogError::Refused(Refusal::Stale { .. })) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn examine_first(&self, run: &Run, stop: &CancellationToken) -> Result<(), Flaw> {
        match &run.pin {
            Some(pin) => self.examine(run, &pin.spec.first_target(), stop).await,
            None => Ok(()),
        }
    }

    /// What each further target gives that is said to hold a copy. `Err` when it was stopped.
    async fn examine_copies(
        &self,
        run: &Run,
        stop: &CancellationToken,
    ) -> Result<Vec<CopyFinding>> {
        let further = run.pin.iter().flat_map(|pin| &pin.spec.copies);
        let copies = (0..).zip(further.zip(&run.copies));
        let mut findings = Vec::new();
        for (copy, (at, _)) in copies.filter(|(_, (_, state))| state.stored) {
            let found = self.examine(run, at, stop).await;
            if stop.is_cancelled() {
                return Err(AppError::Stopping);
            }
            findings.push(CopyFinding {
                copy,
                damage: found.as_ref().err().and_then(Flaw::damage),
                failure: found.err().map(Into::into),
            });
        }
        Ok(findings)
    }

    async fn examine(
        &self,
        run: &Run,
        at: &FurtherTarget,
        stop: &CancellationToken,
    ) -> Result<(), Flaw> {
        let (Some(pin), Some(artifact), Some(fingerprint)) =
            (&run.pin, &run.artifact, &run.fingerprint)
        else {
            return Ok(());
        };
        let validator = self.validator_of(&pin.spec).map_err(Flaw::Unreadable)?;
        let target = self.target_of_run(run.config, at).await;
        let target = target.map_err(Flaw::Unreadable)?;
        let job = self.0.hub.begin(job_name(run.id));
        let keys = self.own_keys(&pin.spec).await.map_err(Flaw::Unreadable)?;
        let found = examine::run(
            &*target,
            artifact,
            fingerprint,
            &keys,
            validator,
            &job,
            stop,
        )
        .await;
        if matches!(found, Err(Flaw::Missing(_))) {
            // A place that is not there itself says nothing about what is in it.
            target
                .check()
                .await
                .map_err(|error| Flaw::Unreadable(error.into()))?;
        }
        found
    }

    fn validator_of(&self, spec: &ConfigSpec) -> Result<Box<dyn Validator>, Failure> {
        if spec.strategy == own::KIND {
            return Ok(self.own_validator());
        }
        Ok(sites::strategy_of(spec)?.validator())
    }

    /// Asks for the verification of the good artifact that was looked at longest ago, when that is longer
    /// than it should be. One at a time, with pauses by which all of them take half of that time: no disk
    /// and no network is busy with nothing else. Asked now and then by the clock.
    pub async fn verify_longest_unseen(&self) -> Result<()> {
        let now = self.log().now();
        let every = TimeDelta::from_std(self.settings().verify_every).unwrap_or(TimeDelta::MAX);
        if every.is_zero() || now < self.0.pace.next() {
            return Ok(());
        }
        let before = now.timestamp_millis() - every.num_milliseconds();
        let Some(oldest) = runs::longest_unseen(self.db(), before).await? else {
            return Ok(());
        };
        if !runs::verifying(self.db()).await?.is_empty() {
            return Ok(());
        }
        let good = i32::try_from(runs::count_good(self.db()).await?).unwrap_or(i32::MAX);
        let pause = every / good.saturating_mul(2).max(1);
        let cause = Cause::system("rolling-verification");
        let command = RunCommand::Verify(VerificationCommand::Request);
        let asked = self.log().execute::<Run>(cause, oldest.id, command).await;
        self.0.pace.set(now + pause);
        match asked {
            Ok(_) | Err(LogError::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A good backup of the same config to take in place of `run`: the newest before it, else the newest.
    pub(super) async fn good_instead(&self, run: &runs::Model) -> Result<Option<runs::Model>> {
        let config = ConfigId(run.backup_config_id);
        let mut good = runs::with_artifact(self.db(), config).await?;
        let earlier = good.iter().position(|other| other.id < run.id);
        Ok(match earlier {
            Some(earlier) => Some(good.swap_remove(earlier)),
            None if good.is_empty() => None,
            None => Some(good.swap_remove(0)),
        })
    }
}

/// Of a verification, among running jobs.
pub(super) fn name_of(run: RunId) -> String {
    format!("verify-{run}")
}

impl Pace {
    fn next(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, next: DateTime<Utc>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}
