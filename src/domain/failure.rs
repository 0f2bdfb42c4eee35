//! What is told of something that went wrong: to the person in plain words with a hint, to the
//! retry rule by its kind, to whoever digs deeper by the raw text. It is stored in events, so
//! every text in it has been masked of secrets by the layer that made it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Whether the same step may succeed when it is simply tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// A cut connection, a busy server: retried with backoff.
    Temporary,
    /// A wrong password, a missing database, a full disk: a person has to act first.
    Permanent,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// One sentence: what went wrong, and where.
    pub message: String,
    /// One sentence: what to do about it. May be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// The last of what the tool itself said (stderr), at most a few KiB. May be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Failure {
    pub fn permanent(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(FailureKind::Permanent, message, hint)
    }

    pub fn temporary(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(FailureKind::Temporary, message, hint)
    }

    fn new(kind: FailureKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: hint.into(),
            detail: String::new(),
        }
    }

    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// A hint where there is none: whoever reads this must know what to do.
    #[must_use]
    pub fn or_hint(mut self, hint: &str) -> Self {
        if self.hint.is_empty() {
            hint.clone_into(&mut self.hint);
        }
        self
    }

    pub fn is_temporary(&self) -> bool {
        self.kind == FailureKind::Temporary
    }
}

/// What is wrong with an input, field by field (`"schedule_cron"` → what to do about it).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldErrors(pub BTreeMap<String, String>);

impl FieldErrors {
    pub fn one(field: impl Into<String>, problem: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(field, problem);
        errors
    }

    /// Keeps the first problem of a field: the others often follow from it.
    pub fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.entry(field.into()).or_insert_with(|| problem.into());
    }

    pub fn merge(&mut self, result: Result<(), FieldErrors>) {
        if let Err(other) = result {
            for (field, problem) in other.0 {
                self.add(field, problem);
            }
        }
    }

    pub fn into_result(self) -> Result<(), FieldErrors> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// What to do about a word that is not among the known ones.
pub fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    format!("use one of: {}", names.join(", "))
}
