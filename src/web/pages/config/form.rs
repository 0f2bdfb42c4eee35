//! The form as it is shown: its parts, each a fragment that stands on the page of all or on a step of its
//! own, with their labels, values and errors.

use askama::Template;

use super::{
    around::Around, asked::Asked, detection::Detection, keep::Keep, place::Place, values::Values,
    what::What, when::When,
};
use crate::{
    domain::failure::FieldErrors,
    web::{
        field::{Field, Token, focus_first_error},
        parts::{self, Icon},
        request::Visit,
    },
};

#[derive(Template)]
#[template(path = "config/_form.html")]
pub struct ConfigForm {
    action: String,
    /// Of the config that is changed.
    pub id: Option<i64>,
    /// Which the person looked at: saving takes the place of that one alone.
    revision: String,
    back: String,
    token: Token,
    pub what: What,
    pub place: Place,
    pub when: When,
    pub around: Around,
    pub keep: Keep,
    pub name: Field,
    /// Problems of fields that this form does not show.
    pub others: Vec<(String, String)>,
}

/// One strategy or target to choose.
pub struct Choice {
    pub kind: &'static str,
    pub icon: Icon,
    pub label: &'static str,
    pub description: &'static str,
    pub chosen: bool,
}

/// What one part of the form is made from.
pub struct Source<'a> {
    pub action: &'a str,
    /// Of the config that is changed; 0 while it has none.
    pub id: i64,
    pub found: &'a Detection,
    pub values: &'a Values,
    pub errors: &'a FieldErrors,
    pub visit: &'a Visit,
}

impl Source<'_> {
    pub fn text(&self, name: &'static str, label: &'static str) -> Field {
        Field::new(name, label)
            .value(self.values.get(name))
            .error(self.errors, name)
    }

    pub fn number(&self, name: &'static str, label: &'static str) -> Field {
        self.text(name, label).kind("number")
    }

    pub fn error(&self, name: &str) -> Option<String> {
        self.errors.0.get(name).cloned()
    }

    pub fn is_on(&self, name: &str) -> bool {
        !self.values.get(name).is_empty()
    }
}

impl ConfigForm {
    /// Sent to `action`.
    pub fn new(
        visit: &Visit,
        id: Option<i64>,
        slug: &str,
        action: String,
        found: &Detection,
        values: &Values,
        errors: &FieldErrors,
    ) -> Self {
        let source = Source {
            action: &action,
            id: id.unwrap_or_default(),
            found,
            values,
            errors,
            visit,
        };
        let mut form = Self {
            id,
            revision: values.get("revision").to_owned(),
            back: format!("/apps/{slug}"),
            token: Token(visit.browser.form_token()),
            what: What::new(&source),
            place: Place::new(&source),
            when: When::new(&source),
            around: Around::new(&source),
            keep: Keep::new(&source),
            name: source
                .text("name", "Name")
                .help("For people; what it backs up when empty."),
            others: Vec::new(),
            action,
        };
        form.others = form.unshown(errors);
        focus_first_error(form.fields());
        form
    }

    /// The part of the form that htmx asks for when something else was chosen.
    pub fn asked(&self, element: &str) -> Option<&Asked> {
        let parts = [&self.what.fields, &self.place.fields];
        parts.into_iter().find(|part| part.id == element)
    }

    /// In the order of the page.
    fn fields(&mut self) -> Vec<&mut Field> {
        let mut fields = self.what.inputs();
        fields.extend(self.place.inputs());
        fields.extend(self.when.inputs());
        fields.extend(self.around.inputs());
        fields.extend(self.keep.inputs());
        fields.push(&mut self.name);
        fields
    }

    /// No problem may go unsaid because no input bears its name.
    fn unshown(&mut self, errors: &FieldErrors) -> Vec<(String, String)> {
        let fields = self.fields().into_iter();
        let shown: Vec<String> = fields.filter_map(|field| field.error.clone()).collect();
        let is_shown = |name: &str, problem: &String| {
            shown.contains(problem)
                || self.what.shows(name)
                || self.place.shows(name)
                || When::shows(name)
                || self.around.shows(name)
                || Keep::shows(name)
        };
        let all = errors.0.iter();
        all.filter(|(name, problem)| !is_shown(name, problem))
            .map(|(name, problem)| (name.clone(), problem.clone()))
            .collect()
    }
}
