//! What retention keeps and lets go, as it is answered.

use poem_openapi::Object;

use crate::{
    app,
    domain::{
        forecast::{DAYS, Forecast},
        retention::{Reason, Verdict},
    },
    readmodel::runs,
    web::api::values::Time,
};

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct RetentionPreview {
    /// Why nothing is deleted at present, whatever the rule says.
    brake: Option<String>,
    /// The backups that are there, newest first.
    backups: Vec<KeptBackup>,
    /// Absent when the config has no schedule or is paused.
    forecast: Option<Coming>,
}

/// One backup that is there.
#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct KeptBackup {
    run_id: i64,
    at: Time,
    size_bytes: Option<i64>,
    /// False: the rule lets it go.
    kept: bool,
    /// Why it is kept, in words.
    reasons: Vec<String>,
    /// When it goes, as long as the schedule goes on and every run is good; absent when it outlasts the
    /// forecast.
    leaves_at: Option<Time>,
}

/// What will be while the schedule goes on as it is and every run is good.
#[derive(Object)]
#[oai(read_only_all)]
pub struct Coming {
    days: i64,
    /// Runs that come due in that time; at most 10,000 are looked at.
    runs: u64,
    /// The most backups that lie in the target at once.
    most: u64,
    /// Of the runs that come due, those whose backup is there at the end, oldest first.
    staying: Vec<Staying>,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct Staying {
    at: Time,
    reasons: Vec<String>,
}

impl From<app::RetentionPreview> for RetentionPreview {
    fn from(preview: app::RetentionPreview) -> Self {
        let forecast = preview.forecast.as_ref();
        let backups = preview.plan.verdicts.iter().zip(&preview.runs);
        Self {
            brake: preview.plan.brake.map(|brake| brake.words().to_owned()),
            backups: backups.map(|(it, run)| kept(it, run, forecast)).collect(),
            forecast: preview.forecast.as_ref().map(coming),
        }
    }
}

fn kept(verdict: &Verdict, run: &runs::Model, forecast: Option<&Forecast>) -> KeptBackup {
    let leaves = forecast.and_then(|coming| coming.leaving.get(&verdict.point.run));
    KeptBackup {
        run_id: verdict.point.run.0,
        at: verdict.point.at.into(),
        size_bytes: run.size_bytes,
        kept: !verdict.reasons.is_empty(),
        reasons: words(&verdict.reasons),
        leaves_at: leaves.map(|&at| at.into()),
    }
}

fn coming(forecast: &Forecast) -> Coming {
    let staying = forecast.staying.iter().map(|verdict| Staying {
        at: verdict.point.at.into(),
        reasons: words(&verdict.reasons),
    });
    Coming {
        days: DAYS,
        runs: forecast.slots as u64,
        most: forecast.most as u64,
        staying: staying.collect(),
    }
}

fn words(reasons: &[Reason]) -> Vec<String> {
    reasons.iter().map(|reason| reason.words()).collect()
}
