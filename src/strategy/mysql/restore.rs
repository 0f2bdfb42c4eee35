//! Restore: load the tables into staging databases, prove them, exchange them with those in use, make
//! the code anew. Until the exchange nothing of the databases in use is touched; after it the old
//! tables are kept for the undo. Databases that the dump does not hold are left alone, and named.

use std::mem;

use super::{
    accounts,
    book::Book,
    check, code,
    exchange::{DONE, Exchange, SWAP},
    load::Load,
    names::{database_of_key, write_list},
    read::Parts,
    server::Server,
    space,
    survey::Survey,
};
use crate::{
    domain::manifest::Fingerprint,
    strategy::{Journal, RawStream, RestorePlan, Restored, Settled, Site, StrategyError, tag},
};

/// Differences shown when the counts do not agree.
const DIFFERENCES: usize = 10;

pub async fn restore(
    site: &Site,
    plan: &RestorePlan,
    artifact: RawStream,
    journal: &dyn Journal,
) -> Result<Restored, StrategyError> {
    let server = Server::of(site).await?;
    let survey = Survey::of(&server).await?;
    let known = databases_of(&plan.fingerprint);
    prepare(&server, &survey, &known).await?;
    space::check(&server, &survey, plan).await?;
    // Unique even where two installations, or one that lost its database, restore to one server.
    let (id, tag) = (plan.id, tag()?);
    let mut work = Work {
        server: &server,
        plan,
        journal,
        survey,
        known,
        exchange: Exchange {
            restore: id,
            databases: Vec::new(),
            incoming: format!("hf_stage_{id}_{tag}"),
            aside: format!("hf_undo_{id}_{tag}"),
            disposable: true,
        },
        last: "",
        warnings: Vec::new(),
    };
    match work.run(artifact).await {
        Ok(restored) => Ok(restored),
        Err(error) => work.give_up(error).await,
    }
}

/// Those that have tables, in the order of their names.
fn databases_of(fingerprint: &Fingerprint) -> Vec<String> {
    let mut databases: Vec<String> = fingerprint
        .counts
        .keys()
        .filter_map(|key| database_of_key(key))
        .collect();
    databases.sort();
    databases.dedup();
    databases
}

/// All that can be said against it before anything is done.
async fn prepare(
    server: &Server,
    survey: &Survey,
    databases: &[String],
) -> Result<(), StrategyError> {
    if survey.read_only {
        return Err(StrategyError::refused(
            "this server is read-only, as replicas are",
            "Restore to the primary, or set read_only off.",
        ));
    }
    if databases.is_empty() {
        return Ok(());
    }
    if let Some((database, table)) = check::tied(server, databases).await?.first() {
        return Err(StrategyError::refused(
            format!(
                "the table {table} of the database {database}, which is not in the backup, has a foreign key to a table that would be exchanged"
            ),
            "Drop the foreign key, and make it again after the restore; or back up both databases together.",
        ));
    }
    Ok(())
}

struct Work<'a> {
    server: &'a Server,
    plan: &'a RestorePlan,
    journal: &'a dyn Journal,
    survey: Survey,
    known: Vec<String>,
    exchange: Exchange,
    /// The last step that was recorded.
    last: &'static str,
    warnings: Vec<String>,
}

impl Work<'_> {
    async fn run(&mut self, artifact: RawStream) -> Result<Restored, StrategyError> {
        let parts = self.load(artifact).await?;
        let fingerprint = self.check().await?;
        self.note().await?;
        let list = write_list(&self.exchange.databases);
        let title = format!("Putting the restored tables in the place of those of {list}");
        self.step(SWAP, title, true).await?;
        self.exchange.swap(self.server, parts.code(), &[]).await?;
        self.step(DONE, "Tidying up".to_owned(), true).await?;
        // The restore stands, whatever becomes of the rest, a cancel too.
        let server = self.server.uncancelled();
        let warnings = accounts::bring_back(&server, &parts.accounts).await;
        self.warnings.extend(warnings);
        self.name_others();
        self.exchange.clear(&server).await?;
        Ok(Restored {
            fingerprint,
            kept: self.exchange.kept(&server).await,
            warnings: mem::take(&mut self.warnings),
        })
    }

    async fn load(&mut self, artifact: RawStream) -> Result<Parts, StrategyError> {
        let title = format!("Loading into databases {}_…", self.exchange.incoming);
        self.step("load", title, false).await?;
        let load = Load {
            server: self.server,
            mark: &self.exchange.aside,
            prefix: &self.exchange.incoming,
            known: &self.known,
            expected: &self.plan.fingerprint,
            journal: self.journal,
        };
        let parts = load.run(artifact).await?;
        self.exchange.databases.clone_from(&parts.databases);
        Ok(parts)
    }

    async fn check(&mut self) -> Result<Fingerprint, StrategyError> {
        self.step("check", "Counting what was loaded".to_owned(), false)
            .await?;
        let expected = &self.plan.fingerprint;
        let found = check::count(self.server, &self.exchange, expected).await?;
        let differences = expected.differences(&found, DIFFERENCES);
        if let Some(first) = differences.first() {
            return Err(StrategyError::Tool {
                message: format!("the loaded data is not what the dump held: {first}"),
                hint: "The databases were left as they were.".to_owned(),
                detail: differences.join("\n"),
                temporary: false,
            });
        }
        Ok(found)
    }

    /// Notes what there is, so that it can be put back.
    async fn note(&mut self) -> Result<(), StrategyError> {
        let title = format!("Noting what there is, in {}", self.exchange.aside);
        self.step("note", title, false).await?;
        let warnings = note(self.server, &self.exchange).await?;
        self.warnings.extend(warnings);
        Ok(())
    }

    fn name_others(&mut self) {
        let ours = &self.exchange.databases;
        let others = self
            .survey
            .databases
            .iter()
            .filter(|name| !ours.contains(name));
        let others: Vec<String> = others.cloned().collect();
        if !others.is_empty() {
            let list = write_list(&others);
            self.warnings.push(format!(
                "databases that the backup does not hold were left as they are: {list}"
            ));
        }
    }

    async fn step(
        &mut self,
        name: &'static str,
        title: String,
        touches: bool,
    ) -> Result<(), StrategyError> {
        self.journal
            .record(self.exchange.step(name, title, touches))
            .await?;
        self.last = name;
        Ok(())
    }

    /// Removes what was begun. A restore whose last step was recorded stands.
    async fn give_up(self, error: StrategyError) -> Result<Restored, StrategyError> {
        if self.last.is_empty() {
            return Err(error);
        }
        match self.exchange.settle_quietly(self.server, self.last).await {
            Ok(Settled::Restored(kept)) => Ok(Restored {
                fingerprint: self.plan.fingerprint.clone(),
                kept,
                warnings: self.warnings,
            }),
            Err(attention @ StrategyError::NeedsAttention { .. }) => Err(attention),
            Ok(Settled::AsBefore) => Err(error),
            Err(_) => Err(StrategyError::Unsettled(error.into())),
        }
    }
}

/// Writes the book of an exchange. Returns what could not be noted.
pub async fn note(server: &Server, exchange: &Exchange) -> Result<Vec<String>, StrategyError> {
    let look = exchange.look(server).await?;
    let there = |name: &&String| look.databases.contains_key(*name);
    let live: Vec<String> = exchange.databases.iter().filter(there).cloned().collect();
    let (code, warnings) = code::read(server, &live).await?;
    let grants = code::grants(server, &live).await?;
    Book::write(server, exchange, &look, &code, &grants).await?;
    Ok(warnings)
}
