//! Where the process writes what it does: to standard error, so that results stay clean. `RUST_LOG`
//! says how much.

use std::io::IsTerminal;

use holdfast::config::LogFormat;
use tracing_subscriber::{EnvFilter, fmt};

/// What we say, and of others only what is wrong.
const SERVER: &str = "warn,holdfast=info";

/// A server tells what it does; a command (`None`) is silent but for errors.
pub fn start(format: Option<LogFormat>) {
    let usual = if format.is_some() { SERVER } else { "error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let log = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if format == Some(LogFormat::Json) {
        log.json().flatten_event(true).init();
    } else {
        log.with_target(false).init();
    }
}
