//! Backup: `tar` over the chosen paths, passed on as it comes.

use std::future::Future;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    better,
    chosen::{self, chosen, lies_in, wrong},
    sieve::Sieve,
};
use crate::{
    docker::{Command, DockerError},
    strategy::{
        Dumped, Probe, Sink, SinkClosed, Site, StrategyError,
        service::Helper,
        stderr::{self, Mask},
        swap::{self, Found, Why, out_of_reach},
        tar::program::{self, Program},
    },
};

/// How many of tar's warnings are worth keeping.
const WARNINGS: usize = 50;

/// Where tar runs: in a helper on the same volumes; in the running container itself when a path is
/// on no volume, because nobody else sees it.
enum Place {
    Helper(Helper),
    Inside(Site),
}

struct Ready {
    place: Place,
    program: Program,
    paths: Vec<String>,
}

impl Ready {
    fn site(&self) -> &Site {
        match &self.place {
            Place::Helper(helper) => &helper.site,
            Place::Inside(site) => site,
        }
    }

    async fn of(site: &Site) -> Result<Self, StrategyError> {
        let paths = chosen(&site.container, &site.options)?;
        let beyond = |path: &&String| {
            let why = out_of_reach(&site.container, path);
            matches!(why, Some(Why::NoVolume | Why::Memory))
        };
        let (place, program) = if let Some(path) = paths.iter().find(beyond) {
            let site = site.clone();
            let program = Program::of(&site).await?.ok_or_else(|| {
                wrong(
                    format!("{path} is on no volume, and the image has no sh and tar to read it"),
                    "Put it on a volume, or leave it out.".to_owned(),
                )
            })?;
            (Place::Inside(site), program)
        } else {
            let (helper, program) = program::open(site, true, false).await?;
            (Place::Helper(helper), program)
        };
        let ready = Self {
            place,
            program,
            paths,
        };
        ready.check(site).await?;
        Ok(ready)
    }

    /// Every path must be there, as itself: of a link only the link would be archived.
    async fn check(&self, site: &Site) -> Result<(), StrategyError> {
        let found = swap::look(self.site(), &site.container, &self.paths).await?;
        for (path, found) in self.paths.iter().zip(found) {
            let (what, hint) = match found {
                Found::File | Found::Folder => continue,
                Found::Missing(_) => ("is not there", "Name a path that is, or leave it out."),
                Found::Link => (
                    "is a symbolic link, or lies behind one",
                    "Name the path that it leads to.",
                ),
                Found::Other => ("is no file and no folder", "Leave it out."),
            };
            return Err(wrong(format!("{path} {what}"), hint.to_owned()));
        }
        Ok(())
    }
}

pub async fn probe(site: &Site) -> Result<Probe, StrategyError> {
    let ready = Ready::of(site).await?;
    let probe = Probe {
        subject: ready.paths.join(", "),
        server: String::new(),
        tool: ready.program.version.clone(),
        size: None,
    };
    ready.close().await?;
    Ok(probe)
}

impl Ready {
    async fn close(self) -> Result<(), StrategyError> {
        match self.place {
            Place::Helper(helper) => helper.remove().await,
            Place::Inside(_) => Ok(()),
        }
    }
}

pub async fn backup(site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError> {
    let ready = Ready::of(site).await?;
    let container = &site.container;
    let memory = container.mounts.iter().filter(|mount| {
        let named = |path: &String| chosen::lies_in(path, &mount.destination);
        mount.kind == "tmpfs" && !ready.paths.iter().any(named)
    });
    let mut sieved = Sieved {
        sieve: Sieve::new(
            container
                .mounts
                .iter()
                .map(|mount| mount.destination.as_str()),
            memory.map(|mount| mount.destination.as_str()),
        ),
        sink,
        fault: None,
    };
    let mut command = ready.program.pack("/", &ready.paths);
    if let Place::Inside(_) = ready.place {
        command.user = Some("0".to_owned());
    }
    let packed = while_it_runs(site, pump(ready.site(), command, &mut sieved)).await;
    if let Some(fault) = sieved.fault {
        return Err(broken(&fault));
    }
    let (code, said) = packed?;
    let mut warnings = judge(&ready.program, code, &said)?;
    sieved.sieve.finish().map_err(|fault| broken(&fault))?;
    warnings.extend(sieved.sieve.warnings());
    warnings.extend(notes(site, &ready.paths));
    ready.close().await?;
    Ok(Dumped { warnings })
}

/// A service that dies while it is read may leave anything half written. One that did not run before is
/// another matter: a hook may have stopped it.
pub async fn while_it_runs<T>(
    site: &Site,
    work: impl Future<Output = Result<T, StrategyError>>,
) -> Result<T, StrategyError> {
    let runs =
        async || Ok::<_, StrategyError>(site.engine.container(&site.container.id).await?.running);
    if !runs().await? {
        return work.await;
    }
    let done = site.watch(work).await?;
    if runs().await? {
        return Ok(done);
    }
    Err(DockerError::Cut {
        container: site.container.name.clone(),
        reason: "the container stopped while its files were read".to_owned(),
    }
    .into())
}

/// What a person should know of these paths, although all went well.
fn notes(site: &Site, paths: &[String]) -> Vec<String> {
    let container = &site.container;
    let mut notes = Vec::new();
    for path in paths {
        let why = out_of_reach(container, path);
        notes
            .extend(why.map(|why| format!("{path} {}: a restore leaves it as it is", why.words())));
    }
    let kept_out = container.mounts.iter().filter(|mount| {
        let inside = |path: &String| lies_in(&mount.destination, path);
        mount.kind == "tmpfs" && paths.iter().any(inside) && !paths.contains(&mount.destination)
    });
    notes.extend(kept_out.map(|mount| {
        format!(
            "{} is in memory only (tmpfs): its content is left out",
            mount.destination
        )
    }));
    notes.extend(better(container).map(|label| {
        format!(
            "the service looks like a database: copied files of a running one may not fit together. \
             Use “{label}”, or stop the service by a hook"
        )
    }));
    notes
}

fn broken(fault: &str) -> StrategyError {
    StrategyError::refused(
        format!("the archive that tar wrote is not whole: {fault}"),
        "Look at the container and its files; tar said that it was done.",
    )
}

/// What tar's exit status and words mean; warnings when it went well.
///
/// GNU tar ends with 1 when files changed while they were read. Busybox ends with 1 for everything,
/// and only a file that went away between two looks is harmless: it fills up nothing, so whatever
/// else went wrong left the archive without its end, or with a file missing.
fn judge(program: &Program, code: i64, said: &str) -> Result<Vec<String>, StrategyError> {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    let harmless = |line: &&str| {
        line.contains("No such file or directory")
            || line.contains("socket ignored")
            || line.contains("error exit delayed")
    };
    let fine = code == 0
        || (code == 1 && program.gnu)
        || (code == 1 && lines.iter().all(harmless) && !lines.is_empty());
    if !fine {
        let last = lines
            .iter()
            .rev()
            .find(|line| !line.contains("previous errors"));
        let last = last.copied().unwrap_or("it said nothing");
        return Err(StrategyError::Tool {
            message: match code {
                137 => format!("tar was killed: {last}"),
                code => format!("tar failed (exit status {code}): {last}"),
            },
            hint: match swap::script::hint(said) {
                "" => "Look at the container and its files.".to_owned(),
                hint => hint.to_owned(),
            },
            detail: stderr::shown(said),
            temporary: code > 128,
        });
    }
    let worth =
        |line: &&&str| !line.contains("previous errors") && !line.contains("Removing leading");
    let mut warnings: Vec<String> = lines
        .iter()
        .filter(worth)
        .take(WARNINGS)
        .map(|line| say(line))
        .collect();
    if lines.len() > WARNINGS {
        warnings.push(format!("and {} more", lines.len() - WARNINGS));
    }
    Ok(warnings)
}

fn say(line: &str) -> String {
    let line = line.strip_prefix("tar: ").unwrap_or(line);
    match line.strip_suffix(": socket ignored") {
        Some(path) => format!("{path}: a socket, left out; its program makes it again"),
        None => line.to_owned(),
    }
}

struct Sieved<'a> {
    sieve: Sieve,
    sink: &'a mut dyn Sink,
    fault: Option<String>,
}

#[async_trait]
impl Sink for Sieved<'_> {
    async fn write(&mut self, chunk: Bytes) -> Result<(), SinkClosed> {
        match self.sieve.pass(&chunk) {
            Ok(left) if left.is_empty() => Ok(()),
            Ok(left) => self.sink.write(left).await,
            Err(fault) => {
                self.fault = Some(fault);
                Err(SinkClosed)
            }
        }
    }
}

/// Passes on what a program writes, then asks how it ended: its exit status, and what it said.
pub async fn pump(
    site: &Site,
    command: Command,
    sink: &mut dyn Sink,
) -> Result<(i64, String), StrategyError> {
    let program = command.program().to_owned();
    site.watch(async {
        let session = site.engine.exec(&site.container.id, command).await?;
        site.pump(session, &program, Mask::default(), sink).await
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_changed_or_went_are_warnings() {
        let gnu = Program::for_tests(true);
        let busybox = Program::for_tests(false);
        let changed = "tar: data/a: file changed as we read it\n";
        assert_eq!(
            judge(&gnu, 1, changed).unwrap(),
            ["data/a: file changed as we read it"]
        );
        assert!(judge(&gnu, 2, "tar: data/a: Cannot open: Permission denied\n").is_err());
        let gone = "tar: data/a: No such file or directory\ntar: error exit delayed from previous errors\n";
        assert_eq!(
            judge(&busybox, 1, gone).unwrap(),
            ["data/a: No such file or directory"]
        );
        assert!(judge(&busybox, 1, "tar: short read\n").is_err());
        assert!(judge(&busybox, 1, "").is_err());
        assert!(judge(&gnu, 137, "").is_err());
    }
}
