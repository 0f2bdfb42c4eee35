//! Restore: load each database into a staging database, prove it, and exchange them all with those in
//! use. Until the exchange nothing in use is touched; after it the old ones are kept for the undo.

use std::{collections::BTreeMap, mem};

use super::{
    check,
    exchange::Exchange,
    header,
    load::{Load, fits_one_transaction},
    names::{ident, literal},
    plan,
    profile::{self, Profile},
    sections::Sections,
    server::{LONG, Server},
    space,
    survey::Survey,
    swap::Swap,
    timescale,
    validate::of_all,
};
use crate::{
    domain::manifest::Fingerprint,
    strategy::{
        Journal, RawStream, RestorePlan, Restored, Settled, Site, StrategyError, pour::changed,
        talk,
    },
};

/// Differences shown when the counts do not agree.
const DIFFERENCES: usize = 10;

pub async fn restore(
    site: &Site,
    plan: &RestorePlan,
    artifact: RawStream,
    journal: &dyn Journal,
) -> Result<Restored, StrategyError> {
    let (header, artifact) = header::peek(artifact).await?;
    let server = Server::of(site).await?;
    let expected = plan::databases(&server, &header, plan)?;
    let names: Vec<&str> = expected.keys().map(String::as_str).collect();
    let survey = Survey::of(&server, &names).await?;
    let swap = plan::swap(&survey, &header, plan.id, &names)?;
    space::check(&server, &survey, plan).await?;

    let alone = header.all.then(|| plan::left_alone(&survey, &names));
    let mut work = Work {
        server: &server,
        plan,
        all: header.all,
        expected: &expected,
        journal,
        survey,
        swap,
        warnings: alone.flatten().into_iter().collect(),
    };
    match work.run(artifact).await {
        Ok(restored) => Ok(restored),
        Err(error) => work.give_up(error).await,
    }
}

struct Work<'a> {
    server: &'a Server,
    plan: &'a RestorePlan,
    /// The dump is of all databases: of several, with their names.
    all: bool,
    expected: &'a BTreeMap<String, Fingerprint>,
    journal: &'a dyn Journal,
    survey: Survey,
    swap: Swap,
    warnings: Vec<String>,
}

impl Work<'_> {
    async fn run(&mut self, artifact: RawStream) -> Result<Restored, StrategyError> {
        let mut dumps = Sections::new(artifact, &self.plan.fingerprint);
        let mut found = BTreeMap::new();
        while found.len() < self.expected.len() && dumps.next().await? {
            let number = self.number(dumps.database())?;
            self.stage(number).await?;
            self.load(number, &mut dumps).await?;
            let counted = self.check(number, dumps.encoding()).await?;
            self.dress(number).await?;
            let database = self.swap.exchanges[number].database.clone();
            found.insert(database, counted);
        }
        if dumps.next().await? || found.len() < self.expected.len() {
            return Err(changed("it holds other databases"));
        }
        let fingerprint = if self.all {
            of_all(&found)
        } else {
            found.into_values().next().unwrap_or_default()
        };

        let title = format!("Closing {}", self.swap.title());
        self.step("close", title, true).await?;
        self.swap.close(self.server, &self.survey.from).await?;
        let title = match &self.swap.exchanges[..] {
            [one] => format!(
                "Putting the restored database in the place of {}",
                one.database
            ),
            several => format!(
                "Putting {} restored databases in their places",
                several.len()
            ),
        };
        self.step("swap", title, true).await?;
        let kept = self.swap.exchange(self.server, &self.survey.from).await?;
        Ok(Restored {
            fingerprint,
            kept,
            warnings: mem::take(&mut self.warnings),
        })
    }

    /// The exchange that the dump of this database is for.
    fn number(&self, database: Option<&str>) -> Result<usize, StrategyError> {
        let Some(database) = database else {
            return Ok(0);
        };
        let exchanges = &mut self.swap.exchanges.iter();
        exchanges
            .position(|exchange| exchange.database == database)
            .ok_or_else(|| changed("it holds other databases"))
    }

    async fn stage(&mut self, number: usize) -> Result<(), StrategyError> {
        let exchange = &self.swap.exchanges[number];
        let (database, staging) = (exchange.database.clone(), exchange.incoming.clone());
        let title = if self.all {
            format!("Creating {staging} for {database}")
        } else {
            format!("Creating {staging}")
        };
        self.step("stage", title, false).await?;
        let create = if let Some(before) = self.profile(&database) {
            before.create(&staging)
        } else {
            let undo = if self.all { "; an undo leaves it" } else { "" };
            self.warnings.push(format!(
                "there was no database {database}: it has the server's default encoding, locale and rights{undo}"
            ));
            format!("CREATE DATABASE {} TEMPLATE template0;\n", ident(&staging))
        };
        let name = literal(&staging);
        let script =
            format!("{create}SELECT oid::bigint FROM pg_database WHERE datname = {name};\n");
        let what = "creating the staging database";
        let answer = self
            .server
            .run(&self.survey.from, script, what, LONG)
            .await?;
        let id = talk::parse(&answer, what)?.first().copied();
        self.swap.exchanges[number].incoming_id = Some(id.ok_or_else(|| {
            StrategyError::refused(format!("{what} failed: it is not there"), "")
        })?);
        Ok(())
    }

    async fn load(&mut self, number: usize, dumps: &mut Sections<'_>) -> Result<(), StrategyError> {
        let (staging, expected) = self.staging(number);
        let title = format!("Loading into {staging}");
        self.step("load", title, false).await?;
        let load = Load {
            server: self.server,
            staging: &staging,
            one_transaction: fits_one_transaction(expected, self.survey.locks),
            journal: self.journal,
        };
        let what = "preparing TimescaleDB";
        let timescale = timescale::is_in(expected);
        if timescale {
            let script = timescale::before();
            self.server.run(&staging, script, what, LONG).await?;
        }
        load.run(dumps).await?;
        if timescale {
            let script = timescale::after();
            self.server.run(&staging, script, what, LONG).await?;
        }
        Ok(())
    }

    async fn check(
        &mut self,
        number: usize,
        encoding: Option<&str>,
    ) -> Result<Fingerprint, StrategyError> {
        let (staging, expected) = self.staging(number);
        let title = format!("Counting what is in {staging}");
        self.step("check", title, false).await?;
        let found = check::count(self.server, &staging, encoding).await?;
        let fingerprint = found.fingerprint(expected);
        let differences = expected.differences(&fingerprint, DIFFERENCES);
        if let Some(first) = differences.first() {
            return Err(StrategyError::Tool {
                message: format!("the loaded data is not what the dump held: {first}"),
                hint: "The database was left as it was.".to_owned(),
                detail: differences.join("\n"),
                temporary: false,
            });
        }
        if found.subscriptions > 0 {
            let number = found.subscriptions;
            self.warnings.push(format!(
                "subscriptions are restored, but not enabled: {number}"
            ));
        }
        Ok(fingerprint)
    }

    /// Gives the staging database the rest of what the old one has, and looks whether it took it.
    async fn dress(&mut self, number: usize) -> Result<(), StrategyError> {
        let Exchange {
            database, incoming, ..
        } = &self.swap.exchanges[number];
        let Some(before) = self.profile(database) else {
            return Ok(());
        };
        let finish = before.finish(incoming) + &profile::query(incoming);
        let what = "preparing the staging database";
        let after: Vec<Profile> = self.server.ask(&self.survey.from, finish, what).await?;
        let differences = after.first().map(|after| before.differences(after));
        let whose = if self.all {
            format!("database {database}'s")
        } else {
            "database's".to_owned()
        };
        for what in differences.unwrap_or_default() {
            let warning = format!("the {whose} {what} could not be carried over");
            self.warnings.push(warning);
        }
        Ok(())
    }

    fn staging(&self, number: usize) -> (String, &Fingerprint) {
        let exchange = &self.swap.exchanges[number];
        (
            exchange.incoming.clone(),
            &self.expected[&exchange.database],
        )
    }

    fn profile(&self, database: &str) -> Option<&Profile> {
        self.survey.named(database)?.profile.as_ref()
    }

    async fn step(&self, name: &str, title: String, touches: bool) -> Result<(), StrategyError> {
        let step = self.swap.step(name, title, touches);
        self.journal.record(step).await?;
        Ok(())
    }

    /// Removes what was begun. A restore whose last answer was lost may have happened after all.
    async fn give_up(self, error: StrategyError) -> Result<Restored, StrategyError> {
        match self.swap.settle_quietly(self.server).await {
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
