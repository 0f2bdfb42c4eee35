//! The paths that a config names: those that were found as check boxes, further ones as lines.

use std::collections::BTreeSet;

use super::values::Values;
use crate::{domain::failure::FieldErrors, web::request::Form};

/// Of the check boxes, before their number; of the lines.
const FOUND: &str = "path";
const MORE: &str = "paths";

pub struct Paths {
    /// Name of the input, path, chosen.
    pub found: Vec<(String, String, bool)>,
    /// One a line.
    pub more: String,
    pub error: Option<String>,
}

impl Paths {
    pub fn new(values: &Values, found: &[String], errors: &FieldErrors) -> Self {
        let chosen = lines(values.get(MORE));
        let found = found.iter().enumerate();
        let found: Vec<_> = found
            .map(|(index, path)| {
                (
                    format!("{FOUND}.{index}"),
                    path.clone(),
                    chosen.contains(path),
                )
            })
            .collect();
        let more: Vec<&str> = chosen
            .iter()
            .filter(|path| !found.iter().any(|(_, known, _)| known == *path))
            .map(String::as_str)
            .collect();
        Self {
            more: more.join("\n"),
            error: errors.0.get(MORE).cloned(),
            found,
        }
    }
}

fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// `None` when the form did not ask for them.
pub fn sent(form: &Form) -> Option<Vec<String>> {
    form.checked(MORE).then(|| {
        let mut seen = BTreeSet::new();
        let found = form.group(FOUND).into_values();
        found
            .chain(lines(form.text(MORE)))
            .filter(|path| !path.is_empty() && seen.insert(path.clone()))
            .collect()
    })
}

/// As one value: what the inputs hold when they are shown again.
pub fn value_sent(form: &Form) -> Option<(String, String)> {
    sent(form).map(|paths| (MORE.to_owned(), paths.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_and_typed_ones_are_one_list() {
        let pairs = [
            ("path.0", "/data"),
            ("path.2", "/logs"),
            ("paths", " /etc/app \r\n\r\n/data"),
        ];
        let form = Form::of(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let paths = sent(&form).unwrap();
        assert_eq!(paths, ["/data", "/logs", "/etc/app"]);
        assert_eq!(sent(&Form::default()), None);
    }
}
