//! What the tools of databases have in common when they fail: how they ended, what is known of their
//! words, and what a person can do about it. Each database knows its own words (`errors.rs` of each).

use super::{StrategyError, stderr};

pub(super) const COMES_UP: &str = "The server is just starting or stopping; it is tried again.";
pub(super) const NO_LOGIN: &str = "Set the right user and password in the config.";
pub(super) const DISK: &str = "Free some space on the server's disk.";
pub(super) const MEMORY: &str = "Give the container more memory.";
pub(super) const DAMAGED: &str =
    "The server's own files are damaged; restore an older backup, and check the disk.";
const KILLED: &str = "It was ended from outside: for want of memory, or by a person.";

/// What is known of a complaint that shows this sign.
pub(super) struct Known {
    pub sign: &'static str,
    /// Trying again may help.
    pub temporary: bool,
    pub hint: &'static str,
}

pub(super) const fn soon(sign: &'static str, hint: &'static str) -> Known {
    Known {
        sign,
        temporary: true,
        hint,
    }
}

pub(super) const fn never(sign: &'static str, hint: &'static str) -> Known {
    Known {
        sign,
        temporary: false,
        hint,
    }
}

/// The first of them whose words stand in the text.
pub(super) fn known<'a>(known: &'a [Known], text: &str) -> Option<&'a Known> {
    known.iter().find(|known| text.contains(known.sign))
}

/// How a program ended that did not succeed.
pub(super) struct End<'a> {
    /// What it was to do: `the dump`.
    pub what: &'a str,
    pub program: &'a str,
    /// Its exit status; 128 and more is a signal.
    pub code: i64,
    /// Its stderr, masked.
    pub text: &'a str,
}

impl End<'_> {
    pub fn was_killed(&self) -> bool {
        self.code >= 128
    }

    /// For who said nothing worth repeating.
    pub fn fate(&self) -> String {
        let program = self.program;
        match self.code {
            128.. => format!("{program} was killed by signal {}", self.code - 128),
            code => format!("{program} ended with status {code} and said nothing"),
        }
    }

    /// `essence` is its complaint in one line.
    pub fn message(&self, essence: &str) -> String {
        format!("{} failed: {essence}", self.what)
    }

    pub fn failure(&self, essence: &str, known: Option<&Known>) -> StrategyError {
        let (hint, temporary) = match known {
            Some(known) => (known.hint, known.temporary),
            None if self.was_killed() => (KILLED, true),
            None => ("", false),
        };
        StrategyError::Tool {
            message: self.message(essence),
            hint: hint.to_owned(),
            detail: stderr::shown(self.text),
            temporary,
        }
    }
}

/// Message, hint, and whether trying again may help.
#[cfg(test)]
pub(super) fn told(error: StrategyError) -> (String, String, bool) {
    match error {
        StrategyError::Tool {
            message,
            hint,
            temporary,
            ..
        } => (message, hint, temporary),
        other => panic!("{other}"),
    }
}
