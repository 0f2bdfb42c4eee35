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
mod lexer;
mod scan;
mod statement;
mod token;

use self::scan::Scanner;
use crate::{domain::manifest::Fingerprint, strategy::Validator};

/// What is counted of a plain dump.
pub const UNIT: &str = "rows";
/// Key of the number of large objects, which belong to no table. Absent when there are none.
pub const LARGE_OBJECTS: &str = "large objects";

#[derive(Default)]
pub struct PlainDump {
    scanner: Scanner,
}

impl PlainDump {
    /// What is wrong with the bytes so far, as soon as it is known.
    pub fn fault(&self) -> Option<&str> {
        self.scanner.fault()
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
mod tests;
