//! Feeds the tables of a dump to the server's client, in staging databases, judging every byte once
//! more before it goes in: what was validated is what is loaded.

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{self, Either},
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time,
};

use super::{
    errors,
    names::literal,
    read::{Dump, Parts},
    server::Server,
};
use crate::{
    docker::{DockerError, Session},
    domain::manifest::Fingerprint,
    strategy::{Journal, RawStream, StrategyError, stderr::Stderr},
};

const WHAT: &str = "loading the tables";

/// As the dump tools set it up themselves, for dumps that do not.
const SESSION: &str =
    "SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO', foreign_key_checks=0, unique_checks=0;
SET NAMES utf8mb4;
";

pub struct Load<'a> {
    pub server: &'a Server,
    /// Of the session, by which it is found.
    pub mark: &'a str,
    /// What the staging databases are called, without the number.
    pub prefix: &'a str,
    /// Those that have tables, by their numbers.
    pub known: &'a [String],
    /// What the dump holds, as counted before.
    pub expected: &'a Fingerprint,
    pub journal: &'a dyn Journal,
}

impl Load<'_> {
    /// Returns what is left to do: the code, the accounts, and which databases there are.
    pub async fn run(&self, artifact: RawStream) -> Result<Parts, StrategyError> {
        let command = self.server.client(&[]);
        let site = &self.server.site;
        site.watch(async {
            let session = site.engine.exec(&site.container.id, command).await?;
            Box::pin(self.drive(session, artifact)).await
        })
        .await
    }

    async fn drive(&self, session: Session, artifact: RawStream) -> Result<Parts, StrategyError> {
        let Session {
            stdin,
            mut output,
            exit,
        } = session;
        let mut stdin = stdin.ok_or_else(|| DockerError::Cut {
            container: self.server.site.container.name.clone(),
            reason: "there is no way in".to_owned(),
        })?;
        let mut stderr = Stderr::new(self.server.settings.mask());
        let listening = async {
            while let Some(chunk) = output.next().await {
                if let crate::docker::Chunk::Stderr(bytes) = chunk? {
                    stderr.push(&bytes);
                }
            }
            Ok::<_, StrategyError>(())
        };
        let feeding = self.feed(stdin.as_mut(), artifact);
        tokio::pin!(listening, feeding);
        let whole = match future::select(feeding, listening.as_mut()).await {
            Either::Left((done, _)) => {
                let parts = done?;
                self.patiently(listening).await??;
                Some(parts)
            }
            // It ended before it had read everything: it has something to say.
            Either::Right((ended, _)) => {
                ended?;
                None
            }
        };
        let program = self.server.client_name();
        match (exit.await?, whole) {
            (0, Some(parts)) => Ok(parts),
            (0, None) => Err(StrategyError::refused(
                format!("{WHAT} failed: {program} ended before it had read everything"),
                "",
            )),
            (code, _) => Err(errors::complaint(WHAT, program, code, &stderr.text())),
        }
    }

    async fn feed(
        &self,
        stdin: &mut (dyn AsyncWrite + Send + Unpin),
        mut artifact: RawStream,
    ) -> Result<Parts, StrategyError> {
        let mut dump = Dump::parted(self.prefix, self.known);
        let begin = format!("{}{SESSION}", Server::mark(self.mark));
        self.write(stdin, &begin.into()).await?;
        let mut passed = 0;
        while let Some(chunk) = artifact.next().await {
            let chunk = chunk.map_err(StrategyError::Artifact)?;
            dump.feed(&chunk);
            if let Some(fault) = dump.fault() {
                return Err(changed(fault));
            }
            passed += chunk.len() as u64;
            self.write(stdin, &dump.tables().into()).await?;
            self.journal.progress(passed);
        }
        let (found, parts) = dump.finish().map_err(|fault| changed(&fault))?;
        if let Some(difference) = self.expected.differences(&found, 1).first() {
            return Err(changed(difference));
        }
        // What was decided only at the end of the dump.
        self.write(stdin, &parts.tables().to_vec().into()).await?;
        // The answer to a broken pipe comes with the exit status.
        let _ = stdin.shutdown().await;
        Ok(parts)
    }

    async fn write(
        &self,
        stdin: &mut (dyn AsyncWrite + Send + Unpin),
        chunk: &Bytes,
    ) -> Result<(), StrategyError> {
        let gone = match self.patiently(stdin.write_all(chunk)).await? {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // The client ended; its exit status will say why, and end this wait.
        time::sleep(self.server.site.stall).await;
        Err(DockerError::Cut {
            container: self.server.site.container.name.clone(),
            reason: gone.to_string(),
        }
        .into())
    }

    /// Waits as long as the server works on what it already has: building an index may take hours
    /// in which no byte moves.
    async fn patiently<T>(&self, work: impl Future<Output = T>) -> Result<T, StrategyError> {
        let stall = self.server.site.stall;
        let mut missed = false;
        tokio::pin!(work);
        loop {
            if let Ok(done) = time::timeout(stall, work.as_mut()).await {
                return Ok(done);
            }
            match self.works().await? {
                Some(true) => missed = false,
                // Not there yet, or just gone: that settles itself.
                None if !missed => missed = true,
                Some(false) | None => {
                    return Err(DockerError::Stalled {
                        container: self.server.site.container.name.clone(),
                        program: self.server.client_name().to_owned(),
                        after: stall,
                    }
                    .into());
                }
            }
        }
    }

    /// Whether the server works for our session, or did so since the last time-out; `None` when
    /// there is no such session.
    async fn works(&self) -> Result<Option<bool>, StrategyError> {
        let stall = self.server.site.stall.as_secs();
        let query = format!(
            "SELECT JSON_ARRAY(IF(TIME < {stall} OR (COMMAND <> 'Sleep' AND COALESCE(STATE, '') NOT LIKE 'Waiting for %lock%'), 1, 0))
            FROM information_schema.PROCESSLIST WHERE ID = IS_USED_LOCK({});",
            literal(self.mark)
        );
        let what = "looking at the load";
        let found: Vec<Vec<u8>> = self.server.ask(query, what).await?;
        Ok(found.into_iter().flatten().next().map(|works| works != 0))
    }
}

fn changed(fault: &str) -> StrategyError {
    StrategyError::refused(
        format!("the artifact is not what was checked before: {fault}"),
        "Verify the artifact; its storage may be failing.",
    )
}
