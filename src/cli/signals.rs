//! SIGTERM and SIGINT, and the exit codes they lead to.

use tokio::signal::unix::{SignalKind, signal};

/// As a shell counts: 128 and SIGINT's number.
pub const SECOND_SIGNAL: u8 = 130;

/// Waits for the next of them; answers the exit code of a command that it ended. From the first
/// call on they do not end the process by themselves.
pub async fn first() -> u8 {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => 143,
        _ = int.recv() => SECOND_SIGNAL,
    }
}
