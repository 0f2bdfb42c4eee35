//! The container engine as Holdfast needs it: find containers, run a program in one with its
//! streams, stop and start. `bollard.rs` speaks to a real engine; `fake.rs` is scripted and can
//! fail in ways a real one will not on demand (a cut frame, a lost exit code).
//!
//! What every adapter must keep:
//! - argv goes as an array, never through a shell; environment values are secrets;
//! - the output stream of an exec **ends the same way whether the program finished or died**:
//!   only `exit` tells. A caller that does not await `exit` knows nothing;
//! - console output in a multiplexed stream is the rest of a cut frame: an error, not data.

mod bollard;
pub mod command;
pub mod fake;
mod hijack;
mod host;
mod output;
mod reap;
mod refusal;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};
use tokio::io::AsyncWrite;

pub use self::bollard::{DockerEngine, HELPER_IMAGE};
pub use self::command::{Command, Output};
use crate::domain::{failure::Failure, secret::Secret};

#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Version and rights, for health and `doctor`. Fails when the engine does not answer.
    async fn info(&self) -> Result<EngineInfo, DockerError>;

    /// All containers, running or not, without their environment.
    async fn containers(&self) -> Result<Vec<Container>, DockerError>;

    /// One container by id or name, with environment and mounts.
    async fn container(&self, id_or_name: &str) -> Result<Container, DockerError>;

    /// Starts a program inside a running container. A session that is dropped before its `exit`
    /// told a status ends the program, in the background: SIGINT, SIGTERM, SIGKILL after 2 s, then
    /// its streams are closed. That takes a shell and `grep` in the image; without them the program
    /// runs on. A program must not leave a daemon behind: it carries the same mark.
    async fn exec(&self, container: &str, command: Command) -> Result<Session, DockerError>;

    /// Ends programs that an earlier life of Holdfast left running in the container as this user;
    /// at start, before anything else is run in it. None there is fine.
    async fn sweep(&self, container: &str, user: Option<&str>) -> Result<(), DockerError>;

    /// Resolves when the container stops or is gone; used to end a run at once, not at a time-out.
    async fn stopped(&self, container: &str) -> Result<(), DockerError>;

    /// Starting what runs is fine.
    async fn start(&self, container: &str) -> Result<(), DockerError>;

    /// Asks with the image's stop signal, kills after `grace`. Stopping what is stopped is fine.
    async fn stop(&self, container: &str, grace: Duration) -> Result<(), DockerError>;

    /// Starts a helper: a container that does nothing, for programs to be run in. They run as root,
    /// without network, and see the volumes of `order.of` at the same paths, whether that runs or
    /// not; nothing of its own layer. Fails with `NoSuchProgram` when the image has no `sleep`.
    async fn helper(&self, order: HelperOrder<'_>) -> Result<Container, DockerError>;

    /// Removes a helper, whatever runs in it. Gone is fine.
    async fn remove_helper(&self, helper: &str) -> Result<(), DockerError>;

    /// Removes all helpers of this container: leftovers of an earlier life. How many there were.
    async fn sweep_helpers(&self, container: &str) -> Result<usize, DockerError>;
}

/// What kind of helper.
#[derive(Debug, Clone, Copy)]
pub struct HelperOrder<'a> {
    /// Whose volumes.
    pub of: &'a Container,
    pub tools: Tools,
    /// Sees the volumes without a way to change them.
    pub read_only: bool,
}

/// Which programs a helper has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tools {
    /// Those of the service's own image, in the service's own versions.
    Own,
    /// Those of the helper image of this installation: a shell, tar and the like, for services whose
    /// image has none.
    Common,
}

/// A running program in a container.
pub struct Session {
    /// Present when the command asked for it. Shutting it down half-closes: the program sees EOF.
    /// Dropping it does not: the program waits for more. When Holdfast itself dies, though, the
    /// program sees EOF as if its input were whole: **an EOF must never commit anything**.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    pub output: BoxStream<'static, Result<Chunk, DockerError>>,
    /// Await **after** the output ended: polls until the engine says "not running" and has an
    /// exit code, at most 30 s, else `NoExitCode`. Dropping it unresolved ends the program.
    pub exit: BoxFuture<'static, Result<i64, DockerError>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    Stdout(Bytes),
    Stderr(Bytes),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    pub version: String,
    pub api_version: String,
    pub os: String,
}

/// A container as inspected. `env` may hold passwords: it is never printed or stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    /// As written in the compose file: `postgres:16`.
    pub image: String,
    /// Content address of the image that really runs (`sha256:…`).
    pub image_id: String,
    pub running: bool,
    pub labels: BTreeMap<String, String>,
    pub env: Secret<BTreeMap<String, String>>,
    pub mounts: Vec<Mount>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `volume`, `bind` or `tmpfs`.
    pub kind: String,
    /// Volume name, or the path on the host.
    pub source: String,
    /// Absolute path inside the container.
    pub destination: String,
    pub read_only: bool,
}

impl Container {
    /// Compose project, from the labels of compose v1 and v2.
    pub fn project(&self) -> Option<&str> {
        self.label("com.docker.compose.project")
    }

    pub fn service(&self) -> Option<&str> {
        self.label("com.docker.compose.service")
    }

    /// True for `docker compose run` containers: never a service.
    pub fn is_oneoff(&self) -> bool {
        self.label("com.docker.compose.oneoff")
            .is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    pub fn env(&self, key: &str) -> Option<&str> {
        self.env.expose().get(key).map(String::as_str)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    #[error("the container engine does not answer at {host}: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("there is no container {0}")]
    NoSuchContainer(String),
    #[error("the container {0} is not running")]
    NotRunning(String),
    /// The stream broke off or held something that is not a whole frame.
    #[error("the stream from container {container} was cut: {reason}")]
    Cut { container: String, reason: String },
    #[error("nothing came from {program} in container {container} for {} s", after.as_secs())]
    Stalled {
        container: String,
        program: String,
        after: Duration,
    },
    #[error("the engine gave no exit status for {program} in container {container}")]
    NoExitCode { container: String, program: String },
    #[error("{program} is not in the image of container {container}")]
    NoSuchProgram { container: String, program: String },
    #[error("the helper image {image} is not here and cannot be pulled: {reason}")]
    NoHelperImage { image: String, reason: String },
    #[error("the container engine refused: {message} (status {status})")]
    Refused { status: u16, message: String },
    #[error("cancelled")]
    Cancelled,
}

impl DockerError {
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Cut { .. }
            | Self::Stalled { .. }
            | Self::NoExitCode { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::NoSuchContainer(_)
            | Self::NotRunning(_)
            | Self::NoSuchProgram { .. }
            | Self::NoHelperImage { .. }
            | Self::Cancelled => false,
        }
    }

    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "Check that the engine runs and that Holdfast may use its socket (holdfast doctor)."
            }
            Self::NoSuchContainer(_) => {
                "Check the service of this config: the app may have been removed or renamed."
            }
            Self::NotRunning(_) => "Start the container, then try again.",
            Self::Cut { .. } => "The engine or the container stopped in the middle; see its logs.",
            Self::Stalled { .. } => {
                "A lock or a stopped disk may hold it up; look at the container, or raise the stall limit."
            }
            Self::NoExitCode { .. } => "The engine lost the program; its own log says more.",
            Self::NoSuchProgram { .. } => "Use an image that holds the database's own tools.",
            Self::NoHelperImage { .. } => {
                "Load an image with a shell and tar into the engine, and name it by --helper-image."
            }
            Self::Refused { .. } => "The engine's own log says more.",
            Self::Cancelled => "",
        }
    }
}

impl From<DockerError> for Failure {
    fn from(error: DockerError) -> Self {
        if error.is_temporary() {
            Failure::temporary(error.to_string(), error.hint())
        } else {
            Failure::permanent(error.to_string(), error.hint())
        }
    }
}
