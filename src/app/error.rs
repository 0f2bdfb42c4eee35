//! What a use case may answer instead of success.

use crate::{
    domain::{
        aggregate::Refusal,
        failure::{Failure, FieldErrors},
    },
    log::LogError,
};

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Some fields of the input are wrong; nothing has been stored.
    #[error("some fields are not valid")]
    Invalid(FieldErrors),
    /// What was named does not exist (or the caller may not see it).
    #[error("{0} does not exist")]
    NotFound(String),
    /// It exists, and was not granted to the caller, who is told that it does not.
    #[error("{0} does not exist")]
    Hidden(String),
    /// The present state does not allow it.
    #[error("{0}")]
    Conflict(String),
    #[error("log in first")]
    Unauthenticated,
    /// The password was right; with this ticket the code of the second factor is to be shown.
    #[error("send the code of your second factor too")]
    CodeNeeded(crate::domain::secret::Secret),
    /// What cannot be taken back asks who is there, some while after the log-in.
    #[error("prove who you are: by your password, or by a code of your second factor")]
    ProofNeeded,
    #[error("your role does not allow this")]
    Forbidden,
    /// The token's own limits: the scope that it would need.
    #[error("this token may not be used for this; it needs the scope {0}")]
    OutOfScope(&'static str),
    /// Too many refused log-ins; seconds until the next may be tried.
    #[error("too many attempts; try again in {0} s")]
    Throttled(u64),
    /// Something outside (engine, target) did not do what was asked.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// The server is being stopped; what was asked is done after the next start.
    #[error("the server is stopping")]
    Stopping,
    /// A defect or a broken database: the person sees an id, the log the cause.
    #[error("internal error: {0}")]
    Internal(String),
}

impl AppError {
    pub fn field(field: &str, problem: impl Into<String>) -> Self {
        Self::Invalid(FieldErrors::one(field, problem))
    }
}

impl From<LogError> for AppError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Refused(refusal) => refusal.into(),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<Refusal> for AppError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(fields) => Self::Invalid(fields),
            Refusal::NotFound(what) => Self::NotFound(what),
            Refusal::Conflict(_) | Refusal::Stale { .. } => Self::Conflict(refusal.to_string()),
        }
    }
}

impl From<FieldErrors> for AppError {
    fn from(fields: FieldErrors) -> Self {
        Self::Invalid(fields)
    }
}

impl From<sea_orm::DbErr> for AppError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<Failure> for AppError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
