//! Feeds an archive to `mongorestore` under its other names, judging every byte once more before it
//! goes in: what was validated is what is loaded.

use async_trait::async_trait;
use futures_util::StreamExt;
use serde_json::json;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{
    archive::{fingerprint, scan::Scanner, staging::Staging},
    errors,
    server::{SHORT, Server},
};
use crate::{
    docker::Session,
    domain::manifest::Fingerprint,
    strategy::{
        Journal, RawStream, Site, StrategyError,
        pour::{self, Loading, changed},
    },
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
        let (mut stdin, ear) = pour::open(self.site(), session)?;
        let feeding = self.feed(stdin.as_mut(), artifact);
        let poured = pour::pour(self, feeding, ear, self.server.settings.mask()).await?;
        let what = format!("loading into {}", self.staging);
        match poured.code {
            0 if poured.fed.is_none() => Err(StrategyError::refused(
                format!("{what} failed: {PROGRAM} ended before it had read everything"),
                "",
            )),
            0 => match failed_documents(&poured.said) {
                0 => Ok(()),
                number => Err(StrategyError::refused(
                    format!("{what} failed: {number} documents could not be restored"),
                    "",
                )),
            },
            code => Err(errors::complaint(&what, PROGRAM, code, &poured.said)),
        }
    }

    async fn feed(
        &self,
        stdin: &mut (dyn AsyncWrite + Send + Unpin),
        mut artifact: RawStream,
    ) -> Result<(), StrategyError> {
        pour::write(self, stdin, &self.server.first_line()).await?;
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
            pour::write(self, stdin, &staging.take()).await?;
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
}

#[async_trait]
impl Loading for Load<'_> {
    fn site(&self) -> &Site {
        &self.server.site
    }

    fn program(&self) -> &'static str {
        PROGRAM
    }

    /// Between two things that it is asked to do, a server does nothing either.
    async fn works(&self) -> Result<Option<bool>, StrategyError> {
        let what = "looking at the load";
        let works: bool = self.server.ask("works", json!({}), what, SHORT).await?;
        Ok(works.then_some(true))
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
