//! What to back up: a service, and the strategy that knows how.

use askama::Template;

use super::{
    asked::Asked,
    form::{Choice, Source},
    values::Values,
};
use crate::{
    strategy,
    web::{catalog::Tag, field::Field, parts},
};

/// Sent when nothing of what was found is meant.
pub const OTHER: &str = "other";

#[derive(Template)]
#[template(path = "config/_what.html")]
pub struct What {
    action: String,
    /// What was found, to pick from; none where the config is there already.
    picks: Vec<PickCard>,
    other: bool,
    /// Why nothing was found.
    problem: Option<String>,
    service: Field,
    strategies: Vec<Choice>,
    strategy_error: Option<String>,
    pub fields: Asked,
}

/// Service and strategy in one.
struct PickCard {
    value: String,
    service: String,
    tag: Tag,
    reason: String,
    chosen: bool,
}

impl What {
    pub fn new(source: &Source) -> Self {
        let Source {
            action,
            found,
            values,
            errors,
            ..
        } = source;
        let (service, strategy) = (values.get("service"), values.get("strategy"));
        let services = found.services.iter();
        let services = services.map(|it| (it.name.clone(), it.image.clone()));
        Self {
            action: (*action).to_owned(),
            picks: Vec::new(),
            other: false,
            problem: found.problem.clone(),
            service: source
                .text("service", "Service")
                .help("As in the compose file. The backup is made inside its container.")
                .suggest(services.collect())
                .required(),
            strategies: strategies(values),
            strategy_error: source.error("strategy"),
            fields: Asked::by_strategy(action, values, found.paths(service, strategy), errors),
        }
    }

    /// With what was found to pick from.
    pub fn offer(&mut self, source: &Source) {
        let (service, strategy) = (source.values.get("service"), source.values.get("strategy"));
        let picks = source.found.picks.iter().map(|pick| PickCard {
            value: pick_value(&pick.service, pick.kind),
            service: pick.service.clone(),
            tag: pick.tag.clone(),
            reason: pick.reason.clone(),
            chosen: pick.service == service && pick.kind == strategy,
        });
        self.picks = picks.collect();
        let wrong = self.service.error.is_some() || self.strategy_error.is_some();
        self.other = !self.picks.iter().any(|pick| pick.chosen);
        // What is wrong with a service that was picked is said beside its name.
        if wrong && !self.other {
            for pick in &mut self.picks {
                pick.chosen = false;
            }
            self.other = true;
        }
    }

    pub fn inputs(&mut self) -> Vec<&mut Field> {
        let mut inputs = vec![&mut self.service];
        inputs.extend(&mut self.fields.fields);
        inputs
    }

    /// Problems that stand where they belong, though no single input bears their name.
    pub fn shows(&self, problem: &str) -> bool {
        problem == "strategy" || (problem == "paths" && self.fields.paths.is_some())
    }
}

/// `db/postgres`.
pub fn pick_value(service: &str, strategy: &str) -> String {
    format!("{service}/{strategy}")
}

fn strategies(values: &Values) -> Vec<Choice> {
    let choice = |strategy: &&'static dyn strategy::Strategy| Choice {
        kind: strategy.kind(),
        icon: parts::icon(strategy.icon()),
        label: strategy.label(),
        description: strategy.description(),
        chosen: values.get("strategy") == strategy.kind(),
    };
    strategy::ALL.iter().map(choice).collect()
}
