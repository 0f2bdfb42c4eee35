//! Feeds an archive to `mongorestore` under its other names, judging every byte once more before it
//! goes in: what was validated is what is loaded.

use futures_util::{
    StreamExt,
    future::{self, Either},
};
use serde_json::json;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time,
};

use super::{
    archive::{fingerprint, scan::Scanner, staging::Staging},
    errors,
    server::{SHORT, Server},
};
use crate::{
    docker::{Chunk, DockerError, Session},
    domain::manifest::Fingerprint,
    strategy::{Journal, RawStream, StrategyError, stderr::Stderr},
};

const PROGRAM: &str = "mongorestore";

pub struct Load<'a> {
    pub server: &'a Server,
    /// What each collection's name begins with, up to its dot.
    pub staging: &'a str,
    /// What the archive holds, as counted before.
    pub expected: &'a Fingerprint,
    pub journal: &'a dyn Journal,
}

impl Load<'_> {
    pub async fn run(&self, artifact: RawStream) -> Result<(), StrategyError> {
        let more = [
            "--archive",
            // Without it the tool ends well although documents are missing.
            "--stopOnError",
            // What is in the archive was in the database, whatever its validator says by now.
            "--bypassDocumentValidation",
        ];
        let more = more.map(ToOwned::to_owned).to_vec();
        let command = self.server.tool(PROGRAM, more);
        let site = &self.server.site;
        site.watch(async {
            let session = site.engine.exec(&site.container.id, command).await?;
            Box::pin(self.drive(session, artifact)).await
        })
        .await
    }

    async fn drive(&self, session: Session, artifact: RawStream) -> Result<(), StrategyError> {
        let Session {
            stdin,
            mut output,
            exit,
        } = session;
        let mut stdin = stdin.ok_or_else(|| self.cut("there is no way in"))?;
        let mut stderr = Stderr::new(self.server.settings.mask());
        let listening = async {
            while let Some(chunk) = output.next().await {
                if let Chunk::Stderr(bytes) = chunk? {
                    stderr.push(&bytes);
                }
            }
            Ok::<_, StrategyError>(())
        };
        let feeding = self.feed(stdin.as_mut(), artifact);
        tokio::pin!(listening, feeding);
        let whole = match future::select(feeding, listening.as_mut()).await {
            Either::Left((done, _)) => {
                done?;
                self.patiently(listening).await??;
                true
            }
            // It ended before it had read everything: it has something to say.
            Either::Right((ended, _)) => {
                ended?;
                false
            }
        };
        let what = format!("loading into {}", self.staging);
        let code = exit.await?;
        let said = stderr.text();
        match code {
            0 if !whole => Err(StrategyError::refused(
                format!("{what} failed: {PROGRAM} ended before it had read everything"),
                "",
            )),
            0 => match failed_documents(&said) {
                0 => Ok(()),
                number => Err(StrategyError::refused(
                    format!("{what} failed: {number} documents could not be restored"),
                    "",
                )),
            },
            code => Err(errors::complaint(&what, PROGRAM, code, &said)),
        }
    }

    async fn feed(
        &self,
        stdin: &mut (dyn AsyncWrite + Send + Unpin),
        mut artifact: RawStream,
    ) -> Result<(), StrategyError> {
        self.write(stdin, &self.server.first_line()).await?;
        let mut scanner = Scanner::default();
        let mut staging = Staging::new(&format!("{}.", self.staging));
        let mut passed = 0;
        while let Some(chunk) = artifact.next().await {
            let chunk = chunk.map_err(StrategyError::Artifact)?;
            scanner.feed(&chunk, &mut staging);
            if let Some(fault) = scanner.fault() {
                return Err(changed(fault));
            }
            passed += chunk.len() as u64;
            self.write(stdin, &staging.take()).await?;
            self.journal.progress(passed);
        }
        let found = fingerprint(scanner).map_err(|fault| changed(&fault))?;
        if let Some(difference) = self.expected.differences(&found, 1).first() {
            return Err(changed(difference));
        }
        // The answer to a broken pipe comes with the exit status.
        let _ = stdin.shutdown().await;
        Ok(())
    }

    async fn write(
        &self,
        stdin: &mut (dyn AsyncWrite + Send + Unpin),
        bytes: &[u8],
    ) -> Result<(), StrategyError> {
        let gone = match self.patiently(stdin.write_all(bytes)).await? {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // The program ended; its exit status will say why, and end this wait.
        time::sleep(self.server.site.stall).await;
        Err(self.cut(&gone.to_string()).into())
    }

    /// Waits as long as the server works on what it already has: building an index may take hours
    /// in which no byte moves.
    async fn patiently<T>(&self, work: impl Future<Output = T>) -> Result<T, StrategyError> {
        let stall = self.server.site.stall;
        let mut idle = false;
        tokio::pin!(work);
        loop {
            if let Ok(done) = time::timeout(stall, work.as_mut()).await {
                return Ok(done);
            }
            let what = "looking at the load";
            let was_idle = idle;
            idle = !self.server.ask("works", json!({}), what, SHORT).await?;
            // Between two things that it is asked to do, a server does nothing either.
            if idle && was_idle {
                return Err(DockerError::Stalled {
                    container: self.server.site.container.name.clone(),
                    program: PROGRAM.to_owned(),
                    after: stall,
                }
                .into());
            }
        }
    }

    fn cut(&self, reason: &str) -> DockerError {
        DockerError::Cut {
            container: self.server.site.container.name.clone(),
            reason: reason.to_owned(),
        }
    }
}

/// The number in `5100 document(s) restored successfully. 3 document(s) failed to restore.`
fn failed_documents(said: &str) -> u64 {
    let line = said
        .lines()
        .rfind(|line| line.contains("document(s) failed to restore"));
    let Some((before, _)) = line.and_then(|line| line.rsplit_once(" document(s) failed")) else {
        return 0;
    };
    let number = before.rsplit([' ', '\t']).next().unwrap_or_default();
    number.parse().unwrap_or(u64::MAX)
}

fn changed(fault: &str) -> StrategyError {
    StrategyError::refused(
        format!("the artifact is not what was checked before: {fault}"),
        "Verify the artifact; its storage may be failing.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_failed_are_counted() {
        let time = "2026-01-01T00:00:00.000+0000\t";
        let said = |number: &str| {
            format!(
                "{time}done\n{time}51 document(s) restored successfully. {number} document(s) failed to restore.\n"
            )
        };
        assert_eq!(failed_documents(&said("0")), 0);
        assert_eq!(failed_documents(&said("12")), 12);
        assert_eq!(failed_documents(&said("many")), u64::MAX);
        assert_eq!(failed_documents(""), 0);
    }
}
