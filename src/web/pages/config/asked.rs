//! What the chosen strategy or target asks for. Only the chosen one's inputs are in the form: those of
//! the others would be logins to a browser, which offers to fill in and to keep each of them.

use askama::Template;

use super::{
    paths::Paths,
    trial::Shown,
    values::{Values, strategy_input, target_input},
};
use crate::{
    app::MASK,
    domain::{failure::FieldErrors, form},
    strategy, target,
    web::{field::Field, parts},
};

#[derive(Template)]
#[template(path = "config/_fields.html")]
pub struct Asked {
    /// Of the element that is replaced when something else is chosen.
    pub id: &'static str,
    /// Where the form goes.
    action: String,
    title: String,
    pub fields: Vec<Field>,
    pub paths: Option<Paths>,
    /// Name, label, chosen.
    presets: Vec<(&'static str, &'static str, bool)>,
    preset_help: &'static str,
    open: bool,
    /// What is asked for can be tried out.
    can_be_tried: bool,
    pub trial: Option<Shown>,
}

impl Asked {
    /// Nothing while no strategy is chosen. `found` are paths that detection saw.
    pub fn by_strategy(
        action: &str,
        values: &Values,
        found: &[String],
        errors: &FieldErrors,
    ) -> Self {
        let chosen = strategy::find(values.get("strategy"));
        let field = |kind: &str, field: &form::Field| {
            let group = if field.secret {
                "credentials"
            } else {
                "options"
            };
            let api = format!("{group}.{}", field.name);
            input(
                strategy_input(kind, field.name),
                field,
                values,
                errors,
                &api,
            )
        };
        Self {
            id: "strategy-fields",
            action: action.to_owned(),
            title: chosen.map_or_else(String::new, |it| format!("Options of {}", it.label())),
            fields: chosen.map_or_else(Vec::new, |it| {
                it.fields().iter().map(|f| field(it.kind(), f)).collect()
            }),
            paths: chosen
                .filter(|it| it.takes_paths())
                .map(|_| Paths::new(values, found, errors)),
            presets: Vec::new(),
            preset_help: "",
            open: false,
            can_be_tried: false,
            trial: None,
        }
    }

    /// Nothing while no target is chosen.
    pub fn by_target(action: &str, values: &Values, errors: &FieldErrors) -> Self {
        let chosen = target::kind(values.get("target"));
        let field = |kind: &str, field: &form::Field| {
            let api = format!("target_config_json.{}", field.name);
            input(target_input(kind, field.name), field, values, errors, &api)
        };
        let presets = chosen.map_or(&[][..], target::TargetKind::presets);
        let preset = presets.iter().find(|it| it.name == values.get("preset"));
        Self {
            id: "target-fields",
            action: action.to_owned(),
            title: chosen.map_or_else(String::new, |it| format!("Settings of {}", it.label())),
            fields: chosen.map_or_else(Vec::new, |it| {
                it.fields().iter().map(|f| field(it.name(), f)).collect()
            }),
            paths: None,
            presets: presets
                .iter()
                .map(|it| (it.name, it.label, preset.is_some_and(|preset| preset == it)))
                .collect(),
            preset_help: preset.map_or("", |preset| preset.help),
            open: true,
            can_be_tried: chosen.is_some_and(|it| !it.fields().is_empty()),
            trial: None,
        }
    }

    /// Something in here was set, has to be, or is wrong: do not hide it.
    fn needs_look(&self) -> bool {
        let look =
            |field: &Field| field.required || !field.value.is_empty() || field.error.is_some();
        self.open || self.fields.iter().any(look)
    }
}

/// `api` is what the application calls the field when it has a problem; some call it by its plain
/// name.
pub fn input(
    name: String,
    asked: &form::Field,
    values: &Values,
    errors: &FieldErrors,
    api: &str,
) -> Field {
    let value = values.get(&name).to_owned();
    let mut field = Field::new(name, asked.label).help(asked.help).value(value);
    if asked.secret {
        field.kind = "password";
        field.autocomplete = "new-password";
        if field.value == MASK {
            field.help = format!("Set; leave it to keep it. {}", field.help);
        }
    }
    field.required = asked.required;
    let problem = errors.0.get(api).or_else(|| errors.0.get(asked.name));
    field.error = problem.cloned();
    field
}
