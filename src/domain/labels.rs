//! Labels of a config: a few words under names, for people and programs to find it by.

use std::collections::BTreeMap;

use super::failure::FieldErrors;

/// Labels of one config at most.
const MOST: usize = 32;

/// Names of 1 to 63 letters, digits, dots, dashes, underscores and slashes, beginning with a letter or
/// digit; values of up to 200 printable characters.
pub fn check(labels: &BTreeMap<String, String>) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    if labels.len() > MOST {
        errors.add("labels", format!("use {MOST} labels at most"));
    }
    for (name, value) in labels {
        if !is_name(name) {
            let problem = "name a label with 1 to 63 letters, digits, dots, dashes, underscores and slashes, \
                           beginning with a letter or digit";
            errors.add("labels", problem);
        } else if value.chars().count() > 200 || value.chars().any(char::is_control) {
            errors.add(
                format!("labels.{name}"),
                "use at most 200 printable characters",
            );
        }
    }
    errors.into_result()
}

fn is_name(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.len() <= 63
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_label() {
        let fields = |labels: &[(&str, &str)]| {
            let labels = labels.iter();
            let labels = labels.map(|&(name, value)| (name.to_owned(), value.to_owned()));
            match check(&labels.collect()) {
                Ok(()) => vec![],
                Err(FieldErrors(errors)) => errors.into_keys().collect::<Vec<_>>(),
            }
        };
        assert!(fields(&[("team", "shop"), ("example.org/tier", "")]).is_empty());
        assert_eq!(fields(&[("team", "a\nb")]), ["labels.team"]);
        assert_eq!(fields(&[("", "x")]), ["labels"]);
        assert_eq!(fields(&[("-x", "x")]), ["labels"]);
        let many: Vec<String> = (0..=MOST).map(|number| number.to_string()).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
        assert_eq!(fields(&many), ["labels"]);
    }
}
