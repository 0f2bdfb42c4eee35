//! Restore: load beside, under other names in the same databases; prove it; exchange it with what is
//! in use. Until the exchange nothing in use is touched; after it the old is kept for the undo.

use std::{collections::BTreeSet, mem};

use serde::Deserialize;
use serde_json::json;

use super::{
    archive::{UNIT, database_of, key},
    dump::ALL,
    exchange::Exchange,
    load::Load,
    server::{LONG, Server},
    settings::check_database,
    survey::Survey,
};
use crate::{
    domain::manifest::Fingerprint,
    strategy::{Journal, RawStream, RestorePlan, Restored, Settled, Site, StrategyError, tag},
};

/// Differences shown when the counts do not agree.
const DIFFERENCES: usize = 10;
/// Of databases, in a warning.
const NAMED: usize = 20;
/// Longest name of a database and a collection together, in bytes.
const LONGEST: usize = 255;
/// For the server's own journal while it loads, in bytes.
const RESERVE: u64 = 64 * 1024 * 1024;

pub async fn restore(
    site: &Site,
    plan: &RestorePlan,
    artifact: RawStream,
    journal: &dyn Journal,
) -> Result<Restored, StrategyError> {
    let server = Server::of(site).await?;
    let databases = databases(plan)?;
    let all = plan.manifest.source.subject == ALL;
    let survey = Survey::for_restore(&server, &databases, all).await?;
    let exchange = prepare(&survey, plan, &databases)?;
    let mut work = Work {
        server: &server,
        plan,
        journal,
        exchange,
        warnings: warnings(&survey, &databases),
    };
    match work.run(artifact).await {
        Ok(restored) => Ok(restored),
        Err(error) => work.give_up(error).await,
    }
}

/// What was dumped is what is restored, whatever the config says today; an uploaded archive says it
/// alone.
fn databases(plan: &RestorePlan) -> Result<Vec<String>, StrategyError> {
    let keys = plan.fingerprint.counts.keys();
    let databases: BTreeSet<&str> = keys.map(|key| database_of(key)).collect();
    let subject = plan.manifest.source.subject.as_str();
    if !["", ALL].contains(&subject) && databases.iter().any(|&database| database != subject) {
        return Err(StrategyError::refused(
            format!("the archive does not hold the database {subject} alone"),
            "The manifest and the artifact do not belong together; restore another backup.",
        ));
    }
    for database in &databases {
        if *database != "admin" {
            check_database(database).map_err(|problem| {
                let message = format!("the database name {database:?} {problem}");
                StrategyError::refused(message, "Rename the database.")
            })?;
        }
    }
    if databases.is_empty() {
        return Err(StrategyError::refused(
            "the archive holds no collection",
            "",
        ));
    }
    Ok(databases.into_iter().map(ToOwned::to_owned).collect())
}

/// All that can be said against it before anything is done.
fn prepare(
    survey: &Survey,
    plan: &RestorePlan,
    databases: &[String],
) -> Result<Exchange, StrategyError> {
    survey.check_kind()?;
    if !survey.primary {
        return Err(StrategyError::refused(
            "this server is a secondary of its replica set, which cannot be written to",
            "Restore to the primary.",
        ));
    }
    let ours = |database: &&super::survey::Database| databases.contains(&database.name);
    let touched = Survey {
        databases: survey.databases.iter().filter(ours).cloned().collect(),
        ..survey.clone()
    };
    touched.check_movable()?;
    let tag = format!("{}_{}", plan.id, tag()?);
    let exchange = Exchange {
        restore: plan.id,
        databases: databases.to_vec(),
        incoming: format!("hf_stage_{tag}"),
        expected: plan.fingerprint.counts.len() as u64,
        aside: format!("hf_undo_{tag}"),
        disposable: true,
    };
    check_lengths(&touched, plan, &exchange)?;
    check_space(survey, plan)?;
    Ok(exchange)
}

/// Every collection gets a longer name for a while.
fn check_lengths(
    survey: &Survey,
    plan: &RestorePlan,
    exchange: &Exchange,
) -> Result<(), StrategyError> {
    let before = survey.databases.iter().flat_map(|database| {
        let own = database.own();
        own.map(|c| key(&database.name, &c.name, false))
    });
    let room = LONGEST - exchange.incoming.len() - 1;
    let after = plan.fingerprint.counts.keys().cloned();
    let too_long = |key: &String| key.trim_start_matches("view ").len() > room;
    match before.chain(after).find(too_long) {
        Some(name) => Err(StrategyError::refused(
            format!("the name {name} is too long to get a longer one for the restore"),
            format!("Restore it by hand, or give it a name of at most {room} bytes."),
        )),
        None => Ok(()),
    }
}

/// Refuses when there is surely no room for a second copy: a server whose disk runs full stops. Data
/// that is stored in less than a quarter of its length is rare.
fn check_space(survey: &Survey, plan: &RestorePlan) -> Result<(), StrategyError> {
    let needed = plan.manifest.artifact.raw_bytes / 4 + RESERVE;
    match survey.free() {
        Some(free) if free < needed => Err(StrategyError::refused(
            format!(
                "the restore needs at least {} MiB on the server's disk, {} MiB are free",
                needed >> 20,
                free >> 20
            ),
            "Free some space on the server's disk; collections kept for an undo (hf_undo_…) may go.",
        )),
        _ => Ok(()),
    }
}

fn warnings(survey: &Survey, databases: &[String]) -> Vec<String> {
    let others = survey
        .databases
        .iter()
        .filter(|database| !databases.contains(&database.name) && database.own().next().is_some());
    let names: Vec<&str> = others.map(|d| d.name.as_str()).take(NAMED).collect();
    let left = format!(
        "left as they are, because the backup does not hold them: {}",
        names.join(", ")
    );
    (!names.is_empty()).then_some(left).into_iter().collect()
}

struct Work<'a> {
    server: &'a Server,
    plan: &'a RestorePlan,
    journal: &'a dyn Journal,
    exchange: Exchange,
    warnings: Vec<String>,
}

impl Work<'_> {
    async fn run(&mut self, artifact: RawStream) -> Result<Restored, StrategyError> {
        let staging = self.exchange.incoming.clone();
        self.step("load", format!("Loading into {staging}.…"), false)
            .await?;
        let load = Load {
            server: self.server,
            staging: &staging,
            expected: &self.plan.fingerprint,
            journal: self.journal,
        };
        load.run(artifact).await?;
        self.step("check", format!("Counting what is in {staging}.…"), false)
            .await?;
        let fingerprint = self.check().await?;
        let title = "Exchanging the collections".to_owned();
        self.step("swap", title, true).await?;
        let kept = self.exchange.swap(self.server).await?;
        Ok(Restored {
            fingerprint,
            kept: Some(kept),
            warnings: mem::take(&mut self.warnings),
        })
    }

    async fn check(&self) -> Result<Fingerprint, StrategyError> {
        let request = json!(self.exchange);
        let what = "counting the documents";
        let found: Vec<Counted> = self.server.ask("count", request, what, LONG).await?;
        let counts = found.into_iter();
        let fingerprint = Fingerprint {
            unit: UNIT.to_owned(),
            counts: counts
                .map(|c| (key(&c.database, &c.name, c.view), c.documents))
                .collect(),
        };
        let differences = (self.plan.fingerprint).differences(&fingerprint, DIFFERENCES);
        match differences.first() {
            Some(first) => Err(StrategyError::Tool {
                message: format!("the loaded data is not what the archive held: {first}"),
                hint: "The database was left as it was.".to_owned(),
                detail: differences.join("\n"),
                temporary: false,
            }),
            None => Ok(fingerprint),
        }
    }

    async fn step(&self, name: &str, title: String, touches: bool) -> Result<(), StrategyError> {
        let step = self.exchange.step(name, title, touches);
        Ok(self.journal.record(step).await?)
    }

    /// Removes what was begun. A restore whose last answer was lost may have happened after all.
    async fn give_up(self, error: StrategyError) -> Result<Restored, StrategyError> {
        match self.exchange.settle_quietly(self.server).await {
            Ok(Settled::Restored(kept)) => Ok(Restored {
                fingerprint: self.plan.fingerprint.clone(),
                kept,
                warnings: self.warnings,
            }),
            Ok(Settled::AsBefore) => Err(error),
            Err(attention @ StrategyError::NeedsAttention { .. }) => Err(attention),
            Err(_) => Err(StrategyError::Unsettled(error.into())),
        }
    }
}

/// A collection that was loaded.
#[derive(Deserialize)]
struct Counted {
    database: String,
    name: String,
    view: bool,
    documents: u64,
}
