//! How long backups are kept, how they are stored and proved, and who can read them.

use askama::Template;

use super::form::Source;
use crate::{
    domain::manifest::Compression,
    web::{field::Field, pages::retention::Stays, parts},
};

const KEEP: [(&str, &str); 5] = [
    ("keep_last", "Newest"),
    ("keep_daily", "Days"),
    ("keep_weekly", "Weeks"),
    ("keep_monthly", "Months"),
    ("keep_yearly", "Years"),
];

/// Names of the inputs that say what stays.
pub const RULE: [&str; 8] = [
    "retention_mode",
    "retention_count",
    "retention_days",
    "keep_last",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
];

#[derive(Template)]
#[template(path = "config/_keep.html")]
pub struct Keep {
    mode: String,
    count: Field,
    days: Field,
    /// The numbers of `gfs`.
    each: Vec<Field>,
    error: Option<String>,
    /// What the rule keeps; filled in by whoever has time to look.
    pub stays: Option<Stays>,
    compressions: Vec<(&'static str, bool)>,
    verify: bool,
    /// One a line.
    recipients: String,
    server_key: bool,
    encryption_error: Option<String>,
}

impl Keep {
    pub fn new(source: &Source) -> Self {
        let values = source.values;
        Self {
            mode: values.get("retention_mode").to_owned(),
            count: source.number("retention_count", "How many").required(),
            days: source.number("retention_days", "How many days").required(),
            each: KEEP.map(|(name, label)| source.number(name, label)).into(),
            error: source.error("retention_mode"),
            stays: None,
            compressions: Compression::ALL
                .into_iter()
                .map(|c| (c.name(), c.name() == values.get("compression")))
                .collect(),
            verify: source.is_on("verify_upload"),
            recipients: values.get("recipients").to_owned(),
            server_key: source.is_on("server_key"),
            encryption_error: source.error("encryption"),
        }
    }

    /// What the preview is made from, as htmx lists it: the rule, and the schedule where that is in the same
    /// form.
    fn previewed() -> String {
        let plan = super::plan::INPUTS.iter();
        let rest = ["config", "app", "draft", "time_zone", "enabled"];
        let all = RULE.iter().chain(plan).chain(&rest);
        all.copied().collect::<Vec<_>>().join(",")
    }

    /// There is some, or it is wrong.
    fn shows_encryption(&self) -> bool {
        !self.recipients.is_empty() || self.encryption_error.is_some()
    }

    pub fn inputs(&mut self) -> Vec<&mut Field> {
        let mut inputs = vec![&mut self.count, &mut self.days];
        inputs.extend(&mut self.each);
        inputs
    }

    pub fn shows(problem: &str) -> bool {
        ["retention_mode", "encryption"].contains(&problem)
    }
}
