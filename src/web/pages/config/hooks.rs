//! The hooks of a config as rows of its form: those it has, and an empty one to add another. A row
//! that is emptied is taken out.

use super::values::Values;
use crate::{
    domain::{
        config::ConfigSpec,
        failure::FieldErrors,
        hook::{HOOKS_MAX, Hook, Phase, TIMEOUT},
    },
    hook::{self, Kind},
    web::{field::Field, request::Form},
};

const PARTS: [&str; 4] = ["type", "service", "command", "timeout"];

/// The hooks of one phase.
pub struct Section {
    pub legend: &'static str,
    pub help: &'static str,
    pub rows: Vec<Row>,
}

pub struct Row {
    /// What a screen reader calls it.
    pub label: String,
    /// Beginning of the names of its inputs: `pre_hooks.0`.
    pub name: String,
    pub kinds: Vec<Choice>,
    pub kind_error: Option<String>,
    pub service: Field,
    pub command: String,
    pub command_error: Option<String>,
    pub timeout: Field,
}

pub struct Choice {
    pub name: &'static str,
    pub label: &'static str,
    pub chosen: bool,
}

impl Section {
    /// `commands`: whether the server allows them.
    pub fn new(phase: Phase, values: &Values, errors: &FieldErrors, commands: bool) -> Self {
        let (legend, help) = match phase {
            Phase::Before => (
                "Before the backup",
                "In this order; the first that fails ends the backup. What is stopped is started again as soon as the data is read.",
            ),
            Phase::After => (
                "After the data is read",
                "Whatever became of it; what fails here is a warning.",
            ),
        };
        let taken = (0..HOOKS_MAX).take_while(|index| !is_empty(phase, *index, values));
        let count = (taken.count() + 1).min(HOOKS_MAX);
        let rows = (0..count).map(|index| Row::new(phase, index, values, errors, commands));
        Self {
            legend,
            help,
            rows: rows.collect(),
        }
    }

    pub fn is_in_use(&self) -> bool {
        self.rows.len() > 1
    }

    /// Whether the problem is shown beside one of the inputs.
    pub fn shows(&self, problem: &str) -> bool {
        let place = problem.replace('[', ".").replace(']', "");
        let shown = |row: &Row| {
            PARTS
                .iter()
                .any(|part| place == format!("{}.{part}", row.name))
        };
        self.rows.iter().any(shown)
    }
}

impl Row {
    fn new(
        phase: Phase,
        index: usize,
        values: &Values,
        errors: &FieldErrors,
        commands: bool,
    ) -> Self {
        let name = input(phase, index, "");
        let value = |part| values.get(&input(phase, index, part));
        let error = |part: &str| {
            errors
                .0
                .get(&format!("{}.{part}", phase.place(index)))
                .cloned()
        };
        let mut service = Field::new(format!("{name}.service"), "Service").value(value("service"));
        service.error = error("service");
        let mut timeout = Field::new(format!("{name}.timeout"), "Seconds at most")
            .kind("number")
            .placeholder(TIMEOUT.to_string())
            .value(value("timeout"));
        timeout.error = error("timeout");
        let fits = |kind: &&&dyn Kind| {
            let offered = kind.refuses(phase).is_none() && (commands || !kind.takes_command());
            offered || kind.name() == value("type")
        };
        let kinds = hook::ALL.iter().filter(fits).map(|kind| Choice {
            name: kind.name(),
            label: kind.label(),
            chosen: kind.name() == value("type"),
        });
        let when = match phase {
            Phase::Before => "before",
            Phase::After => "after",
        };
        Self {
            label: format!("Hook {} {when} the backup", index + 1),
            kinds: kinds.collect(),
            kind_error: error("type"),
            service,
            command: value("command").to_owned(),
            command_error: error("command"),
            timeout,
            name,
        }
    }
}

/// What the inputs hold for a config's hooks.
pub fn values_of(spec: &ConfigSpec) -> Vec<(String, String)> {
    let mut values = Vec::new();
    for phase in [Phase::Before, Phase::After] {
        for (index, hook) in spec.hooks(phase).iter().enumerate() {
            let timeout = hook.timeout.map(|seconds| seconds.to_string());
            let parts = [
                hook.kind.clone(),
                hook.service.clone(),
                hook.command.clone().unwrap_or_default(),
                timeout.unwrap_or_default(),
            ];
            let names = PARTS.iter().map(|part| input(phase, index, part));
            values.extend(names.zip(parts));
        }
    }
    values
}

/// What was sent, without the empty rows, so that a problem's place is its row's.
pub fn values_sent(form: &Form) -> Vec<(String, String)> {
    let mut values = Vec::new();
    for phase in [Phase::Before, Phase::After] {
        let rows = sent(form, phase).into_iter().flatten().enumerate();
        for (index, row) in rows {
            let names = PARTS.iter().map(|part| input(phase, index, part));
            values.extend(names.zip(row));
        }
    }
    values
}

/// The hooks that were sent; `None` when the form did not ask for them.
pub fn hooks_sent(form: &Form, phase: Phase, errors: &mut FieldErrors) -> Option<Vec<Hook>> {
    let rows = sent(form, phase)?.into_iter().enumerate();
    let hooks = rows.map(|(index, [kind, service, command, timeout])| {
        let seconds = (!timeout.is_empty()).then(|| timeout.parse());
        let timeout = seconds.transpose().unwrap_or_else(|_| {
            let field = format!("{}.timeout", phase.place(index));
            errors.add(field, "use a whole number");
            None
        });
        Hook {
            kind,
            service,
            command: Some(command).filter(|command| !command.is_empty()),
            timeout,
        }
    });
    Some(hooks.collect())
}

fn sent(form: &Form, phase: Phase) -> Option<Vec<[String; 4]>> {
    let fields = form.group(phase.field());
    if fields.is_empty() {
        return None;
    }
    let row = |index: usize| {
        PARTS.map(|part| {
            let value = fields.get(&format!("{index}.{part}"));
            // Browsers send the line ends of another world.
            value.map_or_else(String::new, |value| value.replace("\r\n", "\n"))
        })
    };
    let rows = (0..=HOOKS_MAX).map(row);
    Some(
        rows.filter(|row| row.iter().any(|part| !part.is_empty()))
            .collect(),
    )
}

fn is_empty(phase: Phase, index: usize, values: &Values) -> bool {
    let empty = |part: &str| values.get(&input(phase, index, part)).is_empty();
    PARTS.iter().all(|part| empty(part))
}

/// `pre_hooks.0.service`.
fn input(phase: Phase, index: usize, part: &str) -> String {
    let name = format!("{}.{index}", phase.field());
    if part.is_empty() {
        name
    } else {
        format!("{name}.{part}")
    }
}
