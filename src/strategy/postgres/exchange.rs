//! Puts one database in the place of another by two renames in one transaction, and finds out
//! afterwards, from the server alone, whether that happened.
//!
//! Names move, object ids stay: `before` is the id of the database that is replaced, so after a
//! crash at any instant one look says which of the two states the server is in. Both databases are
//! closed to connections first, or an app that reconnects would keep the renames from happening.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    discard::discard,
    names::{ident, literal},
    server::{SHORT, Server},
    survey::{Survey, size_query},
};
use crate::strategy::{Kept, Settled, Step, StrategyError};

/// How often sessions are ended and the renames tried. The server itself waits 5 s each time for
/// sessions to go.
pub const ATTEMPTS: u32 = 6;

/// Who takes whose place. It goes into every recorded step; that is all that `settle` needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The restore that all this is about.
    pub restore: i64,
    /// The name that the two change.
    pub database: String,
    /// Id of the database that has the name before; `None`: there is none.
    pub before: Option<u32>,
    /// The database that takes the name, and its id as soon as it exists.
    pub incoming: String,
    pub incoming_id: Option<u32>,
    /// What the one before is called after.
    pub aside: String,
    /// The incoming one was made for this exchange: without it, it has no use.
    pub disposable: bool,
}

/// What `Kept::data` holds: a database that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    pub restore: i64,
    pub database: String,
    pub name: String,
    pub id: u32,
}

impl Exchange {
    pub fn step(&self, name: &str, title: String, touches: bool) -> Step {
        Step {
            name: name.to_owned(),
            title,
            touches,
            data: json!(self),
        }
    }

    /// The exchange that a journal is about; `None` when nothing was recorded.
    pub fn recorded(steps: &[Step]) -> Result<Option<Self>, StrategyError> {
        let Some(last) = steps.last() else {
            return Ok(None);
        };
        let exchange = Self::deserialize(&last.data).map_err(|error| {
            let message = format!(
                "the restore's step {} is not understood: {error}",
                last.name
            );
            StrategyError::NeedsAttention {
                message,
                hint: "A newer version of Holdfast may have begun it.".to_owned(),
            }
        })?;
        Ok(Some(exchange))
    }

    /// Closes both databases and ends their sessions. From here on the app is without its database.
    pub async fn close(&self, server: &Server, from: &str) -> Result<(), StrategyError> {
        server
            .run(from, self.closing(), "closing the database", SHORT)
            .await?;
        Ok(())
    }

    /// Exchanges the names, and opens the new one in the same transaction. Returns what is kept.
    pub async fn swap(&self, server: &Server, from: &str) -> Result<Option<Kept>, StrategyError> {
        let (database, incoming) = (ident(&self.database), ident(&self.incoming));
        let aside = match self.before {
            Some(_) => format!(
                "ALTER DATABASE {database} RENAME TO {};\n",
                ident(&self.aside)
            ),
            None => String::new(),
        };
        let size = size_query(&self.aside);
        let proof = self.proof();
        let swap = format!(
            "BEGIN;\n{aside}ALTER DATABASE {incoming} RENAME TO {database};\n\
            ALTER DATABASE {database} ALLOW_CONNECTIONS true;\n{proof}COMMIT;\n{size}"
        );
        let what = "exchanging the databases";
        let mut attempt = 1;
        loop {
            match server.run(from, swap.as_str(), what, SHORT).await {
                Err(StrategyError::Tool {
                    temporary: true, ..
                }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    server.run(from, self.closing(), what, SHORT).await?;
                }
                Err(error) => return Err(error),
                Ok(size) => return Ok(self.kept(size.trim().parse().ok())),
            }
        }
    }

    /// Fails unless those that have the names now are those that were meant: hours may lie between
    /// the look at the server and the exchange.
    fn proof(&self) -> String {
        let meant = [
            Some(&self.database).zip(self.incoming_id),
            Some(&self.aside).zip(self.before),
        ];
        let pairs: Vec<String> = meant
            .iter()
            .flatten()
            .map(|(name, id)| format!("({},{id}::oid)", literal(name)))
            .collect();
        format!(
            "SELECT 1 / (count(*) = {})::int AS meant FROM pg_database WHERE (datname, oid) IN ({}) \\gset\n",
            pairs.len(),
            pairs.join(", ")
        )
    }

    fn closing(&self) -> String {
        let before = self.before.map(|_| closing(&self.database));
        before.unwrap_or_default() + &closing(&self.incoming)
    }

    /// Settles what has just failed or was cancelled, its programs first: one that still runs could
    /// do what it was begun for after the look.
    pub async fn settle_quietly(&self, server: &Server) -> Result<Settled, StrategyError> {
        let server = server.uncancelled();
        server.site.quiet().await?;
        self.settle(&server).await
    }

    /// Brings the server to one of the two states, from wherever it was left.
    pub async fn settle(&self, server: &Server) -> Result<Settled, StrategyError> {
        let survey = Survey::of(server, &self.database).await?;
        let place = |id: Option<u32>| Some(survey.with_oid(id?)?.name.as_str());
        let before = place(self.before);
        if self.incoming_id.is_some() && place(self.incoming_id) == Some(&self.database) {
            open(server, &survey, &self.database).await?;
            return Ok(Settled::Restored(match before {
                Some(name) if name == self.aside => self.kept_now(server, &survey).await,
                _ => None,
            }));
        }
        if self.before.is_some() && before != Some(&self.database) {
            // Whatever they made of it, it is not left closed by us.
            for name in before.into_iter().chain([self.database.as_str()]) {
                open(server, &survey, name).await?;
            }
            return Err(self.lost(before));
        }
        // The app first: dropping what was loaded may take a while, or fail.
        if self.before.is_some() {
            open(server, &survey, &self.database).await?;
        }
        if self.disposable {
            discard(server, &survey, &self.incoming, self.incoming_id).await?;
        }
        Ok(Settled::AsBefore)
    }

    /// What is aside now, for the undo. Its size is only for show.
    pub async fn kept_now(&self, server: &Server, survey: &Survey) -> Option<Kept> {
        let size = size_query(&self.aside);
        let size = server
            .ask(&survey.from, size, "measuring the database")
            .await;
        self.kept(size.ok().and_then(|size| size.first().copied()))
    }

    fn kept(&self, size: Option<u64>) -> Option<Kept> {
        let aside = Aside {
            restore: self.restore,
            database: self.database.clone(),
            name: self.aside.clone(),
            id: self.before?,
        };
        Some(Kept {
            title: format!(
                "database {} as it was before, now {}",
                self.database, self.aside
            ),
            size,
            data: json!(aside),
        })
    }

    /// Somebody else renamed or dropped a database in the middle of it all.
    fn lost(&self, place: Option<&str>) -> StrategyError {
        let message = match place {
            Some(name) => format!(
                "database {} was renamed to {name} by somebody else during the restore",
                self.database
            ),
            None => format!(
                "database {} was dropped by somebody else during the restore",
                self.database
            ),
        };
        let hint = format!(
            "Look at the server's databases (psql -l): the content from before is in {}, the restored one in {}.",
            place.unwrap_or("none of them"),
            self.incoming
        );
        StrategyError::NeedsAttention { message, hint }
    }
}

/// Lets everybody in again. One that is open, or not there, is left alone.
async fn open(server: &Server, survey: &Survey, name: &str) -> Result<(), StrategyError> {
    if survey.named(name).is_none_or(|database| database.open) {
        return Ok(());
    }
    let open = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true;", ident(name));
    let what = "opening the database";
    server.run(&survey.from, open, what, SHORT).await?;
    Ok(())
}

impl Aside {
    pub fn of(kept: &Kept) -> Result<Self, StrategyError> {
        Self::deserialize(&kept.data).map_err(|error| {
            let message = format!("what was kept for the undo is not understood: {error}");
            StrategyError::refused(message, "")
        })
    }
}

/// Lets nobody in any more, and ends the sessions that are there.
pub fn closing(database: &str) -> String {
    format!(
        "ALTER DATABASE {} ALLOW_CONNECTIONS false;\n\
        SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a\n\
        JOIN pg_database d ON d.oid = a.datid WHERE d.datname = {} AND a.pid <> pg_backend_pid();\n",
        ident(database),
        literal(database)
    )
}
