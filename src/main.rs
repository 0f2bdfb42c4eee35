//! The program: a server, and the command line that speaks to it.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
