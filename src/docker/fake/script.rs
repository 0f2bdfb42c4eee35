//! What a faked program does, step by step.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future, stream};
use tokio::io::AsyncWrite;
use tokio_util::sync::CancellationToken;

use super::Call;
use crate::docker::{Chunk, DockerError, Session};

/// Exit status of a program whose container was killed.
const KILLED: i64 = 137;

/// Steps of a program, then how it ends; ends well if nothing is said. Ends with status 137 at
/// any step when its container dies.
#[derive(Default)]
pub struct Script {
    steps: VecDeque<Step>,
    end: End,
}

type Answer = Box<dyn FnOnce(&[u8]) -> Script + Send>;

enum Step {
    Write(Chunk),
    /// The same again and again: output larger than memory should be.
    Repeat(Bytes, usize),
    Wait(CancellationToken),
    Tell(CancellationToken),
    ReadAll(Answer),
    Stall,
    Cut,
}

enum End {
    Status(i64),
    /// The engine never tells.
    Unknown,
    /// It does not even start.
    Refused(DockerError),
}

impl Default for End {
    fn default() -> Self {
        Self::Status(0)
    }
}

impl Script {
    pub fn new() -> Self {
        Self::default()
    }

    /// The exec fails before anything runs.
    pub fn refused(error: DockerError) -> Self {
        Self {
            end: End::Refused(error),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn stdout(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Write(Chunk::Stdout(bytes.into())))
    }

    #[must_use]
    pub fn stderr(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Write(Chunk::Stderr(bytes.into())))
    }

    /// `times` chunks of standard output, all sharing one buffer.
    #[must_use]
    pub fn repeat(self, bytes: impl Into<Bytes>, times: usize) -> Self {
        self.step(Step::Repeat(bytes.into(), times))
    }

    /// Goes on when the signal is given.
    #[must_use]
    pub fn wait(self, signal: &CancellationToken) -> Self {
        self.step(Step::Wait(signal.clone()))
    }

    /// Gives a signal, so that a test can act at just this point.
    #[must_use]
    pub fn tell(self, signal: &CancellationToken) -> Self {
        self.step(Step::Tell(signal.clone()))
    }

    /// Reads standard input to its end and goes on as `answer` says, in place of what would follow.
    #[must_use]
    pub fn read_all(self, answer: impl FnOnce(&[u8]) -> Script + Send + 'static) -> Self {
        self.step(Step::ReadAll(Box::new(answer)))
    }

    /// Neither writes nor reads any more, and does not end.
    #[must_use]
    pub fn stall(self) -> Self {
        self.step(Step::Stall)
    }

    /// The connection breaks in the middle of a frame.
    #[must_use]
    pub fn cut(self) -> Self {
        self.step(Step::Cut)
    }

    #[must_use]
    pub fn exit(mut self, code: i64) -> Self {
        self.end = End::Status(code);
        self
    }

    /// The output ends well, but the engine has no exit status to give.
    #[must_use]
    pub fn no_exit_code(mut self) -> Self {
        self.end = End::Unknown;
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }

    pub(super) fn play(
        self,
        call: &Call,
        stdin: Arc<Stdin>,
        dead: CancellationToken,
    ) -> Result<Session, DockerError> {
        if let End::Refused(error) = self.end {
            return Err(error);
        }
        let end = Arc::new(Mutex::new(None));
        let player = Player {
            script: self,
            stdin: stdin.clone(),
            dead,
            container: call.container.clone(),
            end: end.clone(),
        };
        let (container, program) = (
            call.container.clone(),
            call.argv.first().cloned().unwrap_or_default(),
        );
        let exit = async move {
            let code = *end.lock().unwrap_or_else(PoisonError::into_inner);
            code.ok_or(DockerError::NoExitCode { container, program })
        };
        Ok(Session {
            stdin: stdin.writer(),
            output: stream::unfold(player, Player::next).boxed(),
            exit: exit.boxed(),
        })
    }
}

struct Player {
    script: Script,
    stdin: Arc<Stdin>,
    dead: CancellationToken,
    container: String,
    /// The exit status, once the output ended; stays empty when the engine will not tell.
    end: Arc<Mutex<Option<i64>>>,
}

impl Player {
    async fn next(mut self) -> Option<(Result<Chunk, DockerError>, Self)> {
        let dead = self.dead.clone();
        let item = tokio::select! {
            biased;
            () = dead.cancelled() => {
                self.script.end = End::Status(KILLED);
                None
            }
            item = self.advance() => item,
        };
        if item.is_none()
            && let End::Status(code) = self.script.end
        {
            *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(code);
        }
        item.map(|item| (item, self))
    }

    async fn advance(&mut self) -> Option<Result<Chunk, DockerError>> {
        loop {
            match self.script.steps.pop_front()? {
                Step::Write(chunk) => return Some(Ok(chunk)),
                Step::Repeat(_, 0) => {}
                Step::Repeat(bytes, times) => {
                    let rest = Step::Repeat(bytes.clone(), times - 1);
                    self.script.steps.push_front(rest);
                    return Some(Ok(Chunk::Stdout(bytes)));
                }
                Step::Wait(signal) => signal.cancelled().await,
                Step::Tell(signal) => signal.cancel(),
                Step::ReadAll(answer) => {
                    self.stdin.closed.cancelled().await;
                    self.script = answer(&self.stdin.seen().0);
                }
                Step::Stall => {
                    self.stdin.turn(Reader::Stuck);
                    future::pending::<()>().await;
                }
                Step::Cut => {
                    self.script.steps.clear();
                    return Some(Err(DockerError::Cut {
                        container: self.container.clone(),
                        reason: "it ended 3 bytes before the end of a frame".into(),
                    }));
                }
            }
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stdin.turn(Reader::Gone);
    }
}

/// What goes into a faked program.
pub(super) struct Stdin {
    state: Mutex<StdinState>,
    closed: CancellationToken,
    wanted: bool,
}

#[derive(Default)]
struct StdinState {
    bytes: Vec<u8>,
    reader: Reader,
    writer: Option<Waker>,
}

/// How the program treats its input.
#[derive(Default, Clone, Copy, PartialEq)]
enum Reader {
    #[default]
    Reads,
    Stuck,
    Gone,
}

impl Stdin {
    pub(super) fn new(wanted: bool) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            closed: CancellationToken::new(),
            wanted,
        })
    }

    pub(super) fn seen(&self) -> (Bytes, bool) {
        let bytes = Bytes::copy_from_slice(&self.state().bytes);
        (bytes, self.closed.is_cancelled())
    }

    pub(super) fn is_gone(&self) -> bool {
        self.state().reader == Reader::Gone
    }

    fn turn(&self, reader: Reader) {
        let mut state = self.state();
        state.reader = reader;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }

    fn writer(self: Arc<Self>) -> Option<Box<dyn AsyncWrite + Send + Unpin>> {
        self.wanted.then(|| Box::new(Writer(self)) as _)
    }

    fn state(&self) -> MutexGuard<'_, StdinState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Writer(Arc<Stdin>);

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.state();
        match state.reader {
            Reader::Reads => {
                state.bytes.extend_from_slice(bytes);
                Poll::Ready(Ok(bytes.len()))
            }
            Reader::Stuck => {
                state.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            Reader::Gone => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.closed.cancel();
        Poll::Ready(Ok(()))
    }
}
