//! Retention: what the rule of a config lets go, after a run has been proven, and its deletion. That
//! an artifact goes is an event first; from then on it is offered to nobody, and a job deletes it.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DbErr};

use super::{AppError, Caller, Holdfast, Result, runs::job_name};
use crate::{
    domain::{
        config::ConfigSpec,
        copies::FurtherTarget,
        failure::Failure,
        forecast::{self, Forecast},
        ids::{ConfigId, RunId},
        retention::{self, Plan, Point},
        run::{Run, RunCommand},
        schedule::{self, Schedule},
    },
    engine::prune,
    failpoint,
    log::Cause,
    readmodel::{configs, restores, runs},
    target::Key,
};

/// How many go in one transaction: other commands wait for it.
const BATCH: usize = 100;

/// What stays, what goes and why; now, and while the schedule goes on.
#[derive(Debug, Clone)]
pub struct RetentionPreview {
    pub plan: Plan,
    /// Those of the plan, in its order.
    pub runs: Vec<runs::Model>,
    /// Absent when the config has no schedule, or is paused.
    pub forecast: Option<Forecast>,
}

impl Holdfast {
    /// Lets go what the rule of the run's config does not keep. Called after the run succeeded, and
    /// again at each start for the newest: the same history gives the same answer.
    pub async fn retain(&self, after: RunId) -> Result<()> {
        let Some(run) = runs::get(self.db(), after).await? else {
            return Ok(());
        };
        let config = ConfigId(run.backup_config_id);
        self.discard_late(after, config).await?;
        while self.expire_some(config).await? == BATCH {}
        failpoint::hit("prune.after_expire");
        Ok(())
    }

    /// A run that was cancelled because its config was removed with all its backups may have had its artifact
    /// whole just then. No rule would ever reach that one.
    async fn discard_late(&self, id: RunId, config: ConfigId) -> Result<()> {
        let cause = Cause::system(format!("retention-{config}"));
        let discarded = self.log().write(cause, move |unit| {
            Box::pin(async move {
                let removed = configs::get(unit.tx(), config).await?;
                let removed = removed.is_none_or(|row| row.removed_at.is_some());
                let (run, _) = unit.load::<Run>(id.0).await?;
                if removed && run.cancel_requested && !run.expired {
                    unit.execute::<Run>(id.0, RunCommand::Discard).await?;
                }
                Ok(())
            })
        });
        Ok(discarded.await?)
    }

    /// How many were let go: less than `BATCH` when that was all.
    async fn expire_some(&self, config: ConfigId) -> Result<usize> {
        let cause = Cause::system(format!("retention-{config}"));
        let expired = self.log().write(cause, move |unit| {
            Box::pin(async move {
                let row = configs::get(unit.tx(), config).await?;
                let Some(row) = row.filter(|row| row.removed_at.is_none()) else {
                    return Ok(0); // nobody says any more how long they are kept
                };
                let spec = row.spec();
                let rule = spec.retention;
                let (plan, _) = plan(unit.tx(), config, &spec).await?;
                // Read by a restore right now: they go after the next run.
                let restores = restores::unfinished(unit.tx()).await?;
                let read = |run: &RunId| restores.iter().any(|r| r.run_id == Some(run.0));
                let damaged = runs::with_damage(unit.tx(), config).await?;
                let damaged = dated(&damaged);
                let outlived = plan.outlived(&rule, zone_of(&spec), &damaged);
                let leaving = plan.leaving().into_iter().chain(outlived);
                let leaving = leaving.filter(|run| !read(run));
                let leaving: Vec<RunId> = leaving.take(BATCH).collect();
                for run in &leaving {
                    unit.execute::<Run>(run.0, RunCommand::Expire { rule })
                        .await?;
                }
                Ok(leaving.len())
            })
        });
        Ok(expired.await?)
    }

    /// Deletes the artifact of a run that was let go, and every copy of it. `Err` brings the job back.
    pub async fn prune(&self, id: RunId) -> Result<()> {
        let (run, _) = self.log().load::<Run>(id.0).await?;
        let (true, false, Some(pin), Some(artifact)) =
            (run.expired, run.pruned, &run.pin, &run.artifact)
        else {
            return Ok(());
        };
        if self.stops_copies(&run) {
            return Err(AppError::Conflict(format!(
                "a copy of run {id} is being made"
            )));
        }
        // What one target cannot do now is no reason to leave the others full.
        let copies = self.prune_copies(&run).await;
        let first = pin.spec.first_target();
        let first = self.prune_at(&first, run.config, &artifact.key).await;
        if let Err(failure) = first.and(copies) {
            return self.tell_held(id, failure).await;
        }
        failpoint::hit("prune.after_delete");
        let cause = Cause::system(job_name(id));
        self.log()
            .execute::<Run>(cause, id.0, RunCommand::ConfirmPruned)
            .await?;
        Ok(())
    }

    async fn prune_at(&self, at: &FurtherTarget, of: ConfigId, key: &str) -> Result<(), Failure> {
        let target = self.target_of_run(of, at).await?;
        prune::run(&*target, &Key::parse(key)?).await
    }

    /// What comes back as a job is what may go better soon; a store that refuses to delete is asked some days later.
    async fn tell_held(&self, id: RunId, failure: Failure) -> Result<()> {
        if failure.is_temporary() {
            return Err(failure.into());
        }
        let now = self.log().now();
        let command = RunCommand::TellHeld { failure, now };
        let cause = Cause::system(job_name(id));
        self.log().execute::<Run>(cause, id.0, command).await?;
        Ok(())
    }

    pub async fn retention_preview(
        &self,
        caller: &Caller,
        id: ConfigId,
    ) -> Result<RetentionPreview> {
        let spec = self.present_config(caller, id).await?.spec();
        self.retention_forecast(caller, Some(id), spec).await
    }

    /// What the rule of `spec` would do under its schedule, neither of which has to be stored; to the
    /// backups of `id` where that is named, else to those that are still to come.
    pub async fn retention_forecast(
        &self,
        caller: &Caller,
        id: Option<ConfigId>,
        spec: ConfigSpec,
    ) -> Result<RetentionPreview> {
        let (plan, runs) = match id {
            Some(id) => {
                let config = self.present_config(caller, id).await?;
                plan(self.db(), config.config_id(), &spec).await?
            }
            None => (
                retention::plan(&spec.retention, chrono_tz::UTC, &[], false),
                Vec::new(),
            ),
        };
        let schedule = Schedule::parse(&spec.schedule_cron).ok();
        let coming = schedule.filter(|_| spec.enabled);
        let present: Vec<Point> = plan.verdicts.iter().map(|verdict| verdict.point).collect();
        let now = self.log().now();
        let look = move || {
            let (schedule, zone) = (coming?, schedule::zone(&spec.time_zone)?);
            let rule = spec.retention;
            Some(forecast::forecast(&rule, zone, &schedule, &present, now))
        };
        // Some hundred thousand looks at a calendar in the worst case: not on a thread that serves.
        let forecast = tokio::task::spawn_blocking(look).await.unwrap_or_default();
        Ok(RetentionPreview {
            plan,
            runs,
            forecast,
        })
    }
}

/// What the config's rule says of what is there, and the runs it was asked about.
async fn plan(
    db: &impl ConnectionTrait,
    config: ConfigId,
    spec: &ConfigSpec,
) -> Result<(Plan, Vec<runs::Model>), DbErr> {
    let zone = zone_of(spec);
    let mut runs = runs::with_artifact(db, config).await?;
    // One that was found in a target is a claim until it is verified: nothing goes because of it.
    runs.retain(|run| run.verified_at.is_some());
    let last = runs::newest_ended(db, config).await?;
    let failed = last.is_some_and(|run| run.status != "success");
    let points = dated(&runs);
    let plan = retention::plan(&spec.retention, zone, &points, failed);
    let mut by_id: BTreeMap<RunId, runs::Model> =
        runs.into_iter().map(|run| (run.run_id(), run)).collect();
    let order = plan.verdicts.iter();
    let runs = order.filter_map(|verdict| by_id.remove(&verdict.point.run));
    let runs = runs.collect();
    Ok((plan, runs))
}

fn zone_of(spec: &ConfigSpec) -> chrono_tz::Tz {
    schedule::zone(&spec.time_zone).unwrap_or(chrono_tz::UTC)
}

/// Those that this server made with dates that can be. One that was found has its manifest's, and a number
/// that says nothing of its age.
fn dated(runs: &[runs::Model]) -> Vec<Point> {
    let (found, mut made): (Vec<_>, Vec<_>) = runs.iter().partition(|run| run.was_found());
    made.sort_by_key(|run| run.id);
    let mut points: Vec<Point> = made.into_iter().map(point).collect();
    retention::straighten(&mut points);
    points.extend(found.into_iter().map(point));
    points
}

fn point(run: &runs::Model) -> Point {
    let at = run.started_at.unwrap_or(run.requested_at);
    Point {
        run: run.run_id(),
        at: chrono::DateTime::from_timestamp_millis(at).unwrap_or_default(),
        raw_bytes: run
            .raw_bytes
            .and_then(|b| u64::try_from(b).ok())
            .unwrap_or(0),
        // Reading back after the upload compares digests only, unless the config wants more.
        verified: run.pin().is_some_and(|pin| pin.spec.verify_upload)
            || run.verified_at > run.finished_at,
    }
}
