//! The server's own programs inside the image: newer ones of MariaDB have no `mysql…` names, and what
//! options a program knows depends on vendor and version, so its own help is asked.

use std::time::Duration;

use super::errors;
use crate::{
    docker::{Command, DockerError, command},
    strategy::{Site, StrategyError},
};

const DUMPS: [&str; 2] = ["mariadb-dump", "mysqldump"];
const CLIENTS: [&str; 2] = ["mariadb", "mysql"];
const LIMIT: Duration = Duration::from_secs(30);

/// Wanted where they exist:
/// - a dump with the identifiers of transactions is refused by the server that it came from;
/// - statistics of columns are asked of a table that older servers do not have;
/// - tablespaces can only be dumped with a right that no app's user has, and are of no use elsewhere;
/// - the past rows of tables with system versioning.
const OPTIONAL: [(&str, &str); 4] = [
    ("--set-gtid-purged", "--set-gtid-purged=OFF"),
    ("--column-statistics", "--column-statistics=0"),
    ("--no-tablespaces", "--no-tablespaces"),
    ("--dump-history", "--dump-history"),
];

/// The program that dumps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dumper {
    pub program: String,
    /// As it names itself: `mysqldump  Ver 9.7.4 for Linux on x86_64`.
    pub version: String,
    /// Those of `OPTIONAL` that it knows.
    pub options: Vec<&'static str>,
}

impl Dumper {
    pub async fn of(site: &Site) -> Result<Self, StrategyError> {
        let (program, help) = find(site, &DUMPS, "--help").await?;
        let known = |(name, _): &&(&str, &str)| help.contains(name);
        let options = OPTIONAL.iter().filter(known).map(|(_, option)| *option);
        let version = help.lines().find(|line| !line.trim().is_empty());
        Ok(Self {
            program: program.to_owned(),
            version: version.unwrap_or(program).trim().to_owned(),
            options: options.collect(),
        })
    }
}

/// The program that takes SQL.
pub async fn client(site: &Site) -> Result<&'static str, StrategyError> {
    Ok(find(site, &CLIENTS, "--version").await?.0)
}

/// The first that the image has, and what it says when asked with `option`.
async fn find(
    site: &Site,
    programs: &[&'static str],
    option: &str,
) -> Result<(&'static str, String), StrategyError> {
    let mut missing = None;
    for &program in programs {
        let ask = Command::new([program, "--no-defaults", option]);
        let (engine, container) = (site.engine.as_ref(), &site.container.id);
        let run = async { Ok(command::run(engine, container, ask, None, LIMIT).await?) };
        match site.watch(run).await {
            Err(StrategyError::Docker(error @ DockerError::NoSuchProgram { .. })) => {
                missing = Some(error);
            }
            Err(error) => return Err(error),
            Ok(output) if output.ok() => return Ok((program, output.stdout)),
            Ok(output) => {
                let what = format!("{program} {option}");
                return Err(errors::complaint(
                    &what,
                    program,
                    output.code,
                    &output.stderr,
                ));
            }
        }
    }
    let missing = missing.map(|_| DockerError::NoSuchProgram {
        container: site.container.name.clone(),
        program: programs.join(" or "),
    });
    Err(missing
        .unwrap_or_else(|| DockerError::NotRunning(site.container.name.clone()))
        .into())
}
