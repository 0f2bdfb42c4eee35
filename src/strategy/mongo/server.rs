//! The server inside the container, asked through its own shell and its own tools: no driver, no
//! port, no version skew. What the shell is told to do is one constant script (`shell.js`); the
//! request goes in by environment, with the password, and the answer comes back as JSON.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use tokio::time;

use super::{errors, settings::Settings};
use crate::{
    docker::{Command, DockerError},
    domain::secret::Secret,
    strategy::{Site, StrategyError},
};

/// For what the server answers from memory.
pub const SHORT: Duration = Duration::from_mins(2);
/// For what works through data: no limit, the container and the cancel token end it.
pub const LONG: Duration = Duration::from_secs(u32::MAX as u64);
/// How long to wait for a server that is just coming up.
const COMING_UP: Duration = Duration::from_secs(30);

const SCRIPT: &str = include_str!("shell.js");
/// The newer one first: an image with both has the old one for old scripts only.
const SHELLS: [&str; 2] = ["mongosh", "mongo"];
/// Of a request, in bytes: the system takes no longer variable.
const REQUEST: usize = 120 * 1024;
/// Begins the line of the answer.
const MARK: &str = "HOLDFAST ";

pub struct Server {
    pub site: Site,
    pub settings: Settings,
}

impl Server {
    pub async fn of(site: &Site) -> Result<Self, StrategyError> {
        Ok(Self {
            site: site.clone(),
            settings: Settings::of(site).await?,
        })
    }

    /// The same server, for tidying up after a cancel.
    #[must_use]
    pub fn uncancelled(&self) -> Self {
        Self {
            site: self.site.uncancelled(),
            settings: self.settings.clone(),
        }
    }

    /// One of the database tools, connected to the server. With a login it first reads a line with
    /// the password from its standard input.
    pub fn tool(&self, program: &str, more: Vec<String>) -> Command {
        let mut argv = vec![program.to_owned(), "--host=127.0.0.1".to_owned()];
        if let Some(login) = &self.settings.login {
            argv.push(format!("--username={}", login.user));
            argv.push("--authenticationDatabase=admin".to_owned());
        }
        argv.extend(more);
        Command::new(argv).with_stdin()
    }

    /// What a tool's standard input begins with.
    pub fn first_line(&self) -> Bytes {
        let login = self.settings.login.as_ref();
        let line = login.map(|login| format!("{}\n", login.password.expose()));
        line.unwrap_or_default().into()
    }

    /// Has the shell do one of the script's actions. `what` says what for, should it fail.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        action: &str,
        request: Json,
        what: &str,
        limit: Duration,
    ) -> Result<T, StrategyError> {
        let mut request = request;
        request["action"] = json!(action);
        if let Some(login) = &self.settings.login {
            request["user"] = json!(login.user);
            request["password"] = json!(login.password.expose());
        }
        let request = request.to_string();
        if request.len() > REQUEST {
            let message = format!("{what} failed: there are too many databases to do it at once");
            return Err(StrategyError::refused(message, "Restore them one by one."));
        }
        let answer = self.shell(Secret::new(request), what, limit).await?;
        let answer = answer
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix(MARK));
        serde_json::from_str(answer.unwrap_or_default()).map_err(|error| {
            let message = format!("{what} failed: the shell's answer is not understood ({error})");
            StrategyError::refused(message, "")
        })
    }

    /// The same, waiting for a server that is just coming up.
    pub async fn ask_patiently<T: DeserializeOwned>(
        &self,
        action: &str,
        request: Json,
        what: &str,
        limit: Duration,
    ) -> Result<T, StrategyError> {
        let deadline = time::Instant::now() + COMING_UP;
        loop {
            match self.ask(action, request.clone(), what, limit).await {
                Err(StrategyError::Tool {
                    temporary: true, ..
                }) if time::Instant::now() < deadline => {
                    time::sleep(Duration::from_millis(500)).await;
                }
                other => return other,
            }
        }
    }

    async fn shell(
        &self,
        request: Secret,
        what: &str,
        limit: Duration,
    ) -> Result<String, StrategyError> {
        let mut missing = None;
        for shell in SHELLS {
            let argv = [shell, "--nodb", "--quiet", "--norc", "--eval", SCRIPT];
            // It would write a history and a log beside the data.
            let command = Command::new(argv)
                .env("HOLDFAST_INPUT", request.clone())
                .env("HOME", "/dev/null".into());
            match self.talk(command, Bytes::new(), what, limit).await {
                Err(StrategyError::Docker(error @ DockerError::NoSuchProgram { .. })) => {
                    missing.get_or_insert(error);
                }
                other => return other,
            }
        }
        Err(missing.map_or(StrategyError::Cancelled, StrategyError::Docker))
    }

    /// Runs a command to its end, feeding it `input`; its status must be 0.
    pub async fn talk(
        &self,
        command: Command,
        input: Bytes,
        what: &str,
        limit: Duration,
    ) -> Result<String, StrategyError> {
        let program = command.program().to_owned();
        let mask = self.settings.mask();
        let said = self.site.talk(command, input, mask, what, limit).await?;
        match said.code {
            0 => Ok(said.stdout),
            code => Err(errors::complaint(what, &program, code, &said.stderr)),
        }
    }
}
