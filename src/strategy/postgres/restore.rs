//! Restore: load into a staging database, prove it, exchange it with the one in use. Until the
//! exchange nothing of the database in use is touched; after it the old one is kept for the undo.

use std::mem;

use super::{
    check,
    exchange::Exchange,
    header::{self, Header},
    load::{Load, fits_one_transaction},
    names::{self, ident, literal},
    profile::{self, Profile},
    server::{LONG, Server},
    settings::not_template,
    space,
    survey::Survey,
    timescale,
};
use crate::{
    domain::manifest::Fingerprint,
    strategy::{
        Journal, RawStream, RestorePlan, Restored, Settled, Site, StrategyError, tag, talk,
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
    let database = subject(&server, plan)?;
    let survey = Survey::of(&server, &database).await?;
    let exchange = prepare(&survey, &header, plan, &database)?;
    space::check(&server, &survey, plan).await?;

    let mut work = Work {
        server: &server,
        plan,
        header,
        journal,
        survey,
        exchange,
        warnings: Vec::new(),
    };
    match work.run(artifact).await {
        Ok(restored) => Ok(restored),
        Err(error) => work.give_up(error).await,
    }
}

/// What was dumped is what is restored, whatever the config says today; an uploaded dump does not
/// say.
fn subject(server: &Server, plan: &RestorePlan) -> Result<String, StrategyError> {
    let subject = match plan.manifest.source.subject.as_str() {
        "" => server.settings.database.as_str(),
        subject => subject,
    };
    names::check(subject)
        .and_then(|()| not_template(subject))
        .map_err(|problem| {
            let message = format!("the database name {subject:?} {problem}");
            StrategyError::refused(message, "Rename the database.")
        })?;
    Ok(subject.to_owned())
}

/// All that can be said against it before anything is done.
fn prepare(
    survey: &Survey,
    header: &Header,
    plan: &RestorePlan,
    database: &str,
) -> Result<Exchange, StrategyError> {
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
    let before = survey.named(database);
    if before.is_some_and(|before| before.invalid || !before.open) {
        return Err(StrategyError::refused(
            format!("the database {database} is closed to connections"),
            "Open it with ALTER DATABASE … ALLOW_CONNECTIONS true, or drop it.",
        ));
    }
    if survey.prepared > 0 {
        return Err(StrategyError::refused(
            format!("the database {database} has prepared transactions, and cannot be exchanged"),
            "Commit or roll them back first; the server lists them in pg_prepared_xacts.",
        ));
    }
    if survey.slots > 0 {
        return Err(StrategyError::refused(
            format!(
                "the database {database} has logical replication slots, which a restored one would not have"
            ),
            "Drop them first (pg_drop_replication_slot), and set the replication up again afterwards.",
        ));
    }
    // Unique even where two installations, or one that lost its database, restore to one server.
    let (id, tag) = (plan.id, tag()?);
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

struct Work<'a> {
    server: &'a Server,
    plan: &'a RestorePlan,
    header: Header,
    journal: &'a dyn Journal,
    survey: Survey,
    exchange: Exchange,
    warnings: Vec<String>,
}

impl Work<'_> {
    async fn run(&mut self, artifact: RawStream) -> Result<Restored, StrategyError> {
        let database = self.exchange.database.clone();
        self.stage().await?;
        self.load(artifact).await?;
        let fingerprint = self.check().await?;
        self.dress().await?;

        let title = format!("Closing {database}");
        self.step("close", title, true).await?;
        self.exchange.close(self.server, &self.survey.from).await?;
        let title = format!("Putting the restored database in the place of {database}");
        self.step("swap", title, true).await?;
        let kept = self.exchange.swap(self.server, &self.survey.from).await?;
        Ok(Restored {
            fingerprint,
            kept,
            warnings: mem::take(&mut self.warnings),
        })
    }

    async fn stage(&mut self) -> Result<(), StrategyError> {
        let staging = self.exchange.incoming.clone();
        self.step("stage", format!("Creating {staging}"), false)
            .await?;
        let create = match &self.survey.profile {
            Some(before) => before.create(&staging),
            None => format!("CREATE DATABASE {} TEMPLATE template0;\n", ident(&staging)),
        };
        if self.survey.profile.is_none() {
            self.warnings.push(format!(
                "there was no database {}: it has the server's default encoding, locale and rights",
                self.exchange.database
            ));
        }
        let name = literal(&staging);
        let script =
            format!("{create}SELECT oid::bigint FROM pg_database WHERE datname = {name};\n");
        let what = "creating the staging database";
        let answer = self
            .server
            .run(&self.survey.from, script, what, LONG)
            .await?;
        let id = talk::parse(&answer, what)?.first().copied();
        self.exchange.incoming_id = Some(id.ok_or_else(|| {
            StrategyError::refused(format!("{what} failed: it is not there"), "")
        })?);
        Ok(())
    }

    async fn load(&mut self, artifact: RawStream) -> Result<(), StrategyError> {
        let staging = &self.exchange.incoming;
        self.step("load", format!("Loading into {staging}"), false)
            .await?;
        let expected = &self.plan.fingerprint;
        let load = Load {
            server: self.server,
            staging,
            expected,
            one_transaction: fits_one_transaction(expected, self.survey.locks),
            journal: self.journal,
        };
        let what = "preparing TimescaleDB";
        let timescale = timescale::is_in(expected);
        if timescale {
            let script = timescale::before();
            self.server.run(staging, script, what, LONG).await?;
        }
        load.run(artifact).await?;
        if timescale {
            let script = timescale::after();
            self.server.run(staging, script, what, LONG).await?;
        }
        Ok(())
    }

    async fn check(&mut self) -> Result<Fingerprint, StrategyError> {
        let staging = self.exchange.incoming.clone();
        self.step("check", format!("Counting what is in {staging}"), false)
            .await?;
        let found = check::count(self.server, &staging, &self.header).await?;
        let expected = &self.plan.fingerprint;
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
    async fn dress(&mut self) -> Result<(), StrategyError> {
        let Some(before) = &self.survey.profile else {
            return Ok(());
        };
        let staging = &self.exchange.incoming;
        let finish = before.finish(staging) + &profile::query(staging) + ";";
        let what = "preparing the staging database";
        let after: Vec<Profile> = self.server.ask(&self.survey.from, finish, what).await?;
        let differences = after.first().map(|after| before.differences(after));
        for what in differences.unwrap_or_default() {
            let warning = format!("the database's {what} could not be carried over");
            self.warnings.push(warning);
        }
        Ok(())
    }

    async fn step(&self, name: &str, title: String, touches: bool) -> Result<(), StrategyError> {
        self.journal
            .record(self.exchange.step(name, title, touches))
            .await?;
        Ok(())
    }

    /// Removes what was begun. A restore whose last answer was lost may have happened after all.
    async fn give_up(self, error: StrategyError) -> Result<Restored, StrategyError> {
        match self.exchange.settle_quietly(self.server).await {
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
