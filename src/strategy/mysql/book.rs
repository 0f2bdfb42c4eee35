//! What a restore must know to put everything back, kept on the server itself, in a database beside
//! those that are set aside: whose tables are whose, and the code (views, triggers, routines, events)
//! that cannot be moved and is made anew. It may hold secrets of the app, so it goes into no event.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{
    exchange::Exchange,
    look::{Look, drop_all},
    names::{ident, literal, path},
    server::{LONG, SHORT, Server},
};
use crate::strategy::StrategyError;

/// Code is stored in pieces of this many bytes: a statement must fit into the smallest packet.
const PIECE: usize = 128 * 1024;

/// The table without which there is no book.
const FIRST: &str = "databases";

#[derive(Debug, Default)]
pub struct Book {
    pub databases: Vec<Database>,
    /// Makes all code as it was, each in its database.
    pub code: Vec<u8>,
    /// Rights on routines, which go when the routine goes.
    pub grants: Vec<String>,
}

#[derive(Debug)]
pub struct Database {
    pub name: String,
    /// It was there before.
    pub existed: bool,
    /// Tables that it had before, and those that come in.
    pub old: BTreeSet<String>,
    pub new: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Database {
        n: usize,
        name: String,
        existed: u8,
    },
    Table {
        n: usize,
        table: String,
        incoming: u8,
    },
    Code {
        hex: String,
    },
    Grant {
        grant: String,
    },
}

impl Book {
    /// Writes it down, and makes the databases to set tables aside in. Durable when it returns.
    pub async fn write(
        server: &Server,
        exchange: &Exchange,
        look: &Look,
        code: &[u8],
        grants: &[String],
    ) -> Result<(), StrategyError> {
        let book = exchange.aside.as_str();
        let table = |name: &str| path(book, name);
        let name = "VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
        let mut script = format!(
            "{}CREATE DATABASE {};
CREATE TABLE {} (n INT PRIMARY KEY, name {name}, existed TINYINT) ENGINE=InnoDB;
CREATE TABLE {} (n INT, incoming TINYINT, name {name}, PRIMARY KEY (n, incoming, name)) ENGINE=InnoDB;
CREATE TABLE {} (part INT PRIMARY KEY, text LONGBLOB) ENGINE=InnoDB;
CREATE TABLE {} (part INT PRIMARY KEY, text LONGTEXT CHARACTER SET utf8mb4) ENGINE=InnoDB;
",
            Server::mark(book),
            ident(book),
            table(FIRST),
            table("tables"),
            table("code"),
            table("grants"),
        );
        for (n, live) in exchange.databases.iter().enumerate() {
            let settings = look.databases.get(live);
            let (row, existed) = (table(FIRST), u8::from(settings.is_some()));
            let name = literal(live);
            script += &format!("INSERT INTO {row} VALUES ({n}, {name}, {existed});\n");
            if let Some(settings) = settings {
                let aside = ident(&exchange.aside(n));
                script += &format!("CREATE DATABASE {aside} {settings};\n");
            }
            for (incoming, database) in [(0, live), (1, &exchange.incoming(n))] {
                for name in look.tables(database) {
                    let (row, name) = (table("tables"), literal(name));
                    script += &format!("INSERT INTO {row} VALUES ({n}, {incoming}, {name});\n");
                }
            }
        }
        for (part, piece) in code.chunks(PIECE).enumerate() {
            let (row, text) = (table("code"), hex::encode(piece));
            script += &format!("INSERT INTO {row} VALUES ({part}, 0x{text});\n");
        }
        for (part, grant) in grants.iter().enumerate() {
            let (row, text) = (table("grants"), literal(grant));
            script += &format!("INSERT INTO {row} VALUES ({part}, {text});\n");
        }
        script += "FLUSH LOCAL ENGINE LOGS;\n";
        server.run(script, "noting what there is", LONG).await?;
        Ok(())
    }

    /// `None` when there is none, or it was closed.
    pub async fn read(server: &Server, book: &str) -> Result<Option<Self>, StrategyError> {
        let what = "reading what was noted";
        let look = Look::at(server, &[book.to_owned()]).await?;
        if !look.tables(book).contains(FIRST) {
            return Ok(None);
        }
        let table = |name: &str| path(book, name);
        let query = format!(
            "SELECT JSON_OBJECT('n', n, 'name', name, 'existed', existed) FROM {} ORDER BY n;
            SELECT JSON_OBJECT('n', n, 'table', name, 'incoming', incoming) FROM {};
            SELECT JSON_OBJECT('hex', HEX(text)) FROM {} ORDER BY part;
            SELECT JSON_OBJECT('grant', text) FROM {} ORDER BY part;",
            table(FIRST),
            table("tables"),
            table("code"),
            table("grants"),
        );
        let mut found = Self::default();
        for line in server.ask::<Line>(query, what).await? {
            match line {
                Line::Database { n, name, existed } if n == found.databases.len() => {
                    found.databases.push(Database {
                        name,
                        existed: existed != 0,
                        old: BTreeSet::new(),
                        new: BTreeSet::new(),
                    });
                }
                Line::Table { n, table, incoming } if n < found.databases.len() => {
                    let database = &mut found.databases[n];
                    let tables = if incoming == 0 {
                        &mut database.old
                    } else {
                        &mut database.new
                    };
                    tables.insert(table);
                }
                Line::Database { .. } | Line::Table { .. } => {
                    let message = format!("{what} failed: {book} was changed by somebody");
                    return Err(StrategyError::refused(message, ""));
                }
                Line::Code { hex } => {
                    let piece = hex::decode(hex).map_err(|error| {
                        StrategyError::refused(format!("{what} failed: {error}"), "")
                    })?;
                    found.code.extend(piece);
                }
                Line::Grant { grant } => found.grants.push(grant),
            }
        }
        Ok(Some(found))
    }

    /// Drops it and the databases that it speaks of. It is closed first, which is done at once, unlike the
    /// dropping of a whole database: cut off half way, what is left is no more taken for what it was.
    pub async fn drop_with(
        server: &Server,
        book: &str,
        databases: &[String],
    ) -> Result<(), StrategyError> {
        if databases.iter().any(|database| database == book) {
            let close = format!("DROP TABLE IF EXISTS {};\n", path(book, FIRST));
            server.run(close, "closing the notes", SHORT).await?;
        }
        drop_all(server, book, databases).await
    }
}
