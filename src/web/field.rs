//! One input of a form with its label, help and error, tied together for screen readers.

use std::fmt;

use askama::{Template, filters::HtmlSafe};

use super::parts;
use crate::domain::failure::FieldErrors;

#[derive(Debug, Clone, Default, Template)]
#[template(path = "field.html")]
pub struct Field {
    pub name: String,
    pub label: String,
    pub help: String,
    pub value: String,
    /// `text` when empty.
    pub kind: &'static str,
    pub required: bool,
    pub placeholder: String,
    /// The browser's word for what belongs in here.
    pub autocomplete: &'static str,
    /// Values to choose from, beside typing: value and what it means.
    pub suggestions: Vec<(String, String)>,
    pub error: Option<String>,
    pub autofocus: bool,
}

impl Field {
    pub fn new(name: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            label: label.into(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    #[must_use]
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    #[must_use]
    pub fn kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    #[must_use]
    pub fn placeholder(mut self, text: impl Into<String>) -> Self {
        self.placeholder = text.into();
        self
    }

    #[must_use]
    pub fn autocomplete(mut self, word: &'static str) -> Self {
        self.autocomplete = word;
        self
    }

    #[must_use]
    pub fn suggest(mut self, suggestions: Vec<(String, String)>) -> Self {
        self.suggestions = suggestions;
        self
    }

    /// The problem the input has under the name that the application gave it.
    #[must_use]
    pub fn error(mut self, errors: &FieldErrors, name: &str) -> Self {
        self.error = errors.0.get(name).cloned();
        self
    }

    fn kind_or_text(&self) -> &str {
        if self.kind.is_empty() {
            "text"
        } else {
            self.kind
        }
    }

    /// Ids of what describes the input, for `aria-describedby`.
    fn described_by(&self) -> Option<String> {
        let help = (!self.help.is_empty()).then(|| format!("{}-help", self.name));
        let error = self.error.as_ref().map(|_| format!("{}-error", self.name));
        let ids: Vec<String> = error.into_iter().chain(help).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }
}

/// Gives the focus to the first field with a problem.
pub fn focus_first_error<'f>(fields: impl IntoIterator<Item = &'f mut Field>) {
    if let Some(field) = fields.into_iter().find(|field| field.error.is_some()) {
        field.autofocus = true;
    }
}

/// The form's token, as its hidden input.
#[derive(Debug, Clone)]
pub struct Token(pub String);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Hexadecimal digits of our own: nothing to escape.
        write!(f, r#"<input type="hidden" name="csrf" value="{}">"#, self.0)
    }
}

impl HtmlSafe for Token {}
impl HtmlSafe for Field {}
