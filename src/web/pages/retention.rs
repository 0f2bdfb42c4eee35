//! What the retention of a config keeps and lets go, and why: now, and while the schedule goes on.

use askama::Template;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use poem::{Response, handler, web::Path};

mod stays;

pub use self::stays::{Stays, foretell};

use crate::{
    app::RetentionPreview,
    domain::{
        forecast::{DAYS, Forecast},
        ids::{AppId, ConfigId},
        retention::{Brake, Verdict},
        schedule,
    },
    readmodel::runs,
    web::{
        catalog,
        errors::WebError,
        page::Section,
        parts,
        request::Visit,
        words::{self, Moment},
    },
};

#[derive(Template)]
#[template(path = "retention/content.html")]
struct Content {
    slug: String,
    app: String,
    title: String,
    config: i64,
    rule: String,
    brake: Option<&'static str>,
    rows: Vec<Row>,
    coming: Option<Coming>,
    stays: Stays,
    can_act: bool,
}

/// A backup that is there.
struct Row {
    run: i64,
    at: Moment,
    size: String,
    /// Why it is kept; empty when it goes.
    why: String,
    leaves: Option<Moment>,
}

struct Coming {
    said: String,
    rows: Vec<(String, String)>,
}

#[handler]
pub async fn show(visit: Visit, Path(id): Path<i64>) -> Result<Response, WebError> {
    let preview = visit
        .holdfast
        .retention_preview(&visit.caller, ConfigId(id))
        .await?;
    let config = visit.holdfast.config(&visit.caller, ConfigId(id)).await?;
    let app = visit
        .holdfast
        .app_by_id(&visit.caller, AppId(config.app_id))
        .await?;
    let spec = config.spec();
    let zone = schedule::zone(&spec.time_zone).unwrap_or(Tz::UTC);
    let can_act = visit.caller.acts_in(app.app_id());
    let content = Content {
        slug: app.slug,
        app: app.name,
        title: catalog::config_title(&spec),
        config: id,
        rule: catalog::retention_words(spec.retention),
        brake: preview.plan.brake.map(Brake::words),
        rows: rows(&preview, visit.now),
        coming: preview.forecast.as_ref().map(|it| coming(it, zone)),
        stays: Stays::of(&preview, zone, visit.now),
        can_act,
    };
    let title = format!("Retention of {}", content.title);
    visit.page(&title, Section::Apps, &content)
}

fn rows(preview: &RetentionPreview, now: DateTime<Utc>) -> Vec<Row> {
    let leaving = preview.forecast.as_ref().map(|coming| &coming.leaving);
    let row = |(verdict, run): (&Verdict, &runs::Model)| Row {
        run: run.id,
        at: Moment::new(now, verdict.point.at),
        size: words::size_or_dash(run.size_bytes),
        why: why(verdict),
        leaves: leaving
            .and_then(|leaving| leaving.get(&verdict.point.run))
            .map(|&at| Moment::new(now, at)),
    };
    let verdicts = preview.plan.verdicts.iter();
    verdicts.zip(&preview.runs).map(row).collect()
}

fn coming(forecast: &Forecast, zone: Tz) -> Coming {
    let said = format!(
        "In the next {DAYS} days {} come due; at most {} lie in the destination at once. Of those \
         to come, these are there at the end:",
        words::plural(forecast.slots, "run"),
        words::plural(forecast.most, "backup"),
    );
    let staying = forecast.staying.iter();
    Coming {
        said,
        rows: staying
            .map(|verdict| (day(verdict.point.at, zone), why(verdict)))
            .collect(),
    }
}

fn day(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone)
        .format("%a %-d %b %Y, %H:%M")
        .to_string()
}

fn why(verdict: &Verdict) -> String {
    let reasons: Vec<String> = verdict.reasons.iter().map(|it| it.words()).collect();
    reasons.join("; ")
}
