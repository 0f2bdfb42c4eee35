//! When it runs: the schedule, its zone, and what becomes of slots that cannot be heeded.

use askama::Template;

use super::{
    form::Source,
    plan::{self, Builder},
};
use crate::web::{
    field::Field,
    pages::schedule::{Planned, Preview},
    parts,
};

const MISSED: [(&str, &str); 3] = [
    ("one", "One run makes up for all of them"),
    ("skip", "Nothing: they are missed"),
    ("all", "Each gets its run, as far back as said"),
];

#[derive(Template)]
#[template(path = "config/_when.html")]
pub struct When {
    builder: Builder,
    time_zone: Field,
    preview: Preview,
    /// Value, label, chosen.
    missed: Vec<(&'static str, &'static str, bool)>,
    missed_error: Option<String>,
    missed_window: Field,
    jitter: Field,
    blackout: Field,
    enabled: bool,
}

impl When {
    pub fn new(source: &Source) -> Self {
        let values = source.values;
        let planned = Planned {
            config: source.id,
            schedule_cron: Ok(values.get("schedule_cron").to_owned()),
            time_zone: values.get("time_zone").to_owned(),
            jitter_seconds: values.get("jitter_seconds").to_owned(),
            blackout: values.get("blackout").to_owned(),
        };
        Self {
            builder: Builder::new(values, source.errors),
            time_zone: source
                .text("time_zone", "Time zone")
                .help("An IANA name, as Europe/Berlin, or UTC.")
                .required(),
            preview: Preview::new(&planned, source.visit.now),
            missed: MISSED
                .map(|(name, label)| (name, label, name == values.get("missed_policy")))
                .into(),
            missed_error: source.error("missed_policy"),
            missed_window: source.number("missed_window", "Hours back"),
            jitter: source
                .number("jitter_seconds", "Jitter in seconds")
                .help("Starts up to so much later, each config at its own: many at once do not start together."),
            blackout: source
                .text("blackout", "Blackout")
                .help("Hours in which the schedule starts nothing; what comes due in them is made up for by one run afterwards.")
                .placeholder("08:00-18:00 Mon-Fri"),
            enabled: source.is_on("enabled"),
        }
    }

    /// What the preview is made from, as htmx lists it.
    fn previewed() -> String {
        let rest = ["config", "time_zone", "jitter_seconds", "blackout"];
        plan::INPUTS
            .iter()
            .chain(&rest)
            .copied()
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Something in there is not as usual.
    fn shows_more(&self) -> bool {
        let usual =
            |field: &Field| ["", "0"].contains(&field.value.as_str()) && field.error.is_none();
        !usual(&self.jitter)
            || !usual(&self.blackout)
            || self.missed_error.is_some()
            || self.missed_window.error.is_some()
            || self
                .missed
                .iter()
                .any(|(name, _, chosen)| *chosen && *name != "one")
    }

    pub fn inputs(&mut self) -> Vec<&mut Field> {
        vec![
            self.builder.field(),
            &mut self.time_zone,
            &mut self.jitter,
            &mut self.blackout,
            &mut self.missed_window,
        ]
    }

    pub fn shows(problem: &str) -> bool {
        ["missed_policy", "schedule_cron"].contains(&problem)
    }
}
