//! The shape every aggregate has: a command and the state give events, events give the next state.
//! Ids, clock and randomness come in with the command, so both functions are plain and total.

use super::{
    event::{Scope, StreamKind},
    failure::FieldErrors,
};

pub trait Aggregate: Default + Send {
    type Command;
    type Event: Send;
    const KIND: StreamKind;

    /// What follows from `command` in this state. No events: it had been done already, which is a
    /// success, so that repeating a command is harmless.
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Refusal>;

    /// Cannot fail: what is in the log has happened.
    fn evolve(&mut self, event: &Self::Event);

    /// What the stream belongs to, for filters and grants.
    fn scope(&self) -> Scope;

    /// The state after `events`, from the first on.
    fn fold<'a>(events: impl IntoIterator<Item = &'a Self::Event>) -> Self
    where
        Self::Event: 'a,
    {
        let mut state = Self::default();
        for event in events {
            state.evolve(event);
        }
        state
    }
}

/// Why a command was not accepted. Nothing has been stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("some fields are not valid")]
    Invalid(FieldErrors),
    /// The state does not allow it; the text says which state and what to do.
    #[error("{0}")]
    Conflict(String),
    #[error("{0} does not exist")]
    NotFound(String),
    /// Of an attempt or a revision that is not the present one: a job that ran twice or too late, a change to
    /// what was changed meanwhile.
    #[error("{attempt} is not the present one any more, {present} is")]
    Stale { attempt: u32, present: u32 },
}

impl Refusal {
    pub fn field(field: &str, problem: impl Into<String>) -> Self {
        Self::Invalid(FieldErrors::one(field, problem))
    }
}
