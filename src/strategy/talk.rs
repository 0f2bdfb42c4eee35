//! Questions to a server inside the container, by its own client: what goes in, what comes out, how it
//! ended.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::{io::AsyncWriteExt, time};

use super::{
    Site, StrategyError,
    stderr::{Mask, Stderr},
};
use crate::docker::{Chunk, Command, DockerError, Session};

/// How much one answer may hold, in bytes.
const ANSWER: usize = 256 * 1024 * 1024;

/// What a program said, and how it ended.
pub struct Said {
    pub code: i64,
    pub stdout: String,
    /// The end of it, masked.
    pub stderr: String,
}

impl Site {
    /// Runs a command to its end, feeding it `input`, in `limit` at most. `what` says what for, should
    /// the answer have no end.
    pub async fn talk(
        &self,
        command: Command,
        input: Bytes,
        mask: Mask,
        what: &str,
        limit: Duration,
    ) -> Result<Said, StrategyError> {
        let program = command.program().to_owned();
        let container = &self.container;
        let work = async {
            let session = self.engine.exec(&container.id, command).await?;
            converse(session, input, mask, what).await
        };
        let limited = async {
            time::timeout(limit, work).await.unwrap_or_else(|_| {
                Err(DockerError::Stalled {
                    container: container.name.clone(),
                    program: program.clone(),
                    after: limit,
                }
                .into())
            })
        };
        self.watch(limited).await
    }

    /// Ends all that was begun in the container and is not awaited any more, so that nothing changes
    /// under the eyes of whoever looks next.
    pub async fn quiet(&self) -> Result<(), StrategyError> {
        Ok(self.engine.sweep(&self.container.id, None).await?)
    }
}

async fn converse(
    mut session: Session,
    input: Bytes,
    mask: Mask,
    what: &str,
) -> Result<Said, StrategyError> {
    let stdin = session.stdin.take();
    let feed = async {
        if let Some(mut pipe) = stdin {
            // A program may close its input early; its exit status tells what that meant.
            let _ = pipe.write_all(&input).await;
            let _ = pipe.shutdown().await;
        }
    };
    let read = async {
        let (mut out, mut err) = (Vec::new(), Stderr::new(mask));
        while let Some(chunk) = session.output.next().await {
            match chunk? {
                Chunk::Stdout(bytes) if out.len() + bytes.len() > ANSWER => {
                    let message = format!("{what} failed: the answer has no end");
                    return Err(StrategyError::refused(message, ""));
                }
                Chunk::Stdout(bytes) => out.extend_from_slice(&bytes),
                Chunk::Stderr(bytes) => err.push(&bytes),
            }
        }
        Ok((out, err))
    };
    let ((), read) = tokio::join!(feed, read);
    let (out, err) = read?;
    Ok(Said {
        code: session.exit.await?,
        stdout: String::from_utf8_lossy(&out).into_owned(),
        stderr: err.text(),
    })
}

/// An answer of one JSON value a line.
pub fn parse<T: DeserializeOwned>(answer: &str, what: &str) -> Result<Vec<T>, StrategyError> {
    let lines = answer.lines().filter(|line| !line.is_empty());
    let parsed: Result<Vec<T>, _> = lines.map(serde_json::from_str).collect();
    parsed.map_err(|error| {
        let message = format!("{what} failed: the server's answer is not understood ({error})");
        StrategyError::refused(message, "")
    })
}
