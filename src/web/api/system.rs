//! The server itself: its health, and its read models.

use poem_openapi::{Object, OpenApi, payload::Json};

use super::{answer::Answer, visit::Visit};
use crate::app::Verdict;

#[derive(Object)]
#[oai(read_only_all)]
pub struct Doctor {
    /// Nothing is bad.
    ok: bool,
    checks: Vec<Check>,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct Check {
    name: String,
    /// `ok`, `warning` or `bad`.
    verdict: String,
    /// What was found.
    found: String,
    /// What to do about it; empty when all is well.
    hint: String,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct Rebuild {
    events: u64,
    milliseconds: u64,
    /// Read models that differed from what the log says.
    differed: Vec<String>,
}

pub struct System;

#[OpenApi]
impl System {
    /// Looks at everything that Holdfast needs from its surroundings
    #[oai(path = "/system/doctor", method = "get", operation_id = "doctor")]
    async fn doctor(&self, visit: Visit) -> Answer<Doctor> {
        let checks = visit.holdfast.doctor().await?;
        Ok(Json(Doctor {
            ok: checks.iter().all(|check| check.verdict != Verdict::Bad),
            checks: checks
                .into_iter()
                .map(|check| Check {
                    name: check.name.to_owned(),
                    verdict: check.verdict.name().to_owned(),
                    found: check.found,
                    hint: check.hint,
                })
                .collect(),
        }))
    }

    /// Empties every read model and fills it again from the log
    #[oai(path = "/system/rebuild", method = "post", operation_id = "rebuild")]
    async fn rebuild(&self, visit: Visit) -> Answer<Rebuild> {
        let report = visit.holdfast.rebuild().await?;
        let differed = report.differed.into_iter();
        Ok(Json(Rebuild {
            events: report.events,
            milliseconds: u64::try_from(report.milliseconds).unwrap_or(u64::MAX),
            differed: differed.map(ToOwned::to_owned).collect(),
        }))
    }
}
