//! `/metrics`, for whoever watches many servers at once: in the text format of Prometheus, or in that of
//! OpenMetrics to those who ask for it. Made from the read models when it is asked for; the session or token
//! that asks decides what is in it. `docs/operations.md` lists the names, and a test compares.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use poem::{Request, Response, handler, http::header, web::Data};
use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text, text},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};

use super::{
    Web, api,
    health::{self, Health, State},
};
use crate::{
    app::{AppError, Caller, Result},
    domain::{grant::TokenScope, ids::AppId, lateness::Overdue},
    readmodel::{
        configs,
        overview::{self, Beat},
    },
    work,
};

const OPEN_METRICS: &str = "application/openmetrics-text";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    app: String,
    config: i64,
    service: String,
    strategy: String,
    target: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    status: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Version {
    version: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Queue {
    queue: &'static str,
}

type PerConfig = Family<Labels, Gauge>;

#[handler]
pub async fn show(req: &Request, Data(web): Data<&Web>) -> poem::Result<Response> {
    let caller = api::access::caller(req).await?;
    caller
        .must_have(TokenScope::Read)
        .map_err(api::ApiError::from)?;
    let asked = req.header(header::ACCEPT).unwrap_or_default();
    let (kind, text) = text(web, &caller, asked.contains(OPEN_METRICS))
        .await
        .map_err(api::ApiError::from)?;
    Ok(Response::builder().content_type(kind).body(text))
}

/// Content type and text.
async fn text(web: &Web, caller: &Caller, open: bool) -> Result<(String, String)> {
    let mut registry = Registry::with_prefix("holdfast");
    let build: Family<Version, Gauge> = Family::default();
    let version = env!("CARGO_PKG_VERSION");
    build.get_or_create(&Version { version }).set(1);
    registry.register("build_info", "The version that runs", build);
    let head = u64::try_from(web.holdfast.log().head()).unwrap_or(0);
    let help = "Events in the log, those of before the start among them";
    registry.register("log_events", help, ConstCounter::new(head));
    configs(web, caller, &mut registry).await?;
    workers(web, &mut registry).await?;
    let mut text = String::new();
    let (kind, encoded) = if open {
        let kind = format!("{OPEN_METRICS}; version=1.0.0; charset=utf-8");
        (kind, text::encode(&mut text, &registry))
    } else {
        let kind = prometheus_text::CONTENT_TYPE.to_owned();
        (kind, prometheus_text::encode(&mut text, &registry))
    };
    encoded.map_err(|error| AppError::Internal(error.to_string()))?;
    Ok((kind, text))
}

/// Of every config: whether it is as its schedule promises, and its newest good backup.
async fn configs(web: &Web, caller: &Caller, registry: &mut Registry) -> Result<()> {
    let (db, now) = (web.holdfast.log().db(), web.holdfast.log().now());
    let apps = web.holdfast.apps(caller).await?;
    let slugs: BTreeMap<i64, String> = apps.into_iter().map(|app| (app.id, app.slug)).collect();
    let newest = overview::by_config(overview::newest(db).await?);
    let successes = overview::by_config(overview::newest_successes(db).await?);
    let figures = Figures::new(registry);
    for config in configs::list(db).await? {
        let Some(app) = slugs.get(&config.app_id) else {
            continue;
        };
        let labels = Labels {
            app: app.clone(),
            config: config.id,
            service: config.service.clone(),
            strategy: config.strategy.clone(),
            target: config.target.clone(),
        };
        let (last, good) = (newest.get(&config.id), successes.get(&config.id));
        figures.set(&labels, &health::judge(&config, last, good, now), good, now);
    }
    let running: Family<Status, Gauge> = Family::default();
    for status in ["queued", "running"] {
        let waiting = newest
            .values()
            .filter(|beat| beat.status == status && caller.sees(AppId(beat.app_id)));
        let labels = Status {
            status: status.to_owned(),
        };
        running.get_or_create(&labels).set(gauge(waiting.count()));
    }
    registry.register(
        "runs",
        "Configs whose newest run waits or is at work",
        running,
    );
    Ok(())
}

/// One family a figure, each with all configs.
struct Figures {
    failing: PerConfig,
    late: PerConfig,
    missed: PerConfig,
    at: PerConfig,
    age: PerConfig,
    bytes: PerConfig,
    duration: PerConfig,
}

impl Figures {
    fn new(registry: &mut Registry) -> Self {
        let mut family = |name: &str, help: &str| {
            let family = PerConfig::default();
            registry.register(name, help, family.clone());
            family
        };
        Self {
            failing: family(
                "backup_failing",
                "1 when the newest run failed, or its backup was found damaged since",
            ),
            late: family(
                "backup_late",
                "1 when a slot of the schedule went by without a good backup",
            ),
            missed: family(
                "backup_missed",
                "1 when that has lasted until the slot after it, or for a day",
            ),
            at: family(
                "backup_last_success_timestamp_seconds",
                "End of the newest good backup, in Unix time; absent while there is none",
            ),
            age: family(
                "backup_last_success_age_seconds",
                "Age of the newest good backup: what would be lost now",
            ),
            bytes: family(
                "backup_last_success_size_bytes",
                "Stored size of the newest good backup",
            ),
            duration: family(
                "backup_last_success_duration_seconds",
                "How long the newest good backup took",
            ),
        }
    }

    fn set(&self, labels: &Labels, health: &Health, good: Option<&Beat>, now: DateTime<Utc>) {
        let set = |family: &PerConfig, value: i64| {
            family.get_or_create(labels).set(value);
        };
        let failing = matches!(health.state, State::Failed | State::Damaged);
        set(&self.failing, i64::from(failing));
        set(&self.late, i64::from(health.overdue.is_some()));
        let missed = health.overdue == Some(Overdue::Missed);
        set(&self.missed, i64::from(missed));
        let Some(good) = good else {
            return;
        };
        let end = good.finished_at.unwrap_or(good.requested_at);
        set(&self.at, end / 1000);
        set(&self.age, (now.timestamp_millis() - end).max(0) / 1000);
        set(&self.bytes, good.size_bytes.unwrap_or(0));
        if let Some(start) = good.started_at {
            set(&self.duration, (end - start).max(0) / 1000);
        }
    }
}

/// Of a process that has workers; the queue is in its database.
async fn workers(web: &Web, registry: &mut Registry) -> Result<()> {
    let (alive, busy): (Family<Queue, Gauge>, Family<Queue, Gauge>) = Default::default();
    let due: Family<Queue, Gauge> = Family::default();
    let restarts: Family<Queue, Counter> = Family::default();
    if let Some(work) = &web.work {
        for worker in work.workers() {
            let labels = Queue {
                queue: worker.queue,
            };
            alive.get_or_create(&labels).set(i64::from(worker.alive));
            busy.get_or_create(&labels).set(gauge(worker.busy));
            let again = u64::try_from(worker.restarts).unwrap_or(u64::MAX);
            restarts.get_or_create(&labels).inc_by(again);
        }
        for (queue, jobs) in work::waiting(web.holdfast.log()).await? {
            due.get_or_create(&Queue { queue }).set(jobs);
        }
    }
    registry.register("worker_alive", "1 while the queue's worker answers", alive);
    registry.register("worker_jobs", "Jobs in hand", busy);
    registry.register(
        "worker_restarts",
        "Workers that ended or fell silent, and were replaced",
        restarts,
    );
    registry.register("queue_jobs", "Jobs that are due and not taken yet", due);
    let (at_work, waiting) = web.holdfast.backups_at_work();
    registry.register(
        "backups_at_work",
        "Backups at work",
        ConstGauge::new(gauge(at_work)),
    );
    registry.register(
        "backups_waiting",
        "Backups that wait for others",
        ConstGauge::new(gauge(waiting)),
    );
    Ok(())
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
