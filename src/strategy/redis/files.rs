//! Work on a server's data folder from a helper beside it.
//!
//! All that is Holdfast's lies in one hidden folder inside the data folder, so that every exchange is
//! a rename within one file system: `new` is what is restored, `old` what was there before, `undone` what
//! an undo took away.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, time};

use super::{
    errors,
    rdb::{Contents, Reader},
    scripts::{BACK, DRESS, LOOK, MAKE, REMOVE, REMOVE_FILE, SIZE, SURVEY, SWAP, THERE, WRITE},
};
use crate::{
    docker::{Chunk, Command, DockerError, Session, command},
    strategy::{
        Journal, RawStream, Site, StrategyError,
        stderr::{Mask, Stderr},
    },
};
use futures_util::{
    StreamExt,
    future::{self, Either},
};

/// Renames and the like; a disk that takes longer to sync has failed.
const LONG: Duration = Duration::from_mins(30);

/// The data folder as a helper sees it.
pub struct Files {
    /// The helper.
    pub site: Site,
}

/// Where a name was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub in_place: bool,
    pub in_incoming: bool,
    pub in_outgoing: bool,
}

impl Files {
    pub async fn make(&self, folder: &str) -> Result<(), StrategyError> {
        let what = "making a folder beside the data";
        self.run(MAKE, &[folder], what).await.map(drop)
    }

    /// Free bytes on the disk of the data folder, and whether a name is there.
    pub async fn survey(
        &self,
        dir: &str,
        name: &str,
    ) -> Result<(Option<u64>, bool), StrategyError> {
        let answer = self
            .run(SURVEY, &[dir, name], "looking at the data folder")
            .await?;
        let (there, disk) = answer.split_once('\n').unwrap_or_default();
        // What is free stands before the percentage.
        let mut words = disk
            .split_whitespace()
            .rev()
            .skip_while(|word| !word.ends_with('%'));
        let free = words.nth(1).and_then(|word| word.parse::<u64>().ok());
        Ok((free.map(|kib| kib.saturating_mul(1024)), there == "yes"))
    }

    /// Writes the artifact into a file, judging it as it passes.
    pub async fn write(
        &self,
        path: &str,
        artifact: RawStream,
        journal: &dyn Journal,
    ) -> Result<Contents, StrategyError> {
        let command = script(WRITE, &[path]).with_stdin();
        let site = &self.site;
        site.watch(async {
            let session = site.engine.exec(&site.container.id, command).await?;
            self.drive(session, artifact, journal).await
        })
        .await
    }

    async fn drive(
        &self,
        session: Session,
        artifact: RawStream,
        journal: &dyn Journal,
    ) -> Result<Contents, StrategyError> {
        let what = "writing the backup beside the data";
        let Session {
            stdin,
            mut output,
            exit,
        } = session;
        let stdin = stdin.ok_or_else(|| self.cut("there is no way in"))?;
        let (mut out, mut err) = (Vec::new(), Stderr::new(Mask::default()));
        let listening = async {
            while let Some(chunk) = output.next().await {
                match chunk? {
                    Chunk::Stdout(bytes) => out.extend_from_slice(&bytes),
                    Chunk::Stderr(bytes) => err.push(&bytes),
                }
            }
            Ok::<_, StrategyError>(())
        };
        let feeding = self.feed(stdin, artifact, journal);
        tokio::pin!(listening, feeding);
        let fed = match future::select(feeding, listening.as_mut()).await {
            Either::Left((fed, _)) => {
                let fed = fed?;
                time::timeout(LONG, listening)
                    .await
                    .map_err(|_| self.cut("the disk stands still"))??;
                Some(fed)
            }
            // It ended before it had read everything: it has something to say.
            Either::Right((ended, _)) => {
                ended?;
                None
            }
        };
        let code = exit.await?;
        let written = String::from_utf8_lossy(&out).trim().parse::<u64>().ok();
        match fed {
            Some((bytes, contents)) if code == 0 && written == Some(bytes) => Ok(contents),
            Some((bytes, _)) if code == 0 => Err(StrategyError::refused(
                format!(
                    "{what} failed: {} of {bytes} bytes are there",
                    written.unwrap_or(0)
                ),
                "Look at the disk of the server's data.",
            )),
            _ => Err(errors::complaint(what, "cat", code, &err.text())),
        }
    }

    async fn feed(
        &self,
        mut stdin: Box<dyn tokio::io::AsyncWrite + Send + Unpin>,
        mut artifact: RawStream,
        journal: &dyn Journal,
    ) -> Result<(u64, Contents), StrategyError> {
        let mut reader = Reader::default();
        let mut passed = 0;
        while let Some(chunk) = artifact.next().await {
            let chunk = chunk.map_err(StrategyError::Artifact)?;
            reader.feed(&chunk);
            let write = time::timeout(self.site.stall, stdin.write_all(&chunk));
            let written = write.await.map_err(|_| self.cut("it takes no more"))?;
            if let Err(error) = written {
                // It ended; its exit status will say why, and end this wait.
                time::sleep(self.site.stall).await;
                return Err(self.cut(&error.to_string()));
            }
            passed += chunk.len() as u64;
            journal.progress(passed);
        }
        let contents = reader.finish().map_err(|fault| {
            StrategyError::refused(
                format!("the artifact is not what was checked before: {fault}"),
                "Verify the artifact; its storage may be failing.",
            )
        })?;
        // The answer to a broken pipe comes with the exit status.
        let _ = stdin.shutdown().await;
        Ok((passed, contents))
    }

    fn cut(&self, reason: &str) -> StrategyError {
        let container = self.site.container.name.clone();
        let reason = reason.to_owned();
        DockerError::Cut { container, reason }.into()
    }

    pub async fn dress(
        &self,
        dir: &str,
        incoming: &str,
        names: &[&str],
    ) -> Result<(), StrategyError> {
        let words = [&[dir, incoming], names].concat();
        self.run(DRESS, &words, "giving the data to the server's user")
            .await
            .map(drop)
    }

    /// Where each name is; `None` when the hidden folder is not there.
    pub async fn look(
        &self,
        dir: &str,
        incoming: &str,
        outgoing: &str,
        names: &[&str],
    ) -> Result<Option<Vec<Found>>, StrategyError> {
        let what = "looking at the data folder";
        let words = [&[dir, incoming, outgoing], names].concat();
        let answer = self.run(LOOK, &words, what).await?;
        if answer.trim() == "none" {
            return Ok(None);
        }
        let found: Vec<Found> = answer
            .lines()
            .filter_map(|line| match line.as_bytes() {
                [place, incoming, outgoing] => Some(Found {
                    in_place: *place == b'1',
                    in_incoming: *incoming == b'1',
                    in_outgoing: *outgoing == b'1',
                }),
                _ => None,
            })
            .collect();
        if found.len() != names.len() {
            return Err(StrategyError::refused(
                format!("{what} failed: the answer is not understood"),
                "",
            ));
        }
        Ok(Some(found))
    }

    pub async fn swap(
        &self,
        dir: &str,
        incoming: &str,
        outgoing: &str,
        names: &[&str],
    ) -> Result<(), StrategyError> {
        let words = [&[dir, incoming, outgoing], names].concat();
        self.run(SWAP, &words, "exchanging the data")
            .await
            .map(drop)
    }

    /// `names` with whether each was there before.
    pub async fn back(
        &self,
        dir: &str,
        incoming: &str,
        outgoing: &str,
        names: &[(&str, bool)],
    ) -> Result<(), StrategyError> {
        let mut words = vec![dir, incoming, outgoing];
        for (name, before) in names {
            words.extend([*name, if *before { "1" } else { "0" }]);
        }
        self.run(BACK, &words, "putting the data back")
            .await
            .map(drop)
    }

    /// Bytes in a folder, roughly.
    pub async fn size(&self, folder: &str) -> Option<u64> {
        let answer = self.run(SIZE, &[folder], "measuring").await.ok()?;
        let kib: u64 = answer.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    }

    /// Gone is fine.
    pub async fn remove(&self, folder: &str) -> Result<(), StrategyError> {
        self.run(REMOVE, &[folder], "removing what was set aside")
            .await
            .map(drop)
    }

    /// Gone is fine.
    pub async fn remove_file(&self, path: &str) -> Result<(), StrategyError> {
        self.run(REMOVE_FILE, &[path], "removing a dump file")
            .await
            .map(drop)
    }

    async fn run(&self, text: &str, words: &[&str], what: &str) -> Result<String, StrategyError> {
        let (engine, container) = (self.site.engine.as_ref(), &self.site.container.id);
        let run =
            async { Ok(command::run(engine, container, script(text, words), None, LONG).await?) };
        let output = self.site.watch(run).await?;
        if !output.ok() {
            return Err(errors::complaint(what, "sh", output.code, &output.stderr));
        }
        Ok(output.stdout)
    }
}

fn script(text: &str, words: &[&str]) -> Command {
    let text = format!("{THERE}{text}");
    Command::new(["sh", "-c", &text, "sh"].iter().chain(words).copied())
}
