//! What a person types when asked: passwords without showing them, and yes or no.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, bail};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::errors::Usage;

/// From standard input when `stdin`, else asked for at the terminal, twice.
pub fn new_password(stdin: bool) -> anyhow::Result<String> {
    if stdin {
        return first_line();
    }
    if !io::stdin().is_terminal() {
        bail!(Usage(
            "add --password-stdin, and send the password to standard input".into()
        ));
    }
    let password = hidden("Password: ")?;
    if hidden("Again: ")? != password {
        bail!("the two are not the same");
    }
    Ok(password)
}

/// The first line of standard input, without its end.
pub fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("cannot read standard input")?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

/// True when the person typed `expected`.
pub fn confirmed(question: &str, expected: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!(Usage("nobody is there to confirm; add --yes".into()));
    }
    ask(question)?;
    Ok(first_line()?.trim() == expected)
}

fn hidden(question: &str) -> anyhow::Result<String> {
    ask(question)?;
    let stdin = io::stdin();
    let shown = tcgetattr(&stdin)?;
    let mut silent = shown.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let line = first_line();
    tcsetattr(&stdin, OptionalActions::Flush, &shown)?;
    super::output::note("");
    line
}

fn ask(question: &str) -> anyhow::Result<()> {
    let mut terminal = io::stderr();
    write!(terminal, "{question}")?;
    Ok(terminal.flush()?)
}
