//! Old detail of the audit log leaves the database: who logged in from where years ago, what was refused, what
//! was downloaded. Only by whole sealed segments, and only once one was read back from a target and found to hold
//! all of it; what nobody can show elsewhere stays.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    AppError, Caller, Holdfast, Result,
    shipping::{FULL, InUse, read_segment, segments},
};
use crate::{
    domain::{access::Role, audit::AuditEvent, event::Event, failure::Failure},
    log::{Proven, Recorded, Stretch},
    target::{Target, layout::Segment},
};

/// Segments whose events are emptied in one transaction: it holds up all other commands.
const TOGETHER: usize = 8;

/// What a pruning did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneReport {
    pub before: DateTime<Utc>,
    /// Events that lost their detail, or would.
    pub events: u64,
    /// Where it lies.
    pub proven: Vec<Proven>,
    /// What was old enough and stays, and why.
    pub kept: Vec<Kept>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub stretch: Stretch,
    pub why: Failure,
}

/// The segment that holds the detail of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetailPlace {
    /// Position of the event that says so.
    pub pruning: i64,
    /// The target, in words.
    pub place: String,
    pub key: String,
}

/// What the server kept when it last pruned by itself.
pub(super) type LastKept = Mutex<Vec<Kept>>;

/// A target that can be read.
struct Source {
    place: String,
    target: Arc<dyn Target>,
    segments: Vec<Segment>,
}

impl Holdfast {
    /// Prunes what happened more than so many days ago; `dry_run` only tells. Once it is done, asking again
    /// finds nothing to do.
    pub async fn prune_audit(
        &self,
        caller: &Caller,
        older_than_days: u32,
        dry_run: bool,
    ) -> Result<PruneReport> {
        caller.must_be(Role::Admin)?;
        if !dry_run {
            self.must_be_fresh(caller)?;
        }
        let age = TimeDelta::days(older_than_days.into());
        let before = self.log().now().checked_sub_signed(age);
        let before = before
            .filter(|_| older_than_days > 0)
            .ok_or_else(|| AppError::field("older_than_days", "use a number of days, from 1 on"))?;
        let mut report = PruneReport {
            before,
            events: 0,
            proven: Vec::new(),
            kept: Vec::new(),
        };
        let stretches = self.log().prunable(before, FULL).await?;
        if stretches.is_empty() {
            return Ok(report);
        }
        let (sources, away) = self.sources().await?;
        for stretches in stretches.chunks(TOGETHER) {
            let mut proven = Vec::new();
            for stretch in stretches {
                match self.prove_detail(stretch, &sources, &away).await? {
                    Ok(found) => proven.push(found),
                    Err(why) => report.kept.push(Kept {
                        stretch: *stretch,
                        why,
                    }),
                }
            }
            self.prune_proven(caller, proven, dry_run, &mut report)
                .await?;
        }
        Ok(report)
    }

    async fn prune_proven(
        &self,
        caller: &Caller,
        proven: Vec<Proven>,
        dry_run: bool,
        report: &mut PruneReport,
    ) -> Result<()> {
        if dry_run {
            report.events += proven.iter().map(|it| it.stretch.events).sum::<u64>();
        } else if let Ok(_alone) = self.0.exports.try_write() {
            let (cause, key) = (caller.cause(), self.log_key()?);
            let pruned = self.log().prune(cause, key, report.before, proven.clone());
            report.events += pruned.await?;
        } else {
            // Its first half would have the detail, its second not, and its head would come before the reason.
            let why = Failure::temporary(
                "an export of the log is under way",
                "Prune again when it has ended.",
            );
            report.kept.extend(proven.into_iter().map(|it| Kept {
                stretch: it.stretch,
                why: why.clone(),
            }));
            return Ok(());
        }
        report.proven.extend(proven);
        Ok(())
    }

    /// By the server itself, where it was told for how long detail stays.
    pub async fn prune_old_detail(&self) -> Result<()> {
        let Some(days) = self.settings().audit_detail_days else {
            return Ok(());
        };
        let caller = Caller::system("audit-detail");
        let report = self.prune_audit(&caller, days, false).await?;
        if report.events > 0 {
            tracing::info!(report.events, "old audit detail was pruned");
        }
        if let Some(kept) = report.kept.first() {
            tracing::warn!(error = %kept.why.message, "old audit detail stays");
        }
        *self
            .0
            .kept_detail
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = report.kept;
        Ok(())
    }

    /// What was old enough and stayed when the server last pruned by itself.
    pub(super) fn kept_detail(&self) -> Vec<Kept> {
        let kept = self.0.kept_detail.lock();
        kept.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the detail of an event lies that was pruned.
    pub async fn detail_of(&self, event: &Recorded) -> Result<Option<DetailPlace>> {
        let Event::Audit(AuditEvent::DetailPruned(name)) = &event.event else {
            return Ok(None);
        };
        let prunings = self.log().prunings().await?;
        let found = prunings.iter().rev().find_map(|(position, pruning)| {
            let piece = pruning.piece_of(event.position, name)?;
            Some(DetailPlace {
                pruning: *position,
                place: piece.place.clone(),
                key: piece.key.clone(),
            })
        });
        Ok(found)
    }

    /// The targets with what lies there of this server's log, and why others cannot say.
    async fn sources(&self) -> Result<(Vec<Source>, Vec<Failure>)> {
        let instance = self.instance();
        let (mut sources, mut away) = (Vec::new(), Vec::new());
        for InUse { place, target } in self.targets_in_use().await?.into_values() {
            let target = match target {
                Ok(target) => target,
                Err(failure) => {
                    away.push(failure);
                    continue;
                }
            };
            match segments(&*target, &instance).await {
                Ok(segments) => sources.push(Source {
                    place,
                    target,
                    segments,
                }),
                Err(error) => away.push(error.into()),
            }
        }
        Ok((sources, away))
    }

    /// Reads one segment after the other until one holds the stretch whole; else why none does.
    async fn prove_detail(
        &self,
        stretch: &Stretch,
        sources: &[Source],
        away: &[Failure],
    ) -> Result<Result<Proven, Failure>> {
        let mut whys: Vec<String> = away.iter().map(|it| it.message.clone()).collect();
        for source in sources {
            let of_it = |it: &&Segment| (it.first, it.last) == (stretch.first, stretch.last);
            let mut found = false;
            for segment in source.segments.iter().rev().filter(of_it) {
                found = true;
                let key = segment.key().map_err(Failure::from)?;
                let packed = match read_segment(&*source.target, &key).await {
                    Ok(packed) => packed,
                    Err(error) => {
                        whys.push(Failure::from(error).message);
                        continue;
                    }
                };
                let instance = &segment.instance;
                let held = self.log().holds_detail(&packed, instance, stretch).await?;
                let Some(sha256) = held else {
                    whys.push(format!(
                        "{key} in {} does not hold them whole",
                        source.place
                    ));
                    continue;
                };
                return Ok(Ok(Proven {
                    stretch: *stretch,
                    place: source.place.clone(),
                    key: key.to_string(),
                    sha256,
                }));
            }
            if !found {
                whys.push(format!("{} has no sealed segment of them", source.place));
            }
        }
        if whys.is_empty() {
            whys.push("no config stores anywhere".to_owned());
        }
        Ok(Err(Failure::temporary(
            format!(
                "no target could show the events from {} to {} whole: {}",
                stretch.first,
                stretch.last,
                whys.join("; ")
            ),
            "Nothing is pruned that cannot be read elsewhere. `holdfast doctor` tells how far the log is in each \
             target; prune again when one is back.",
        )))
    }
}
