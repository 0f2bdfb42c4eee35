//! `flush_mysql`: all tables of a MySQL or MariaDB are flushed and locked for reading, and stay so
//! while the data is read.
//!
//! The lock belongs to one session, and ends with it. So the session is kept open through its
//! client's standard input, asked every few seconds whether it is still the same, and asked once
//! more before the lock is given back: only then was it held to the end.

use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::{
    io::AsyncWriteExt,
    time::{sleep, timeout},
};

use super::{Held, Kind, Place, Ran, Released};
use crate::{
    docker::{Chunk, Command, DockerError, Session},
    domain::{failure::Failure, hook::Phase},
    strategy::stderr::{Mask, Stderr, shown},
};

pub(super) struct FlushMysql;

const CLIENTS: [&str; 2] = ["mariadb", "mysql"];
const PASSWORDS: [&str; 2] = ["MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD"];
/// How often a held lock is looked at.
const BEAT: Duration = Duration::from_secs(5);
/// How long the client may take to answer for it.
const ANSWER: Duration = Duration::from_secs(30);
/// A session that is not used for this long is ended by the server, whatever its own settings say.
const IDLE: Duration = Duration::from_hours(7 * 24);

#[async_trait]
impl Kind for FlushMysql {
    fn name(&self) -> &'static str {
        "flush_mysql"
    }

    fn label(&self) -> &'static str {
        "Flush and lock MySQL / MariaDB"
    }

    fn refuses(&self, phase: Phase) -> Option<&'static str> {
        match phase {
            Phase::Before => None,
            Phase::After => Some(
                "flush_mysql belongs before the backup: its lock is given back by itself as soon as the data is out",
            ),
        }
    }

    fn needs_running(&self) -> bool {
        true
    }

    async fn run(&self, place: &Place<'_>) -> Result<Ran, Failure> {
        let container = place.running()?;
        let lock = place.within(async {
            let client = place.program(container, &CLIENTS).await?;
            let password = place.password(container, &PASSWORDS).await?;
            let user = place.options.and_then(|options| options.plain.get("user"));
            let user = user.filter(|user| !user.is_empty()).map_or("root", |u| u);
            let mut command = Command::new([
                client,
                &format!("--user={user}"),
                "--batch",
                "--skip-column-names",
                "--unbuffered",
                // A new session would know nothing of the lock.
                "--skip-reconnect",
            ])
            .with_stdin();
            let mut mask = place.mask(container);
            if let Some(password) = password {
                mask = mask.and(&password);
                command = command.env("MYSQL_PWD", password);
            }
            let session = place.engine.exec(&container.id, command).await?;
            let mut lock = Lock::new(session, container.name.clone(), mask);
            lock.take(place.hook.timeout()).await?;
            Ok(lock)
        });
        let lock = lock.await?;
        Ok(Ran::done(format!("all tables of {} are locked", container.name)).holding(lock))
    }
}

/// A session that holds the lock.
struct Lock {
    session: Session,
    container: String,
    /// What came and was not read yet.
    output: BytesMut,
    stderr: Stderr,
    /// Number of the last question: answers to earlier ones may still come.
    asked: u64,
    /// The server's name of the session.
    connection: String,
}

impl Lock {
    fn new(session: Session, container: String, mask: Mask) -> Self {
        Self {
            session,
            container,
            output: BytesMut::new(),
            stderr: Stderr::new(mask),
            asked: 0,
            connection: String::new(),
        }
    }

    /// `wait` bounds in the server, too, how long its writers queue behind a lock that does not
    /// come, in seconds.
    async fn take(&mut self, wait: u32) -> Result<(), Failure> {
        let idle = IDLE.as_secs();
        let lock = format!(
            "SET SESSION wait_timeout = {idle}; SET SESSION lock_wait_timeout = {wait}; \
             FLUSH TABLES WITH READ LOCK; "
        );
        match self.ask(&lock).await {
            Ok(connection) => {
                self.connection = connection;
                Ok(())
            }
            Err(why) => Err(Failure::permanent(
                format!(
                    "the tables of {} could not be locked: {why}",
                    self.container
                ),
                "Locking needs a user with the right RELOAD, and no statement that runs for long.",
            )
            .with_detail(shown(&self.stderr.text()))),
        }
    }

    /// Sends statements and a question after them; answers the server's name of the session.
    async fn ask(&mut self, statements: &str) -> Result<String, String> {
        self.asked += 1;
        let mark = format!("holdfast-{}\t", self.asked);
        let line = format!(
            "{statements}SELECT 'holdfast-{}', CONNECTION_ID();\n",
            self.asked
        );
        let Some(stdin) = self.session.stdin.as_mut() else {
            return Err("its client takes no input".to_owned());
        };
        let sent = async {
            stdin.write_all(line.as_bytes()).await?;
            stdin.flush().await
        };
        // A client that ended says on its standard error why.
        let sent = sent.await;
        loop {
            while let Some(line) = self.line() {
                if let Some(connection) = line.strip_prefix(&mark) {
                    return Ok(connection.trim().to_owned());
                }
            }
            match self.session.output.next().await {
                Some(Ok(Chunk::Stdout(bytes))) => self.output.extend_from_slice(&bytes),
                Some(Ok(Chunk::Stderr(bytes))) => self.stderr.push(&bytes),
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err(self.last_words(sent.err())),
            }
        }
    }

    /// The next whole line of output.
    fn line(&mut self) -> Option<String> {
        let end = self.output.iter().position(|&byte| byte == b'\n')?;
        let line = self.output.split_to(end + 1);
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    fn last_words(&self, sent: Option<std::io::Error>) -> String {
        let said = self.stderr.text();
        let last = said.lines().rev().find(|line| line.starts_with("ERROR"));
        match (last.or_else(|| said.lines().last()), sent) {
            (Some(line), _) => line.to_owned(),
            (None, Some(error)) => error.to_string(),
            (None, None) => "its client ended".to_owned(),
        }
    }

    /// Whether it is the same session still, and so holds its lock.
    async fn look(&mut self, statements: &str) -> Result<(), String> {
        let answer = timeout(ANSWER, self.ask(statements)).await;
        let answer = answer.unwrap_or_else(|_| Err("its client does not answer".to_owned()))?;
        if answer == self.connection {
            Ok(())
        } else {
            Err("another session answers for it".to_owned())
        }
    }

    /// Ends the client.
    async fn close(mut self) -> Result<(), DockerError> {
        if let Some(mut stdin) = self.session.stdin.take() {
            let _ = stdin.shutdown().await;
        }
        while let Some(chunk) = self.session.output.next().await {
            chunk?;
        }
        self.session.exit.await.map(drop)
    }
}

#[async_trait]
impl Held for Lock {
    async fn lost(&mut self) {
        while self.look("").await.is_ok() {
            sleep(BEAT).await;
        }
    }

    async fn release(mut self: Box<Self>) -> Released {
        let container = self.container.clone();
        if let Err(why) = self.look("").await {
            let broken = Failure::temporary(
                format!("the lock of {container} was lost before the data was out: {why}"),
                "Something ended the session: an administrator, a limit of the server, a restart.",
            );
            return Released {
                broken: Some(broken.with_detail(shown(&self.stderr.text()))),
                ..Released::default()
            };
        }
        // Whatever becomes of the client now: its end gives the lock back, too.
        let unlocked = self.look("UNLOCK TABLES; ").await;
        let closed = timeout(ANSWER, self.close()).await;
        if unlocked.is_err() || !matches!(closed, Ok(Ok(()))) {
            tracing::debug!(%container, "the session of the lock was ended from here");
        }
        Released::default()
    }
}
