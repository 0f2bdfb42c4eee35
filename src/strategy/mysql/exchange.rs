//! Puts what came in the place of what is there, and back: all tables of all databases move in one
//! RENAME statement, which the server does as a whole; code (views, triggers, routines, events)
//! cannot move between databases, so it is dropped here and made anew there.
//!
//! Where each table belongs was noted before the first of them moves (`book`), so at any instant the
//! server itself shows what has happened: a table that was there before is either in its place or
//! aside, never in both. Settling before the last step therefore always goes back, and may be begun
//! again itself; after it, the restore stands.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    book::{Book, Database},
    look::{Look, drop_all, with_prefix},
    names::{ident, literals, path, write_list},
    server::{LONG, SHORT, Server},
    survey,
};
use crate::strategy::{Kept, Settled, Step, StrategyError, recorded};

/// How often the tables are tried to be moved; the server waits `LOCK_WAIT` seconds each time.
const ATTEMPTS: u32 = 6;
const LOCK_WAIT: u32 = 3;

pub const SWAP: &str = "swap";
pub const DONE: &str = "done";

/// Who takes whose place. It goes into every recorded step; that is all that `settle` needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The restore that all this is about.
    pub restore: i64,
    /// The databases that change, by their numbers; empty until they are known.
    pub databases: Vec<String>,
    /// What they are called that come in, without the number.
    pub incoming: String,
    /// What those are called that were there before; the database of just that name holds the notes.
    pub aside: String,
    /// What comes in was made for this exchange: without it, it has no use.
    pub disposable: bool,
}

/// What `Kept::data` holds: databases that were set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    pub restore: i64,
    pub databases: Vec<String>,
    pub name: String,
}

impl Aside {
    pub fn of(kept: &Kept) -> Result<Self, StrategyError> {
        Self::deserialize(&kept.data).map_err(|error| {
            let message = format!("what was kept for the undo is not understood: {error}");
            StrategyError::refused(message, "")
        })
    }
}

impl Exchange {
    pub fn incoming(&self, number: usize) -> String {
        format!("{}_{number}", self.incoming)
    }

    pub fn aside(&self, number: usize) -> String {
        format!("{}_{number}", self.aside)
    }

    pub fn step(&self, name: &str, title: String, touches: bool) -> Step {
        Step {
            name: name.to_owned(),
            title,
            touches,
            data: json!(self),
        }
    }

    /// The exchange that a journal is about and its last step; `None` when nothing was recorded.
    pub fn recorded(steps: &[Step]) -> Result<Option<(Self, &str)>, StrategyError> {
        recorded::last(steps)
    }

    /// A look at all databases that have to do with it.
    pub async fn look(&self, server: &Server) -> Result<Look, StrategyError> {
        let numbers = 0..self.databases.len();
        let sides = numbers.flat_map(|n| [self.incoming(n), self.aside(n)]);
        let all: Vec<String> = self.databases.iter().cloned().chain(sides).collect();
        Look::at(server, &all).await
    }

    /// Exchanges the tables, then makes the code that came with the new ones, and gives the rights on
    /// its routines: those of now, and those that were noted with it.
    pub async fn swap(
        &self,
        server: &Server,
        code: &[u8],
        noted: &[String],
    ) -> Result<(), StrategyError> {
        let what = "exchanging the databases";
        let book = Book::read(server, &self.aside).await?.ok_or_else(|| {
            StrategyError::refused(format!("{what} failed: {} is gone", self.aside), "")
        })?;
        let look = self.look(server).await?;
        let mut script = String::new();
        let (mut moves, mut after) = (Vec::new(), String::new());
        for (n, database) in book.databases.iter().enumerate() {
            let live = &database.name;
            let settings = look.databases.get(&self.incoming(n));
            if let Some(settings) = settings {
                let live = ident(live);
                script += &format!("CREATE DATABASE IF NOT EXISTS {live} {settings};\n");
                after += &format!("ALTER DATABASE {live} {settings};\n");
            }
            for thing in look.code(live) {
                // A view may have the name of a table that comes in.
                let first = thing.acts() || database.new.contains(&thing.name);
                let part = if first { &mut script } else { &mut after };
                *part += &thing.drop();
            }
            moves.extend(database.old.iter().map(|t| rename(live, t, &self.aside(n))));
            let incoming = self.incoming(n);
            moves.extend(database.new.iter().map(|t| rename(&incoming, t, live)));
        }
        script += &all_at_once(&moves);
        script += &after;
        self.insist(server, &script, what).await?;
        let grants = [&book.grants[..], noted].concat();
        self.make(server, code, &grants).await?;
        self.drop_unwanted(server, &look).await
    }

    /// A database that was not there in the state that comes in goes, when nothing is left in it.
    async fn drop_unwanted(&self, server: &Server, before: &Look) -> Result<(), StrategyError> {
        let numbers = 0..self.databases.len();
        let unwanted = numbers.filter(|n| !before.databases.contains_key(&self.incoming(*n)));
        let unwanted: Vec<String> = unwanted.map(|n| self.databases[n].clone()).collect();
        self.drop_empty(server, &unwanted).await
    }

    async fn drop_empty(&self, server: &Server, databases: &[String]) -> Result<(), StrategyError> {
        if databases.is_empty() {
            return Ok(());
        }
        let look = Look::at(server, databases).await?;
        let empty =
            |name: &&String| look.tables(name).is_empty() && look.code(name).next().is_none();
        let empty: Vec<String> = databases.iter().filter(empty).cloned().collect();
        drop_all(server, &self.aside, &empty).await
    }

    /// Runs a script that needs the tables for itself. Sessions that are in the way are ended: those
    /// of an app connect again.
    async fn insist(&self, server: &Server, script: &str, what: &str) -> Result<(), StrategyError> {
        let mark = Server::mark(&self.aside);
        let script = format!("{mark}SET SESSION lock_wait_timeout={LOCK_WAIT};\n{script}");
        let mut attempt = 1;
        loop {
            match server.run(&script, what, LONG).await {
                Err(StrategyError::Tool { detail, .. })
                    if attempt < ATTEMPTS
                        && ["1205", "1213"]
                            .iter()
                            .any(|e| super::errors::shows(&detail, e)) =>
                {
                    attempt += 1;
                    self.end_sessions(server).await?;
                }
                done => return done.map(|_| ()),
            }
        }
    }

    async fn end_sessions(&self, server: &Server) -> Result<(), StrategyError> {
        let query = format!(
            "SELECT JSON_ARRAY(ID) FROM information_schema.PROCESSLIST
            WHERE DB IN ({}) AND ID <> CONNECTION_ID();",
            literals(self.databases.iter().map(String::as_str))
        );
        let found: Vec<Vec<u64>> = server.ask(query, "looking for sessions").await?;
        let sessions: Vec<u64> = found.into_iter().flatten().collect();
        server.end_sessions(&sessions).await
    }

    /// Makes views, triggers, routines and events, and gives back the rights on routines.
    async fn make(
        &self,
        server: &Server,
        code: &[u8],
        grants: &[String],
    ) -> Result<(), StrategyError> {
        let what = "making views, triggers, routines and events";
        let mark = Server::mark(&self.aside);
        let script = [mark.as_bytes(), code].concat();
        server
            .talk(server.client(&[]), script.into(), what, LONG)
            .await?;
        if grants.is_empty() {
            return Ok(());
        }
        // A routine may be there on one side only.
        let force = server.client(&["--force"]);
        match server
            .talk(force, grants.concat().into(), what, SHORT)
            .await
        {
            Err(StrategyError::Tool { .. }) => Ok(()),
            done => done.map(|_| ()),
        }
    }

    /// Settles what has just failed or was cancelled.
    pub async fn settle_quietly(
        &self,
        server: &Server,
        last: &str,
    ) -> Result<Settled, StrategyError> {
        let server = server.uncancelled();
        let Server { site, .. } = &server;
        site.engine.sweep(&site.container.id, None).await?;
        self.settle(&server, last).await
    }

    /// Brings the server to one of the two states, from wherever it was left at the step `last`.
    pub async fn settle(&self, server: &Server, last: &str) -> Result<Settled, StrategyError> {
        server.fence(&self.aside).await?;
        if last == DONE {
            self.clear(server).await?;
            return Ok(Settled::Restored(self.kept(server).await));
        }
        if last == SWAP
            && let Some(book) = Book::read(server, &self.aside).await?
        {
            self.put_back(server, &book).await?;
        }
        if self.disposable {
            let staged = with_prefix(server, &self.incoming).await?;
            drop_all(server, &self.aside, &staged).await?;
        }
        self.forget(server).await?;
        Ok(Settled::AsBefore)
    }

    /// Every table where it was before, and the code as it was.
    async fn put_back(&self, server: &Server, book: &Book) -> Result<(), StrategyError> {
        let what = "putting everything back";
        let look = self.look(server).await?;
        let (mut script, mut after) = (String::new(), String::new());
        let mut moves = Vec::new();
        for (n, database) in book.databases.iter().enumerate() {
            let live = &database.name;
            script.extend(look.code(live).map(super::look::Thing::drop));
            let (incoming, aside) = (self.incoming(n), self.aside(n));
            let Placed { new, old } = Placed::of(database, &look, &incoming, &aside);
            moves.extend(new.iter().map(|table| rename(live, table, &incoming)));
            moves.extend(old.iter().map(|table| rename(&aside, table, live)));
            if let Some(settings) = look.databases.get(&aside) {
                let live = ident(live);
                script += &format!("CREATE DATABASE IF NOT EXISTS {live} {settings};\n");
                after += &format!("ALTER DATABASE {live} {settings};\n");
            }
        }
        script += &all_at_once(&moves);
        script += &after;
        self.insist(server, &script, what).await?;
        self.make(server, &book.code, &book.grants)
            .await
            .map_err(|error| match error {
                StrategyError::Tool {
                    message,
                    temporary: false,
                    ..
                } => StrategyError::NeedsAttention {
                    message: format!(
                        "all tables are as before, but not all of the code: {message}"
                    ),
                    hint: format!(
                        "The statements that make it are kept in the table {}.",
                        path(&self.aside, "code")
                    ),
                },
                other => other,
            })?;
        let made = book.databases.iter().filter(|database| !database.existed);
        let made: Vec<String> = made.map(|database| database.name.clone()).collect();
        self.drop_empty(server, &made).await
    }

    /// Drops the databases that tables were set aside in, the notes last. One that still has tables
    /// is not dropped: they are somebody's only copy.
    async fn forget(&self, server: &Server) -> Result<(), StrategyError> {
        let databases = with_prefix(server, &self.aside).await?;
        let look = Look::at(server, &databases).await?;
        let full = |name: &&String| **name != self.aside && !look.tables(name).is_empty();
        if let Some(full) = databases.iter().find(full) {
            return Err(StrategyError::NeedsAttention {
                message: format!("the database {full} still has tables that were set aside"),
                hint: "Move them back by RENAME TABLE, then drop it.".to_owned(),
            });
        }
        Book::drop_with(server, &self.aside, &databases).await
    }

    /// After the exchange: what came in is no longer where it was.
    pub async fn clear(&self, server: &Server) -> Result<(), StrategyError> {
        let databases = with_prefix(server, &self.incoming).await?;
        let look = Look::at(server, &databases).await?;
        let empty = |name: &String| *name == self.incoming || look.tables(name).is_empty();
        let empty: Vec<String> = databases.into_iter().filter(empty).collect();
        drop_all(server, &self.aside, &empty).await
    }

    /// What is aside now, for the undo. Its size is only for show.
    pub async fn kept(&self, server: &Server) -> Option<Kept> {
        let numbers = 0..self.databases.len();
        let aside: Vec<String> = numbers.map(|n| self.aside(n)).collect();
        let size = survey::size(server, &aside).await.ok().flatten();
        let list = write_list(&self.databases);
        let data = Aside {
            restore: self.restore,
            databases: self.databases.clone(),
            name: self.aside.clone(),
        };
        Some(Kept {
            title: format!("{list} as before, in databases {}_…", self.aside),
            size,
            data: json!(data),
        })
    }
}

/// Tables that are not where they were before.
struct Placed<'a> {
    /// Came in, and are in the place of the old ones.
    new: Vec<&'a String>,
    /// Were there before, and are aside.
    old: Vec<&'a String>,
}

impl<'a> Placed<'a> {
    fn of(database: &'a Database, look: &Look, incoming: &str, aside: &str) -> Self {
        let (live, incoming, aside) = (
            look.tables(&database.name),
            look.tables(incoming),
            look.tables(aside),
        );
        let has = |tables: &std::collections::BTreeSet<&str>, name: &str| tables.contains(name);
        // Of one name in both lists, the one in place is the old one as long as none is aside.
        let came = |name: &&String| {
            has(&live, name)
                && !has(&incoming, name)
                && (!database.old.contains(*name) || has(&aside, name))
        };
        Self {
            new: database.new.iter().filter(came).collect(),
            old: database
                .old
                .iter()
                .filter(|name| has(&aside, name))
                .collect(),
        }
    }
}

fn rename(from: &str, table: &str, to: &str) -> String {
    format!("{} TO {}", path(from, table), path(to, table))
}

fn all_at_once(moves: &[String]) -> String {
    if moves.is_empty() {
        return String::new();
    }
    format!("RENAME TABLE {};\n", moves.join(",\n  "))
}
