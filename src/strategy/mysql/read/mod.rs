//! Judges a dump by its bytes alone: is it one whole dump by `mysqldump` or `mariadb-dump`, and how
//! many rows does it hold? The same code says so before a backup counts, before a restore begins,
//! and while a restore loads; then it also parts what goes into the staging databases from the code
//! that is made in the place of the old one at the end.
//!
//! It refuses what would reach out of the databases that are restored: commands of the client,
//! statements about accounts or the server, tables named together with their database. That keeps
//! mistakes and tampered files out; it is not a sandbox, because code in a dump runs with the rights
//! of who restores it.

mod split;
mod statement;
mod token;

use std::{collections::BTreeMap, ops::Range};

pub use self::statement::account_of;
use self::{
    split::{Quoting, Reader, Splitter},
    statement::{Meaning, Table},
};
use super::names::{ident, path, table_key};
use crate::{domain::manifest::Fingerprint, strategy::Validator};

/// What is counted of a dump.
pub const UNIT: &str = "rows";
/// Begins a line of our own that keeps a statement about an account, at the start of a dump.
pub const ACCOUNT: &str = "account: ";

const FOREIGN: &str = "it does not begin like a dump by mysqldump or mariadb-dump";
const FOLLOWS: &str = "something follows its end mark";

/// Most that code may be in all, in bytes: it is kept in memory.
const CODE: usize = 256 * 1024 * 1024;

/// A dump that is being read.
pub struct Dump {
    splitter: Splitter<Judge>,
    fault: Option<String>,
    magic: Vec<u8>,
}

impl Dump {
    /// Only judges and counts.
    pub fn judged() -> Self {
        Self::new(None)
    }

    /// Parts it too. `known` are the databases that have tables, in the order of their numbers:
    /// database number n is called `prefix_n` for the time being.
    pub fn parted(prefix: &str, known: &[String]) -> Self {
        Self::new(Some(Parts {
            prefix: prefix.to_owned(),
            databases: known.to_owned(),
            ..Parts::default()
        }))
    }

    fn new(parts: Option<Parts>) -> Self {
        Self {
            splitter: Splitter::new(Judge {
                parts,
                ..Judge::default()
            }),
            fault: None,
            magic: Vec::new(),
        }
    }

    pub fn feed(&mut self, chunk: &[u8]) {
        let room = 8 - self.magic.len();
        self.magic
            .extend_from_slice(&chunk[..chunk.len().min(room)]);
        if self.fault.is_none()
            && let Err(fault) = self.splitter.feed(chunk)
        {
            self.fault = Some(if self.splitter.reader.place == Place::Start {
                self.foreign()
            } else {
                format!("{fault} (at byte {})", self.splitter.at())
            });
        }
    }

    /// What is wrong with the bytes so far, as soon as it is known.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Statements about tables and rows since the last call, for the staging databases.
    pub fn tables(&mut self) -> Vec<u8> {
        let parts = self.splitter.reader.parts.as_mut();
        parts.map_or_else(Vec::new, |parts| std::mem::take(&mut parts.tables.bytes))
    }

    /// Rows by table and the rest of what was parted, or what is wrong.
    pub fn finish(mut self) -> Result<(Fingerprint, Parts), String> {
        if self.fault.is_none() {
            self.fault = self.end().err();
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let Judge { counts, parts, .. } = self.splitter.reader;
        let fingerprint = Fingerprint {
            unit: UNIT.to_owned(),
            counts,
        };
        Ok((fingerprint, parts.unwrap_or_default()))
    }

    fn end(&mut self) -> Result<(), String> {
        if self.magic.is_empty() {
            return Err("it is empty".to_owned());
        }
        let whole = self.splitter.finish();
        match self.splitter.reader.place {
            Place::Start => Err(self.foreign()),
            Place::Body => {
                whole?;
                Err("it was cut off: its end mark is missing".to_owned())
            }
            Place::Complete => whole,
        }
    }

    /// What it is instead.
    fn foreign(&self) -> String {
        let known: [(&[u8], &str); 4] = [
            (b"\x1f\x8b", "a gzip file, compressed twice"),
            (b"\x28\xb5\x2f\xfd", "a zstd file, compressed twice"),
            (b"PK\x03\x04", "a zip file"),
            (b"\xef\xbb\xbf", "a file with a byte order mark"),
        ];
        let known = known
            .iter()
            .find(|(magic, _)| self.magic.starts_with(magic));
        known.map_or_else(
            || FOREIGN.to_owned(),
            |(_, what)| format!("it is {what}, not a dump by mysqldump"),
        )
    }
}

impl Default for Dump {
    fn default() -> Self {
        Self::judged()
    }
}

impl Validator for Dump {
    fn feed(&mut self, chunk: &[u8]) {
        Dump::feed(self, chunk);
    }

    fn finish(self: Box<Self>) -> Result<Fingerprint, String> {
        Dump::finish(*self).map(|(fingerprint, _)| fingerprint)
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the line that says what this is.
    #[default]
    Start,
    Body,
    /// After the end mark.
    Complete,
}

#[derive(Default)]
struct Judge {
    place: Place,
    quoting: Quoting,
    /// The database in use.
    database: Option<String>,
    /// The table that rows are put into.
    table: String,
    counts: BTreeMap<String, u64>,
    parts: Option<Parts>,
}

/// The two halves of a dump.
#[derive(Debug, Default)]
pub struct Parts {
    /// By their numbers.
    pub databases: Vec<String>,
    pub accounts: Vec<String>,
    prefix: String,
    tables: Script,
    code: Script,
    /// Database and name of each view, and where the code makes it.
    views: Vec<(String, String, Range<usize>)>,
}

impl Parts {
    /// The code without some views: asked with database and name.
    pub fn code_without(&self, left_out: impl Fn(&str, &str) -> bool) -> Vec<u8> {
        let mut code = Vec::with_capacity(self.code.bytes.len());
        let mut from = 0;
        for (database, view, range) in &self.views {
            if left_out(database, view) {
                code.extend_from_slice(&self.code.bytes[from..range.start]);
                from = range.end;
            }
        }
        code.extend_from_slice(&self.code.bytes[from..]);
        code
    }

    /// A script that makes the views, triggers, routines and events, each in its database.
    pub fn code(&self) -> &[u8] {
        &self.code.bytes
    }

    /// Statements about tables and rows that were not taken yet.
    pub fn tables(&self) -> &[u8] {
        &self.tables.bytes
    }

    /// What a database is called for the time being.
    fn staged(&mut self, database: &str) -> String {
        let known = self.databases.iter().position(|name| name == database);
        let number = known.unwrap_or_else(|| {
            self.databases.push(database.to_owned());
            self.databases.len() - 1
        });
        format!("{}_{number}", self.prefix)
    }
}

/// SQL for the client, with its delimiter.
#[derive(Debug, Default)]
struct Script {
    bytes: Vec<u8>,
    /// Empty: the usual one.
    delimiter: Vec<u8>,
}

impl Script {
    fn add(&mut self, text: &[u8], delimiter: &[u8]) {
        let now: &[u8] = if self.delimiter.is_empty() {
            b";"
        } else {
            &self.delimiter
        };
        if now != delimiter {
            let line = [b"DELIMITER ", delimiter, b"\n"].concat();
            self.bytes.extend_from_slice(&line);
            self.delimiter = delimiter.to_vec();
        }
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(delimiter);
        self.bytes.push(b'\n');
    }
}

impl Judge {
    fn key(&self, table: &str) -> Result<String, String> {
        let database = self.database.as_deref();
        let database = database
            .ok_or("it does not say which database its tables are of; dump it with --databases")?;
        Ok(table_key(database, table))
    }

    fn take(&mut self, meaning: Meaning, text: &[u8], delimiter: &[u8]) -> Result<(), String> {
        match &meaning {
            Meaning::Use(database) => self.database = Some(database.clone()),
            Meaning::CreateTable(table) => {
                self.counts.entry(self.key(&table.name)?).or_insert(0);
            }
            Meaning::DropTables(tables) => {
                // Older tools let a table without rows stand for a view until all tables are there.
                for table in tables {
                    self.counts.remove(&self.key(table)?);
                }
            }
            Meaning::Code(_) => {
                self.key("")?;
            }
            _ => {}
        }
        let Some(parts) = &mut self.parts else {
            return Ok(());
        };
        match meaning {
            Meaning::Session => {
                parts.tables.add(text, delimiter);
                parts.code.add(text, delimiter);
            }
            Meaning::Use(database) => {
                let staged = format!("USE {}", ident(&parts.staged(&database)));
                parts.tables.add(staged.as_bytes(), delimiter);
                parts.code.add(text, delimiter);
            }
            Meaning::CreateDatabase(token, database) => {
                let staged = ident(&parts.staged(&database));
                let text = replaced(text, &[(token.start, token.end, staged)]);
                parts.tables.add(&text, delimiter);
            }
            Meaning::CreateTable(table) => {
                let text = parts.renamed(text, &table);
                parts.tables.add(&text, delimiter);
                let Some(database) = &self.database else {
                    return Ok(());
                };
                for (column, default) in &table.sequences {
                    let (table, column) = (path(database, &table.name), ident(column));
                    let alter =
                        format!("ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {default}");
                    parts.code.add(alter.as_bytes(), delimiter);
                }
            }
            Meaning::DropTables(_) | Meaning::Data => parts.tables.add(text, delimiter),
            Meaning::Code(view) => {
                parts.code.add(text, delimiter);
                if let (Some(database), Some(view)) = (&self.database, view) {
                    let end = parts.code.bytes.len();
                    // With its delimiter and the line's end.
                    let from = end - text.len() - delimiter.len() - 1;
                    parts.views.push((database.clone(), view, from..end));
                }
            }
            Meaning::Needless => {}
        }
        if parts.code.bytes.len() > CODE {
            return Err(format!("it holds more than {CODE} bytes of code"));
        }
        Ok(())
    }
}

impl Parts {
    /// The statement with the databases that it names under their names for the time being. Those
    /// that the dump does not hold keep theirs.
    fn renamed(&mut self, text: &[u8], table: &Table) -> Vec<u8> {
        let mut changes = Vec::new();
        for (token, database) in &table.references {
            if self.databases.contains(database) {
                changes.push((token.start, token.end, ident(&self.staged(database))));
            }
        }
        replaced(text, &changes)
    }
}

fn replaced(text: &[u8], changes: &[(usize, usize, String)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for (start, end, with) in changes {
        out.extend_from_slice(&text[from..*start]);
        out.extend_from_slice(with.as_bytes());
        from = *end;
    }
    out.extend_from_slice(&text[from..]);
    out
}

impl Reader for Judge {
    fn comment(&mut self, text: &[u8]) -> Result<(), String> {
        let header = text.starts_with(b"MySQL dump ") || text.starts_with(b"MariaDB dump ");
        match self.place {
            _ if text.is_empty() => {}
            Place::Start if header => self.place = Place::Body,
            Place::Start => {
                // Lines of our own come before the tool's.
                let text = std::str::from_utf8(text).map_err(|_| FOREIGN)?;
                let Some(statement) = text.strip_prefix(ACCOUNT) else {
                    return if text.starts_with("Holdfast: ") {
                        Ok(())
                    } else {
                        Err(FOREIGN.to_owned())
                    };
                };
                if let Some(parts) = &mut self.parts {
                    parts.accounts.push(statement.to_owned());
                }
            }
            Place::Body if text.starts_with(b"Dump completed") => self.place = Place::Complete,
            Place::Body => {}
            Place::Complete => return Err(FOLLOWS.to_owned()),
        }
        Ok(())
    }

    fn statement(&mut self, text: &[u8], delimiter: &[u8]) -> Result<Quoting, String> {
        self.belongs()?;
        let meaning = statement::read(text, self.quoting)?;
        self.quoting = statement::quoting(text, self.quoting);
        self.take(meaning, text, delimiter)?;
        Ok(self.quoting)
    }

    fn insert(&mut self, head: &[u8]) -> Result<(), String> {
        self.belongs()?;
        let all = token::tokens(head, self.quoting);
        let into = all.iter().position(|token| token.kind.is("into"));
        let name = into.and_then(|at| all.get(at + 1)?.kind.name());
        let name = name.ok_or("it holds an INSERT into no table")?;
        if all
            .iter()
            .any(|token| token.kind == token::Kind::Sign(b'.'))
        {
            return Err("it names a table together with its database".to_owned());
        }
        self.table = self.key(name)?;
        if let Some(parts) = &mut self.parts {
            if !matches!(parts.tables.delimiter.as_slice(), b"" | b";") {
                parts.tables.bytes.extend_from_slice(b"DELIMITER ;\n");
                parts.tables.delimiter.clear();
            }
            parts.tables.bytes.extend_from_slice(head);
        }
        Ok(())
    }

    fn values(&mut self, bytes: &[u8]) {
        if let Some(parts) = &mut self.parts {
            parts.tables.bytes.extend_from_slice(bytes);
        }
    }

    fn inserted(&mut self, rows: u64) {
        *self.counts.entry(self.table.clone()).or_default() += rows;
        self.values(b"\n");
    }
}

impl Judge {
    fn belongs(&self) -> Result<(), String> {
        match self.place {
            Place::Start => Err(FOREIGN.to_owned()),
            Place::Body => Ok(()),
            Place::Complete => Err(FOLLOWS.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
