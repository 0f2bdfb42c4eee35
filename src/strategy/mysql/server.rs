//! The server inside the container, asked through its own client: no driver, no port, no version
//! skew. Every script goes in by standard input; answers come back as one JSON value a line.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::time;

use super::{errors, names::literal, settings::Settings, tools};
use crate::{
    docker::Command,
    strategy::{Site, StrategyError, talk},
};

/// For what the server answers from memory.
pub const SHORT: Duration = Duration::from_mins(1);
/// For scripts that work through data: no limit, the container and the cancel token end them.
pub const LONG: Duration = Duration::from_secs(u32::MAX as u64);

/// How long to wait for a server that is just coming up.
const COMING_UP: Duration = Duration::from_secs(30);
/// How long a session of an earlier attempt may take to end once it was told to.
const UNWIND: Duration = Duration::from_mins(2);

/// What our sessions must not inherit from the server's settings.
const SESSION: &str = "SET SESSION sql_mode='', autocommit=1, foreign_key_checks=1, \
    lock_wait_timeout=10, group_concat_max_len=1048576;
SET NAMES utf8mb4;
/*M!100101 SET SESSION max_statement_time=0 */;
/*!50708 SET SESSION max_execution_time=0 */;
";

pub struct Server {
    pub site: Site,
    pub settings: Settings,
    client: &'static str,
    /// Where it listens, by its own word: so that a tool can be run without any option file, whose
    /// `no-data` or `skip-triggers` would make a dump of something else.
    socket: Option<String>,
}

impl Server {
    /// Logs in, waiting for a server that is just coming up.
    pub async fn of(site: &Site) -> Result<Self, StrategyError> {
        let server = Self {
            site: site.clone(),
            settings: Settings::of(site).await?,
            client: tools::client(site).await?,
            socket: None,
        };
        let deadline = time::Instant::now() + COMING_UP;
        loop {
            match server.find_socket().await {
                Err(StrategyError::Tool {
                    temporary: true, ..
                }) if time::Instant::now() < deadline => {
                    time::sleep(Duration::from_millis(500)).await;
                }
                found => {
                    let socket = found?.filter(|path| path.starts_with('/'));
                    return Ok(Self { socket, ..server });
                }
            }
        }
    }

    async fn find_socket(&self) -> Result<Option<String>, StrategyError> {
        let query = "SELECT JSON_ARRAY(@@socket);";
        let found: Vec<Vec<Option<String>>> = self.ask(query, "logging in").await?;
        Ok(found.into_iter().flatten().next().flatten())
    }

    /// The same server, for tidying up after a cancel.
    #[must_use]
    pub fn uncancelled(&self) -> Self {
        Self {
            site: self.site.uncancelled(),
            settings: self.settings.clone(),
            client: self.client,
            socket: self.socket.clone(),
        }
    }

    /// A tool of the server's own, logged in as the config's user. `more` follows the login.
    pub fn tool(&self, program: &str, more: &[&str]) -> Command {
        let mut argv = vec![program.to_owned()];
        // Until the socket is known, the image's own option files say where it is.
        if let Some(socket) = &self.socket {
            argv.extend(["--no-defaults".to_owned(), format!("--socket={socket}")]);
        }
        argv.push(format!("--user={}", self.settings.user));
        argv.push("--default-character-set=utf8mb4".to_owned());
        argv.push("--max-allowed-packet=1G".to_owned());
        argv.extend(more.iter().map(|&word| word.to_owned()));
        // No home, no options and no password of some user's own there.
        let mut command = Command::new(argv)
            .env("HOME", "/nonexistent".into())
            .env("LC_ALL", "C".into());
        // Set in any case: the container's own environment may hold another one.
        let password = self.settings.password.clone().unwrap_or_default();
        command = command.env("MYSQL_PWD", password);
        command
    }

    /// The client, reading a script from standard input, stopping at the first error. In its binary
    /// mode it knows no command of its own but `delimiter`.
    pub fn client(&self, more: &[&str]) -> Command {
        let fixed = [
            "--batch",
            "--raw",
            "--skip-column-names",
            "--binary-mode",
            "--comments",
            "--unbuffered",
        ];
        self.tool(self.client, &[&fixed, more].concat())
            .with_stdin()
    }

    pub fn client_name(&self) -> &'static str {
        self.client
    }

    /// Runs a script. `what` says what for, should it fail.
    pub async fn run(
        &self,
        script: impl AsRef<str>,
        what: &str,
        limit: Duration,
    ) -> Result<String, StrategyError> {
        let script = [SESSION, script.as_ref()].concat();
        self.talk(self.client(&[]), Bytes::from(script), what, limit)
            .await
    }

    /// The same, for a script whose answers are JSON, one a line.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        script: impl AsRef<str>,
        what: &str,
    ) -> Result<Vec<T>, StrategyError> {
        let answer = self.run(script, what, SHORT).await?;
        talk::parse(&answer, what)
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

    /// Begins each session that changes something, so that `fence` finds it.
    pub fn mark(name: &str) -> String {
        format!("DO GET_LOCK({}, 10);\n", literal(name))
    }

    /// Ends the session that has this mark, if there is one, and waits until it is gone: what a
    /// client was told to do goes on in the server after the client's death.
    pub async fn fence(&self, name: &str) -> Result<(), StrategyError> {
        let what = "ending an earlier attempt";
        let query = format!("SELECT JSON_ARRAY(IS_USED_LOCK({}));", literal(name));
        let deadline = time::Instant::now() + UNWIND;
        loop {
            let found: Vec<Vec<Option<u64>>> = self.ask(query.as_str(), what).await?;
            let Some(session) = found.into_iter().flatten().flatten().next() else {
                return Ok(());
            };
            if time::Instant::now() > deadline {
                return Err(StrategyError::Tool {
                    message: format!("{what} failed: its session {session} does not end"),
                    hint: "Look at the server's sessions (SHOW PROCESSLIST).".to_owned(),
                    detail: String::new(),
                    temporary: true,
                });
            }
            self.end_sessions(&[session]).await?;
            time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Tells these sessions to end. Those that are gone already are fine, and so are those that this
    /// user may not end: whoever waits for them has a time limit.
    pub async fn end_sessions(&self, sessions: &[u64]) -> Result<(), StrategyError> {
        let kills: Vec<String> = sessions.iter().map(|id| format!("KILL {id};\n")).collect();
        let force = self.client(&["--force"]);
        let what = "ending sessions";
        match self.talk(force, kills.concat().into(), what, SHORT).await {
            Err(StrategyError::Tool { .. }) => Ok(()),
            done => done.map(|_| ()),
        }
    }
}
