//! All apps at a glance, and what ran lately: a handful of statements, however many apps there are.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use poem_openapi::{Object, OpenApi, payload::Json};

use super::{
    answer::Answer, configs::next_run, error::ApiError, runs::output::Run, values::Time,
    visit::Visit,
};
use crate::{
    app::{AppError, Unprotected},
    domain::ids::AppId,
    readmodel::{
        apps, configs,
        overview::{self, AppTotals, Beat},
        runs,
    },
    web::health::{self, Health, State},
};

const RECENT: u64 = 20;
const LATELY: Duration = Duration::hours(24);

#[derive(Object)]
#[oai(read_only_all)]
pub struct Summary {
    apps: Vec<AppSummary>,
    /// The newest 20.
    recent_runs: Vec<RecentRun>,
}

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct AppSummary {
    app_slug: String,
    app_name: String,
    config_count: u64,
    strategies: Vec<String>,
    last_run_status: Option<String>,
    last_run_finished_at: Option<Time>,
    last_run_size_bytes: Option<i64>,
    /// Of all artifacts.
    total_size_bytes: i64,
    /// In the last 24 hours.
    recent_success_count: i64,
    /// In the last 24 hours.
    recent_fail_count: i64,
    /// Configs whose schedule promised a good backup that is not there: late or missed.
    missed_count: u64,
    /// Schedule of the config that is due next.
    next_cron: Option<String>,
    next_run_at: Option<Time>,
    /// Age of the oldest of the configs' newest backups: what would be lost at most. Absent as
    /// long as a config has none.
    rpo_seconds: Option<i64>,
    /// Share of what holds data that is protected as it should be, 0 to 1: of the configs, and of the
    /// services that no enabled config covers.
    coverage: f64,
    /// Services with data that no enabled config covers. Absent when nothing can be seen of the
    /// app: the engine does not answer, and no compose file says anything.
    unprotected: Option<Vec<String>>,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct RecentRun {
    #[oai(flatten)]
    run: Run,
    app_name: String,
    app_slug: String,
    strategy: String,
}

pub struct Overview;

#[OpenApi]
impl Overview {
    /// All apps at a glance
    #[oai(path = "/backups/summary", method = "get", operation_id = "summary")]
    async fn summary(&self, visit: Visit) -> Answer<Summary> {
        let facts = Facts::load(&visit).await?;
        let apps = facts.apps.iter().map(|app| facts.app(app)).collect();
        let runs = facts.recent.iter().map(|run| facts.run(run)).collect();
        Ok(Json(Summary {
            apps,
            recent_runs: runs,
        }))
    }
}

struct Facts {
    now: DateTime<Utc>,
    apps: Vec<apps::Model>,
    configs: Vec<configs::Model>,
    /// By config.
    newest: BTreeMap<i64, Beat>,
    successes: BTreeMap<i64, Beat>,
    /// By app.
    totals: BTreeMap<i64, AppTotals>,
    recent: Vec<runs::Model>,
    /// By app.
    unprotected: BTreeMap<i64, Vec<Unprotected>>,
}

impl Facts {
    async fn load(visit: &Visit) -> Result<Self, ApiError> {
        let (db, now) = (visit.holdfast.log().db(), visit.holdfast.log().now());
        let newest = overview::newest(db).await.map_err(AppError::from)?;
        let successes = overview::newest_successes(db)
            .await
            .map_err(AppError::from)?;
        let since = (now - LATELY).timestamp_millis();
        let totals = overview::app_totals(db, since)
            .await
            .map_err(AppError::from)?;
        let filter = runs::Filter {
            limit: RECENT,
            ..runs::Filter::default()
        };
        let apps = visit.holdfast.apps(&visit.caller).await?;
        let mut configs = configs::list(db).await.map_err(AppError::from)?;
        configs.retain(|config| visit.caller.sees(AppId(config.app_id)));
        let unprotected = visit.holdfast.unprotected(&visit.caller, &apps, &configs);
        let unprotected = unprotected.await?;
        Ok(Self {
            now,
            unprotected,
            apps,
            configs,
            newest: overview::by_config(newest),
            successes: overview::by_config(successes),
            totals: totals.into_iter().map(|row| (row.app_id, row)).collect(),
            recent: visit.holdfast.runs(&visit.caller, &filter).await?,
        })
    }

    fn app(&self, app: &apps::Model) -> AppSummary {
        let configs: Vec<&configs::Model> = self
            .configs
            .iter()
            .filter(|config| config.app_id == app.id)
            .collect();
        let healths: Vec<Health> = configs.iter().map(|config| self.health(config)).collect();
        let count = |state| {
            healths
                .iter()
                .filter(|health| health.state == state)
                .count()
        };
        let newest = configs
            .iter()
            .filter_map(|config| self.newest.get(&config.id));
        let newest = newest.max_by_key(|beat| beat.id);
        let next = configs
            .iter()
            .filter_map(|config| {
                Some((
                    next_run(config.config_id(), &config.spec(), self.now)?,
                    *config,
                ))
            })
            .min_by_key(|(at, _)| *at);
        let totals = self.totals.get(&app.id);
        let unprotected = self.unprotected.get(&app.id);
        let points: Option<Vec<_>> = healths.iter().map(|health| health.restore_point).collect();
        let oldest = points.and_then(|points| points.into_iter().min());
        let mut strategies: Vec<String> = configs.iter().map(|c| c.strategy.clone()).collect();
        strategies.sort_unstable();
        strategies.dedup();
        AppSummary {
            app_slug: app.slug.clone(),
            app_name: app.name.clone(),
            config_count: configs.len() as u64,
            strategies,
            last_run_status: newest.map(|beat| runs::answered(&beat.status).to_owned()),
            last_run_finished_at: newest.and_then(|beat| beat.finished_at).map(Time::of),
            last_run_size_bytes: newest.and_then(|beat| beat.size_bytes),
            total_size_bytes: totals.map_or(0, |totals| totals.stored_bytes),
            recent_success_count: totals.map_or(0, |totals| totals.succeeded),
            recent_fail_count: totals.map_or(0, |totals| totals.failed),
            missed_count: healths.iter().filter(|it| it.overdue.is_some()).count() as u64,
            next_cron: next.map(|(_, config)| config.schedule_cron.clone()),
            next_run_at: next.map(|(at, _)| at.into()),
            rpo_seconds: oldest.map(|oldest| (self.now - oldest).num_seconds().max(0)),
            coverage: share(
                count(State::Protected),
                configs.len() + unprotected.map_or(0, Vec::len),
            ),
            unprotected: unprotected
                .map(|all| all.iter().map(|found| found.service.clone()).collect()),
        }
    }

    fn health(&self, config: &configs::Model) -> Health {
        let (newest, success) = (self.newest.get(&config.id), self.successes.get(&config.id));
        health::judge(config, newest, success, self.now)
    }

    fn run(&self, run: &runs::Model) -> RecentRun {
        let app = self.apps.iter().find(|app| app.id == run.app_id);
        let config = self
            .configs
            .iter()
            .find(|config| config.id == run.backup_config_id);
        let pinned = run.pin().map(|pin| pin.spec.strategy);
        RecentRun {
            app_name: app.map(|app| app.name.clone()).unwrap_or_default(),
            app_slug: app.map(|app| app.slug.clone()).unwrap_or_default(),
            strategy: pinned
                .or_else(|| config.map(|config| config.strategy.clone()))
                .unwrap_or_default(),
            run: run.clone().into(),
        }
    }
}

/// Of none, all are protected.
fn share(part: usize, whole: usize) -> f64 {
    let (part, whole) = (u32::try_from(part), u32::try_from(whole));
    match (part, whole) {
        (Ok(part), Ok(whole)) if whole > 0 => f64::from(part) / f64::from(whole),
        _ => 1.0,
    }
}
