//! The server inside the container, asked through its own `psql`: no driver, no port, no version
//! skew. Every script goes in by standard input; answers come back as one JSON value a line.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{errors, names::literal, settings::Settings};
use crate::{
    docker::Command,
    strategy::{Site, StrategyError, talk},
};

/// For what the server answers from memory.
pub const SHORT: Duration = Duration::from_mins(1);
/// For scripts that work through data: no limit, the container and the cancel token end them.
pub const LONG: Duration = Duration::from_secs(u32::MAX as u64);

/// What our sessions must not inherit from the database's, the role's or the container's settings.
const SESSION: &str = "-c search_path=pg_catalog -c default_transaction_read_only=off \
    -c row_security=off -c statement_timeout=0 -c lock_timeout=0 \
    -c idle_in_transaction_session_timeout=0 -c synchronous_commit=on";

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

    /// A tool of the server's own, as the config's user. `options` are the session's, as for the
    /// variable `PGOPTIONS`.
    pub fn tool(&self, argv: Vec<String>, name: &str, options: &str) -> Command {
        let mut command = Command::new(argv)
            .env("PGAPPNAME", name.into())
            .env("PGOPTIONS", options.into())
            .env("LC_ALL", "C".into());
        if let Some(password) = &self.settings.password {
            command = command.env("PGPASSWORD", password.clone());
        }
        command
    }

    /// `psql` reading a script from standard input, stopping at the first error.
    pub fn psql(&self, database: &str, more: &[&str], name: &str, options: &str) -> Command {
        let mut argv: Vec<String> = ["psql", "--no-psqlrc", "--no-password", "--quiet"]
            .iter()
            .chain(more)
            .map(|&word| word.to_owned())
            .collect();
        argv.extend([
            "--set=ON_ERROR_STOP=1".to_owned(),
            format!("--username={}", self.settings.user),
            format!("--dbname={database}"),
            "--file=-".to_owned(),
        ]);
        self.tool(argv, name, options).with_stdin()
    }

    /// Runs a script in one database. `what` says what for, should it fail.
    pub async fn run(
        &self,
        database: &str,
        script: impl Into<String>,
        what: &str,
        limit: Duration,
    ) -> Result<String, StrategyError> {
        let flat = ["--no-align", "--tuples-only"];
        let command = self
            .psql(database, &flat, "holdfast", SESSION)
            .env("PGCLIENTENCODING", "UTF8".into());
        self.talk(command, Bytes::from(script.into()), what, limit)
            .await
    }

    /// The same, for a script whose answers are JSON, one a line.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        database: &str,
        script: impl Into<String>,
        what: &str,
    ) -> Result<Vec<T>, StrategyError> {
        let answer = self.run(database, script, what, SHORT).await?;
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

    /// Ends sessions by the name they gave themselves; for tools whose stream was given up, which
    /// may wait for a lock and never notice. `database` is where they are.
    pub async fn end_sessions(&self, database: &str, name: &str) {
        let alone = self.uncancelled();
        let script = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = {};",
            literal(name)
        );
        let limit = Duration::from_secs(10);
        // From the database itself: it is open, or there is no session to end.
        let _ = alone.run(database, script, "end a session", limit).await;
    }
}
