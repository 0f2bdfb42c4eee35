//! `/metrics` in the OpenMetrics text format, for whoever watches many servers at once. Made from the
//! read models when it is asked for; the session or token that asks decides what is in it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use poem::{Request, Response, handler, web::Data};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

use super::{
    Web, api,
    health::{self, State},
};
use crate::{
    app::{AppError, Caller, Result},
    domain::{grant::TokenScope, ids::AppId},
    readmodel::{
        configs,
        overview::{self, Beat},
    },
};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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
    let text = text(web, &caller).await.map_err(api::ApiError::from)?;
    Ok(Response::builder().content_type(CONTENT_TYPE).body(text))
}

async fn text(web: &Web, caller: &Caller) -> Result<String> {
    let mut registry = Registry::with_prefix("holdfast");
    registry.register(
        "build",
        "The version that runs",
        Info::new([("version", env!("CARGO_PKG_VERSION"))]),
    );
    configs(web, caller, &mut registry).await?;
    workers(web, &mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| AppError::Internal(error.to_string()))?;
    Ok(text)
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
        let state = health::judge(&config, last, good, now).state;
        figures.set(&labels, state, good, now);
    }
    let running: Family<Status, Gauge> = Family::default();
    for status in ["queued", "running"] {
        let waiting = newest
            .values()
            .filter(|beat| beat.status == status && caller.sees(AppId(beat.app_id)));
        let count = i64::try_from(waiting.count()).unwrap_or(i64::MAX);
        let labels = Status {
            status: status.to_owned(),
        };
        running.get_or_create(&labels).set(count);
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

    fn set(&self, labels: &Labels, state: State, good: Option<&Beat>, now: DateTime<Utc>) {
        let set = |family: &PerConfig, value: i64| {
            family.get_or_create(labels).set(value);
        };
        let failing = matches!(state, State::Failed | State::Damaged);
        set(&self.failing, i64::from(failing));
        set(&self.late, i64::from(state == State::Late));
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

fn workers(web: &Web, registry: &mut Registry) {
    let (alive, busy): (Family<Queue, Gauge>, Family<Queue, Gauge>) = Default::default();
    let workers = web.work.as_ref().map(|work| work.workers());
    for worker in workers.unwrap_or_default() {
        let labels = Queue {
            queue: worker.queue,
        };
        alive.get_or_create(&labels).set(i64::from(worker.alive));
        let jobs = i64::try_from(worker.busy).unwrap_or(i64::MAX);
        busy.get_or_create(&labels).set(jobs);
    }
    registry.register("worker_alive", "1 while the queue's worker answers", alive);
    registry.register("worker_jobs", "Jobs in hand", busy);
    let (at_work, waiting): (Gauge, Gauge) = Default::default();
    let (at_work_now, waiting_now) = web.holdfast.backups_at_work();
    let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    at_work.set(gauge(at_work_now));
    waiting.set(gauge(waiting_now));
    registry.register("backups_at_work", "Backups at work", at_work);
    registry.register("backups_waiting", "Backups that wait for others", waiting);
}
