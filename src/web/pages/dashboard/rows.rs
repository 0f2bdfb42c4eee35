//! A row an app: is it protected, how did its last runs go, how old is its newest restore point.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Facts;
use crate::{
    readmodel::{apps, configs, overview::Beat},
    web::{
        catalog::{self, Tag},
        charts::{Strip, Trend},
        health::{Health, Next, State},
        parts::Badge,
        words::{self, Moment},
    },
};

/// Services without a backup that a row names.
const NAMED: usize = 3;

#[derive(Debug, Clone)]
pub struct AppRow {
    pub slug: String,
    pub name: String,
    pub badge: Badge,
    /// What is backed up, each strategy once.
    pub tags: Vec<Tag>,
    pub strip: Strip,
    pub restore_point: Option<Moment>,
    /// How and when the newest run ended, when that is not the restore point itself.
    pub last: Option<(&'static str, Moment)>,
    pub next: NextRun,
    pub size: String,
    pub trend: Option<Trend>,
    /// Services with data that nothing backs up, named.
    pub unprotected: Option<String>,
}

/// When the next run is, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextRun {
    At(Moment),
    Overdue(Moment),
    Said(&'static str),
}

impl NextRun {
    pub fn new(now: DateTime<Utc>, next: &Next) -> Self {
        match next {
            Next::At(at) => Self::At(Moment::new(now, *at)),
            Next::Overdue(at) => Self::Overdue(Moment::new(now, *at)),
            Next::Now => Self::Said("now"),
            Next::Manual => Self::Said("by hand"),
            Next::Paused => Self::Said("paused"),
        }
    }
}

/// The worst first, then by name: what needs a person must not be below the fold.
pub fn all(facts: &Facts, healths: &BTreeMap<i64, Health>, now: DateTime<Utc>) -> Vec<AppRow> {
    let mut rows: Vec<(Option<State>, AppRow)> = facts
        .apps
        .iter()
        .map(|app| {
            let configs: Vec<&configs::Model> = facts.configs_of(app.id).collect();
            let worst = configs
                .iter()
                .filter_map(|c| Some(healths.get(&c.id)?.state))
                .max();
            (worst, row(facts, app, &configs, healths, now))
        })
        .collect();
    rows.sort_by_key(|(worst, row)| {
        let needs = worst.is_some_and(State::needs_a_person);
        (!needs, row.name.to_lowercase())
    });
    rows.into_iter().map(|(_, row)| row).collect()
}

fn row(
    facts: &Facts,
    app: &apps::Model,
    configs: &[&configs::Model],
    healths: &BTreeMap<i64, Health>,
    now: DateTime<Utc>,
) -> AppRow {
    let own: Vec<&Health> = configs.iter().filter_map(|c| healths.get(&c.id)).collect();
    let beats: &[Beat] = facts.beats.get(&app.id).map_or(&[], Vec::as_slice);
    // The oldest of the newest: an app is as young as the config that lags behind.
    let restore_point = match own.iter().map(|health| health.restore_point).min() {
        Some(Some(at)) => Some(at),
        _ => None,
    };
    let sizes = beats.iter().filter(|beat| beat.status == "success");
    let last = beats.first().filter(|beat| beat.status != "success");
    let unprotected = facts.unprotected.get(&app.id).filter(|all| !all.is_empty());
    AppRow {
        unprotected: unprotected.map(|all| {
            let names = all.iter().map(|found| found.service.as_str());
            words::listed(names, NAMED)
        }),
        slug: app.slug.clone(),
        name: app.name.clone(),
        badge: own
            .iter()
            .map(|health| health.state)
            .max()
            .map_or(Badge::new("warn", "warn", "No backup"), State::badge),
        tags: tags(configs),
        strip: Strip::new(beats),
        restore_point: restore_point.map(|at| Moment::new(now, at)),
        last: last.map(|beat| {
            let at = beat.finished_at.unwrap_or(beat.requested_at);
            let said = match beat.status.as_str() {
                "running" => "running, started",
                "queued" => "queued",
                "failed" => "last run failed",
                "damaged" | "missing" => "last backup damaged",
                _ => "last run cancelled",
            };
            (said, Moment::of_millis(now, at))
        }),
        next: next_of(&own, now),
        size: newest_size(facts, configs),
        // Sizes of several configs would draw a saw, not a trend.
        trend: (configs.len() == 1)
            .then(|| Trend::new(sizes.filter_map(|beat| u64::try_from(beat.size_bytes?).ok())))
            .flatten(),
    }
}

pub fn tags(configs: &[&configs::Model]) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::new();
    for config in configs {
        let tag = catalog::strategy_tag(&config.strategy);
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// Of what the newest restore points hold together.
fn newest_size(facts: &Facts, configs: &[&configs::Model]) -> String {
    let sizes: Vec<i64> = configs
        .iter()
        .filter_map(|config| facts.successes.get(&config.id)?.size_bytes)
        .collect();
    words::size_or_dash((!sizes.is_empty()).then(|| sizes.iter().sum()))
}

/// What is late comes first, then what is at work, then the soonest.
fn next_of(healths: &[&Health], now: DateTime<Utc>) -> NextRun {
    let rank = |next: &Next| match next {
        Next::Overdue(at) => (0, Some(*at)),
        Next::Now => (1, None),
        Next::At(at) => (2, Some(*at)),
        Next::Manual => (3, None),
        Next::Paused => (4, None),
    };
    healths
        .iter()
        .map(|health| &health.next)
        .min_by_key(|next| rank(next))
        .map_or(NextRun::Said("–"), |next| NextRun::new(now, next))
}
