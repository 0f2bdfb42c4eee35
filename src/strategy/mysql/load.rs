//! Feeds the tables of a dump to the server's client, in staging databases, judging every byte once
//! more before it goes in: what was validated is what is loaded.

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{
    errors,
    names::literal,
    read::{Dump, Parts},
    server::Server,
};
use crate::{
    docker::Session,
    domain::manifest::Fingerprint,
    strategy::{
        Journal, RawStream, Site, StrategyError,
        pour::{self, Loading, changed},
    },
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
        let (mut stdin, ear) = pour::open(self.site(), session)?;
        let feeding = self.feed(stdin.as_mut(), artifact);
        let poured = pour::pour(self, feeding, ear, self.server.settings.mask()).await?;
        let program = self.program();
        match (poured.code, poured.fed) {
            (0, Some(parts)) => Ok(parts),
            (0, None) => Err(StrategyError::refused(
                format!("{WHAT} failed: {program} ended before it had read everything"),
                "",
            )),
            (code, _) => Err(errors::complaint(WHAT, program, code, &poured.said)),
        }
    }

    async fn feed(
        &self,
        stdin: &mut (dyn AsyncWrite + Send + Unpin),
        mut artifact: RawStream,
    ) -> Result<Parts, StrategyError> {
        let mut dump = Dump::parted(self.prefix, self.known);
        let begin = format!("{}{SESSION}", Server::mark(self.mark));
        pour::write(self, stdin, begin.as_bytes()).await?;
        let mut passed = 0;
        while let Some(chunk) = artifact.next().await {
            let chunk = chunk.map_err(StrategyError::Artifact)?;
            dump.feed(&chunk);
            if let Some(fault) = dump.fault() {
                return Err(changed(fault));
            }
            passed += chunk.len() as u64;
            pour::write(self, stdin, &dump.tables()).await?;
            self.journal.progress(passed);
        }
        let (found, parts) = dump.finish().map_err(|fault| changed(&fault))?;
        if let Some(difference) = self.expected.differences(&found, 1).first() {
            return Err(changed(difference));
        }
        // What was decided only at the end of the dump.
        pour::write(self, stdin, parts.tables()).await?;
        // The answer to a broken pipe comes with the exit status.
        let _ = stdin.shutdown().await;
        Ok(parts)
    }
}

#[async_trait]
impl Loading for Load<'_> {
    fn site(&self) -> &Site {
        &self.server.site
    }

    fn program(&self) -> &'static str {
        self.server.client_name()
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
