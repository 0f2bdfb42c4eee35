//! Feeds the dump of one database to `psql` in its staging database.

use async_trait::async_trait;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{
    errors,
    names::literal,
    sections::Sections,
    server::{SHORT, Server},
    survey::Survey,
    validate::LARGE_OBJECTS,
};
use crate::{
    docker::Session,
    domain::manifest::Fingerprint,
    strategy::{
        Journal, Site, StrategyError,
        pour::{self, Loading},
    },
};

/// A crash loses nothing that matters: an unfinished staging database is dropped, and the exchange
/// of the names is written through to the disk with all that was before it.
const SESSION: &str = "-c synchronous_commit=off -c default_transaction_read_only=off";

/// Locks that one table takes in a transaction: itself, its indexes, its TOAST table and that one's
/// index, a sequence.
const LOCKS_A_TABLE: u64 = 8;

/// One transaction is the tidiest way. But it locks every object that it makes, large objects too,
/// until the server has no memory for more; then the staging database alone has to do.
pub fn fits_one_transaction(fingerprint: &Fingerprint, locks: u64) -> bool {
    let large = fingerprint.counts.get(LARGE_OBJECTS).copied().unwrap_or(0);
    let tables = fingerprint.counts.len() as u64;
    tables * LOCKS_A_TABLE + large < locks / 2
}

pub struct Load<'a> {
    pub server: &'a Server,
    pub staging: &'a str,
    pub one_transaction: bool,
    pub journal: &'a dyn Journal,
}

impl Load<'_> {
    pub async fn run(&self, dump: &mut Sections<'_>) -> Result<(), StrategyError> {
        // psql would print the results of SELECTs: thousands, with large objects.
        let mut options = vec!["--output=/dev/null"];
        if self.one_transaction {
            options.push("--single-transaction");
        }
        let name = self.session();
        let command = self.server.psql(self.staging, &options, &name, SESSION);
        let site = &self.server.site;
        site.watch(async {
            let session = site.engine.exec(&site.container.id, command).await?;
            Box::pin(self.drive(session, dump)).await
        })
        .await
    }

    async fn drive(&self, session: Session, dump: &mut Sections<'_>) -> Result<(), StrategyError> {
        let (mut stdin, ear) = pour::open(self.site(), session)?;
        let feeding = self.feed(stdin.as_mut(), dump);
        let poured = pour::pour(self, feeding, ear, self.server.settings.mask()).await?;
        let what = format!("loading into {}", self.staging);
        match poured.code {
            0 if poured.fed.is_some() => Ok(()),
            0 => Err(StrategyError::refused(
                format!("{what} failed: psql ended before it had read everything"),
                "",
            )),
            code => Err(errors::complaint(&what, "psql", code, &poured.said)),
        }
    }

    async fn feed(
        &self,
        stdin: &mut (dyn AsyncWrite + Send + Unpin),
        dump: &mut Sections<'_>,
    ) -> Result<(), StrategyError> {
        while let Some(piece) = dump.more().await? {
            pour::write(self, stdin, &piece).await?;
            self.journal.progress(dump.passed);
        }
        // The answer to a broken pipe comes with the exit status.
        let _ = stdin.shutdown().await;
        Ok(())
    }

    /// What our session calls itself.
    fn session(&self) -> String {
        format!("holdfast-load-{}", self.staging)
    }
}

#[async_trait]
impl Loading for Load<'_> {
    fn site(&self) -> &Site {
        &self.server.site
    }

    fn program(&self) -> &'static str {
        "psql"
    }

    /// Whether the server did something for our session since the last time-out, or does so now;
    /// `None` when there is no such session.
    async fn works(&self) -> Result<Option<bool>, StrategyError> {
        let query = format!(
            "SELECT state_change > clock_timestamp() - interval '{} ms'
               OR state = 'active' AND coalesce(wait_event_type, '') NOT IN ('Lock', 'Client')
             FROM pg_stat_activity WHERE application_name = {};",
            self.server.site.stall.as_millis(),
            literal(&self.session()),
        );
        let from = Survey::now(self.server, &[self.staging]).await?.from;
        let what = "looking at the load";
        let answer = self.server.run(&from, query, what, SHORT).await?;
        let mut sessions = answer.lines().filter(|line| !line.is_empty()).peekable();
        Ok(sessions
            .peek()
            .is_some()
            .then(|| sessions.any(|works| works == "t")))
    }
}
