//! Counts what was loaded and compares it with what the dump held, table by table, before anything
//! of it counts.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::{
    server::{LONG, Server},
    validate::{LARGE_OBJECTS, UNIT, table_key},
};
use crate::{
    domain::manifest::Fingerprint,
    strategy::{StrategyError, talk::parse},
};

const WHAT: &str = "counting what was loaded";

/// Filters of row level security must not hide rows from the count: better an error.
const SESSION: &str = "-c search_path=pg_catalog -c row_security=off -c statement_timeout=0 \
    -c lock_timeout=0 -c default_transaction_read_only=off";

/// The tables, then their rows, then the large objects; then statistics for the planner, as the
/// dump brings none. Names come as the bytes of the dump's own encoding.
const SCRIPT: &str = "
CREATE TEMPORARY VIEW counted AS
  SELECT c.oid::bigint AS id, encode(textsend(n.nspname::text), 'hex') AS schema,
    encode(textsend(c.relname::text), 'hex') AS name,
    n.nspname, c.relname, c.relkind,
    EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
      AND d.deptype = 'e') AS extension,
    CASE WHEN (to_jsonb(c)->>'relispartition')::boolean
      THEN (SELECT i.inhparent::bigint FROM pg_inherits i WHERE i.inhrelid = c.oid) END AS parent
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema';
SELECT to_jsonb(counted) - 'nspname' - 'relname' - 'relkind' FROM counted;
SELECT format('SELECT jsonb_build_object(''id'', %s, ''rows'', count(*)) FROM ONLY %I.%I', id, nspname, relname)
  FROM counted WHERE relkind = 'r' ORDER BY id \\gexec
SELECT jsonb_build_object('large', count(*)) FROM pg_largeobject_metadata;
SELECT 'SELECT jsonb_build_object(''subscriptions'', count(*)) FROM pg_subscription
  WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())'
  WHERE to_regclass('pg_subscription') IS NOT NULL \\gexec
ANALYZE;
";

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Table(Table),
    Rows { id: u32, rows: u64 },
    Large { large: u64 },
    Subscriptions { subscriptions: u64 },
}

#[derive(Debug, Deserialize)]
struct Table {
    id: u32,
    schema: String,
    name: String,
    /// Made by an extension, with rows that are in no dump.
    extension: bool,
    /// The partitioned table that this one is a part of.
    parent: Option<u32>,
}

/// What was found in a loaded database.
#[derive(Debug, Default)]
pub struct Found {
    tables: Vec<Table>,
    rows: HashMap<u32, u64>,
    large_objects: u64,
    pub subscriptions: u64,
}

/// `encoding` is that of the dump, if it says so.
pub async fn count(
    server: &Server,
    database: &str,
    encoding: Option<&str>,
) -> Result<Found, StrategyError> {
    let flat = ["--no-align", "--tuples-only"];
    let command = server
        .psql(database, &flat, "holdfast", SESSION)
        .env("PGCLIENTENCODING", encoding.unwrap_or("UTF8").into());
    let answer = server.talk(command, SCRIPT.into(), WHAT, LONG).await?;
    let mut found = Found::default();
    for line in parse::<Line>(&answer, WHAT)? {
        match line {
            Line::Table(table) => found.tables.push(table),
            Line::Rows { id, rows } => {
                found.rows.insert(id, rows);
            }
            Line::Large { large } => found.large_objects = large,
            Line::Subscriptions { subscriptions } => found.subscriptions = subscriptions,
        }
    }
    Ok(found)
}

impl Found {
    /// The counts in the terms of the dump's fingerprint, so that the two can be compared.
    ///
    /// Two things differ by nature: rows of an extension's table are only dumped where they are the
    /// user's own, and a dump may bring the rows of all partitions under the name of the whole.
    pub fn fingerprint(&self, dumped: &Fingerprint) -> Fingerprint {
        let mut keys = HashMap::new();
        for table in &self.tables {
            keys.insert(table.id, table.key());
        }
        let parents: HashMap<u32, u32> = self
            .tables
            .iter()
            .filter_map(|t| Some((t.id, t.parent?)))
            .collect();
        let mut counts = BTreeMap::new();
        for table in &self.tables {
            let key = &keys[&table.id];
            let Some(&rows) = self.rows.get(&table.id) else {
                // A whole of partitions counts when the dump counts it.
                if dumped.counts.contains_key(key) {
                    counts.entry(key.clone()).or_insert(0);
                }
                continue;
            };
            let expected = dumped.counts.get(key).copied();
            if table.extension {
                if let Some(expected) = expected {
                    counts.insert(key.clone(), rows.min(expected));
                }
                continue;
            }
            let whole = std::iter::successors(parents.get(&table.id), |id| parents.get(id))
                .filter_map(|id| keys.get(id))
                .find(|key| dumped.counts.contains_key(*key));
            match (expected, whole) {
                (None, Some(whole)) => *counts.entry(whole.clone()).or_insert(0) += rows,
                // A dump without the data of this table (or one of INSERTs, without rows).
                (None, None) if rows == 0 => {}
                _ => *counts.entry(key.clone()).or_insert(0) += rows,
            }
        }
        if self.large_objects > 0 {
            counts.insert(LARGE_OBJECTS.to_owned(), self.large_objects);
        }
        Fingerprint {
            unit: UNIT.to_owned(),
            counts,
        }
    }
}

impl Table {
    fn key(&self) -> String {
        let bytes = |text: &str| hex::decode(text).unwrap_or_default();
        table_key(&bytes(&self.schema), &bytes(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(id: u32, name: &str, extension: bool, parent: Option<u32>) -> Table {
        Table {
            id,
            schema: hex::encode("s"),
            name: hex::encode(name),
            extension,
            parent,
        }
    }

    fn dumped(counts: &[(&str, u64)]) -> Fingerprint {
        Fingerprint {
            unit: UNIT.to_owned(),
            counts: counts.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect(),
        }
    }

    #[test]
    fn counts_are_in_the_terms_of_the_dump() {
        let found = Found {
            tables: vec![
                table(1, "whole", false, None),
                table(2, "half", false, Some(1)),
                table(3, "leaf", false, Some(2)),
                table(4, "other", false, Some(1)),
                table(5, "srs", true, None),
                table(6, "empty", false, None),
                table(7, "extra", false, None),
            ],
            rows: [(3, 10), (4, 5), (5, 8500), (6, 0), (7, 0)].into(),
            ..Found::default()
        };
        let by_leaf = dumped(&[("s.leaf", 10), ("s.other", 5), ("s.srs", 2), ("s.empty", 0)]);
        assert_eq!(found.fingerprint(&by_leaf), by_leaf);
        let by_whole = dumped(&[("s.whole", 15), ("s.srs", 0)]);
        assert_eq!(found.fingerprint(&by_whole), by_whole);
        let short = dumped(&[("s.leaf", 11), ("s.other", 5), ("s.srs", 9000)]);
        assert_eq!(
            short.differences(&found.fingerprint(&short), 9),
            ["s.leaf: 10 instead of 11", "s.srs: 8500 instead of 9000"]
        );
        let missing = dumped(&[("s.leaf", 10), ("s.other", 5), ("s.gone", 0)]);
        assert_eq!(
            missing.differences(&found.fingerprint(&missing), 9),
            ["s.gone: missing, 0 expected"]
        );
    }
}
