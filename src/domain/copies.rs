//! Copies of a run's artifact in further targets. The run is a success without them: each has its own
//! attempts and its own end, and what became of it is told beside the run.
//!
//! A copy that failed is always tried again, until it is made or the artifact is let go: somebody may
//! mend its target at any time. One that was made and is found damaged or gone later (`verification`) waits
//! for a person: what lies there may be wanted, and what did it may still be at work.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    aggregate::Refusal,
    config::SecretRef,
    failure::{Failure, FieldErrors},
    run::{Run, RunEvent},
    text,
    verification::{CopyFinding, Damage},
};

/// More would be an archive's business, not a backup's.
pub const MAX_COPIES: usize = 4;

/// Attempts after which a copy is said to have failed to whoever listens: one that succeeds a moment
/// later is no news.
pub const TOLD_AFTER: u32 = 4;

/// Where a config stores, beside its first target. As there: a kind, its plain settings, and references
/// to its secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FurtherTarget {
    pub target: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretRef>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyCommand {
    Make {
        copy: u32,
        attempt: u32,
    },
    Fail {
        copy: u32,
        attempt: u32,
        failure: Failure,
        retry_at: DateTime<Utc>,
    },
    /// Now, whenever the next attempt was to be; also in place of a copy that was found damaged.
    Again {
        copy: u32,
    },
}

/// What has become of one copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyState {
    /// Attempts that have ended.
    pub attempts: u32,
    pub stored: bool,
    /// Of the last attempt; none once it is stored.
    pub failure: Option<Failure>,
    /// When the next attempt may begin.
    pub retry_at: Option<DateTime<Utc>>,
    /// It was stored, and found so: nothing is tried before somebody asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
    /// What lies there is that damaged copy: the next attempt takes its place.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replace: bool,
    /// Why the last verification could not read it: that says nothing about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Failure>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

impl CopyState {
    /// `stored`, `failed` (it is tried again), `pending`, or `damaged` or `missing` (it was stored).
    pub fn status(&self) -> &'static str {
        match (self.stored, self.damage, &self.failure) {
            (true, ..) => "stored",
            (false, Some(damage), _) => damage.status(),
            (false, None, Some(_)) => "failed",
            (false, None, None) => "pending",
        }
    }

    /// What is wrong with it, or why nobody could look.
    pub fn problem(&self) -> Option<&Failure> {
        self.failure.as_ref().or(self.unread.as_ref())
    }

    /// Attempts go on until it is made.
    pub fn is_open(&self) -> bool {
        !self.stored && self.damage.is_none()
    }
}

/// How many places hold the artifact, the first target among them: `2 of 3 copies`.
pub fn said(copies: &[CopyState]) -> String {
    let stored = copies.iter().filter(|copy| copy.stored).count();
    format!("{} of {} copies", stored + 1, copies.len() + 1)
}

/// Those that a run which succeeds owes.
pub(super) fn wanted(run: &Run) -> Vec<RunEvent> {
    let further = run.pin.as_ref().map_or(0, |pin| pin.spec.copies.len());
    let copies = (0..further).filter_map(|copy| u32::try_from(copy).ok());
    copies
        .map(|copy| RunEvent::CopyRequested { copy })
        .collect()
}

pub(super) fn decide(run: &Run, command: CopyCommand) -> Result<Vec<RunEvent>, Refusal> {
    let (copy, attempt, event) = match command {
        CopyCommand::Make { copy, attempt } => {
            (copy, attempt, RunEvent::CopyMade { copy, attempt })
        }
        CopyCommand::Fail {
            copy,
            attempt,
            failure,
            retry_at,
        } => {
            let failed = RunEvent::CopyFailed {
                copy,
                attempt,
                failure,
                retry_at,
            };
            (copy, attempt, failed)
        }
        CopyCommand::Again { copy } => return again(run, copy),
    };
    if is_due(run, copy, attempt) {
        return Ok(vec![event]);
    }
    let present = run.copies.get(copy as usize);
    Err(Refusal::Stale {
        attempt,
        present: present.map_or(0, |copy| copy.attempts),
    })
}

/// The attempt that waits is given up for one that begins now: the number tells the two apart.
fn again(run: &Run, copy: u32) -> Result<Vec<RunEvent>, Refusal> {
    let Some(state) = run.copies.get(copy as usize) else {
        return Err(Refusal::NotFound(format!(
            "copy {} of run {}",
            u64::from(copy) + 1,
            run.id
        )));
    };
    if run.expired {
        let gone = format!("the backup of run {} is not kept any more", run.id);
        return Err(Refusal::Conflict(gone));
    }
    if state.stored {
        return Err(Refusal::Conflict(format!(
            "copy {} of run {} is stored: verify the run to have it read again",
            u64::from(copy) + 1,
            run.id
        )));
    }
    if state.status() == "pending" {
        return Ok(vec![]); // it begins as soon as it can
    }
    let attempt = state.attempts + 1;
    Ok(vec![RunEvent::CopyRetried { copy, attempt }])
}

/// The next attempt of a copy that is still to be made, of an artifact that is still kept.
pub fn is_due(run: &Run, copy: u32, attempt: u32) -> bool {
    let copy = run.copies.get(copy as usize);
    !run.expired && copy.is_some_and(|copy| copy.is_open() && copy.attempts + 1 == attempt)
}

/// Also how the read model follows.
pub fn evolve(copies: &mut Vec<CopyState>, event: &RunEvent) {
    match event {
        RunEvent::CopyRequested { .. } => copies.push(CopyState::default()),
        RunEvent::CopyMade { copy, attempt } => {
            if let Some(copy) = copies.get_mut(*copy as usize) {
                *copy = CopyState {
                    attempts: *attempt,
                    stored: true,
                    ..CopyState::default()
                };
            }
        }
        RunEvent::CopyFailed {
            copy,
            attempt,
            failure,
            retry_at,
        } => {
            if let Some(copy) = copies.get_mut(*copy as usize) {
                copy.attempts = *attempt;
                copy.failure = Some(failure.clone());
                copy.retry_at = Some(*retry_at);
            }
        }
        RunEvent::CopyRetried { copy, attempt } => {
            if let Some(copy) = copies.get_mut(*copy as usize) {
                copy.attempts = *attempt;
                copy.replace |= copy.damage.take().is_some();
                copy.failure = None;
                copy.retry_at = None;
            }
        }
        RunEvent::VerificationPassed { copies: found, .. }
        | RunEvent::VerificationFailed { copies: found, .. }
        | RunEvent::ArtifactUnreadable { copies: found, .. } => {
            for finding in found {
                if let Some(copy) = copies.get_mut(finding.copy as usize) {
                    copy.believe(finding);
                }
            }
        }
        _ => {}
    }
}

impl CopyState {
    fn believe(&mut self, finding: &CopyFinding) {
        self.unread = None;
        match finding.damage {
            // Made anew while it was read: what was read is not what lies there now.
            _ if !self.stored => {}
            Some(damage) => {
                self.stored = false;
                self.damage = Some(damage);
                self.failure.clone_from(&finding.failure);
            }
            None => self.unread.clone_from(&finding.failure),
        }
    }
}

/// What holds for the further targets of a config, whatever their kinds say. `first` is where it stores
/// first.
pub fn check(first: &FurtherTarget, copies: &[FurtherTarget]) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    if copies.len() > MAX_COPIES {
        errors.add(
            "copies",
            format!("use at most {MAX_COPIES} further targets"),
        );
    }
    for (index, copy) in copies.iter().enumerate() {
        for (key, value) in &copy.settings {
            let field = format!("copies[{index}].{key}");
            errors.merge(text::setting(&field, value));
        }
        let same =
            |other: &FurtherTarget| other.target == copy.target && other.settings == copy.settings;
        if same(first) || copies[..index].iter().any(same) {
            let problem = "backups are stored there already: a second copy has to lie elsewhere";
            errors.add(format!("copies[{index}].target"), problem);
        }
    }
    errors.into_result()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(name: &str) -> FurtherTarget {
        FurtherTarget {
            target: "s3".to_owned(),
            settings: BTreeMap::from([("bucket".to_owned(), name.to_owned())]),
            secrets: BTreeMap::new(),
        }
    }

    #[test]
    fn no_two_copies_lie_in_one_place() {
        let local = FurtherTarget {
            target: "local".to_owned(),
            ..FurtherTarget::default()
        };
        assert!(check(&local, &[bucket("a"), bucket("b")]).is_ok());
        for copies in [
            vec![local.clone()],
            vec![bucket("a"), bucket("a")],
            (0..=MAX_COPIES).map(|n| bucket(&n.to_string())).collect(),
        ] {
            assert!(check(&local, &copies).is_err(), "{copies:?}");
        }
    }

    #[test]
    fn a_copy_is_owed_until_it_is_made_and_only_the_next_attempt_speaks() {
        let at = DateTime::default();
        let mut run = Run::default();
        run.copies.resize(2, CopyState::default());
        let fail = |copy, attempt| CopyCommand::Fail {
            copy,
            attempt,
            failure: Failure::temporary("no route to host", ""),
            retry_at: at,
        };
        let tell = |run: &mut Run, command| {
            let events = decide(run, command)?;
            for event in &events {
                evolve(&mut run.copies, event);
            }
            Ok::<_, Refusal>(())
        };
        assert_eq!(run.copies[0].status(), "pending");
        tell(&mut run, fail(0, 1)).unwrap();
        assert_eq!(run.copies[0].status(), "failed");
        assert!(tell(&mut run, fail(0, 1)).is_err(), "an old attempt");
        assert!(tell(&mut run, fail(2, 1)).is_err(), "no such copy");
        let make = CopyCommand::Make {
            copy: 0,
            attempt: 2,
        };
        tell(&mut run, make.clone()).unwrap();
        assert_eq!(run.copies[0].status(), "stored");
        assert_eq!(said(&run.copies), "2 of 3 copies");
        assert!(tell(&mut run, make).is_err(), "it is made");
        run.expired = true;
        assert!(!is_due(&run, 1, 1), "what is let go is copied nowhere");
    }

    #[test]
    fn a_copy_found_damaged_waits_for_a_person_and_is_replaced() {
        let mut run = Run::default();
        run.copies.resize(2, CopyState::default());
        let tell = |run: &mut Run, command| {
            let events = decide(run, command)?;
            for event in &events {
                evolve(&mut run.copies, event);
            }
            Ok::<_, Refusal>(())
        };
        for copy in 0..2 {
            tell(&mut run, CopyCommand::Make { copy, attempt: 1 }).unwrap();
        }
        let again = CopyCommand::Again { copy: 0 };
        assert!(tell(&mut run, again.clone()).is_err(), "it is stored");
        let found = RunEvent::VerificationPassed {
            verification: 1,
            copies: vec![
                CopyFinding {
                    copy: 0,
                    damage: Some(Damage::Altered),
                    failure: Some(Failure::permanent("it is not what was stored", "")),
                },
                CopyFinding {
                    copy: 1,
                    damage: None,
                    failure: Some(Failure::temporary("no route to host", "")),
                },
            ],
        };
        evolve(&mut run.copies, &found);
        assert_eq!(run.copies[0].status(), "damaged");
        assert!(!is_due(&run, 0, 2), "nobody has asked for it");
        assert!(run.copies[1].stored && run.copies[1].unread.is_some());
        tell(&mut run, again.clone()).unwrap();
        assert_eq!(run.copies[0].status(), "pending");
        assert!(run.copies[0].replace && is_due(&run, 0, 3));
        tell(&mut run, again.clone()).unwrap();
        assert!(is_due(&run, 0, 3), "twice is once");
        let failed = CopyCommand::Fail {
            copy: 0,
            attempt: 3,
            failure: Failure::temporary("no route to host", ""),
            retry_at: DateTime::default(),
        };
        tell(&mut run, failed).unwrap();
        // The attempt that was to come later is not the one that comes now.
        tell(&mut run, again).unwrap();
        assert!(run.copies[0].replace && !is_due(&run, 0, 4) && is_due(&run, 0, 5));
        tell(
            &mut run,
            CopyCommand::Make {
                copy: 0,
                attempt: 5,
            },
        )
        .unwrap();
        assert!(run.copies[0].stored && !run.copies[0].replace);
        assert!(tell(&mut run, CopyCommand::Again { copy: 7 }).is_err());
    }
}
