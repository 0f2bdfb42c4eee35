//! The lines that say what part of a dump begins or ends. Those of one database are `pg_dump`'s own;
//! around several of these we write ours, in the manner of `pg_dumpall`, so that `psql` reads it all.

use super::part;
use crate::strategy::postgres::{names, settings};

pub const HEADER: &[u8] = b"PostgreSQL database dump";
pub const END: &[u8] = b"PostgreSQL database dump complete";

/// Not the words of `pg_dumpall`: its output creates databases itself, and is refused.
pub const ALL: &[u8] = b"Holdfast dump of all databases of a PostgreSQL server";
pub const ALL_END: &[u8] = b"Holdfast dump of all databases complete";
/// In the words of `pg_dump`, so that whoever reads a header finds it.
pub const VERSION: &[u8] = b"Dumped from database version ";

/// The first lines of a dump of several databases.
pub fn all(version: &str) -> String {
    let (all, dumped) = (text(ALL), text(VERSION));
    format!("--\n-- {all}\n--\n\n-- {dumped}{version}\n\n")
}

/// Its last lines.
pub fn all_end() -> String {
    format!("--\n-- {}\n--\n\n", text(ALL_END))
}

fn text(mark: &[u8]) -> String {
    String::from_utf8_lossy(mark).into_owned()
}

/// The line that leads to the next database.
pub fn connect(database: &str) -> String {
    format!("\\connect {}\n\n", names::ident(database))
}

/// Reads that line again, without its backslash. Exactly as it is written, or not at all: psql would
/// take many other things for a connection.
pub fn connected(line: &str) -> Result<String, String> {
    let quoted = line.strip_prefix("connect \"");
    let name = quoted.and_then(|rest| rest.strip_suffix('"'));
    let name = name.map(|name| name.replace("\"\"", "\""));
    match name {
        Some(name) if format!("connect {}", names::ident(&name)) == line => names::check(&name)
            .and_then(|()| settings::not_template(&name))
            .map(|()| name.clone())
            .map_err(|problem| format!("it names a database {name:?}, which {problem}")),
        _ => Err("it holds a psql command where the next database should come".to_owned()),
    }
}

/// What stands before the keys of one of several databases in a fingerprint: `shop: `. Read again by
/// `database_of`.
pub fn prefix(database: &str) -> String {
    format!("{}: ", part(database.as_bytes()))
}

/// The database of such a key, and the rest of it.
pub fn database_of(key: &str) -> Option<(String, &str)> {
    let Some(quoted) = key.strip_prefix('"') else {
        let (name, rest) = key.split_once(": ")?;
        return Some((name.to_owned(), rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, rest.strip_prefix(": ")?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_found_again_in_its_keys() {
        for name in ["shop", "Shop", "a: b", "it's \"odd\"", "\"", "ü", "1", ": "] {
            let key = format!("{}public.notes", prefix(name));
            assert_eq!(
                database_of(&key),
                Some((name.to_owned(), "public.notes")),
                "{key}"
            );
        }
        assert_eq!(prefix("shop"), "shop: ");
        for key in ["public.notes", "\"a: b\".c", "\"a", "large objects", ""] {
            assert_eq!(database_of(key), None, "{key}");
        }
    }

    #[test]
    fn only_our_own_line_leads_to_a_database() {
        for name in ["shop", "it's \"odd\" $(id) \\ `x` %s :x", "a b"] {
            let line = connect(name);
            let line = line.trim_end().strip_prefix('\\').unwrap();
            assert_eq!(connected(line), Ok(name.to_owned()));
        }
        for line in [
            "connect shop",
            "connect 'shop'",
            "connect \"shop\" app",
            "connect \"shop\" \\! sh",
            "connect -reuse-previous=on \"shop\"",
            "connect \"a\"b\"",
            "connect \"",
            "connect \"\"",
            "connect \"dbname=shop\"",
            "connect \"postgres://x\"",
            "connect \"-h\"",
            "connect \"template1\"",
            "connect  \"shop\"",
            "! sh",
            "",
        ] {
            assert!(connected(line).is_err(), "{line}");
        }
    }
}
