//! Restore: write beside, check, exchange with the service stopped.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt;
use tokio::{io::AsyncWriteExt, time};

use super::{tool::Tool, validate::ONE};
use crate::{
    docker::{Chunk, Command, DockerError},
    strategy::{
        Journal, RawStream, RestorePlan, Restored, Site, StrategyError, stderr,
        swap::{self, Found, Place, Purpose, Recorder, Side, Swap, mount_of, out_of_reach, script},
        volume::{
            chosen::chosen,
            unpack::{Piece, unpack},
        },
    },
};

/// What SQLite keeps beside a database, and would play into another one of that name.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

const MAKE: &str = r#"umask 077; for f; do mkdir -p "${f%/*}" || exit; done"#;
/// Takes what comes in to a file ($1), and sees that it is on the disk.
const TAKE: &str = r#"umask 077; cat > "$1" && sync"#;
/// Gives $1 the owner and mode of $2; of the folder that it lies in when it is not there.
const DRESS: &str = r#"
if [ -f "$2" ]; then
  chown "$(stat -c %u:%g "$2")" "$1" && chmod "$(stat -c %a "$2")" "$1"
else
  p=${2%/*}
  until [ -d "$p" ] || [ -z "$p" ]; do p=${p%/*}; done
  chown "$(stat -c %u:%g "${p:-/}")" "$1" && chmod 644 "$1"
fi
"#;

const SHORT: Duration = Duration::from_mins(2);

pub async fn restore(
    site: &Site,
    plan: &RestorePlan,
    artifact: RawStream,
    journal: &dyn Journal,
) -> Result<Restored, StrategyError> {
    let databases = databases(site, plan)?;
    let tool = Tool::open(site).await?;
    let paths: Vec<String> = databases.keys().cloned().collect();
    let swap = Swap {
        restore: plan.id,
        subject: paths.join(", "),
        folder: swap::hidden(plan.id)?,
        parts: place(site, &tool, &paths).await?.into_parts(),
        incoming: Side::New,
        stops: true,
        ran: site.container.running,
        purpose: Purpose::Restore,
    };
    let recorder = Recorder::new(journal);
    let work = Work {
        site,
        tool: &tool,
        swap: &swap,
        databases: &databases,
        journal: &recorder,
    };
    let (kept, warnings) = match work.run(artifact).await {
        Ok(warnings) => (Some(swap.kept(tool.site()).await), warnings),
        Err(error) => {
            // Whatever of ours still runs ends with it.
            if let Err(gone) = tool.helper.remove().await {
                tracing::warn!(error = %gone, "a helper stays until the next work there");
            }
            (
                Swap::after(site, recorder.steps(), error).await?,
                Vec::new(),
            )
        }
    };
    Ok(Restored {
        fingerprint: plan.fingerprint.clone(),
        kept,
        warnings,
    })
}

/// Path → pages. One that was stored without its name is the one that was backed up, or that the config
/// names.
fn databases(site: &Site, plan: &RestorePlan) -> Result<BTreeMap<String, u64>, StrategyError> {
    let counts = &plan.fingerprint.counts;
    let Some(&pages) = counts.get(ONE) else {
        return Ok(counts.clone());
    };
    let path = match plan.manifest.source.subject.as_str() {
        "" => match chosen(&site.container, &site.options)?.as_slice() {
            [path] => path.clone(),
            _ => {
                return Err(StrategyError::refused(
                    "the backup is one database, and the config does not say which",
                    "Name one path in the config.",
                ));
            }
        },
        path => path.to_owned(),
    };
    Ok(BTreeMap::from([(path, pages)]))
}

/// Refuses, before anything is touched, what cannot be exchanged.
async fn place(site: &Site, tool: &Tool, paths: &[String]) -> Result<Place, StrategyError> {
    let container = &site.container;
    let found = swap::look(tool.site(), container, paths).await?;
    let mut place = Place::default();
    for (path, found) in paths.iter().zip(found) {
        let is_mount = mount_of(container, path).is_some_and(|m| m.destination == *path);
        let why = match (out_of_reach(container, path), found) {
            (Some(why), _) => why.words(),
            (None, _) if is_mount => "is mounted as a single file",
            (None, Found::Link) => "lies behind a symbolic link now",
            (None, Found::Folder | Found::Other) => "is no file now",
            (None, Found::File | Found::Missing(_)) => {
                place.add(container, path, found);
                if !matches!(found, Found::Missing(2..)) {
                    let beside = BESIDE.iter().map(|end| format!("{path}{end}"));
                    beside.for_each(|path| place.add(container, &path, Found::File));
                }
                continue;
            }
        };
        return Err(StrategyError::refused(
            format!("{path} cannot be restored: it {why}"),
            "Mount a writable volume where the database lies.",
        ));
    }
    Ok(place)
}

struct Work<'a> {
    site: &'a Site,
    tool: &'a Tool,
    swap: &'a Swap,
    databases: &'a BTreeMap<String, u64>,
    journal: &'a dyn Journal,
}

impl Work<'_> {
    async fn run(&self, artifact: RawStream) -> Result<Vec<String>, StrategyError> {
        let (swap, helper) = (self.swap, self.tool.site());
        let title = format!("Writing beside the database in use, in {}", swap.folder);
        self.journal.record(swap.step("load", title)).await?;
        let staged: Vec<(String, &String, u64)> = self
            .databases
            .iter()
            .filter_map(|(path, &pages)| Some((self.staged(path)?, path, pages)))
            .collect();
        let folders: Vec<&str> = staged.iter().map(|(file, ..)| file.as_str()).collect();
        let what = "making a folder beside the database";
        script::run(helper, MAKE, &folders, what, SHORT).await?;
        match staged.as_slice() {
            [(file, ..)] => take(helper, file, artifact, self.journal).await?,
            _ => self.unpack(artifact).await?,
        }

        let title = "Checking what was written";
        self.journal.record(swap.step("check", title)).await?;
        let mut warnings = Vec::new();
        for (file, path, expected) in &staged {
            let (pages, warning) = self.tool.check(file).await?;
            if warning.is_none() && pages != *expected {
                return Err(StrategyError::refused(
                    format!("{path}: {pages} pages were written instead of {expected}"),
                    "The database in use was left as it was.",
                ));
            }
            warnings.extend(warning.map(|warning| format!("{path}: {warning}")));
            let what = format!("giving {path} its owner");
            script::run(helper, DRESS, &[file, path], &what, SHORT).await?;
        }
        swap.exchange(self.site, helper, self.journal).await?;
        Ok(warnings)
    }

    /// Where a database is written first.
    fn staged(&self, path: &str) -> Option<String> {
        let on = mount_of(&self.site.container, path)?;
        let part = self
            .swap
            .parts
            .iter()
            .find(|part| part.mount == on.destination)?;
        Some(format!("{}{path}", self.swap.side(part, Side::New)))
    }

    async fn unpack(&self, artifact: RawStream) -> Result<(), StrategyError> {
        let pieces: Vec<Piece> = self
            .swap
            .parts
            .iter()
            .map(|part| Piece {
                path: part.mount.trim_matches('/').as_bytes().to_vec(),
                into: Some(self.swap.side(part, Side::New)),
            })
            .collect();
        unpack(
            self.tool.site(),
            &self.tool.tar,
            &pieces,
            artifact,
            self.journal,
        )
        .await?;
        Ok(())
    }
}

/// Writes one file, as it comes.
async fn take(
    helper: &Site,
    file: &str,
    mut artifact: RawStream,
    journal: &dyn Journal,
) -> Result<(), StrategyError> {
    let stalled = || DockerError::Stalled {
        container: helper.container.name.clone(),
        program: "cat".to_owned(),
        after: helper.stall,
    };
    let command = Command::new(["sh", "-c", TAKE, "sh", file]).with_stdin();
    helper
        .watch(async {
            let mut session = helper.engine.exec(&helper.container.id, command).await?;
            let mut stdin = session.stdin.take();
            let mut bytes = 0;
            while let Some(chunk) = artifact.next().await {
                let chunk = chunk.map_err(StrategyError::Artifact)?;
                let Some(pipe) = &mut stdin else { break };
                let write = time::timeout(helper.stall, pipe.write_all(&chunk)).await;
                // One that gave up says why by its status.
                if write.map_err(|_| stalled())?.is_err() {
                    break;
                }
                bytes += chunk.len() as u64;
                journal.progress(bytes);
            }
            if let Some(pipe) = &mut stdin {
                let _ = pipe.shutdown().await;
            }
            let mut said = Vec::new();
            while let Some(chunk) = session.output.next().await {
                if let Chunk::Stderr(text) = chunk? {
                    said.extend_from_slice(&text);
                }
            }
            let code = session.exit.await?;
            if code == 0 {
                return Ok(());
            }
            let said = stderr::clean(&String::from_utf8_lossy(&said));
            Err(StrategyError::Tool {
                message: format!(
                    "writing the database failed (exit status {code}): {}",
                    said.trim()
                ),
                hint: script::hint(&said).to_owned(),
                detail: stderr::shown(&said),
                temporary: code > 128,
            })
        })
        .await
}
