//! What happens around a backup: hooks, and a dead man's switch that is told of it.

use askama::Template;

use super::{form::Source, hooks::Section};
use crate::{
    domain::hook::Phase,
    web::{field::Field, parts},
};

#[derive(Template)]
#[template(path = "config/_around.html")]
pub struct Around {
    hooks: Vec<Section>,
    /// Whether hooks may run commands.
    commands: bool,
    ping: Field,
}

impl Around {
    pub fn new(source: &Source) -> Self {
        let commands = source.visit.holdfast.settings().exec_hooks;
        let section = |phase| Section::new(phase, source.values, source.errors, commands);
        Self {
            hooks: [Phase::Before, Phase::After].map(section).into(),
            commands,
            ping: source
                .text("ping_url", "Ping address")
                .help("Of a dead man's switch, as healthchecks.io has them: told of each run, it calls somebody when it hears nothing. Empty: none.")
                .placeholder("https://hc-ping.com/…"),
        }
    }

    /// There are some, or one of them is wrong.
    fn shows_hooks(&self) -> bool {
        self.hooks.iter().any(Section::is_in_use)
    }

    pub fn inputs(&mut self) -> Vec<&mut Field> {
        let mut inputs = Vec::new();
        for row in self.hooks.iter_mut().flat_map(|phase| &mut phase.rows) {
            inputs.extend([&mut row.service, &mut row.timeout]);
        }
        inputs.push(&mut self.ping);
        inputs
    }

    pub fn shows(&self, problem: &str) -> bool {
        self.hooks.iter().any(|phase| phase.shows(problem))
    }
}
