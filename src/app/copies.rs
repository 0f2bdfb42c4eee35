//! Copies of artifacts in further targets: asking for them, making them, and letting them go. The run is
//! good without them, so nothing here can make it red. `whereabouts` reads from them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{
    AppError, Caller, Holdfast, MASK, Result, Vault, configs::told_apart, runs, sites,
    verifications,
};
use crate::{
    domain::{
        aggregate::Refusal,
        copies::{CopyCommand, FurtherTarget, is_due},
        failure::{Failure, FieldErrors},
        ids::RunId,
        manifest::{Artifact, Manifest},
        run::{Pin, Run, RunCommand},
        secret::Secret,
        verification::VerificationCommand,
    },
    engine::{
        copy, examine, prune,
        verify::{self, Flaw},
    },
    log::{Cause, LogError, Unit},
    target::{self, Key, Target},
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
        // An attempt that was given up may not have stopped yet: the job comes back.
        let working = self.0.jobs.begin(&job_name(id, copy), &self.0.interrupt);
        let working = working
            .ok_or_else(|| AppError::Conflict(format!("a copy of run {id} is being made")))?;
        let made = self.copy_attempt(&run, copy, &working.cancel).await;
        let command = match made {
            Ok(()) => {
                tracing::info!("the copy is made");
                CopyCommand::Make { copy, attempt }
            }
            Err(_) if working.cancel.is_cancelled() => return Err(AppError::Stopping),
            Err(failure) => {
                tracing::warn!(error = %failure.message, "the copy failed");
                CopyCommand::Fail {
                    copy,
                    attempt,
                    retry_at: self.next_copy_at(&failure, attempt),
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
        let spec = run.pin.as_ref().map(|pin| &pin.spec);
        let state = run.copies.get(copy as usize);
        let further = spec.and_then(|spec| spec.copies.get(copy as usize).zip(Some(spec)));
        let ((at, spec), state) = further
            .zip(state)
            .ok_or_else(|| Failure::permanent("the run names no such copy", ""))?;
        let (verify, replace) = (spec.verify_upload, state.replace);
        let job = job_name(run.id, copy);
        self.copy_to(run, at, (verify, replace), job, stop).await
    }

    /// Copies the artifact back to the first target, from a further one that was read whole before. What lies
    /// there and is whole after all stays.
    pub(super) async fn copy_back(
        &self,
        run: &Run,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let first = run.pin.as_ref().map(|pin| pin.spec.first_target());
        let first = first.ok_or_else(|| Failure::permanent("the run has no artifact", ""))?;
        let job = runs::job_name(run.id);
        self.copy_to(run, &first, (true, true), job, stop).await
    }

    /// Whether to verify and to replace is as `copy::Order` says it; `job` is the name in the progress hub.
    async fn copy_to(
        &self,
        run: &Run,
        at: &FurtherTarget,
        (verify, replace): (bool, bool),
        job: String,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let (Some(pin), Some(artifact)) = (&run.pin, &run.artifact) else {
            return Err(Failure::permanent("the run has no artifact", ""));
        };
        let (from, manifest) = self.source_of_copy(run, pin, artifact).await?;
        let order = copy::Order {
            from,
            to: self.target_of_run(run.config, at).await?,
            manifest,
            strategy: sites::strategy_of(&pin.spec)?,
            verify,
            replace,
            stop: stop.clone(),
        };
        copy::run(&order, &self.0.hub.begin(job)).await
    }

    /// The first place with the manifest of this very artifact; the first target last when what it holds is
    /// known to be damaged.
    async fn source_of_copy(
        &self,
        run: &Run,
        pin: &Pin,
        artifact: &Artifact,
    ) -> Result<(Arc<dyn Target>, Manifest), Failure> {
        let copies = pin.spec.copies.iter().zip(&run.copies);
        let copies = copies
            .filter(|(_, state)| state.stored)
            .map(|(at, _)| at.clone());
        let mut places = vec![pin.spec.first_target()];
        places.extend(copies);
        if run.verification.damage.is_some() {
            places.rotate_left(1);
        }
        let mut first = None;
        for at in places {
            let found = match self.target_of_run(run.config, &at).await {
                Ok(target) => match examine::manifest(&*target, artifact).await {
                    Ok(manifest) => return Ok((target, manifest)),
                    Err(flaw) => flaw.into(),
                },
                Err(failure) => failure,
            };
            first.get_or_insert(found);
        }
        Err(first.unwrap_or_else(|| Failure::permanent("the run has no artifact", "")))
    }

    /// Has a place hold the artifact again. A further target (1 is the first of them) gets a copy that is still
    /// to be made now, or anew where it was found damaged or gone; the first target (0), where it is found
    /// damaged or gone there, gets it back from a copy.
    pub async fn copy_again(&self, caller: &Caller, id: RunId, place: u32) -> Result<()> {
        self.run_to_act_on(caller, id).await?;
        let Some(copy) = place.checked_sub(1) else {
            let command = RunCommand::Verify(VerificationCommand::Mend);
            self.log()
                .execute::<Run>(caller.cause(), id.0, command)
                .await?;
            return Ok(());
        };
        let command = RunCommand::Copy(CopyCommand::Again { copy });
        self.log()
            .execute::<Run>(caller.cause(), id.0, command)
            .await?;
        // An attempt that hangs at its target is not waited for.
        self.0.jobs.stop(&job_name(id, copy));
        Ok(())
    }

    /// What only a person can mend is looked at as seldom as what has been away for long.
    fn next_copy_at(&self, failure: &Failure, attempt: u32) -> DateTime<Utc> {
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
        if !state.stored && state.damage.is_none() && !state.replace {
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

    /// Whether the run's artifact is being written somewhere by this process; that is told to stop.
    pub(super) fn stops_copies(&self, run: &Run) -> bool {
        let copies = (0..).take(run.copies.len());
        let copies = copies.map(|copy| job_name(run.id, copy));
        // Which may be bringing it back.
        let verification = std::iter::once(verifications::name_of(run.id));
        let names: Vec<String> = copies.chain(verification).collect();
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
