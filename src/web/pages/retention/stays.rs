//! What a rule keeps, drawn: the backups of today and of the next 90 days, and which of them are there at
//! the end. Also while the rule is being typed, before anything is stored.

use std::fmt::{self, Write as _};

use askama::{Template, filters::HtmlSafe};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use poem::{Response, handler, http::StatusCode, web::Query};

use crate::{
    app::{FoundDraft, RetentionPreview},
    domain::{
        config::ConfigSpec,
        forecast::DAYS,
        ids::ConfigId,
        retention::{self, Gfs, Retention},
        schedule,
    },
    web::{
        errors::WebError,
        page,
        pages::config::plan,
        parts,
        request::{Form, Visit},
        words::{self, Moment},
    },
};

/// So many that go are named.
const NAMED: usize = 5;

#[derive(Default, Template)]
#[template(path = "retention/_stays.html")]
pub struct Stays {
    said: String,
    /// Of those that are there today.
    goes: Vec<(i64, Moment)>,
    more: usize,
    chart: Option<Chart>,
    problem: Option<String>,
}

impl Stays {
    pub fn of(preview: &RetentionPreview, zone: Tz, now: DateTime<Utc>) -> Self {
        let leaving = preview.plan.leaving();
        let goes: Vec<_> = leaving
            .iter()
            .filter_map(|run| preview.runs.iter().find(|row| row.run_id() == *run))
            .map(|run| {
                (
                    run.id,
                    Moment::of_millis(now, run.started_at.unwrap_or(run.requested_at)),
                )
            })
            .collect();
        let Some(forecast) = &preview.forecast else {
            return Self {
                said: "Without a schedule nothing comes by itself; the rule is applied after each good run."
                    .to_owned(),
                more: goes.len().saturating_sub(NAMED),
                goes: goes.into_iter().take(NAMED).collect(),
                ..Self::default()
            };
        };
        let points = preview.plan.verdicts.iter().map(|verdict| verdict.point);
        let (stay, leave): (Vec<_>, Vec<_>) = points.partition(|point| {
            !leaving.contains(&point.run) && !forecast.leaving.contains_key(&point.run)
        });
        let coming = forecast.staying.iter().map(|verdict| verdict.point.at);
        let mut kept: Vec<DateTime<Utc>> =
            stay.iter().map(|point| point.at).chain(coming).collect();
        kept.sort_unstable();
        let gone: Vec<DateTime<Utc>> = leave.iter().map(|point| point.at).collect();
        let oldest = kept.first().map(|at| {
            let day = at.with_timezone(&zone).format("%-d %B");
            format!(", the oldest from {day}")
        });
        let said = format!(
            "At most {} at once. In {DAYS} days {} there{}.",
            words::plural(forecast.most, "backup"),
            match kept.len() {
                1 => "1 is".to_owned(),
                kept => format!("{} are", words::count(kept as u64)),
            },
            oldest.unwrap_or_default(),
        );
        Self {
            chart: Some(Chart::new(&kept, &gone, now, &said)),
            said,
            more: goes.len().saturating_sub(NAMED),
            goes: goes.into_iter().take(NAMED).collect(),
            problem: None,
        }
    }

    /// Of a form as it stands; `config` names whose backups are looked at too.
    pub async fn asked(visit: &Visit, form: &Form) -> Result<Self, WebError> {
        let id = form
            .text("config")
            .parse()
            .ok()
            .filter(|id| *id > 0)
            .map(ConfigId);
        let wrong = |problem: String| Self {
            problem: Some(problem),
            ..Self::default()
        };
        let rule = match rule_of(form) {
            Ok(rule) => rule,
            Err(problem) => return Ok(wrong(problem)),
        };
        let zone = schedule::zone(form.text("time_zone")).unwrap_or(Tz::UTC);
        let spec = ConfigSpec {
            retention: rule,
            schedule_cron: plan::cron_of(form).unwrap_or_default(),
            time_zone: zone.name().to_owned(),
            enabled: form.checked("enabled"),
            ..ConfigSpec::default()
        };
        let forecast = visit.holdfast.retention_forecast(&visit.caller, id, spec);
        Ok(Self::of(&forecast.await?, zone, visit.now))
    }
}

fn rule_of(form: &Form) -> Result<Retention, String> {
    let number = |name: &str, usual: u32| match form.number(name) {
        Ok(number) => Ok(number.unwrap_or(usual)),
        Err(problem) => Err(problem),
    };
    let rule = match form.text("retention_mode") {
        "time" => Retention::Time {
            days: number("retention_days", 30)?,
        },
        "gfs" => Retention::Gfs(Gfs {
            keep_last: number("keep_last", 0)?,
            keep_daily: number("keep_daily", 0)?,
            keep_weekly: number("keep_weekly", 0)?,
            keep_monthly: number("keep_monthly", 0)?,
            keep_yearly: number("keep_yearly", 0)?,
        }),
        _ => Retention::Count {
            count: number("retention_count", 7)?,
        },
    };
    let checked = retention::check(&rule);
    checked.map_err(|errors| errors.0.into_values().next().unwrap_or_default())?;
    Ok(rule)
}

#[handler]
pub async fn foretell(
    visit: Visit,
    Query(sent): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let sent = Form::of(sent);
    let form = match kept(&visit, &sent).await? {
        // On a step of its own the schedule was said on another one.
        Some(kept) => Form::of(own(&sent).chain(own(&kept))),
        None => sent,
    };
    page::fragment(StatusCode::OK, &Stays::asked(&visit, &form).await?)
}

fn own(form: &Form) -> impl Iterator<Item = (String, String)> {
    form.fields()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

async fn kept(visit: &Visit, form: &Form) -> Result<Option<Form>, WebError> {
    let id = form.text("draft");
    if id.is_empty() {
        return Ok(None);
    }
    let app = visit
        .holdfast
        .app_to_act_in(&visit.caller, form.text("app"))
        .await?;
    Ok(
        match visit.holdfast.draft(&visit.caller, app.app_id(), id) {
            Some(FoundDraft::Open(fields)) => Some(Form::of(fields.expose().clone())),
            Some(FoundDraft::Done(_)) | None => None,
        },
    )
}

/// Kept ones as bars, those that go as dots, from the oldest that is there to the end.
struct Chart {
    kept: String,
    gone: String,
    today: i64,
    said: String,
    from: String,
    until: String,
}

const WIDTH: i64 = 600;
const EDGE: i64 = 4;

impl Chart {
    fn new(kept: &[DateTime<Utc>], gone: &[DateTime<Utc>], now: DateTime<Utc>, said: &str) -> Self {
        let end = now + TimeDelta::days(DAYS);
        let first = kept.iter().chain(gone).min().copied();
        let start = first.unwrap_or(now).min(now);
        let span = (end - start).num_seconds().max(1);
        let x = |at: DateTime<Utc>| {
            EDGE + (at - start).num_seconds().clamp(0, span) * (WIDTH - 2 * EDGE) / span
        };
        let marks = |times: &[DateTime<Utc>], shape: &str| {
            let mut places: Vec<i64> = times.iter().map(|at| x(*at)).collect();
            places.sort_unstable();
            places.dedup();
            places.iter().fold(String::new(), |mut path, x| {
                let _ = write!(path, "M{x} {shape}");
                path
            })
        };
        let day = |at: DateTime<Utc>| at.format("%-d %b %Y").to_string();
        Self {
            kept: marks(kept, "6v20"),
            gone: marks(gone, "26v.1"),
            today: x(now),
            said: said.to_owned(),
            from: if start == now {
                "today".to_owned()
            } else {
                day(start)
            },
            until: day(end),
        }
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kept,
            gone,
            today,
            said,
            ..
        } = self;
        write!(
            f,
            r#"<svg class="stays" viewBox="0 0 {WIDTH} 32" preserveAspectRatio="none" role="img" aria-label="{said}"><title>{said}</title><path class="axis" d="M0 30H{WIDTH}"/><path class="today" d="M{today} 2v28"/><path class="gone" d="{gone}"/><path class="kept" d="{kept}"/></svg>"#
        )
    }
}

impl HtmlSafe for Chart {}
