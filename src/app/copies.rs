//! Copies of artifacts in further targets: asking for them, making them, and letting them go. The run is
//! good without them, so nothing here can make it red. `whereabouts` reads from them.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{AppError, Holdfast, MASK, Result, Vault, configs::told_apart, sites};
use crate::{
    domain::{
        aggregate::Refusal,
        copies::{CopyCommand, FurtherTarget, is_due},
        failure::{Failure, FieldErrors},
        ids::RunId,
        run::{Run, RunCommand},
        secret::Secret,
    },
    engine::{
        copy, examine, prune,
        verify::{self, Flaw},
    },
    log::{Cause, LogError, Unit},
    target::{self, Key},
};

/// How long a copy waits that failed as often as a backup is tried: a store may be away for days.
const LATER: Duration = Duration::from_hours(1);

impl Holdfast {
    /// Works off an attempt of a copy. `Err` only when the log itself failed.
    pub async fn copy_out(&self, id: RunId, copy: u32, attempt: u32) -> Result<()> {
        let (run, _) = self.log().load::<Run>(id.0).await?;
        if !is_due(&run, copy, attempt) {
            return Ok(());
        }
        let Some(working) = self.0.jobs.begin(&job_name(id, copy), &self.0.interrupt) else {
            return Ok(());
        };
        let made = self.copy_attempt(&run, copy, &working.cancel).await;
        let command = match made {
            Ok(()) => CopyCommand::Make { copy, attempt },
            Err(_) if working.cancel.is_cancelled() => return Err(AppError::Stopping),
            Err(failure) => {
                tracing::warn!(run = id.0, copy, attempt, error = %failure.message, "a copy failed");
                CopyCommand::Fail {
                    copy,
                    attempt,
                    retry_at: self.copy_again(&failure, attempt),
                    failure,
                }
            }
        };
        let cause = Cause::system(job_name(id, copy));
        let command = RunCommand::Copy(command);
        match self.log().execute::<Run>(cause, id.0, command).await {
            Ok(_) => Ok(()),
            // Retention let the run go meanwhile: then this copy goes, too.
            Err(LogError::Refused(Refusal::Stale { .. })) => {
                let (run, _) = self.log().load::<Run>(id.0).await?;
                if run.expired {
                    self.prune_copies(&run).await?;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn copy_attempt(
        &self,
        run: &Run,
        copy: u32,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let (Some(pin), Some(artifact)) = (&run.pin, &run.artifact) else {
            return Err(Failure::permanent("the run has no artifact", ""));
        };
        let further = pin.spec.copies.get(copy as usize);
        let further =
            further.ok_or_else(|| Failure::permanent("the run names no such copy", ""))?;
        let first = pin.spec.first_target();
        let from = self.target_of_run(run.config, &first).await?;
        let manifest = examine::manifest(&*from, artifact).await?;
        let order = copy::Order {
            from,
            to: self.target_of_run(run.config, further).await?,
            manifest,
            strategy: sites::strategy_of(&pin.spec)?,
            verify: pin.spec.verify_upload,
            stop: stop.clone(),
        };
        let job = self.0.hub.begin(job_name(run.id, copy));
        copy::run(&order, &job).await
    }

    /// What only a person can mend is looked at as seldom as what has been away for long.
    fn copy_again(&self, failure: &Failure, attempt: u32) -> DateTime<Utc> {
        let soon = failure.is_temporary() && attempt < self.settings().attempts;
        self.log().now()
            + if soon {
                self.retry_pause(attempt - 1)
            } else {
                LATER
            }
    }

    /// Deletes every copy of an artifact that was let go, also one that was half made. A target that is away
    /// does not keep the others full.
    pub(super) async fn prune_copies(&self, run: &Run) -> Result<(), Failure> {
        let mut failed = None;
        for copy in (0..).take(run.copies.len()) {
            if let Err(failure) = self.prune_copy(run, copy).await {
                failed.get_or_insert(failure);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn prune_copy(&self, run: &Run, copy: usize) -> Result<(), Failure> {
        let (Some(pin), Some(artifact)) = (&run.pin, &run.artifact) else {
            return Ok(());
        };
        let (Some(further), Some(state)) = (pin.spec.copies.get(copy), run.copies.get(copy)) else {
            return Ok(());
        };
        let target = self.target_of_run(run.config, further).await?;
        if !state.stored {
            // What was never made may be somebody else's file of that name.
            let stop = CancellationToken::new();
            match verify::read_back(&*target, artifact, &stop).await {
                Ok(()) | Err(Flaw::Missing(_)) => {}
                Err(Flaw::Damaged(_)) => return Ok(()),
                Err(flaw) => return Err(flaw.into()),
            }
        }
        prune::run(&*target, &Key::parse(&artifact.key)?).await
    }

    /// By the rules of each one's own target.
    pub(super) async fn check_copies(
        &self,
        copies: &[FurtherTarget],
        new: &NewCopies,
    ) -> Result<Result<(), FieldErrors>> {
        let mut errors = FieldErrors::default();
        for (index, copy) in copies.iter().enumerate() {
            let new = new.0.get(index).cloned().unwrap_or_default();
            let checked = self.check_target(copy, new).await?;
            errors.merge(checked.map_err(|problems| named(index, problems)));
        }
        Ok(errors.into_result())
    }

    /// Whether a copy of the run is being made in this process; it is told to stop.
    pub(super) fn stops_copies(&self, run: &Run) -> bool {
        let copies = (0..).take(run.copies.len());
        let names: Vec<String> = copies.map(|copy| job_name(run.id, copy)).collect();
        for name in &names {
            self.0.jobs.stop(name);
        }
        names.iter().any(|name| self.0.jobs.is_running(name))
    }
}

/// A further target, as the first one is asked for.
#[derive(Debug, Clone, Default)]
pub struct CopyInput {
    pub target: String,
    /// Plain settings and secrets together.
    pub settings: BTreeMap<String, Secret>,
}

/// New secrets of the further targets, one map for each.
#[derive(Clone, Default)]
pub(super) struct NewCopies(Vec<BTreeMap<String, Secret>>);

impl NewCopies {
    /// The further targets as they are sent, in place of those that the config had. A secret that is sent
    /// back masked is that of the target with the same settings: it must not go to another place.
    pub fn merge(
        present: &mut Vec<FurtherTarget>,
        sent: Option<Vec<CopyInput>>,
    ) -> Result<Self, FieldErrors> {
        let Some(sent) = sent else {
            return Ok(Self::default());
        };
        let mut errors = FieldErrors::default();
        let (mut copies, mut fresh) = (Vec::new(), Vec::new());
        for (index, CopyInput { target, settings }) in sent.into_iter().enumerate() {
            let fields = target::kind(&target).map_or(&[][..], |kind| kind.fields());
            let sent = match told_apart(fields, settings) {
                Ok(sent) => sent,
                Err(problems) => {
                    errors.merge(Err(named(index, problems)));
                    continue;
                }
            };
            let same = |copy: &&FurtherTarget| copy.target == target && copy.settings == sent.plain;
            let known = present.iter().find(same);
            let (mut kept, mut new) = (BTreeMap::new(), BTreeMap::new());
            for (name, value) in sent.secrets {
                let before = known.and_then(|copy| copy.secrets.get(&name));
                match (value.expose().as_str(), before) {
                    ("", _) => {}
                    (MASK, Some(reference)) => drop(kept.insert(name, reference.clone())),
                    (MASK, None) => errors.add(
                        format!("copies[{index}].{name}"),
                        "the place is another one now: enter it again",
                    ),
                    _ => drop(new.insert(name, value)),
                }
            }
            copies.push(FurtherTarget {
                target,
                settings: sent.plain,
                secrets: kept,
            });
            fresh.push(new);
        }
        errors.into_result()?;
        *present = copies;
        Ok(Self(fresh))
    }

    /// Puts the new secrets into the vault and their references into the spec.
    pub async fn seal(
        &self,
        copies: &mut [FurtherTarget],
        vault: &Vault,
        unit: &Unit,
    ) -> Result<(), LogError> {
        for (copy, secrets) in copies.iter_mut().zip(&self.0) {
            for (key, secret) in secrets {
                let reference = vault.seal(unit, secret).await?;
                copy.secrets.insert(key.clone(), reference);
            }
        }
        Ok(())
    }
}

/// The same problems, of the further target of this index.
fn named(index: usize, FieldErrors(problems): FieldErrors) -> FieldErrors {
    let problems = problems.into_iter();
    let named = problems.map(|(name, problem)| (format!("copies[{index}].{name}"), problem));
    FieldErrors(named.collect())
}

/// Name of a copy's job in the progress hub and among running jobs.
pub fn job_name(run: RunId, copy: u32) -> String {
    format!("copy-{run}-{copy}")
}
