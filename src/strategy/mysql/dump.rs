//! Backup: the server's own dump tool, passed on as it comes, after the accounts.

use super::{
    accounts, errors,
    names::write_list,
    server::Server,
    settings::{PASSWORD_FIELD, Settings},
    survey::{self, Survey},
    tools::Dumper,
};
use crate::{
    docker::{Command, Session},
    strategy::{Dumped, Probe, Sink, Site, StrategyError},
};

/// How many of a tool's warnings are worth keeping.
const WARNINGS: usize = 50;

/// Looks without touching anything. What is wrong with the config's own words is told as such.
pub async fn probe(site: &Site) -> Result<Probe, StrategyError> {
    look(site).await.map_err(|error| match error {
        StrategyError::Tool {
            message,
            hint,
            detail,
            ..
        } if errors::is_wrong_login(&detail) => StrategyError::Option {
            field: PASSWORD_FIELD,
            message,
            hint,
        },
        other => other,
    })
}

async fn look(site: &Site) -> Result<Probe, StrategyError> {
    // The config's own words first: nothing has to run to find them wrong.
    Settings::of(site).await?;
    let dumper = Dumper::of(site).await?;
    let server = Server::of(site).await?;
    let survey = Survey::of(&server).await?;
    let databases = survey.chosen(&server.settings.databases)?;
    Ok(Probe {
        subject: write_list(&databases),
        server: survey.server(),
        tool: dumper.version,
        size: survey::size(&server, &databases).await?,
    })
}

pub async fn backup(site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError> {
    let server = Server::of(site).await?;
    let dumper = Dumper::of(site).await?;
    let survey = Survey::of(&server).await?;
    let databases = survey.chosen(&server.settings.databases)?;
    let mut warnings = unsteady(&server, &databases).await?;
    let (accounts, more) = accounts::lines(&server).await?;
    warnings.extend(more);
    let command = command(&server, &dumper, &[], &databases);
    site.watch(async {
        if !accounts.is_empty() {
            sink.write(accounts).await?;
        }
        let session = site.engine.exec(&site.container.id, command).await?;
        warnings.extend(pump(&server, &dumper, session, sink).await?);
        Ok(Dumped { warnings })
    })
    .await
}

/// Tables that are not of the same instant as the rest, in words.
async fn unsteady(server: &Server, databases: &[String]) -> Result<Vec<String>, StrategyError> {
    let tables = survey::unsteady(server, databases).await?;
    let shown: Vec<String> = tables
        .iter()
        .take(5)
        .map(|(table, engine)| format!("{table} ({engine})"))
        .collect();
    Ok(match tables.len() {
        0 => Vec::new(),
        number => {
            let more = if number > shown.len() { ", …" } else { "" };
            vec![format!(
                "{number} tables have an engine without transactions, and may be of another instant than the rest: {}{more}",
                shown.join(", ")
            )]
        }
    })
}

/// The dump tool for these databases; `more` are options after the usual ones.
pub fn command(server: &Server, dumper: &Dumper, more: &[&str], databases: &[String]) -> Command {
    // Without locks in the dump: a table whose default is a sequence's next value could not be filled
    // while only that table is locked.
    let mut options = vec![
        "--skip-add-locks",
        "--single-transaction",
        "--quick",
        "--routines",
        "--events",
        "--triggers",
        "--hex-blob",
    ];
    options.extend(&dumper.options);
    options.extend_from_slice(more);
    options.extend(["--databases", "--"]);
    options.extend(databases.iter().map(String::as_str));
    server.tool(&dumper.program, &options)
}

/// Passes on what the program writes, then asks how it ended. Returns what it warned of.
async fn pump(
    server: &Server,
    dumper: &Dumper,
    session: Session,
    sink: &mut dyn Sink,
) -> Result<Vec<String>, StrategyError> {
    let (program, mask) = (&dumper.program, server.settings.mask());
    let (code, said) = server.site.pump(session, program, mask, sink).await?;
    if code != 0 {
        return Err(errors::complaint("the dump", program, code, &said));
    }
    Ok(errors::warnings(&said, WARNINGS))
}
