//! Judges a dump by its bytes alone: is it one whole dump by `pg_dump`, and how many rows does it hold?
//! The same code says so before a backup counts, before a restore begins, and while a restore loads.
//!
//! It reads a plain dump (`scan`) as `psql` will (`lexer`), because the obvious ways are wrong: rows and
//! comments may hold any text, the end mark and `COPY … FROM stdin;` among it. And it refuses what would
//! reach out of the database that is restored: psql's own commands (`\!` runs a program inside the
//! container, `\connect` leaves the staging database), `COPY` with files or programs, and statements
//! about databases, roles or the server. That keeps mistakes and tampered files out; it is not a
//! sandbox, because the SQL of a dump (a `DO` block, say) runs with the rights of the role.
//!
//! A dump in custom format is read by `archive`, with the same judgement of its SQL.
//!
//! Nearly all bytes are rows: `copy` handles these at the speed of memory.

mod archive;
mod copy;
mod foreign;
mod lexer;
pub mod marks;
mod roles;
mod scan;
mod statement;
mod token;

use std::collections::BTreeMap;

pub use self::roles::{Does, Roles};
use self::{archive::Archive, scan::Scanner};
use crate::{domain::manifest::Fingerprint, strategy::Validator};

/// What is counted of a dump.
pub const UNIT: &str = "rows";
/// Key of the number of large objects, which belong to no table. Absent when there are none.
pub const LARGE_OBJECTS: &str = "large objects";
/// Key of the number of roles, which belong to no database. Absent when none were dumped.
pub const ROLES: &str = "roles";

/// Which part of a dump a byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// What is around and between the dumps of single databases.
    Outside,
    /// The roles of the server.
    Roles,
    /// The dump of one database, to be loaded into it.
    Database,
}

/// A dump in either format: the first byte says in which. Text begins with a comment.
#[derive(Default)]
pub struct Dump {
    form: Form,
}

#[derive(Default)]
enum Form {
    #[default]
    Unknown,
    Plain(Box<Scanner>),
    Archive(Box<Archive>),
}

impl Dump {
    /// What is wrong with the bytes so far, as soon as it is known.
    pub fn fault(&self) -> Option<&str> {
        match &self.form {
            Form::Unknown => None,
            Form::Plain(scanner) => scanner.fault(),
            Form::Archive(archive) => archive.fault(),
        }
    }

    /// As `feed`, to the end of a section at most: which one, and how far. Short of all when there is
    /// a fault.
    pub fn advance(&mut self, chunk: &[u8]) -> (Section, usize) {
        if let (Form::Unknown, Some(first)) = (&self.form, chunk.first()) {
            self.form = match first {
                b'P' => Form::Archive(Box::default()),
                _ => Form::Plain(Box::default()),
            };
        }
        match &mut self.form {
            Form::Unknown => (Section::Outside, 0),
            Form::Plain(scanner) => scanner.advance(chunk),
            Form::Archive(archive) => {
                archive.feed(chunk);
                (Section::Database, chunk.len())
            }
        }
    }

    /// The database at hand, of several.
    pub fn database(&self) -> Option<&str> {
        match &self.form {
            Form::Plain(scanner) => scanner.database(),
            _ => None,
        }
    }

    /// The encoding of the dump at hand, as the server names it.
    pub fn encoding(&self) -> Option<&str> {
        match &self.form {
            Form::Unknown => None,
            Form::Plain(scanner) => scanner.encoding(),
            Form::Archive(archive) => archive.encoding(),
        }
    }

    /// Version of the dumped server, as an archive tells it in its head.
    pub fn archived_server(&self) -> Option<&str> {
        match &self.form {
            Form::Archive(archive) => archive.server(),
            _ => None,
        }
    }
}

impl Validator for Dump {
    fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() && self.fault().is_none() {
            let (_, used) = self.advance(rest);
            rest = &rest[used..];
        }
    }

    fn finish(self: Box<Self>) -> Result<Fingerprint, String> {
        let counts = match self.form {
            Form::Unknown => return Err("it is empty".to_owned()),
            Form::Plain(scanner) => scanner.finish()?,
            Form::Archive(archive) => archive.finish()?,
        };
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
