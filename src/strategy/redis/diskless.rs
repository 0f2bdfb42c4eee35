//! The setting that makes a server send its data without writing them to its disk first: switched on for a
//! transfer, and back afterwards; by the next backup, when a kill came in between.

use std::time::Duration;

use super::{
    client::{Client, Info},
    dump::optional,
};
use crate::{
    docker::{Command, command},
    strategy::StrategyError,
};

pub const SETTING: &str = "repl-diskless-sync";

/// In memory, and there for as long as the container runs: what is noted here ends no later than what it
/// is about.
const MEMORY: &str = "/dev/shm";
const SHORT: Duration = Duration::from_mins(1);

/// How it was found, or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diskless {
    /// On by the server's own lights; or it does not say.
    Own,
    /// By us. Where that is noted, if it could be.
    Switched(Option<String>),
    /// Off, and the server does not let us.
    Refused,
}

impl Diskless {
    pub async fn on(client: &Client, info: &Info) -> Result<Self, StrategyError> {
        let note = note(info);
        let found = optional(client.settings(&[SETTING]).await)?;
        let found = found.and_then(|mut found| found.remove(SETTING));
        if found.as_deref() != Some("no") {
            let is_ours = found.is_some() && run(client, &["test", "-e"], note.as_ref()).await;
            return Ok(if is_ours {
                Self::Switched(note)
            } else {
                Self::Own
            });
        }
        // Before the switch: a note of what never came about does no harm.
        run(client, &["touch", "--"], note.as_ref()).await;
        if switch(client, "yes").await? {
            return Ok(Self::Switched(note));
        }
        run(client, &["rm", "-f", "--"], note.as_ref()).await;
        Ok(Self::Refused)
    }

    /// Best effort: a server that is gone has forgotten it anyway, and of one that cannot be asked now the
    /// note stays.
    pub async fn back(&self, client: &Client) {
        if let Self::Switched(note) = self
            && switch(client, "no").await.is_ok_and(|done| done)
        {
            run(client, &["rm", "-f", "--"], note.as_ref()).await;
        }
    }
}

/// Names the very process of the server, for which alone a switched setting holds.
fn note(info: &Info) -> Option<String> {
    let id = info.text("run_id");
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then(|| format!("{MEMORY}/holdfast-{id}"))
}

/// Whether it went well. An image may have no such program, and a container no such folder.
async fn run(client: &Client, words: &[&str], note: Option<&String>) -> bool {
    let Some(note) = note else {
        return false;
    };
    let argv = words.iter().copied().chain([note.as_str()]);
    let (engine, container) = (client.site.engine.as_ref(), &client.site.container.id);
    let run = command::run(engine, container, Command::new(argv), None, SHORT);
    let ended = client.site.watch(async { Ok(run.await?) }).await;
    ended.is_ok_and(|output| output.ok())
}

/// False when the server does not let us.
async fn switch(client: &Client, value: &str) -> Result<bool, StrategyError> {
    let words = ["CONFIG", "SET", SETTING, value];
    let answer = optional(client.ask(&words, "setting").await)?;
    Ok(answer.is_some_and(|answer| answer.trim() == "OK"))
}
