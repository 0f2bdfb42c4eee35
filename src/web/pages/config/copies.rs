//! The further targets of a config as rows of its form: those it has, and an empty one to add another. A
//! row whose target is set to nothing is taken out.

use std::collections::BTreeMap;

use super::{asked, values::Values};
use crate::{
    app::{CopyInput, MASK},
    domain::{
        config::ConfigSpec,
        copies::{FurtherTarget, MAX_COPIES},
        failure::FieldErrors,
        secret::Secret,
    },
    target::{self, TargetKind},
    web::{field::Field, request::Form},
};

pub struct Row {
    /// What a screen reader calls it.
    pub label: String,
    /// Beginning of the names of its inputs: `copies.0`.
    pub name: String,
    /// Kind, label, chosen.
    pub kinds: Vec<(&'static str, &'static str, bool)>,
    pub error: Option<String>,
    /// Of the chosen kind, when it asks for something.
    pub settings: Vec<(&'static str, Vec<Field>)>,
}

pub fn rows(values: &Values, errors: &FieldErrors) -> Vec<Row> {
    let taken = |index: &usize| !values.get(&input(*index, "target")).is_empty();
    let count = (0..MAX_COPIES).take_while(taken).count();
    (0..(count + 1).min(MAX_COPIES))
        .map(|index| Row::new(index, values, errors))
        .collect()
}

impl Row {
    fn new(index: usize, values: &Values, errors: &FieldErrors) -> Self {
        let chosen = values.get(&input(index, "target"));
        let kinds = target::ALL.iter();
        let kinds = kinds.map(|kind| (kind.name(), kind.label(), kind.name() == chosen));
        let asked = target::ALL.iter();
        let asked = asked.filter(|kind| !kind.fields().is_empty() && kind.name() == chosen);
        let settings = asked.map(|kind| {
            let fields = kind.fields().iter();
            let fields = fields.map(|field| {
                let name = input(index, &format!("{}.{}", kind.name(), field.name));
                asked::input(name, field, values, errors, &place(index, field.name))
            });
            (kind.label(), fields.collect())
        });
        Self {
            label: format!("Copy {}", index + 1),
            name: format!("copies.{index}"),
            kinds: kinds.collect(),
            error: errors.0.get(&place(index, "target")).cloned(),
            settings: settings.collect(),
        }
    }

    /// Whether the problem is shown beside one of the inputs.
    pub fn shows(&self, problem: &str) -> bool {
        let errors = self.settings.iter().flat_map(|(_, fields)| fields);
        let mut names = errors.filter_map(|field| field.name.rsplit('.').next());
        let prefix = self.name.replacen('.', "[", 1) + "].";
        problem
            .strip_prefix(&prefix)
            .is_some_and(|field| field == "target" || names.any(|name| name == field))
    }
}

/// What the inputs hold for a config's further targets.
pub fn values_of(spec: &ConfigSpec) -> Vec<(String, String)> {
    let mut values = Vec::new();
    for (
        index,
        FurtherTarget {
            target,
            settings,
            secrets,
        },
    ) in spec.copies.iter().enumerate()
    {
        values.push((input(index, "target"), target.clone()));
        for (name, value) in settings {
            values.push((input(index, &format!("{target}.{name}")), value.clone()));
        }
        for name in secrets.keys() {
            values.push((input(index, &format!("{target}.{name}")), MASK.to_owned()));
        }
    }
    values
}

/// What was sent, without the rows that are taken out, so that a problem's place is its row's. A typed
/// secret is not sent back; the person types it again.
pub fn values_sent(form: &Form) -> Vec<(String, String)> {
    let mut values = Vec::new();
    for (index, copy) in copies_sent(form).into_iter().flatten().enumerate() {
        let secret = |name: &str| {
            let fields = target::kind(&copy.target).map_or(&[][..], TargetKind::fields);
            fields
                .iter()
                .any(|field| field.secret && field.name == name)
        };
        for (name, value) in &copy.settings {
            let value = value.expose();
            if !secret(name) || value == MASK {
                let name = input(index, &format!("{}.{name}", copy.target));
                values.push((name, value.clone()));
            }
        }
        values.push((input(index, "target"), copy.target));
    }
    values
}

/// The rows that are taken, one after the other and with their secrets, for a form that is kept.
pub fn rows_again(form: &Form) -> Vec<(String, String)> {
    let mut values = Vec::new();
    for (index, copy) in copies_sent(form).into_iter().flatten().enumerate() {
        for (name, value) in copy.settings {
            let name = input(index, &format!("{}.{name}", copy.target));
            values.push((name, value.expose().clone()));
        }
        values.push((input(index, "target"), copy.target));
    }
    values
}

/// `None` when the form did not ask for them.
pub fn copies_sent(form: &Form) -> Option<Vec<CopyInput>> {
    let fields = form.group("copies");
    if fields.is_empty() {
        return None;
    }
    let row = |index: usize| {
        let target = fields.get(&format!("{index}.target"))?.clone();
        let prefix = format!("{index}.{target}.");
        let settings: BTreeMap<String, Secret> = fields
            .iter()
            .filter_map(|(name, value)| {
                let name = name.strip_prefix(&prefix)?;
                Some((name.to_owned(), Secret::new(value.clone())))
            })
            .collect();
        (!target.is_empty()).then_some(CopyInput { target, settings })
    };
    Some((0..MAX_COPIES).filter_map(row).collect())
}

/// `copies.0.target`.
fn input(index: usize, part: &str) -> String {
    format!("copies.{index}.{part}")
}

/// As the application names the place of a problem.
fn place(index: usize, field: &str) -> String {
    format!("copies[{index}].{field}")
}
