//! What is in some databases: their tables, and the code that belongs to them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{
    names::{ident, literals, path},
    server::Server,
};
use crate::strategy::StrategyError;

#[derive(Debug, Default)]
pub struct Look {
    /// The databases that are there, with their character set and collation as SQL.
    pub databases: BTreeMap<String, String>,
    things: Vec<Thing>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Thing {
    pub database: String,
    /// As the server calls it: `BASE TABLE`, `VIEW`, `TRIGGER`, …
    pub kind: String,
    pub name: String,
}

impl Thing {
    /// Something with rows that can be renamed; a sequence is such a table too.
    fn is_table(&self) -> bool {
        ["BASE TABLE", "SYSTEM VERSIONED", "SEQUENCE"].contains(&self.kind.as_str())
    }

    /// What must be gone before tables move, and must not run meanwhile.
    pub fn acts(&self) -> bool {
        ["TRIGGER", "EVENT"].contains(&self.kind.as_str())
    }

    /// Of the code only: tables are never dropped one by one.
    pub fn drop(&self) -> String {
        let Self { kind, .. } = self;
        format!(
            "DROP {kind} IF EXISTS {};\n",
            path(&self.database, &self.name)
        )
    }
}

impl Look {
    pub async fn at(server: &Server, databases: &[String]) -> Result<Self, StrategyError> {
        if databases.is_empty() {
            return Ok(Self::default());
        }
        let list = literals(databases.iter().map(String::as_str));
        let part = |database: &str, kind: &str, name: &str, table: &str| {
            format!(
                "SELECT JSON_OBJECT('database', {database}, 'kind', {kind}, 'name', {name})
                FROM information_schema.{table} WHERE {database} IN ({list});\n"
            )
        };
        let settings = "CONCAT('CHARACTER SET ', DEFAULT_CHARACTER_SET_NAME, ' COLLATE ', DEFAULT_COLLATION_NAME)";
        let query = [
            part("SCHEMA_NAME", "'DATABASE'", settings, "SCHEMATA"),
            part("TABLE_SCHEMA", "TABLE_TYPE", "TABLE_NAME", "TABLES"),
            part("TRIGGER_SCHEMA", "'TRIGGER'", "TRIGGER_NAME", "TRIGGERS"),
            part("EVENT_SCHEMA", "'EVENT'", "EVENT_NAME", "EVENTS"),
            part("ROUTINE_SCHEMA", "ROUTINE_TYPE", "ROUTINE_NAME", "ROUTINES"),
        ];
        let what = "looking at the databases";
        let found: Vec<Thing> = server.ask(query.concat(), what).await?;
        let mut look = Self::default();
        // The server compares names without regard to case.
        for thing in found
            .into_iter()
            .filter(|t| databases.contains(&t.database))
        {
            if thing.kind == "DATABASE" {
                look.databases.insert(thing.database, thing.name);
            } else {
                look.things.push(thing);
            }
        }
        Ok(look)
    }

    pub fn tables(&self, database: &str) -> BTreeSet<&str> {
        let tables = self.things.iter().filter(|thing| thing.is_table());
        tables
            .filter(|thing| thing.database == database)
            .map(|thing| thing.name.as_str())
            .collect()
    }

    pub fn is_sequence(&self, database: &str, table: &str) -> bool {
        self.is(database, table, "SEQUENCE")
    }

    /// It keeps the past of its rows.
    pub fn is_versioned(&self, database: &str, table: &str) -> bool {
        self.is(database, table, "SYSTEM VERSIONED")
    }

    fn is(&self, database: &str, name: &str, kind: &str) -> bool {
        let is = |t: &Thing| t.database == database && t.name == name && t.kind == kind;
        self.things.iter().any(is)
    }

    /// Views, triggers, routines and events.
    pub fn code(&self, database: &str) -> impl Iterator<Item = &Thing> {
        let code = self.things.iter().filter(|thing| !thing.is_table());
        // It goes with its package.
        let code = code.filter(|thing| thing.kind != "PACKAGE BODY");
        code.filter(move |thing| thing.database == database)
    }
}

/// Databases whose names are `prefix` and a number, and `prefix` itself last.
pub async fn with_prefix(server: &Server, prefix: &str) -> Result<Vec<String>, StrategyError> {
    let query = "SELECT JSON_ARRAY(SCHEMA_NAME) FROM information_schema.SCHEMATA;";
    let all: Vec<Vec<String>> = server.ask(query, "looking for databases").await?;
    let numbered = |name: &String| {
        let number = name.strip_prefix(prefix).and_then(|n| n.strip_prefix('_'));
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let all: Vec<String> = all.into_iter().flatten().collect();
    let own = all.iter().filter(|name| *name == prefix);
    let numbered = all.iter().filter(|name| numbered(name));
    Ok(numbered.chain(own).cloned().collect())
}

/// Drops databases of ours, whatever is in them.
pub async fn drop_all(
    server: &Server,
    mark: &str,
    databases: &[String],
) -> Result<(), StrategyError> {
    if databases.is_empty() {
        return Ok(());
    }
    let drop = |name: &String| format!("DROP DATABASE IF EXISTS {};\n", ident(name));
    let drops: String = databases.iter().map(drop).collect();
    let script = format!(
        "{}SET SESSION foreign_key_checks=0;\n{drops}",
        Server::mark(mark)
    );
    let what = "dropping what is no longer needed";
    server.run(script, what, super::server::LONG).await?;
    Ok(())
}
