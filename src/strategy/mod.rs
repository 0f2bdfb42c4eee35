//! What to back up, and how to bring it back. One file a strategy, its name in `ALL`; label, icon,
//! description, form fields and detection come from that file and nowhere else.
//!
//! A strategy knows the engine (a container, programs inside it) and nothing of targets, the log
//! or the web. It moves bytes through `Sink` and `ByteStream`, in bounded memory.

pub mod by_hand;
mod complaint;
mod environment;
pub mod image;
mod mongo;
mod mysql;
mod postgres;
mod pour;
mod pump;
mod recorded;
mod redis;
pub mod service;
mod sqlite;
pub mod stderr;
mod swap;
mod talk;
mod tar;
mod volume;
mod watch;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio_util::sync::CancellationToken;

pub use self::redis::save as save_redis;
pub use crate::domain::restore::{Kept, Step};
use crate::{
    docker::{Container, DockerError, Engine},
    domain::{
        failure::{Failure, FieldErrors},
        form::Field,
        manifest::{Fingerprint, Manifest},
        secret::Secret,
    },
};

/// Every strategy there is, in the order the wizard shows them.
pub const ALL: &[&dyn Strategy] = &[
    &postgres::Postgres,
    &mysql::MySql,
    &mongo::Mongo,
    &redis::Redis,
    &sqlite::Sqlite,
    &volume::Volume,
];

pub fn find(kind: &str) -> Option<&'static dyn Strategy> {
    ALL.iter().copied().find(|strategy| strategy.kind() == kind)
}

/// A way to back up and restore one kind of service.
///
/// Contract:
/// - `backup` returns `Ok` only when the tool's exit status 0 was read **after** the stream ended
///   and everything it wrote went into the sink. It leaves nothing behind in the container.
/// - `validator` judges the raw bytes alone, the same way before a run counts and before a restore
///   touches anything: no backup that our own restore would refuse.
/// - `restore` works on the side and swaps. Every step that leaves a trace is recorded in the
///   journal **before** it is done. An `Err` means: the original content is intact and in use, unless
///   the error is `Unsettled`, which asks for `settle`, or `NeedsAttention`, which names where the
///   original is kept. The same holds for `undo`.
/// - `settle` is given the journal of a restore or undo that did not end (crash, cancel, error) and brings
///   the service to one of two states: as before the restore, or restored. It may be called any
///   number of times, and after any step.
#[async_trait]
pub trait Strategy: Send + Sync {
    /// Stable name, as stored in configs and events: `postgres`.
    fn kind(&self) -> &'static str;
    fn label(&self) -> &'static str;
    fn description(&self) -> &'static str;
    /// Name of a symbol in the icon sprite.
    fn icon(&self) -> &'static str;
    /// Of the raw artifact that a config with these options makes, without the compression's: `sql`.
    fn extension(&self, options: &Options) -> &'static str;

    /// What a config's form asks for: plain inputs are `options`, secret ones `credentials`.
    fn fields(&self) -> &'static [Field] {
        &[]
    }

    /// Whether a config names paths of the service.
    fn takes_paths(&self) -> bool {
        false
    }

    /// Does this container hold what the strategy is for? Judged by image name, word by word.
    fn detect(&self, container: &Container) -> Option<Detected>;

    /// Looks into a running service for what its image does not tell, in a few seconds at most.
    async fn find(&self, site: &Site) -> Result<Option<Detected>, StrategyError> {
        let _ = site;
        Ok(None)
    }

    /// Checks a config's options (`database`, …) without touching anything.
    fn check(&self, options: &Options) -> Result<(), FieldErrors>;

    /// Looks before dumping: is the tool there, does the database exist, which versions.
    async fn probe(&self, site: &Site) -> Result<Probe, StrategyError>;

    /// What a restore of `subject` would meet in this service, without touching anything: the
    /// content that it would replace, and its size; no size when there is none yet. For strategies
    /// whose subject need not be there for a restore, this is not what the probe finds.
    async fn destination(&self, site: &Site, subject: &str) -> Result<Probe, StrategyError> {
        let _ = subject;
        self.probe(site).await
    }

    async fn backup(&self, site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError>;

    fn validator(&self) -> Box<dyn Validator>;

    async fn restore(
        &self,
        site: &Site,
        plan: &RestorePlan,
        artifact: RawStream,
        journal: &dyn Journal,
    ) -> Result<Restored, StrategyError>;

    async fn settle(&self, site: &Site, steps: &[Step]) -> Result<Settled, StrategyError>;

    /// Puts back what a finished restore set aside; what the restore brought is set aside in turn.
    async fn undo(
        &self,
        site: &Site,
        kept: &Kept,
        journal: &dyn Journal,
    ) -> Result<Kept, StrategyError>;

    /// Whether it can back up a service that does not run, so that a hook may stop it.
    fn backs_up_stopped(&self) -> bool {
        false
    }

    /// Whether its restore stops the service: then what it began is settled, undone and forgotten
    /// even while the service does not run.
    fn stops_service(&self) -> bool {
        false
    }

    /// Removes what was set aside for undo. Gone is fine.
    async fn forget(&self, site: &Site, kept: &Kept) -> Result<(), StrategyError>;

    /// Shell commands that restore the artifact with stock tools. `file` is where it lies.
    fn by_hand(&self, manifest: &Manifest, file: &str) -> Vec<String>;
}

/// Where a strategy works: one container, with what the config says about it.
#[derive(Clone)]
pub struct Site {
    pub engine: Arc<dyn Engine>,
    pub container: Container,
    pub options: Options,
    pub cancel: CancellationToken,
    /// A stream that moves no byte for this long has failed.
    pub stall: Duration,
}

impl Site {
    /// The failure in a person's words: the container by its name, not its id.
    pub fn named(&self, mut failure: Failure) -> Failure {
        let Container { id, name, .. } = &self.container;
        for text in [&mut failure.message, &mut failure.hint, &mut failure.detail] {
            if !id.is_empty() && text.contains(id.as_str()) {
                *text = text.replace(id.as_str(), name);
            }
        }
        failure
    }
}

/// What a config says to its strategy: plain options, credentials from the vault, paths.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub plain: BTreeMap<String, String>,
    pub credentials: BTreeMap<String, Secret>,
    pub paths: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// Why, in words: `image postgres:16, database from POSTGRES_DB`.
    pub reason: String,
    pub paths: Vec<String>,
    pub metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// What will be dumped: a database name, paths.
    pub subject: String,
    pub server: String,
    pub tool: String,
    /// Rough size of the source in bytes, when the engine tells; for the estimate on the run page.
    pub size: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dumped {
    pub warnings: Vec<String>,
}

/// Where a strategy pours the raw bytes. Slow when the target is slow.
#[async_trait]
pub trait Sink: Send {
    /// Fails when whoever takes the bytes gave up; the strategy then stops and returns `Refused`.
    async fn write(&mut self, chunk: Bytes) -> Result<(), SinkClosed>;
}

#[derive(Debug, thiserror::Error)]
#[error("the receiver of the backup stopped taking bytes")]
pub struct SinkClosed;

/// Raw (decompressed, decrypted) bytes of an artifact.
pub type RawStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Judges raw bytes as they pass. Cheap: it sees every byte of every backup.
pub trait Validator: Send {
    fn feed(&mut self, chunk: &[u8]);
    /// Says what is wrong, or what the artifact holds.
    fn finish(self: Box<Self>) -> Result<Fingerprint, String>;
}

#[derive(Debug, Clone)]
pub struct RestorePlan {
    /// Unique to this restore; names made from it can never meet those of another.
    pub id: i64,
    pub manifest: Manifest,
    /// Counted from the artifact by the validator, just before.
    pub fingerprint: Fingerprint,
}

#[async_trait]
pub trait Journal: Send + Sync {
    /// Durable when it returns. Fails when the restore may not go on (cancelled, fenced off).
    async fn record(&self, step: Step) -> Result<(), JournalClosed>;
    /// Tells how far the present step is; lost on a crash. Bytes of the raw artifact.
    fn progress(&self, bytes: u64);
}

#[derive(Debug, thiserror::Error)]
#[error("the restore was taken from this worker: {0}")]
pub struct JournalClosed(pub String);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub fingerprint: Fingerprint,
    pub kept: Option<Kept>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The service is as it was before the restore; nothing is left behind.
    AsBefore,
    /// The swap had happened: the restore is whole, and can be undone.
    Restored(Option<Kept>),
}

#[derive(Debug, thiserror::Error)]
pub enum StrategyError {
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// What the config says does not fit the service: no such database, a wrong password.
    #[error("{message}")]
    Option {
        /// As in the API: `options.database`, `credentials.password`.
        field: &'static str,
        message: String,
        hint: String,
    },
    /// The tool ended with an error, or its output proves nothing.
    #[error("{message}")]
    Tool {
        message: String,
        hint: String,
        /// Last lines of stderr, secrets masked.
        detail: String,
        temporary: bool,
    },
    #[error(transparent)]
    SinkClosed(#[from] SinkClosed),
    #[error(transparent)]
    JournalClosed(#[from] JournalClosed),
    /// Reading the artifact failed on the way in.
    #[error("the artifact could not be read to its end: {0}")]
    Artifact(std::io::Error),
    /// It failed, and what it left could not be put in order either, because the service is out of
    /// reach: `settle` has to be called, as after a crash.
    #[error("{0}")]
    Unsettled(Box<StrategyError>),
    /// Neither as before nor restored; a person must act. Says where the original content is.
    #[error("{message}")]
    NeedsAttention { message: String, hint: String },
    #[error("cancelled")]
    Cancelled,
}

impl StrategyError {
    /// Something that a person has to change first, found before a tool could complain of it.
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Tool {
            message: message.into(),
            hint: hint.into(),
            detail: String::new(),
            temporary: false,
        }
    }
}

/// A few letters that no other attempt has, for names that it leaves in a server or a volume.
fn tag() -> Result<String, StrategyError> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|error| StrategyError::refused(format!("no random numbers: {error}"), ""))?;
    Ok(hex::encode(bytes))
}

impl From<StrategyError> for Failure {
    fn from(error: StrategyError) -> Self {
        match error {
            StrategyError::Docker(error) => error.into(),
            StrategyError::Unsettled(error) => (*error).into(),
            StrategyError::Tool {
                message,
                hint,
                detail,
                temporary,
            } => {
                let failure = if temporary {
                    Failure::temporary(message, hint)
                } else {
                    Failure::permanent(message, hint)
                };
                failure.with_detail(detail)
            }
            StrategyError::Option { message, hint, .. }
            | StrategyError::NeedsAttention { message, hint } => Failure::permanent(message, hint),
            StrategyError::Artifact(_) | StrategyError::SinkClosed(_) => {
                Failure::temporary(error.to_string(), "")
            }
            StrategyError::JournalClosed(_) | StrategyError::Cancelled => {
                Failure::permanent(error.to_string(), "")
            }
        }
    }
}
