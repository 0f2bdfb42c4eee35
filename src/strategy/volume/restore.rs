//! Restore: unpack beside, compare what came out, exchange.

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    STOP, better,
    chosen::lies_in,
    pack::pump,
    unpack::{Piece, Unpacked, unpack},
};
use crate::{
    docker::Container,
    strategy::{
        Journal, RawStream, RestorePlan, Restored, Sink, SinkClosed, Site, StrategyError,
        swap::{self, Found, Part, Place, Purpose, Recorder, Side, Swap, mount_of, out_of_reach},
        tar::{
            Count, Entry, Kind, Reader, Visit, is_in,
            program::{self, Program},
        },
    },
};

/// For the file system's own books, in bytes.
const RESERVE: u64 = 16 * 1024 * 1024;

pub async fn restore(
    site: &Site,
    plan: &RestorePlan,
    artifact: RawStream,
    journal: &dyn Journal,
) -> Result<Restored, StrategyError> {
    let gnu = plan.manifest.source.tool.contains("GNU tar");
    let (helper, program) = program::open(site, false, gnu).await?;
    let paths: Vec<String> = plan.fingerprint.counts.keys().cloned().collect();
    let target = Target::of(site, &helper.site, &paths).await?;
    let swap = Swap {
        restore: plan.id,
        subject: target.subject(&paths),
        folder: swap::hidden(plan.id)?,
        parts: target.place,
        incoming: Side::New,
        stops: site.options.plain.get(STOP).is_none_or(|stop| stop != "no"),
        ran: site.container.running,
        purpose: Purpose::Restore,
    };
    let recorder = Recorder::new(journal);
    let mut work = Work {
        site,
        helper: &helper.site,
        program: &program,
        plan,
        swap,
        journal: &recorder,
        warnings: target.warnings,
    };
    let done = work.run(artifact, &target.left).await;
    let warnings = std::mem::take(&mut work.warnings);
    let kept = match done {
        Ok(()) => Some(work.swap.kept(&helper.site).await),
        Err(error) => {
            // Whatever of ours still runs ends with it.
            if let Err(gone) = helper.remove().await {
                tracing::warn!(error = %gone, "a helper stays until the next work there");
            }
            Swap::after(site, recorder.steps(), error).await?
        }
    };
    Ok(Restored {
        fingerprint: plan.fingerprint.clone(),
        kept,
        warnings,
    })
}

/// What can be restored here, and what is left as it is.
struct Target {
    place: Vec<Part>,
    /// Paths and mounts that are left as they are.
    left: Vec<String>,
    warnings: Vec<String>,
}

impl Target {
    async fn of(site: &Site, helper: &Site, paths: &[String]) -> Result<Self, StrategyError> {
        let container = &site.container;
        let all = with_inner(container, paths);
        let found = swap::look(helper, container, &all).await?;
        let mut place = Place::default();
        let (mut left, mut warnings) = (Vec::new(), Vec::new());
        for (path, found) in all.iter().zip(found) {
            let is_mount = mount_of(container, path).is_some_and(|m| m.destination == *path);
            let why = match (out_of_reach(container, path), found) {
                (Some(why), _) => why.words(),
                (None, Found::Link) => "lies behind a symbolic link now",
                (None, Found::File | Found::Other) if is_mount => "is mounted as a single file",
                (None, found) => {
                    place.add(container, path, found);
                    continue;
                }
            };
            left.push(path.clone());
            warnings.push(format!("{path} {why}: it was left as it is"));
        }
        let place = place.into_parts();
        if place.is_empty() {
            let why = warnings
                .first()
                .map_or("the backup holds no path", String::as_str);
            let why = why.trim_end_matches(": it was left as it is");
            return Err(StrategyError::refused(
                format!("nothing of this backup can be restored here: {why}"),
                "Mount a writable volume there, or unpack the backup by hand.",
            ));
        }
        warnings.extend(better(container).map(|label| {
            format!("the service looks like a database; better back it up by “{label}”")
        }));
        Ok(Self {
            place,
            left,
            warnings,
        })
    }

    fn subject(&self, paths: &[String]) -> String {
        let here = paths.iter().filter(|path| !self.left.contains(path));
        here.map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// The mounts in a path are restored too, each in its own place.
fn with_inner(container: &Container, paths: &[String]) -> Vec<String> {
    let mut all = paths.to_vec();
    for mount in &container.mounts {
        let inside = |path: &String| lies_in(&mount.destination, path);
        if paths.iter().any(inside) && !all.contains(&mount.destination) {
            all.push(mount.destination.clone());
        }
    }
    all
}

struct Work<'a> {
    site: &'a Site,
    helper: &'a Site,
    program: &'a Program,
    plan: &'a RestorePlan,
    swap: Swap,
    journal: &'a dyn Journal,
    warnings: Vec<String>,
}

impl Work<'_> {
    async fn run(&mut self, artifact: RawStream, left: &[String]) -> Result<(), StrategyError> {
        self.check_space().await?;
        let title = format!("Unpacking beside the files in use, in {}", self.swap.folder);
        self.journal.record(self.swap.step("load", title)).await?;
        let pieces = self.make_folders(left).await?;
        let unpacked = unpack(self.helper, self.program, &pieces, artifact, self.journal).await?;

        let title = "Comparing what was unpacked with the backup";
        self.journal.record(self.swap.step("check", title)).await?;
        self.check(&pieces, &unpacked).await?;
        self.warnings.extend(unpacked.warnings);
        for (number, part) in self.swap.parts.iter_mut().enumerate() {
            if !unpacked.counts.contains_key(&number) {
                part.units.clear();
                let mount = &part.mount;
                let warning = format!("{mount} is not in the backup: it was left as it is");
                self.warnings.push(warning);
            }
        }
        self.swap
            .exchange(self.site, self.helper, self.journal)
            .await
    }

    /// Refuses what surely does not fit. Where the free space cannot be seen, nothing is refused.
    async fn check_space(&self) -> Result<(), StrategyError> {
        const FREE: &str = "df -Pk \"$1\" | tail -n 1";
        let [part] = self.swap.parts.as_slice() else {
            return Ok(()); // which part of it goes where is not known yet
        };
        let limit = std::time::Duration::from_secs(30);
        let df = swap::script::run(self.helper, FREE, &[&part.mount], "df", limit).await;
        let free = df.ok().and_then(|line| {
            let kilobytes: u64 = line.split_ascii_whitespace().nth(3)?.parse().ok()?;
            kilobytes.checked_mul(1024)
        });
        let needed = self.plan.manifest.artifact.raw_bytes + RESERVE;
        match free {
            Some(free) if free < needed => Err(StrategyError::refused(
                format!(
                    "the restore needs {} MiB beside the files in use, {} MiB are free on {}",
                    needed >> 20,
                    free >> 20,
                    part.mount
                ),
                "Free some space where the volume lies; files kept for an undo (.holdfast-…) may go.",
            )),
            _ => Ok(()),
        }
    }

    /// The folders to unpack in; pieces for all that the archive may hold.
    async fn make_folders(&self, left: &[String]) -> Result<Vec<Piece>, StrategyError> {
        const MAKE: &str = "umask 077; for f; do mkdir -p \"$f\" || exit; done";
        let bare = |path: &str| path.trim_matches('/').as_bytes().to_vec();
        let mut pieces = Vec::new();
        let mut folders = Vec::new();
        for part in &self.swap.parts {
            let into = self.swap.side(part, Side::New);
            folders.push(into.clone());
            pieces.push(Piece {
                path: bare(&part.mount),
                into: Some(into),
            });
        }
        pieces.extend(left.iter().map(|path| Piece {
            path: bare(path),
            into: None,
        }));
        let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
        let limit = std::time::Duration::from_mins(2);
        let what = "making a folder beside the files in use";
        swap::script::run(self.helper, MAKE, &folders, what, limit).await?;
        Ok(pieces)
    }

    /// Packs what was unpacked once more, and counts.
    async fn check(&self, pieces: &[Piece], unpacked: &Unpacked) -> Result<(), StrategyError> {
        for (&number, expected) in &unpacked.counts {
            let Some(into) = pieces.get(number).and_then(|piece| piece.into.as_deref()) else {
                continue;
            };
            let command = self.program.pack(into, &["/".to_owned()]);
            let mut counter = Counter::default();
            counter.seen.roots = self.roots(number);
            let (code, said) = pump(self.helper, command, &mut counter).await?;
            let found = counter.finish().map_err(|fault| {
                let message = format!("what was unpacked cannot be read again: {fault}");
                StrategyError::refused(message, "")
            })?;
            if code != 0 || found != *expected {
                return Err(StrategyError::Tool {
                    message: format!(
                        "what was unpacked is not what the backup holds: {} files with {} bytes \
                         instead of {} with {}",
                        found.files, found.bytes, expected.files, expected.bytes
                    ),
                    hint: "The files in use were left as they were.".to_owned(),
                    detail: crate::strategy::stderr::shown(&said),
                    temporary: false,
                });
            }
        }
        Ok(())
    }

    /// The archived paths on a mount; the mount itself when it lies in one.
    fn roots(&self, number: usize) -> Vec<Vec<u8>> {
        let mount = self
            .swap
            .parts
            .get(number)
            .map_or("", |part| part.mount.as_str());
        let paths = self.plan.fingerprint.counts.keys().map(String::as_str);
        let mut roots: Vec<&str> = paths.filter(|path| lies_in(path, mount)).collect();
        if roots.is_empty() {
            roots.push(mount);
        }
        let bare = |path: &str| path.trim_matches('/').as_bytes().to_vec();
        roots.into_iter().map(bare).collect()
    }
}

#[derive(Default)]
struct Counter {
    reader: Reader,
    seen: Seen,
    fault: Option<String>,
}

/// Counts as was counted on the way in. Folders above the roots are not in the archive: tar made them.
#[derive(Default)]
struct Seen {
    roots: Vec<Vec<u8>>,
    count: Count,
}

impl Counter {
    fn finish(self) -> Result<Count, String> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.reader.finish()?;
        Ok(self.seen.count)
    }
}

impl Visit for Seen {
    fn entry(&mut self, entry: &Entry, _headers: &[u8]) -> Result<(), String> {
        let inside = self.roots.iter().any(|root| is_in(&entry.path, root));
        if inside || entry.kind != Kind::Folder {
            self.count.add(entry);
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for Counter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), SinkClosed> {
        if self.fault.is_none() {
            self.fault = self.reader.feed(&chunk, &mut self.seen).err();
        }
        Ok(())
    }
}
