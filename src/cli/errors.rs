//! How a command ends when it did not do what was asked.

use std::process::ExitCode;

use holdfast::bootstrap::Busy;

/// The command was used in a way that cannot work: 2, as for what the parser refuses.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// No server answers: 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// Ended by a signal.
#[derive(Debug, thiserror::Error)]
#[error("ended by a signal; what was asked for goes on with the server, or with its next start")]
pub struct Ended(pub u8);

/// Not all is as it is declared, and nothing was asked but that: 4.
#[derive(Debug, thiserror::Error)]
#[error("")]
pub struct Differs;

/// What was asked for failed, and all has been said about it: 1.
#[derive(Debug, thiserror::Error)]
#[error("")]
pub struct Failed;

/// Says what went wrong, and answers the exit code for it.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let said = format!("{error:#}");
    if !said.is_empty() {
        super::output::complaint(&format!("error: {said}"));
    }
    if error.is::<Usage>() {
        ExitCode::from(2)
    } else if error.is::<Differs>() {
        ExitCode::from(4)
    } else if error.is::<Unreachable>() || error.is::<Busy>() {
        ExitCode::from(3)
    } else if let Some(Ended(code)) = error.downcast_ref() {
        ExitCode::from(*code)
    } else {
        ExitCode::FAILURE
    }
}
