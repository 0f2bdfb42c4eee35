//! Backup: `pg_dump`, passed on as it comes; of all databases, one after the other.

use std::time::Duration;

use bytes::Bytes;

use super::{
    errors,
    probe::{dumped, left_out},
    roles,
    server::Server,
    settings::Format,
    survey::Survey,
    validate::marks,
};
use crate::{
    docker::Command,
    strategy::{Dumped, Sink, Site, StrategyError, tag},
};

/// How many of a tool's warnings are worth keeping.
const WARNINGS: usize = 50;

pub async fn backup(site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError> {
    let server = Server::of(site).await?;
    let database = &server.settings.database;
    let mut warnings = Vec::new();
    if server.settings.all {
        warnings = all(&server, sink).await?;
    } else {
        if server.settings.roles {
            let survey = Survey::now(&server, &[database]).await?;
            let head = marks::head(marks::WITH_ROLES, &survey.version);
            sink.write(Bytes::from(head)).await?;
            warnings = with_roles(&server, &survey, sink).await?;
        }
        warnings.extend(one(&server, database, sink).await?);
    }
    warnings.truncate(WARNINGS);
    Ok(Dumped { warnings })
}

async fn with_roles(
    server: &Server,
    survey: &Survey,
    sink: &mut dyn Sink,
) -> Result<Vec<String>, StrategyError> {
    let (roles, warning) = roles::dump(server, &survey.from).await?;
    sink.write(roles).await?;
    Ok(warning.into_iter().collect())
}

/// Each is the state of one moment; those of different databases are not the same.
async fn all(server: &Server, sink: &mut dyn Sink) -> Result<Vec<String>, StrategyError> {
    let survey = Survey::now(server, &[]).await?;
    let mut warnings = left_out(&survey);
    let head = marks::head(marks::ALL, &survey.version);
    sink.write(Bytes::from(head)).await?;
    if server.settings.roles {
        warnings.extend(with_roles(server, &survey, sink).await?);
    }
    for database in dumped(&survey)? {
        let name = &database.name;
        sink.write(Bytes::from(marks::connect(name))).await?;
        let said = one(server, name, sink).await?;
        warnings.extend(said.into_iter().map(|warning| format!("{name}: {warning}")));
    }
    sink.write(Bytes::from(marks::all_end())).await?;
    Ok(warnings)
}

/// Passes on what the program writes, then asks how it ended. Returns what it warned of.
async fn one(
    server: &Server,
    database: &str,
    sink: &mut dyn Sink,
) -> Result<Vec<String>, StrategyError> {
    let site = &server.site;
    let name = format!("holdfast-dump-{}", tag()?);
    let command = command(server, database, &name);
    let dump = site.watch(async {
        let session = site.engine.exec(&site.container.id, command).await?;
        let mask = server.settings.mask();
        site.pump(session, "pg_dump", mask, sink).await
    });
    let ended = dump.await;
    if !matches!(ended, Ok((0, _))) {
        // The program may wait for a lock and not notice that nobody listens any more.
        server.end_sessions(database, &name).await;
    }
    let (code, said) = ended?;
    if code != 0 {
        let what = format!("the dump of database {database}");
        return Err(errors::complaint(&what, "pg_dump", code, &said));
    }
    Ok(errors::warnings(&said, WARNINGS))
}

/// Earlier than our own timer, because then the program says which table is locked; so much earlier that its
/// start and its last words fit in between.
fn lock_wait(stall: Duration) -> Duration {
    let margin = (stall / 10).max(Duration::from_secs(2));
    stall.saturating_sub(margin).max(stall / 2)
}

fn command(server: &Server, database: &str, name: &str) -> Command {
    let lock_wait = lock_wait(server.site.stall).as_millis();
    let format = server.settings.format;
    let mut argv = vec![
        "pg_dump".to_owned(),
        "--no-password".to_owned(),
        format!("--format={}", format.name()),
        format!("--lock-wait-timeout={}", lock_wait.clamp(1, 86_400_000)),
        format!("--username={}", server.settings.user),
        format!("--dbname={database}"),
    ];
    if format == Format::Custom {
        // It is compressed on its way out; and its rows are counted.
        argv.push("--compress=0".to_owned());
    }
    server.tool(argv, name, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_up_before_the_stream_is() {
        for (stall, expected) in [
            (300, 270_000),
            (60, 54_000),
            (10, 8_000),
            (3, 1_500),
            (1, 500),
        ] {
            let wait = lock_wait(Duration::from_secs(stall));
            assert_eq!(wait, Duration::from_millis(expected), "{stall} s");
        }
    }
}
