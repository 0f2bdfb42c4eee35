//! Unpacks an archive beside the files in use: each mount's piece of it in a tar of its own, because
//! files can only be moved into their place within one mount.

use std::{collections::BTreeMap, pin::Pin};

use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    task::JoinHandle,
    time,
};

use crate::{
    docker::{Chunk, DockerError, Session},
    strategy::{
        Journal, RawStream, Site, StrategyError,
        stderr::{self, Mask, Stderr},
        swap,
        tar::{Count, Entry, Reader, Rules, Visit, is_in, program::Program},
    },
};

/// One piece: everything of the archive below `path`, unless it belongs to a longer one.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Without a leading slash, as in the archive.
    pub path: Vec<u8>,
    /// Folder to unpack in; `None`: this piece is left out.
    pub into: Option<String>,
}

#[derive(Debug, Default)]
pub struct Unpacked {
    /// What was handed to each piece, by its number.
    pub counts: BTreeMap<usize, Count>,
    pub warnings: Vec<String>,
}

/// Runs one tar for each piece in `helper`, and returns when all have ended well.
pub async fn unpack(
    helper: &Site,
    program: &Program,
    pieces: &[Piece],
    mut artifact: RawStream,
    journal: &dyn Journal,
) -> Result<Unpacked, StrategyError> {
    let mut reader = Reader::default();
    let mut router = Router {
        pieces,
        knows_holes: program.gnu,
        rules: Rules::default(),
        current: None,
        out: Vec::new(),
        unpacked: Unpacked::default(),
        attributes: false,
    };
    let mut tars: BTreeMap<usize, Tar> = BTreeMap::new();
    let work = async {
        let mut bytes = 0;
        while let Some(chunk) = artifact.next().await {
            let chunk = chunk.map_err(StrategyError::Artifact)?;
            let read = reader.feed(&chunk, &mut router);
            read.map_err(|fault| StrategyError::refused(fault, ""))?;
            for (piece, bytes) in router.out.drain(..) {
                let tar = match tars.entry(piece) {
                    std::collections::btree_map::Entry::Occupied(tar) => tar.into_mut(),
                    std::collections::btree_map::Entry::Vacant(place) => {
                        let into = pieces[piece].into.as_deref().unwrap_or_default();
                        place.insert(Tar::start(helper, program, into).await?)
                    }
                };
                tar.write(&bytes).await?;
            }
            bytes += chunk.len() as u64;
            journal.progress(bytes);
        }
        reader
            .finish()
            .map_err(|fault| StrategyError::refused(fault, ""))?;
        let mut warnings = Vec::new();
        for tar in std::mem::take(&mut tars).into_values() {
            warnings.extend(tar.finish().await?);
        }
        Ok(warnings)
    };
    let warnings = helper.watch(work).await?;
    router.unpacked.warnings.extend(warnings);
    if router.attributes && !program.gnu {
        let warning =
            "extended attributes and access lists are not restored: the tar here knows none";
        router.unpacked.warnings.push(warning.to_owned());
    }
    Ok(router.unpacked)
}

/// Says to which piece the bytes of an archive belong.
struct Router<'a> {
    pieces: &'a [Piece],
    knows_holes: bool,
    rules: Rules,
    /// Piece of the present entry; `None` when it is left out.
    current: Option<usize>,
    out: Vec<(usize, BytesMut)>,
    unpacked: Unpacked,
    attributes: bool,
}

impl Visit for Router<'_> {
    fn entry(&mut self, entry: &Entry, headers: &[u8]) -> Result<(), String> {
        // The validator judged it before; but what is unpacked is judged at the very moment.
        self.rules.entry(entry, headers)?;
        let fitting = self.pieces.iter().enumerate();
        let fitting = fitting.filter(|(_, piece)| is_in(&entry.path, &piece.path));
        let piece = fitting.max_by_key(|(_, piece)| piece.path.len());
        let (number, piece) = piece.ok_or_else(|| format!("{} has no place", entry.shown()))?;
        self.current = piece.into.is_some().then_some(number);
        if self.current.is_none() {
            return Ok(());
        }
        if entry.sparse && !self.knows_holes {
            let name = entry.shown();
            return Err(format!(
                "{name} is stored with holes, which only GNU tar unpacks"
            ));
        }
        self.attributes |= entry.attributes;
        self.unpacked.counts.entry(number).or_default().add(entry);
        self.body(headers)
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(current) = self.current else {
            return Ok(());
        };
        match self.out.last_mut() {
            Some((piece, out)) if *piece == current => out.extend_from_slice(bytes),
            _ => self.out.push((current, BytesMut::from(bytes))),
        }
        Ok(())
    }
}

type Ended = Result<(i64, String), DockerError>;

/// A tar that unpacks its input. Dropped before its end, it is ended.
struct Tar {
    stdin: Pin<Box<dyn AsyncWrite + Send>>,
    /// What it says is read all the while, or it would wait.
    ended: JoinHandle<Ended>,
    stall: time::Duration,
    container: String,
}

impl Tar {
    async fn start(helper: &Site, program: &Program, into: &str) -> Result<Self, StrategyError> {
        let command = program.unpack(into);
        let mut session = helper.engine.exec(&helper.container.id, command).await?;
        let stdin = session
            .stdin
            .take()
            .ok_or_else(|| StrategyError::refused("the engine gave no input for tar", ""))?;
        Ok(Self {
            stdin: Box::into_pin(stdin as Box<dyn AsyncWrite + Send>),
            ended: tokio::spawn(listen(session)),
            stall: helper.stall,
            container: helper.container.name.clone(),
        })
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), StrategyError> {
        let write = time::timeout(self.stall, self.stdin.write_all(bytes)).await;
        match write {
            Ok(Ok(())) => Ok(()),
            // It gave up; its own words say why.
            Ok(Err(error)) => Err(self.complaint(&error.to_string()).await),
            Err(_) => Err(DockerError::Stalled {
                container: self.container.clone(),
                program: "tar".to_owned(),
                after: self.stall,
            }
            .into()),
        }
    }

    /// Ends the archive, and hears how it went; its warnings.
    async fn finish(mut self) -> Result<Vec<String>, StrategyError> {
        self.write(&[0; 1024]).await?;
        // One that has ended by now says how by its status.
        let _ = self.stdin.shutdown().await;
        match self.wait().await? {
            (0, said) => {
                let lines = said.lines().filter(|line| !line.trim().is_empty());
                Ok(lines.take(50).map(ToOwned::to_owned).collect())
            }
            (code, said) => Err(failed(code, &said)),
        }
    }

    async fn complaint(&mut self, broken: &str) -> StrategyError {
        match self.wait().await {
            Ok((code, said)) => failed(code, &said),
            Err(StrategyError::Docker(error @ DockerError::Stalled { .. })) => error.into(),
            Err(_) => StrategyError::refused(format!("tar stopped reading: {broken}"), ""),
        }
    }

    async fn wait(&mut self) -> Result<(i64, String), StrategyError> {
        let ended = time::timeout(self.stall, &mut self.ended).await;
        let ended = ended.map_err(|_| DockerError::Stalled {
            container: self.container.clone(),
            program: "tar".to_owned(),
            after: self.stall,
        })?;
        let ended = ended.map_err(|error| StrategyError::refused(error.to_string(), ""))?;
        Ok(ended?)
    }
}

impl Drop for Tar {
    fn drop(&mut self) {
        self.ended.abort();
    }
}

async fn listen(mut session: Session) -> Ended {
    let mut said = Stderr::new(Mask::default());
    while let Some(chunk) = session.output.next().await {
        if let Chunk::Stderr(bytes) = chunk? {
            said.push(&bytes);
        }
    }
    let code = session.exit.await?;
    Ok((code, said.text()))
}

fn failed(code: i64, said: &str) -> StrategyError {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling =
        |line: &&str| !line.contains("previous errors") && !line.contains("not recoverable");
    let first = lines.clone().find(telling).or(lines.clone().next());
    StrategyError::Tool {
        message: format!(
            "unpacking failed (exit status {code}): {}",
            first.unwrap_or("it said nothing")
        ),
        hint: swap::script::hint(said).to_owned(),
        detail: stderr::shown(said),
        temporary: code > 128,
    }
}
