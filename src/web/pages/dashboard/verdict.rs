//! The one sentence: is everything protected, or what needs a person first?

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Facts;
use crate::{
    readmodel::{configs, overview::Beat},
    web::{
        catalog,
        health::{Health, Next, State},
        parts::{self, Icon},
        words,
    },
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub tone: &'static str,
    pub icon: Icon,
    pub said: String,
    pub also: String,
    /// Where to go: address and label.
    pub action: Option<(String, &'static str)>,
}

impl Verdict {
    pub fn new(facts: &Facts, healths: &BTreeMap<i64, Health>, now: DateTime<Utc>) -> Self {
        if facts.apps.is_empty() {
            return Self::plain(
                "Nothing is backed up yet.",
                "Add an app: a compose project whose databases and volumes should survive.",
            );
        }
        if facts.configs.is_empty() {
            return Self::plain(
                "No backup is configured yet.",
                "Open an app and say what to back up, where to and when.",
            );
        }
        let troubled: Vec<&configs::Model> = facts
            .configs
            .iter()
            .filter(|config| {
                healths
                    .get(&config.id)
                    .is_some_and(|h| h.state.needs_a_person())
            })
            .collect();
        if let [first, ..] = troubled.as_slice() {
            Self::trouble(facts, healths, &troubled, first, now)
        } else {
            Self::calm(facts, healths, now)
        }
    }

    fn plain(said: &str, also: &str) -> Self {
        Self {
            tone: "idle",
            icon: parts::icon("shield"),
            said: said.to_owned(),
            also: also.to_owned(),
            action: None,
        }
    }

    fn trouble(
        facts: &Facts,
        healths: &BTreeMap<i64, Health>,
        troubled: &[&configs::Model],
        first: &configs::Model,
        now: DateTime<Utc>,
    ) -> Self {
        let failed = troubled.iter().any(|config| {
            healths
                .get(&config.id)
                .is_some_and(|h| matches!(h.state, State::Failed | State::Damaged))
        });
        let said = match troubled {
            [one] => format!(
                "One backup needs you: {}.",
                trouble_of(facts, healths, one, now)
            ),
            many => {
                let mut names: Vec<&str> = many
                    .iter()
                    .filter_map(|config| Some(facts.app(config.app_id)?.name.as_str()))
                    .collect();
                names.dedup();
                let shown = names.len().min(3);
                let more = match names.len() - shown {
                    0 => String::new(),
                    rest => format!(" and {rest} more"),
                };
                format!(
                    "{} backups need you: {}{more}.",
                    many.len(),
                    names[..shown].join(", ")
                )
            }
        };
        let well = healths.len() - troubled.len();
        let also = match well {
            0 => String::new(),
            1 => format!(
                "The other one is protected{}.",
                oldest_of_the_well(healths, now)
            ),
            n => format!(
                "The other {n} are protected{}.",
                oldest_of_the_well(healths, now)
            ),
        };
        let run = facts
            .newest
            .get(&first.id)
            .filter(|beat| beat.status == "failed" || beat.is_damaged());
        let action = match (run, facts.app(first.app_id)) {
            (Some(run), _) => Some((format!("/runs/{}", run.id), "See what went wrong")),
            (None, Some(app)) => Some((format!("/apps/{}", app.slug), "Open the app")),
            (None, None) => None,
        };
        Self {
            tone: if failed { "bad" } else { "warn" },
            icon: parts::icon("warn"),
            said,
            also,
            action,
        }
    }

    fn calm(facts: &Facts, healths: &BTreeMap<i64, Health>, now: DateTime<Utc>) -> Self {
        let count = |state| healths.values().filter(|h| h.state == state).count();
        let (protected, waiting, paused) = (
            count(State::Protected),
            count(State::Waiting),
            count(State::Paused),
        );
        let running = healths.values().filter(|h| h.next == Next::Now).count();
        let age = oldest_of_the_well(healths, now);
        let said = match (protected, healths.len()) {
            (0, _) => "No backup has run yet.".to_owned(),
            (1, 1) => format!("Your config is protected{age}."),
            (n, all) if n == all => format!("All {n} configs are protected{age}."),
            (n, all) => format!("{n} of {all} configs are protected{age}."),
        };
        let mut also = Vec::new();
        if waiting > 0 {
            let wait = if waiting == 1 { "waits" } else { "wait" };
            also.push(format!(
                "{} {wait} for the first backup.",
                words::plural(waiting, "config")
            ));
        }
        if paused > 0 {
            let is = if paused == 1 { "is" } else { "are" };
            also.push(format!("{} {is} paused.", words::plural(paused, "config")));
        }
        if running > 0 {
            let is = if running == 1 { "is" } else { "are" };
            also.push(format!(
                "{} {is} at work now.",
                words::plural(running, "backup")
            ));
        }
        let alone = facts.newest.values().filter(|beat| beat.lacks_copy).count();
        if alone > 0 {
            also.push(format!(
                "Of {} a copy could not be made.",
                words::plural(alone, "newest backup")
            ));
        }
        let whole = protected > 0 && waiting == 0 && alone == 0;
        Self {
            tone: match (whole, alone) {
                (true, _) => "ok",
                (false, 0) => "run",
                (false, _) => "warn",
            },
            icon: parts::icon(match (whole, alone) {
                (true, _) => "shield-check",
                (false, 0) => "clock",
                (false, _) => "warn",
            }),
            said,
            also: also.join(" "),
            action: None,
        }
    }
}

fn trouble_of(
    facts: &Facts,
    healths: &BTreeMap<i64, Health>,
    config: &configs::Model,
    now: DateTime<Utc>,
) -> String {
    let app = facts.app(config.app_id).map_or("?", |app| &app.name);
    let what = format!("{app} › {}", catalog::config_title(&config.spec()));
    let newest = facts.newest.get(&config.id);
    if newest.is_some_and(Beat::is_damaged) {
        return format!("the newest backup of {what} is damaged");
    }
    match healths.get(&config.id).map(|health| &health.next) {
        Some(Next::Overdue(at)) => {
            let late = words::age((now - *at).num_milliseconds());
            format!("{what} is {late} late")
        }
        _ => {
            let ended = newest.and_then(|beat| beat.finished_at);
            let when = ended.map_or_else(String::new, |at| {
                format!(" {} ago", words::age(now.timestamp_millis() - at))
            });
            format!("{what} failed{when}")
        }
    }
}

/// `; the oldest restore point is 2 d old`, of the configs that need nobody.
fn oldest_of_the_well(healths: &BTreeMap<i64, Health>, now: DateTime<Utc>) -> String {
    let points: Vec<DateTime<Utc>> = healths
        .values()
        .filter(|health| !health.state.needs_a_person())
        .filter_map(|health| health.restore_point)
        .collect();
    points.iter().min().map_or_else(String::new, |oldest| {
        let age = words::age((now - *oldest).num_milliseconds());
        let which = if points.len() == 1 {
            "newest"
        } else {
            "oldest"
        };
        format!("; the {which} restore point is {age} old")
    })
}
