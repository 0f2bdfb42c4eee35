//! YAML with anchors, merge keys and compose's own interpolation, within bounds.

use std::{collections::HashMap, rc::Rc};

use serde_json::Value;
use serde_saphyr::{
    Error as E, Options,
    options::{DuplicateKeyPolicy, NonFiniteFloatPolicy, PropertySyntax},
};

use super::{ComposeError, files::FILE_MAX};

/// Variables that `${…}` may name. Never those of Holdfast's own process.
pub type Variables = HashMap<String, String>;

/// What came of a text.
pub enum Parsed {
    Tree(Value),
    /// It says `${NAME:?…}`, and nothing says what that is.
    Requires(String),
}

pub fn parse(text: &str, variables: &Variables, file: &str) -> Result<Parsed, ComposeError> {
    if text.len() as u64 > FILE_MAX {
        return Err(ComposeError::TooLarge {
            file: file.to_owned(),
            limit: FILE_MAX,
        });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parsed: Result<Value, _> = serde_saphyr::from_str_with_options(text, options(variables));
    let error = match parsed {
        Ok(tree) => return Ok(Parsed::Tree(tree)),
        Err(error) => error,
    };
    if let E::PropertyRequiredButUnset { name, .. } | E::PropertyRequiredButEmpty { name, .. } =
        error.without_snippet()
    {
        return Ok(Parsed::Requires(name.clone()));
    }
    // The parser's own words repeat the text that they are about, which may hold a password.
    let at = error.location();
    Err(ComposeError::Invalid {
        file: file.to_owned(),
        line: at.map_or(0, |at| at.line()),
        column: at.map_or(0, |at| at.column()),
        reason: reason(&error),
    })
}

/// `${…}` in a text that is no YAML; as it is when it cannot be resolved.
pub fn interpolate(text: &str, variables: &Variables) -> String {
    if !text.contains('$') {
        return text.to_owned();
    }
    let quoted = Value::from(text).to_string(); // JSON's quoted text is YAML's
    serde_saphyr::from_str_with_options(&quoted, options(variables))
        .unwrap_or_else(|_| text.to_owned())
}

fn options(variables: &Variables) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 200_000,
            max_nodes: 100_000,
            max_aliases: 2_000,
            max_anchors: 2_000,
            max_recorded_anchor_events: 200_000,
            max_recorded_anchor_bytes: 8 << 20,
            max_depth: 40,
            max_documents: 2,
            max_merge_keys: 2_000,
            max_total_scalar_bytes: 8 << 20,
            max_total_property_interpolation_work: 8 << 20,
            max_property_expansion_depth: 16,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 200_000,
            max_replay_stack_depth: 16,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
        property_syntax: PropertySyntax::DockerCompose,
        property_map: Some(Rc::new(variables.clone())),
    }
}

fn reason(error: &serde_saphyr::Error) -> &'static str {
    match error.without_snippet() {
        E::Budget { .. }
        | E::AliasReplayLimitExceeded { .. }
        | E::AliasReplayStackDepthExceeded { .. } => "it is too deep or has too many parts",
        E::DuplicateMappingKey { .. } => "the same key stands there twice",
        E::UnknownAnchor { .. } => "it refers to an anchor that is not there",
        E::InvalidPropertyName { .. } => "a $ stands there that names no variable; write $$",
        E::MultipleDocuments { .. } => "it has more than one document",
        _ => "it is no YAML",
    }
}
