//! What a run's row says.

use super::{Model, StageTime, Verified};
use crate::{
    domain::{
        copies::CopyState,
        ids::RunId,
        manifest::{Artifact, Fingerprint},
        run::{Obligation, Pin},
    },
    readmodel::{from_json, from_optional_json},
};

impl Model {
    pub fn run_id(&self) -> RunId {
        RunId(self.id)
    }

    pub fn is_over(&self) -> bool {
        self.finished_at.is_some()
    }

    pub fn stages(&self) -> Vec<StageTime> {
        from_json(&self.stages)
    }

    pub fn obligations(&self) -> Vec<Obligation> {
        from_json(&self.obligations)
    }

    /// In the order of the pin's further targets.
    pub fn copies(&self) -> Vec<CopyState> {
        from_json(&self.copies)
    }

    pub fn warnings(&self) -> Vec<String> {
        from_json(&self.warnings)
    }

    /// Good, but something about it should be known.
    pub fn is_warned(&self) -> bool {
        self.warnings != "[]" || self.lacks_copy()
    }

    /// A further target does not hold it: the last try failed, or what it held was found to be bad.
    pub fn lacks_copy(&self) -> bool {
        self.copies().iter().any(|copy| copy.failure.is_some())
    }

    pub fn pin(&self) -> Option<Pin> {
        from_optional_json(self.pin.as_ref())
    }

    pub fn artifact(&self) -> Option<Artifact> {
        from_optional_json(self.artifact.as_ref())
    }

    pub fn fingerprint(&self) -> Option<Fingerprint> {
        from_optional_json(self.fingerprint.as_ref())
    }

    pub fn verification(&self) -> Option<Verified> {
        from_optional_json(self.verification.as_ref())
    }

    /// Its artifact was found damaged or gone.
    pub fn is_damaged(&self) -> bool {
        matches!(self.status.as_str(), "damaged" | "missing")
    }

    /// There is something left of the artifact that was found damaged.
    pub fn holds_damage(&self) -> bool {
        self.status == "damaged" && self.expired_at.is_none()
    }

    /// Nobody asked for it here: its artifact was found in a target.
    pub fn was_found(&self) -> bool {
        self.trigger == super::FOUND
    }

    /// Why there is nothing to restore, in words; `None` when there is.
    pub fn lacks_artifact(&self) -> Option<String> {
        match self.status.as_str() {
            "success" => {}
            // What its first target lost, a copy still holds.
            "damaged" | "missing" if self.copies().iter().any(|copy| copy.stored) => {}
            "damaged" | "missing" => {
                let failure = self.verification().and_then(|found| found.failure);
                let why = failure.map(|failure| failure.message).unwrap_or_default();
                return Some(format!(
                    "the backup of run {} is {}: {why}",
                    self.id, self.status
                ));
            }
            status => return Some(format!("run {} is no success but {status}", self.id)),
        }
        self.expired_at.map(|_| {
            format!(
                "the backup of run {} is not kept any more: retention deleted it, or whoever removed its config",
                self.id
            )
        })
    }

    /// Of the present attempt, or from request to end when it never started. Milliseconds.
    pub fn duration_ms(&self) -> Option<i64> {
        let start = self.started_at.unwrap_or(self.requested_at);
        self.finished_at.map(|end| (end - start).max(0))
    }
}
