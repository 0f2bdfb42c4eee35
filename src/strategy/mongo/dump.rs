//! Backup: `mongodump` into an archive, passed on as it comes. The archive is not compressed by the
//! tool: what compresses all artifacts makes of it just what `mongodump --archive --gzip` writes.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::{
    archive::{key, scan},
    errors,
    server::Server,
    settings::{DATABASE_FIELD, PASSWORD_FIELD},
    survey::Survey,
};
use crate::{
    docker::{Command, Session, command},
    strategy::{Dumped, Probe, Sink, SinkClosed, Site, StrategyError},
};

/// What a manifest says of the scope of a dump of a whole server.
pub const ALL: &str = "*";
/// How many of a tool's warnings are worth keeping.
const WARNINGS: usize = 50;
const NOT_ONE_INSTANT: &str =
    "not a single point in time: each collection is as it was when the dump read it";

/// Looks without touching anything. What is wrong with the config's own words is told as such.
pub async fn probe(site: &Site) -> Result<Probe, StrategyError> {
    look(site).await.map_err(|error| match error {
        StrategyError::Tool { message, hint, .. } if errors::is_wrong_login(&message) => {
            let field = PASSWORD_FIELD;
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
    let survey = survey(&server).await?;
    Ok(Probe {
        subject: subject(&server).to_owned(),
        server: survey.version.clone(),
        tool,
        size: Some(survey.size()),
    })
}

fn subject(server: &Server) -> &str {
    server.settings.database.as_deref().unwrap_or(ALL)
}

/// What is there to be dumped; refuses what could not be restored.
async fn survey(server: &Server) -> Result<Survey, StrategyError> {
    let database = server.settings.database.as_deref();
    let survey = Survey::of(server, database).await?;
    survey.check_kind()?;
    survey.check_movable()?;
    if survey.databases.iter().all(|d| d.own().next().is_none()) {
        return Err(nothing(server, database).await);
    }
    Ok(survey)
}

/// `mongodump` would end well with an archive of nothing.
async fn nothing(server: &Server, database: Option<&str>) -> StrategyError {
    let Some(database) = database else {
        return StrategyError::refused(
            "there is no collection on this server",
            "Wait until the app has made its first one.",
        );
    };
    // For the hint alone: this user may not be allowed to list them.
    let all = Survey::of(server, None).await;
    let databases = all.map_or_else(|_| Vec::new(), |all| all.databases);
    let filled = databases.iter().filter(|d| d.own().next().is_some());
    let names: Vec<&str> = filled.map(|d| d.name.as_str()).take(20).collect();
    StrategyError::Option {
        field: DATABASE_FIELD,
        message: format!("there is no database {database} on this server"),
        hint: match names.as_slice() {
            [] => "Name one that exists.".to_owned(),
            names => format!("There are: {}. Name one of them.", names.join(", ")),
        },
    }
}

/// Fails with `NoSuchProgram` when the image has no `mongodump`.
async fn tool_version(site: &Site) -> Result<String, StrategyError> {
    let version = Command::new(["mongodump", "--version"]);
    let (engine, container) = (site.engine.as_ref(), &site.container.id);
    let limit = Duration::from_secs(30);
    let run = async { Ok(command::run(engine, container, version, None, limit).await?) };
    let output = site.watch(run).await?;
    if !output.ok() {
        let what = "mongodump --version";
        return Err(errors::complaint(
            what,
            "mongodump",
            output.code,
            &output.stderr,
        ));
    }
    Ok(output
        .stdout
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned())
}

pub async fn backup(site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError> {
    let server = Server::of(site).await?;
    let survey = survey(&server).await?;
    let command = command(&server, &survey);
    let mut list = List::default();
    let dump = async {
        let session = site.engine.exec(&site.container.id, command).await?;
        pump(&server, session, sink, &mut list).await
    };
    let mut warnings = site.watch(dump).await?;
    check_complete(&server, &survey, &list).await?;
    warnings.push(NOT_ONE_INSTANT.to_owned());
    Ok(Dumped { warnings })
}

fn command(server: &Server, survey: &Survey) -> Command {
    let mut more = vec!["--archive".to_owned()];
    // The tool can leave collections out only of a single database; else the restore does.
    if let Some(database) = &server.settings.database {
        more.push(format!("--db={database}"));
        let traces = survey.traces().into_iter();
        more.extend(traces.map(|trace| format!("--excludeCollectionsWithPrefix={trace}")));
    }
    server.tool("mongodump", more)
}

/// Passes on what the program writes, then asks how it ended. Returns its warnings.
async fn pump(
    server: &Server,
    mut session: Session,
    sink: &mut dyn Sink,
    list: &mut List,
) -> Result<Vec<String>, StrategyError> {
    if let Some(mut stdin) = session.stdin.take() {
        // It may be gone already; its exit status tells.
        let _ = stdin.write_all(&server.first_line()).await;
        let _ = stdin.shutdown().await;
    }
    let mut listed = Listed { list, sink };
    let mask = server.settings.mask();
    let pumped = server.site.pump(session, "mongodump", mask, &mut listed);
    let (code, said) = pumped.await?;
    if code != 0 {
        let what = match &server.settings.database {
            Some(database) => format!("the dump of database {database}"),
            None => "the dump".to_owned(),
        };
        return Err(errors::complaint(&what, "mongodump", code, &said));
    }
    let warns = |line: &&str| line.to_ascii_lowercase().contains("warning");
    let lines = said.lines().filter(warns).take(WARNINGS);
    Ok(lines
        .map(|line| errors::without_time(line).to_owned())
        .collect())
}

/// Notes what the archive says that it holds, on its way.
struct Listed<'a> {
    list: &'a mut List,
    sink: &'a mut dyn Sink,
}

#[async_trait]
impl Sink for Listed<'_> {
    async fn write(&mut self, chunk: Bytes) -> Result<(), SinkClosed> {
        self.list.feed(&chunk);
        self.sink.write(chunk).await
    }
}

/// The tool leaves out some names without a word. What was there before and is there after has to
/// be in the archive. Of one that is not even whole to the end of its list, the validator tells more.
async fn check_complete(
    server: &Server,
    before: &Survey,
    list: &List,
) -> Result<(), StrategyError> {
    let missing = |survey: &Survey| -> Vec<String> {
        let all = survey.databases.iter().flat_map(|database| {
            let own = database.own();
            own.map(|c| key(&database.name, &c.name, false))
        });
        all.filter(|key| !list.names.contains(key)).collect()
    };
    let suspects = missing(before);
    if suspects.is_empty() || !list.whole {
        return Ok(());
    }
    let after = Survey::of(server, server.settings.database.as_deref()).await?;
    let left_out = missing(&after)
        .into_iter()
        .find(|key| suspects.contains(key));
    match left_out {
        Some(name) => Err(StrategyError::refused(
            format!("mongodump left out the collection {name}"),
            "Rename it: the tool takes its name for one of the server's own.",
        )),
        None => Ok(()),
    }
}

/// What an archive says at its beginning that it holds.
#[derive(Default)]
struct List {
    scanner: scan::Scanner,
    names: BTreeSet<String>,
    whole: bool,
}

impl List {
    fn feed(&mut self, bytes: &[u8]) {
        if !self.whole {
            let mut reader = Reader {
                names: &mut self.names,
                whole: &mut self.whole,
            };
            self.scanner.feed(bytes, &mut reader);
        }
    }
}

struct Reader<'a> {
    names: &'a mut BTreeSet<String>,
    whole: &'a mut bool,
}

impl scan::Visitor for Reader<'_> {
    fn listed(&mut self, collection: &scan::Collection, _document: &[u8]) -> Result<(), String> {
        self.names.insert(collection.full_name());
        Ok(())
    }

    fn list_ends(&mut self) -> Result<(), String> {
        *self.whole = true;
        Ok(())
    }
}
