//! Backup: `pg_dump` in plain format, passed on as it comes.

use std::time::Duration;

use super::{
    errors,
    server::Server,
    settings::{DATABASE_FIELD, PASSWORD_FIELD, Settings, USER_FIELD},
    survey::Survey,
};
use crate::{
    docker::{Command, Session, command},
    strategy::{Dumped, Probe, Sink, Site, StrategyError, tag},
};

/// How many of a tool's warnings are worth keeping.
const WARNINGS: usize = 50;

/// Looks without touching anything. What is wrong with the config's own words is told as such.
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
    let subject = server.settings.database.clone();
    let survey = Survey::now(&server, &subject).await?;
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
    if server.settings.password_is_explicit {
        check_password(&server, &survey.from).await?;
    }
    Ok(Probe {
        subject,
        server: survey.version,
        tool,
        size: sizes.first().copied(),
    })
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

pub async fn backup(site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError> {
    let server = Server {
        site: site.clone(),
        settings: Settings::of(site).await?,
    };
    let name = format!("holdfast-dump-{}", tag()?);
    let command = command(&server, &name);
    let dump = site.watch(async {
        let session = site.engine.exec(&site.container.id, command).await?;
        pump(&server, session, sink).await
    });
    let result = dump.await;
    if result.is_err() {
        // The program may wait for a lock and not notice that nobody listens any more.
        server.end_sessions(&name).await;
    }
    result
}

fn command(server: &Server, name: &str) -> Command {
    let Settings { user, database, .. } = &server.settings;
    // Somewhat earlier than our own timer, because then it says which table is locked.
    let lock_wait = server.site.stall.as_millis() / 10 * 9;
    let argv = vec![
        "pg_dump".to_owned(),
        "--no-password".to_owned(),
        "--format=plain".to_owned(),
        format!("--lock-wait-timeout={}", lock_wait.clamp(1, 86_400_000)),
        format!("--username={user}"),
        format!("--dbname={database}"),
    ];
    server.tool(argv, name, "")
}

/// Passes on what the program writes, then asks how it ended.
async fn pump(
    server: &Server,
    session: Session,
    sink: &mut dyn Sink,
) -> Result<Dumped, StrategyError> {
    let mask = server.settings.mask();
    let (code, said) = server.site.pump(session, "pg_dump", mask, sink).await?;
    if code != 0 {
        let what = format!("the dump of database {}", server.settings.database);
        return Err(errors::complaint(&what, "pg_dump", code, &said));
    }
    Ok(Dumped {
        warnings: errors::warnings(&said, WARNINGS),
    })
}
