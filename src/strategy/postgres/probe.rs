//! Looks before dumping, without touching anything.

use std::time::Duration;

use super::{
    errors, names,
    server::Server,
    settings::{ALL, DATABASE_FIELD, PASSWORD_FIELD, USER_FIELD},
    survey::{Database, Survey},
};
use crate::{
    docker::{Command, command},
    strategy::{Probe, Site, StrategyError},
};

/// What is wrong with the config's own words is told as such.
pub async fn probe(site: &Site) -> Result<Probe, StrategyError> {
    look(site).await.map_err(|error| match error {
        StrategyError::Tool { message, hint, .. } if errors::is_wrong_password(&message) => {
            let field = PASSWORD_FIELD;
            StrategyError::Option {
                field,
                message,
                hint,
            }
        }
        StrategyError::Tool { message, hint, .. } if errors::is_missing_role(&message) => {
            let field = USER_FIELD;
            StrategyError::Option {
                field,
                message,
                hint,
            }
        }
        other => other,
    })
}

async fn look(site: &Site) -> Result<Probe, StrategyError> {
    let tool = tool_version(site).await?;
    let server = Server::of(site).await?;
    let (subject, survey, size) = if server.settings.all {
        let survey = Survey::now(&server, &[]).await?;
        dumped(&survey)?;
        let size = size_of_all(&server, &survey).await?;
        (ALL.to_owned(), survey, size)
    } else {
        one(&server).await?
    };
    if server.settings.password_is_explicit {
        check_password(&server, &survey.from).await?;
    }
    Ok(Probe {
        subject,
        server: survey.version,
        tool,
        size,
    })
}

async fn one(server: &Server) -> Result<(String, Survey, Option<u64>), StrategyError> {
    let subject = server.settings.database.clone();
    let survey = Survey::now(server, &[&subject]).await?;
    let Some(found) = survey.named(&subject).filter(|found| !found.invalid) else {
        let names = survey.databases.iter().filter(|d| d.open && !d.invalid);
        let names: Vec<_> = names.map(|d| d.name.as_str()).take(20).collect();
        return Err(StrategyError::Option {
            field: DATABASE_FIELD,
            message: format!("there is no database {subject} on this server"),
            hint: format!("There are: {}. Name one of them.", names.join(", ")),
        });
    };
    if !found.open {
        return Err(StrategyError::refused(
            format!("the database {subject} is closed to connections"),
            "Open it with ALTER DATABASE … ALLOW_CONNECTIONS true.",
        ));
    }
    // Logs in to the database itself: rights and settings may be in the way of that alone.
    let query = "SELECT pg_database_size(current_database());";
    let what = "looking at the database";
    let sizes: Vec<u64> = server.ask(&subject, query, what).await?;
    Ok((subject, survey, sizes.first().copied()))
}

/// The databases that a backup of all holds: no templates, and none that a restore made.
pub fn dumped(survey: &Survey) -> Result<Vec<&Database>, StrategyError> {
    let theirs = |d: &&Database| d.open && !d.invalid && !d.template && !d.is_ours();
    let databases: Vec<&Database> = survey.databases.iter().filter(theirs).collect();
    for database in &databases {
        let name = &database.name;
        names::check(name).map_err(|problem| StrategyError::Option {
            field: DATABASE_FIELD,
            message: format!("the database name {name:?} {problem}"),
            hint: "Rename this database, or name another one in the config instead of *."
                .to_owned(),
        })?;
    }
    if databases.is_empty() {
        return Err(StrategyError::refused(
            "there is no database on this server but templates",
            "Create one.",
        ));
    }
    Ok(databases)
}

/// What a backup of all databases has to say about those that it does not hold.
pub fn left_out(survey: &Survey) -> Vec<String> {
    let others = survey.databases.iter().filter(|d| !d.is_ours());
    let others = others.filter_map(|database| {
        let usual = ["template0", "template1"].contains(&database.name.as_str());
        let why = match database {
            _ if usual => return None,
            database if database.invalid => "is what is left of one that was dropped",
            database if !database.open => "is closed to connections",
            database if database.template => "is a template",
            _ => return None,
        };
        Some(format!(
            "the database {} {why}, and is not in the backup",
            database.name
        ))
    });
    others.collect()
}

/// In bytes, as far as the user may know.
pub async fn size_of_all(server: &Server, survey: &Survey) -> Result<Option<u64>, StrategyError> {
    let query = "SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database
WHERE datallowconn AND NOT datistemplate AND has_database_privilege(oid, 'CONNECT');";
    let what = "looking at the databases";
    let sizes: Vec<u64> = server.ask(&survey.from, query, what).await?;
    Ok(sizes.first().copied())
}

/// Fails with `NoSuchProgram` when the image has no `pg_dump`.
async fn tool_version(site: &Site) -> Result<String, StrategyError> {
    let version = Command::new(["pg_dump", "--version"]);
    let (engine, container) = (site.engine.as_ref(), &site.container.id);
    let limit = Duration::from_secs(30);
    let run = async { Ok(command::run(engine, container, version, None, limit).await?) };
    let output = site.watch(run).await?;
    if !output.ok() {
        return Err(errors::complaint(
            "pg_dump --version",
            "pg_dump",
            output.code,
            &output.stderr,
        ));
    }
    Ok(output.stdout.trim().to_owned())
}

/// A wrong password in the config must not go unnoticed until the day it is needed, but inside the
/// container the server asks for none: the official image trusts the socket and the loopback
/// addresses. So it is tried on the address that other containers use. Where that cannot be done
/// (no network, no host name) the password has no use either.
async fn check_password(server: &Server, database: &str) -> Result<(), StrategyError> {
    let site = &server.site;
    let hostname = Command::new(["cat", "/etc/hostname"]);
    let (engine, container) = (site.engine.as_ref(), &site.container.id);
    let limit = Duration::from_secs(30);
    let read = async { Ok(command::run(engine, container, hostname, None, limit).await?) };
    let output = site.watch(read).await?;
    let host = output.stdout.trim();
    if !output.ok() || host.is_empty() || host.starts_with('-') {
        return Ok(());
    }
    let host = format!("--host={host}");
    let login = server
        .psql(database, &[&host], "holdfast", "")
        .env("PGCONNECT_TIMEOUT", "10".into());
    let login = server.talk(login, "SELECT 1;".into(), "logging in", limit);
    match login.await {
        Err(StrategyError::Cancelled) => Err(StrategyError::Cancelled),
        Err(error) if errors::is_wrong_password(&error.to_string()) => Err(error),
        _ => Ok(()),
    }
}
