//! What to run inside a container, and the short form of running it: collect the output, bounded.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use super::{Chunk, DockerError, Engine, Session};
use crate::domain::secret::Secret;

/// How much of each stream a short command may keep; the last bytes win.
const KEEP: usize = 64 * 1024;

#[derive(Debug, Clone, Default)]
pub struct Command {
    /// Program and arguments; never a shell line with something pasted in.
    pub argv: Vec<String>,
    pub env: Vec<(String, Secret)>,
    /// User inside the container; the image's default when `None`.
    pub user: Option<String>,
    /// Whether `Session::stdin` is wanted.
    pub stdin: bool,
}

impl Command {
    pub fn new<I, S>(argv: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: Secret) -> Self {
        self.env.push((key.into(), value));
        self
    }

    #[must_use]
    pub fn with_stdin(mut self) -> Self {
        self.stdin = true;
        self
    }

    pub fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }
}

/// What a short command said, and its exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub code: i64,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn ok(&self) -> bool {
        self.code == 0
    }
}

/// Runs a short command to its end: feeds `stdin`, keeps the last 64 KiB of each stream, awaits
/// the exit status. `limit` bounds the whole call.
pub async fn run(
    engine: &dyn Engine,
    container: &str,
    mut command: Command,
    stdin: Option<Bytes>,
    limit: Duration,
) -> Result<Output, DockerError> {
    let program = command.program().to_owned();
    command.stdin = stdin.is_some();
    let work = async {
        let session = engine.exec(container, command).await?;
        collect(session, stdin).await
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(DockerError::Stalled {
            container: container.to_owned(),
            program,
            after: limit,
        })
    })
}

async fn collect(mut session: Session, stdin: Option<Bytes>) -> Result<Output, DockerError> {
    let feed = async {
        if let (Some(mut pipe), Some(bytes)) = (session.stdin.take(), stdin) {
            // A program may close its input early; its exit status tells what that meant.
            let _ = pipe.write_all(&bytes).await;
            let _ = pipe.shutdown().await;
        }
    };
    let read = async {
        let (mut stdout, mut stderr) = (Tail::new(KEEP), Tail::new(KEEP));
        while let Some(chunk) = session.output.next().await {
            match chunk? {
                Chunk::Stdout(bytes) => stdout.push(&bytes),
                Chunk::Stderr(bytes) => stderr.push(&bytes),
            }
        }
        Ok::<_, DockerError>((stdout, stderr))
    };
    let ((), streams) = tokio::join!(feed, read);
    let (stdout, stderr) = streams?;
    Ok(Output {
        code: session.exit.await?,
        stdout: stdout.into_string(),
        stderr: stderr.into_string(),
    })
}

/// The last `limit` bytes of a stream.
#[derive(Debug, Default)]
pub struct Tail {
    bytes: Vec<u8>,
    limit: usize,
}

impl Tail {
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }

    pub fn push(&mut self, chunk: &[u8]) {
        let chunk = &chunk[chunk.len().saturating_sub(self.limit)..];
        let overflow = (self.bytes.len() + chunk.len()).saturating_sub(self.limit);
        self.bytes.drain(..overflow);
        self.bytes.extend_from_slice(chunk);
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn into_string(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::fake::{FakeEngine, Script};

    #[test]
    fn the_tail_is_the_last_bytes_whatever_the_chunks() {
        let all: Vec<u8> = (0..=255).collect();
        for limit in [0, 1, 7, 255, 256, 1000] {
            for chunk in [1, 3, 8, 256] {
                let mut tail = Tail::new(limit);
                all.chunks(chunk).for_each(|chunk| tail.push(chunk));
                assert_eq!(tail.as_bytes(), &all[all.len().saturating_sub(limit)..]);
            }
        }
    }

    #[test]
    fn a_command_shows_no_secret() {
        let command = Command::new(["psql", "-X"]).env("PGPASSWORD", "hidden".into());
        assert!(!format!("{command:?}").contains("hidden"));
        assert_eq!(command.program(), "psql");
        assert_eq!(Command::default().program(), "");
    }

    async fn run_in(engine: &FakeEngine, stdin: Option<Bytes>) -> Result<Output, DockerError> {
        let limit = Duration::from_millis(50);
        run(engine, "db", Command::new(["psql"]), stdin, limit).await
    }

    #[tokio::test]
    async fn a_short_command_gives_its_output_and_status() {
        let engine = FakeEngine::with("db");
        engine.on("psql", |_| {
            Script::new()
                .stdout("a")
                .stderr("e")
                .stdout("b")
                .repeat("x", 0)
                .exit(2)
        });
        let done = run_in(&engine, None).await.unwrap();
        assert_eq!((done.code, &*done.stdout, &*done.stderr), (2, "ab", "e"));
        assert!(!done.ok());
    }

    #[tokio::test]
    async fn only_the_end_of_long_output_is_kept() {
        let engine = FakeEngine::with("db");
        engine.on("psql", |_| {
            Script::new().repeat(vec![b'x'; 1000], 1000).stdout("end")
        });
        let done = run_in(&engine, None).await.unwrap();
        assert_eq!(done.stdout.len(), KEEP);
        assert!(done.stdout.ends_with("xend"));
    }

    #[tokio::test]
    async fn input_is_fed_and_closed() {
        let engine = FakeEngine::with("db");
        engine.on("psql", |_| {
            Script::new().read_all(|input| Script::new().stdout(input.to_ascii_uppercase()))
        });
        let done = run_in(&engine, Some("select".into())).await.unwrap();
        assert_eq!(done.stdout, "SELECT");
    }

    #[tokio::test]
    async fn the_limit_ends_what_stalls() {
        let engine = FakeEngine::with("db");
        engine.on("psql", |_| Script::new().stdout("begun").stall());
        for stdin in [None, Some(Bytes::from_static(b"select"))] {
            let error = run_in(&engine, stdin).await.unwrap_err();
            assert!(matches!(error, DockerError::Stalled { .. }));
        }
        assert!(
            engine
                .calls()
                .iter()
                .all(crate::docker::fake::Call::is_over)
        );
    }

    #[tokio::test]
    async fn a_lost_status_or_a_cut_is_never_a_success() {
        let engine = FakeEngine::with("db");
        engine.on("psql", |_| Script::new().stdout("all").no_exit_code());
        let error = run_in(&engine, None).await.unwrap_err();
        assert!(matches!(error, DockerError::NoExitCode { .. }));
        engine.on("psql", |_| Script::new().stdout("half").cut());
        let error = run_in(&engine, None).await.unwrap_err();
        assert!(matches!(error, DockerError::Cut { .. }));
    }
}
