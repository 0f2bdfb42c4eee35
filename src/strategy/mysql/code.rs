//! The code of databases (views, triggers, routines, events) as a script that makes it again: taken
//! from a dump without rows by the server's own tool, read by the same reader as any dump.

use futures_util::StreamExt;

use super::{
    dump, errors,
    names::{ident, literal, literals, path},
    read::Dump,
    server::Server,
    tools::Dumper,
};
use crate::{
    docker::Chunk,
    strategy::{StrategyError, stderr::Stderr},
};

const WHAT: &str = "reading views, triggers, routines and events";

/// The script, and what could not be read: views of tables that are not there any more.
pub async fn read(
    server: &Server,
    databases: &[String],
) -> Result<(Vec<u8>, Vec<String>), StrategyError> {
    if databases.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let dumper = Dumper::of(&server.site).await?;
    // A view that is broken must not stand in the way of a restore that would mend it.
    let command = dump::command(server, &dumper, &["--no-data", "--force"], databases);
    let (site, container) = (&server.site, &server.site.container.id);
    let work = async {
        let mut session = site.engine.exec(container, command).await?;
        let mut stderr = Stderr::new(server.settings.mask());
        let mut dump = Dump::parted("hf", databases);
        while let Some(chunk) = session.output.next().await {
            match chunk? {
                Chunk::Stdout(bytes) => {
                    dump.feed(&bytes);
                    drop(dump.tables());
                }
                Chunk::Stderr(bytes) => stderr.push(&bytes),
            }
        }
        let code = session.exit.await?;
        let said = stderr.text();
        let complaints = complaints(&said);
        let broken = |line: &&str| errors::shows(line, "1356");
        if code != 0 && !(code == 2 && !complaints.is_empty() && complaints.iter().all(broken)) {
            return Err(errors::complaint(WHAT, &dumper.program, code, &said));
        }
        let (_, parts) = dump.finish().map_err(|fault| {
            StrategyError::refused(
                format!("{WHAT} failed: of the server's own dump, {fault}"),
                "",
            )
        })?;
        // The server says `View 'shop.seen' references invalid table(s)`.
        let is_broken =
            |database: &str, view: &str| said.contains(&format!("View '{database}.{view}' "));
        let warnings = complaints.iter().map(|line| {
            format!(
                "a broken view could not be set aside, and will not come back by an undo: {line}"
            )
        });
        Ok((parts.code_without(is_broken), warnings.collect()))
    };
    site.watch(work).await
}

fn complaints(said: &str) -> Vec<&str> {
    said.lines()
        .map(str::trim)
        .filter(|line| line.contains("rror: ") || line.contains("Couldn't execute"))
        .collect()
}

/// Statements that give the rights on routines again: they go with the routine when it is dropped.
pub async fn grants(server: &Server, databases: &[String]) -> Result<Vec<String>, StrategyError> {
    if databases.is_empty() {
        return Ok(Vec::new());
    }
    let list = literals(databases.iter().map(String::as_str));
    let query = format!(
        "SELECT JSON_ARRAY(Db, Routine_name, Routine_type, User, Host, CONCAT(Proc_priv))
        FROM mysql.procs_priv WHERE Db IN ({list});"
    );
    let found: Vec<[String; 6]> = match server.ask(query, WHAT).await {
        // Who may not read them has not given them either.
        Err(StrategyError::Tool { detail, .. }) if errors::is_denied(&detail) => Vec::new(),
        found => found?,
    };
    Ok(found.iter().filter_map(grant).collect())
}

fn grant([database, name, kind, user, host, rights]: &[String; 6]) -> Option<String> {
    let (pass_on, rights): (Vec<&str>, Vec<&str>) =
        rights.split(',').partition(|right| *right == "Grant");
    let rights = if rights.is_empty() {
        vec!["USAGE"]
    } else {
        rights
    };
    let kind = ["PROCEDURE", "FUNCTION", "PACKAGE", "PACKAGE BODY"]
        .into_iter()
        .find(|known| known == kind)?;
    let who = if host.is_empty() {
        ident(user)
    } else {
        format!("{}@{}", literal(user), literal(host))
    };
    let option = if pass_on.is_empty() {
        ""
    } else {
        " WITH GRANT OPTION"
    };
    let routine = path(database, name);
    Some(format!(
        "GRANT {} ON {kind} {routine} TO {who}{option};\n",
        rights.join(", ")
    ))
}
