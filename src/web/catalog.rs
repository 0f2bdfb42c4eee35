//! What kinds of sources and targets there are, as pages show them. Everything comes from the
//! strategies and targets themselves: no template and no handler knows one by its name.

use super::parts::{self, Icon};
use crate::{
    domain::{
        config::ConfigSpec,
        retention::{Gfs, Retention},
    },
    strategy, target,
    web::words,
};

/// Icon and label of a strategy or target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub icon: Icon,
    pub label: String,
}

/// An event may name a strategy that this version does not know: its name is shown then.
pub fn strategy_tag(kind: &str) -> Tag {
    match strategy::find(kind) {
        Some(strategy) => Tag {
            icon: parts::icon(strategy.icon()),
            label: strategy.label().to_owned(),
        },
        None => Tag {
            icon: parts::icon("box"),
            label: kind.to_owned(),
        },
    }
}

pub fn target_tag(name: &str) -> Tag {
    match target::kind(name) {
        Some(kind) => Tag {
            icon: parts::icon(kind.icon()),
            label: kind.label().to_owned(),
        },
        None => Tag {
            icon: parts::icon("box"),
            label: name.to_owned(),
        },
    }
}

/// What people call a config: its own name, else what it backs up.
pub fn config_title(spec: &ConfigSpec) -> String {
    if spec.name.is_empty() {
        strategy_tag(&spec.strategy).label
    } else {
        spec.name.clone()
    }
}

/// `Daily at 02:00`, with the zone when it is not UTC.
pub fn schedule_words(spec: &ConfigSpec) -> String {
    let said = words::cron(&spec.schedule_cron);
    if spec.schedule_cron.is_empty() || spec.time_zone == "UTC" {
        said
    } else {
        format!("{said} ({})", spec.time_zone)
    }
}

/// `3 newest, 7 daily, 4 weekly`.
fn gfs_words(gfs: Gfs) -> String {
    let parts = [
        (gfs.keep_last, "newest"),
        (gfs.keep_daily, "daily"),
        (gfs.keep_weekly, "weekly"),
        (gfs.keep_monthly, "monthly"),
        (gfs.keep_yearly, "yearly"),
    ];
    let kept = parts.into_iter().filter(|(number, _)| *number > 0);
    let said = kept.map(|(number, word)| format!("{} {word}", words::count(u64::from(number))));
    said.collect::<Vec<_>>().join(", ")
}

pub fn retention_words(retention: Retention) -> String {
    match retention {
        Retention::Count { count: 1 } => "The newest 1".to_owned(),
        Retention::Count { count } => format!("The newest {}", words::count(u64::from(count))),
        Retention::Time { days } => words::plural(days as usize, "day"),
        Retention::Gfs(gfs) => gfs_words(gfs),
    }
}
