//! A hook: what a config asks to be done to a service of its app around a backup. What each type
//! does is in the room `hook`; here is what holds for all of them.

use serde::{Deserialize, Serialize};

use super::{failure::FieldErrors, text};

/// Seconds that a hook may take when it does not say.
pub const TIMEOUT: u32 = 60;
/// Seconds that a hook may say at most.
pub const TIMEOUT_MAX: u32 = 3600;
/// Hooks of one phase at most.
pub const HOOKS_MAX: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Stable name of its type: `stop`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A service of the app, or the full name of one of its containers.
    pub service: String,
    /// For the types that take one: a line for the shell in the service's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
}

impl Hook {
    /// Seconds it may take.
    pub fn timeout(&self) -> u32 {
        self.timeout.unwrap_or(TIMEOUT).clamp(1, TIMEOUT_MAX)
    }
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before the first byte is read.
    Before,
    /// As soon as the data is out of the container, or is known not to come.
    After,
}

impl Phase {
    /// The field of a config that holds its hooks.
    pub fn field(self) -> &'static str {
        match self {
            Self::Before => "pre_hooks",
            Self::After => "post_hooks",
        }
    }

    /// What one hook of a config is called in problems: `pre_hooks[1]`.
    pub fn place(self, index: usize) -> String {
        format!("{}[{index}]", self.field())
    }
}

/// How a hook went, for the log and the run's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookReport {
    pub phase: Phase,
    /// Its place among the hooks of its phase, from 0.
    pub index: usize,
    #[serde(rename = "type")]
    pub kind: String,
    pub service: String,
    pub outcome: HookOutcome,
    /// Milliseconds.
    pub took_ms: u64,
    /// What it did or said, secrets masked; a few KiB at most. May be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookOutcome {
    Done,
    /// There was nothing to do.
    Skipped,
    Failed,
}

/// What holds for every hook of a phase, whatever its type. Problems are named as in
/// `pre_hooks[1].command`.
pub fn check(phase: Phase, hooks: &[Hook]) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    if hooks.len() > HOOKS_MAX {
        errors.add(phase.field(), format!("use {HOOKS_MAX} hooks at most"));
    }
    for (index, hook) in hooks.iter().enumerate() {
        let place = phase.place(index);
        errors.merge(text::container_name(
            &format!("{place}.service"),
            &hook.service,
        ));
        if let Some(command) = &hook.command {
            errors.merge(text::shell_line(&format!("{place}.command"), command));
        }
        if !(1..=TIMEOUT_MAX).contains(&hook.timeout.unwrap_or(TIMEOUT)) {
            let problem = format!("use 1 to {TIMEOUT_MAX} seconds");
            errors.add(format!("{place}.timeout"), problem);
        }
    }
    errors.into_result()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(service: &str, command: Option<&str>, timeout: Option<u32>) -> Hook {
        Hook {
            kind: "exec".into(),
            service: service.into(),
            command: command.map(Into::into),
            timeout,
        }
    }

    #[test]
    fn every_problem_names_its_field() {
        let hooks = [
            hook("db", Some("sync"), None),
            hook("$(id)", Some("a\0b"), Some(0)),
            hook("web", None, Some(TIMEOUT_MAX + 1)),
        ];
        let errors = check(Phase::Before, &hooks).unwrap_err();
        let named: Vec<&str> = errors.0.keys().map(String::as_str).collect();
        assert_eq!(
            named,
            [
                "pre_hooks[1].command",
                "pre_hooks[1].service",
                "pre_hooks[1].timeout",
                "pre_hooks[2].timeout",
            ]
        );
        let many = vec![hook("db", None, None); HOOKS_MAX + 1];
        let errors = check(Phase::After, &many).unwrap_err();
        assert!(errors.0.contains_key("post_hooks"));
    }

    #[test]
    fn a_hook_has_a_limit_whatever_it_says() {
        for (said, seconds) in [(None, 60), (Some(5), 5), (Some(0), 1), (Some(9_999), 3600)] {
            assert_eq!(hook("db", None, said).timeout(), seconds);
        }
    }
}
