//! A plan as people read it.

use std::fmt::Write as _;

use serde_json::Value;

use super::plan::{Action, Plan, Step};

/// One line a thing and one a field, then how many of each.
pub fn plan(plan: &Plan) -> String {
    let mut said = String::new();
    for step in &plan.steps {
        let _ = writeln!(said, "{}", step_in_words(step));
        for field in &step.fields {
            let (before, after) = (value(&field.before), value(&field.after));
            let _ = match step.action {
                Action::Add => writeln!(said, "    {}: {after}", field.path),
                _ => writeln!(said, "    {}: {before} -> {after}", field.path),
            };
        }
    }
    for name in &plan.left {
        let _ = writeln!(said, "  {name} is not in the document, and is left alone");
    }
    let count = |action| plan.steps.iter().filter(|it| it.action == action).count();
    let (add, change, remove) = (
        count(Action::Add),
        count(Action::Change),
        count(Action::Remove),
    );
    if plan.steps.is_empty() {
        said.push_str("Nothing to change.");
    } else {
        let _ = write!(
            said,
            "To add: {add}. To change: {change}. To remove: {remove}."
        );
    }
    said
}

fn step_in_words(step: &Step) -> String {
    let sign = match step.action {
        Action::Add => '+',
        Action::Change => '~',
        Action::Remove => '-',
    };
    let more = match step.action {
        Action::Remove => "; its backups stay",
        _ => "",
    };
    format!("{sign} {} {}{more}", step.kind, plain(&step.name))
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        // What stands for a secret is no text of anybody's.
        Value::String(text) if text.starts_with('(') && text.ends_with(')') => plain(text),
        other => other.to_string(),
    }
}

/// Control characters stay out of the terminal.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
