//! Judges a plain dump by its bytes alone: is it one whole dump by `pg_dump`, and how many rows does
//! it hold? The same code says so before a backup counts, before a restore begins, and while a
//! restore loads.
//!
//! It reads the dump as `psql` will (`lexer`), because the obvious ways are wrong: rows and comments
//! may hold any text, the end mark and `COPY … FROM stdin;` among it. And it refuses what would
//! reach out of the database that is restored: psql's own commands (`\!` runs a program inside the
//! container, `\connect` leaves the staging database), `COPY` with files or programs, and statements
//! about databases, roles or the server. That keeps mistakes and tampered files out; it is not a
//! sandbox, because the SQL of a dump (a `DO` block, say) runs with the rights of the role.
//!
//! Nearly all bytes are rows: `copy` handles these at the speed of memory.

mod copy;
mod foreign;
mod lexer;
pub mod marks;
mod scan;
mod statement;
mod token;

use std::collections::BTreeMap;

use self::scan::Scanner;
use crate::{domain::manifest::Fingerprint, strategy::Validator};

/// What is counted of a plain dump.
pub const UNIT: &str = "rows";
/// Key of the number of large objects, which belong to no table. Absent when there are none.
pub const LARGE_OBJECTS: &str = "large objects";

/// Which part of a dump a byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// What is around and between the dumps of single databases.
    Outside,
    /// The dump of one database, to be loaded into it.
    Database,
}

#[derive(Default)]
pub struct PlainDump {
    scanner: Scanner,
}

impl PlainDump {
    /// What is wrong with the bytes so far, as soon as it is known.
    pub fn fault(&self) -> Option<&str> {
        self.scanner.fault()
    }

    /// As `feed`, to the end of a section at most: which one, and how far. Short of all when there is
    /// a fault.
    pub fn advance(&mut self, chunk: &[u8]) -> (Section, usize) {
        self.scanner.advance(chunk)
    }

    /// The database at hand, of several.
    pub fn database(&self) -> Option<&str> {
        self.scanner.database()
    }

    /// The encoding of the dump at hand, as the server names it.
    pub fn encoding(&self) -> Option<&str> {
        self.scanner.encoding()
    }
}

impl Validator for PlainDump {
    fn feed(&mut self, chunk: &[u8]) {
        self.scanner.feed(chunk);
    }

    fn finish(self: Box<Self>) -> Result<Fingerprint, String> {
        let counts = self.scanner.finish()?;
        Ok(Fingerprint {
            unit: UNIT.to_owned(),
            counts,
        })
    }
}

/// The databases of a dump of several, each with the fingerprint that it has alone.
pub fn by_database(fingerprint: &Fingerprint) -> BTreeMap<String, Fingerprint> {
    let mut databases: BTreeMap<String, Fingerprint> = BTreeMap::new();
    for (key, &count) in &fingerprint.counts {
        let Some((database, key)) = marks::database_of(key) else {
            continue;
        };
        let own = databases.entry(database).or_insert_with(|| Fingerprint {
            unit: UNIT.to_owned(),
            counts: BTreeMap::new(),
        });
        // Where there is nothing else to count, their absence is noted.
        if key != LARGE_OBJECTS || count > 0 {
            own.counts.insert(key.to_owned(), count);
        }
    }
    databases
}

/// The other way round.
pub fn of_all(databases: &BTreeMap<String, Fingerprint>) -> Fingerprint {
    let mut counts = BTreeMap::new();
    for (database, own) in databases {
        let prefix = marks::prefix(database);
        let keys = own.counts.iter();
        counts.extend(keys.map(|(key, &count)| (format!("{prefix}{key}"), count)));
        if own.counts.is_empty() {
            counts.insert(format!("{prefix}{LARGE_OBJECTS}"), 0);
        }
    }
    Fingerprint {
        unit: UNIT.to_owned(),
        counts,
    }
}

/// How a table is called in a fingerprint: `schema.table`, each part in double quotes where SQL
/// might want them, so that no two tables share a name. Bytes that are not UTF-8 (a dump in another
/// encoding) are shown in hex.
pub fn table_key(schema: &[u8], table: &[u8]) -> String {
    format!("{}.{}", part(schema), part(table))
}

fn part(name: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_lowercase() || *b == b'_' || b.is_ascii_digit();
    let bare = name.iter().all(plain) && name.first().is_some_and(|b| !b.is_ascii_digit());
    let text = match std::str::from_utf8(name) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("\\x{}", hex::encode(name)),
    };
    if bare {
        text
    } else {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod several;
#[cfg(test)]
mod tests;
