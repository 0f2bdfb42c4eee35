//! Where backups are kept: the first target, and copies in further ones.

use askama::Template;

use super::{
    asked::Asked,
    copies,
    form::{Choice, Source},
    values::Values,
};
use crate::{
    target,
    web::{field::Field, parts},
};

#[derive(Template)]
#[template(path = "config/_where.html")]
pub struct Place {
    action: String,
    targets: Vec<Choice>,
    target_error: Option<String>,
    pub fields: Asked,
    copies: Vec<copies::Row>,
}

impl Place {
    pub fn new(source: &Source) -> Self {
        Self {
            action: source.action.to_owned(),
            targets: targets(source.values),
            target_error: source.error("target"),
            fields: Asked::by_target(source.action, source.values, source.errors),
            copies: copies::rows(source.values, source.errors),
        }
    }

    /// There are some, or one of them is wrong.
    fn shows_copies(&self) -> bool {
        self.copies.len() > 1 || self.copies.iter().any(|row| row.error.is_some())
    }

    pub fn inputs(&mut self) -> Vec<&mut Field> {
        self.fields.fields.iter_mut().collect()
    }

    pub fn shows(&self, problem: &str) -> bool {
        problem == "target" || self.copies.iter().any(|row| row.shows(problem))
    }
}

pub fn targets(values: &Values) -> Vec<Choice> {
    let choice = |target: &&'static dyn target::TargetKind| Choice {
        kind: target.name(),
        icon: parts::icon(target.icon()),
        label: target.label(),
        description: target.description(),
        chosen: values.get("target") == target.name(),
    };
    target::ALL.iter().map(choice).collect()
}
