//! Backup: `pg_dump` in plain format, passed on as it comes; of all databases, one after the other.

use bytes::Bytes;

use super::{
    errors,
    probe::{dumped, left_out},
    server::Server,
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
    let warnings = if server.settings.all {
        all(&server, sink).await?
    } else {
        one(&server, &server.settings.database, sink).await?
    };
    Ok(Dumped { warnings })
}

/// Each is the state of one moment; those of different databases are not the same.
async fn all(server: &Server, sink: &mut dyn Sink) -> Result<Vec<String>, StrategyError> {
    let survey = Survey::now(server, &[]).await?;
    let mut warnings = left_out(&survey);
    sink.write(Bytes::from(marks::all(&survey.version))).await?;
    for database in dumped(&survey)? {
        let name = &database.name;
        sink.write(Bytes::from(marks::connect(name))).await?;
        let said = one(server, name, sink).await?;
        warnings.extend(said.into_iter().map(|warning| format!("{name}: {warning}")));
    }
    sink.write(Bytes::from(marks::all_end())).await?;
    warnings.truncate(WARNINGS);
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

fn command(server: &Server, database: &str, name: &str) -> Command {
    // Somewhat earlier than our own timer, because then it says which table is locked.
    let lock_wait = server.site.stall.as_millis() / 10 * 9;
    let argv = vec![
        "pg_dump".to_owned(),
        "--no-password".to_owned(),
        "--format=plain".to_owned(),
        format!("--lock-wait-timeout={}", lock_wait.clamp(1, 86_400_000)),
        format!("--username={}", server.settings.user),
        format!("--dbname={database}"),
    ];
    server.tool(argv, name, "")
}
