//! What a restore is to do, and all that can be said against it, before anything is done.

use std::collections::BTreeMap;

use super::{
    exchange::Exchange,
    header::Header,
    names,
    server::Server,
    settings::{ALL, not_template},
    survey::Survey,
    swap::Swap,
    validate::by_database,
};
use crate::{
    domain::manifest::Fingerprint,
    strategy::{RestorePlan, StrategyError, tag},
};

/// The databases that the dump holds, each with what was counted of it. What was dumped is what is
/// restored, whatever the config says today; an uploaded dump of one database does not say which.
pub fn databases(
    server: &Server,
    header: &Header,
    plan: &RestorePlan,
) -> Result<BTreeMap<String, Fingerprint>, StrategyError> {
    let subject = plan.manifest.source.subject.as_str();
    let databases = if header.all {
        by_database(&plan.fingerprint)
    } else if subject == ALL || subject.is_empty() && server.settings.all {
        return Err(StrategyError::refused(
            "this is the dump of one database, and does not say of which",
            "Name the database in the config instead of *.",
        ));
    } else {
        let name = match subject {
            "" => server.settings.database.clone(),
            subject => subject.to_owned(),
        };
        [(name, plan.fingerprint.clone())].into()
    };
    for name in databases.keys() {
        names::check(name)
            .and_then(|()| not_template(name))
            .map_err(|problem| {
                let message = format!("the database name {name:?} {problem}");
                StrategyError::refused(message, "Rename the database.")
            })?;
    }
    if databases.is_empty() {
        return Err(StrategyError::refused("the dump holds no database", ""));
    }
    Ok(databases)
}

/// Who takes whose place.
pub fn swap(
    survey: &Survey,
    header: &Header,
    restore: i64,
    databases: &[&str],
) -> Result<Swap, StrategyError> {
    if survey.replica {
        return Err(StrategyError::refused(
            "this server is a replica, which cannot be written to",
            "Restore to the primary.",
        ));
    }
    if let Some(major) = header.major.filter(|&major| major > survey.major()) {
        return Err(StrategyError::refused(
            format!(
                "the dump is of PostgreSQL {major}, this server is {}",
                survey.version
            ),
            "Restore to a server that is at least as new.",
        ));
    }
    let exchanges = databases.iter();
    let exchanges: Result<Vec<Exchange>, _> = exchanges
        .map(|database| exchange(survey, restore, database))
        .collect();
    Ok(Swap {
        exchanges: exchanges?,
    })
}

fn exchange(survey: &Survey, id: i64, database: &str) -> Result<Exchange, StrategyError> {
    let before = survey.named(database);
    if before.is_some_and(|before| before.invalid || !before.open) {
        return Err(StrategyError::refused(
            format!("the database {database} is closed to connections"),
            "Open it with ALTER DATABASE … ALLOW_CONNECTIONS true, or drop it.",
        ));
    }
    if before.is_some_and(|before| before.prepared > 0) {
        return Err(StrategyError::refused(
            format!("the database {database} has prepared transactions, and cannot be exchanged"),
            "Commit or roll them back first; the server lists them in pg_prepared_xacts.",
        ));
    }
    if before.is_some_and(|before| before.slots > 0) {
        return Err(StrategyError::refused(
            format!(
                "the database {database} has logical replication slots, which a restored one would not have"
            ),
            "Drop them first (pg_drop_replication_slot), and set the replication up again afterwards.",
        ));
    }
    // Unique even where two installations, or one that lost its database, restore to one server.
    let tag = tag()?;
    Ok(Exchange {
        restore: id,
        database: database.to_owned(),
        before: before.map(|before| before.oid),
        incoming: format!("hf_stage_{id}_{tag}"),
        incoming_id: None,
        aside: format!("hf_undo_{id}_{tag}"),
        disposable: true,
    })
}

/// Of a restore of all databases: which ones it leaves alone, in words.
pub fn left_alone(survey: &Survey, databases: &[&str]) -> Option<String> {
    let alone = |name: &str| !databases.contains(&name);
    let others = survey
        .databases
        .iter()
        .filter(|d| !d.template && !d.is_ours());
    let others: Vec<&str> = others
        .map(|d| d.name.as_str())
        .filter(|name| alone(name))
        .collect();
    if others.is_empty() {
        return None;
    }
    let others = others.join(", ");
    Some(format!("not in the backup, and left as they are: {others}"))
}
