//! Counts what was loaded and compares it with what the dump held, table by table, before anything
//! of it counts.

use std::collections::BTreeMap;

use super::{
    exchange::Exchange,
    names::{literal, path, table_key},
    read::UNIT,
    server::{LONG, Server},
};
use crate::{
    domain::manifest::Fingerprint,
    strategy::{StrategyError, talk::parse},
};

const WHAT: &str = "counting what was loaded";

/// Rows of all tables that came in, under the names of their databases-to-be. Then statistics for
/// the planner, as a dump brings none.
pub async fn count(
    server: &Server,
    exchange: &Exchange,
    expected: &Fingerprint,
) -> Result<Fingerprint, StrategyError> {
    let look = exchange.look(server).await?;
    let mut script = String::new();
    for (n, database) in exchange.databases.iter().enumerate() {
        let staged = exchange.incoming(n);
        for table in look.tables(&staged) {
            let key = table_key(database, table);
            // A sequence is no table with rows.
            if expected.counts.contains_key(&key) || !look.is_sequence(&staged, table) {
                // A dump holds past rows too, where its tool can.
                let all = if look.is_versioned(&staged, table) {
                    " FOR SYSTEM_TIME ALL"
                } else {
                    ""
                };
                let (key, table) = (literal(&key), path(&staged, table));
                script += &format!("SELECT JSON_ARRAY({key}, COUNT(*)) FROM {table}{all};\n");
            }
        }
    }
    let answer = server.run(script, WHAT, LONG).await?;
    let counts: Vec<(String, u64)> = parse(&answer, WHAT)?;
    Ok(Fingerprint {
        unit: UNIT.to_owned(),
        counts: counts.into_iter().collect::<BTreeMap<_, _>>(),
    })
}

/// Tables of other databases that a foreign key ties to these: their keys would follow the old
/// tables.
pub async fn tied(
    server: &Server,
    databases: &[String],
) -> Result<Vec<(String, String)>, StrategyError> {
    let list = super::names::literals(databases.iter().map(String::as_str));
    let query = format!(
        "SELECT JSON_ARRAY(CONSTRAINT_SCHEMA, TABLE_NAME) FROM information_schema.REFERENTIAL_CONSTRAINTS
        WHERE UNIQUE_CONSTRAINT_SCHEMA IN ({list}) AND CONSTRAINT_SCHEMA NOT IN ({list});"
    );
    let found: Vec<(String, String)> = server.ask(query, "looking at foreign keys").await?;
    let others = found
        .into_iter()
        .filter(|(database, _)| !super::names::is_ours(database));
    Ok(others.collect())
}
