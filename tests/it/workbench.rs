//! A strategy on the bench: driven directly, without the application around it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::Utc;
use futures_util::{StreamExt, stream};
use holdfast::{
    docker::DockerEngine,
    domain::manifest::{Artifact, Compression, Fingerprint, Manifest, Source},
    strategy::{
        Dumped, Journal, JournalClosed, Options, Probe, RawStream, RestorePlan, Restored, Sink,
        SinkClosed, Site, Step, Strategy, StrategyError,
    },
};
use tokio_util::sync::CancellationToken;

use crate::bed::{BUSYBOX, Bed};

pub fn engine() -> Arc<DockerEngine> {
    let engine = DockerEngine::connect(None).unwrap();
    Arc::new(engine.with_helper_image(BUSYBOX))
}

/// The place of a strategy in that container, as it is now.
pub async fn site(bed: &Bed, options: Options) -> Site {
    let engine = engine();
    let container = holdfast::docker::Engine::container(&*engine, &bed.name);
    Site {
        container: container.await.unwrap(),
        engine,
        options,
        cancel: CancellationToken::new(),
        stall: std::time::Duration::from_mins(1),
    }
}

#[derive(Clone)]
pub struct Backup {
    pub strategy: &'static dyn Strategy,
    pub probe: Probe,
    pub dumped: Dumped,
    pub bytes: Bytes,
    pub fingerprint: Fingerprint,
}

/// A backup that counts, or why not: all that is between a strategy and a green run.
pub async fn back_up(strategy: &'static dyn Strategy, site: &Site) -> Result<Backup, Trouble> {
    let probe = strategy.probe(site).await?;
    let mut sink = Heap::default();
    let dumped = strategy.backup(site, &mut sink).await?;
    let fingerprint = judge(strategy, &sink.bytes).map_err(Trouble::Invalid)?;
    Ok(Backup {
        strategy,
        probe,
        dumped,
        bytes: sink.bytes.into(),
        fingerprint,
    })
}

pub fn judge(strategy: &dyn Strategy, bytes: &[u8]) -> Result<Fingerprint, String> {
    let mut validator = strategy.validator();
    bytes.chunks(60_000).for_each(|chunk| validator.feed(chunk));
    validator.finish()
}

#[derive(Debug)]
pub enum Trouble {
    Strategy(StrategyError),
    Invalid(String),
}

impl From<StrategyError> for Trouble {
    fn from(error: StrategyError) -> Self {
        Self::Strategy(error)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Strategy(error) => write!(f, "{error}"),
            Self::Invalid(fault) => f.write_str(fault),
        }
    }
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes of {:?}", self.bytes.len(), self.probe)
    }
}

impl Backup {
    pub fn plan(&self, id: i64) -> RestorePlan {
        let manifest = Manifest {
            format: 1,
            run: 1,
            attempt: 1,
            app: "shop".into(),
            service: "db".into(),
            config: 1,
            config_revision: 1,
            strategy: self.strategy.kind().into(),
            source: Source {
                subject: self.probe.subject.clone(),
                server: self.probe.server.clone(),
                tool: self.probe.tool.clone(),
                ..Source::default()
            },
            artifact: Artifact {
                key: "x".into(),
                compression: Compression::None,
                raw_bytes: self.bytes.len() as u64,
                stored_bytes: self.bytes.len() as u64,
                raw_sha256: String::new(),
                stored_sha256: String::new(),
                recipients: Vec::new(),
            },
            fingerprint: self.fingerprint.clone(),
            warnings: Vec::new(),
            started_at: Utc::now(),
            finished_at: Utc::now(),
            restore_by_hand: Vec::new(),
        };
        RestorePlan {
            id,
            manifest,
            fingerprint: self.fingerprint.clone(),
        }
    }

    pub fn stream(&self) -> RawStream {
        pieces(&self.bytes)
    }

    pub async fn restore(&self, site: &Site, journal: &Notes) -> Result<Restored, StrategyError> {
        self.strategy
            .restore(site, &self.plan(7), self.stream(), journal)
            .await
    }
}

/// In the sizes in which a decompressor hands them out.
pub fn pieces(bytes: &Bytes) -> RawStream {
    let bytes = bytes.clone();
    let starts = (0..bytes.len()).step_by(64 * 1024);
    let piece = move |from: usize| Ok(bytes.slice(from..bytes.len().min(from + 64 * 1024)));
    stream::iter(starts.map(piece)).boxed()
}

#[derive(Default)]
pub struct Heap {
    pub bytes: Vec<u8>,
}

#[async_trait]
impl Sink for Heap {
    async fn write(&mut self, chunk: Bytes) -> Result<(), SinkClosed> {
        self.bytes.extend_from_slice(&chunk);
        Ok(())
    }
}

type Hook = Box<dyn Fn(&Step) -> Result<(), JournalClosed> + Send + Sync>;

/// A journal on paper. `at` acts when a step is recorded, and may refuse it.
#[derive(Default)]
pub struct Notes {
    steps: Mutex<Vec<Step>>,
    hook: Option<Hook>,
    pub bytes: AtomicU64,
}

impl Notes {
    pub fn with(hook: impl Fn(&Step) -> Result<(), JournalClosed> + Send + Sync + 'static) -> Self {
        Self {
            hook: Some(Box::new(hook)),
            ..Self::default()
        }
    }

    /// Acts when the step of this number is recorded, the first being 0.
    pub fn at_nth(number: usize, act: impl Fn() + Send + Sync + 'static) -> Self {
        let seen = AtomicUsize::new(0);
        Self::with(move |_| {
            if seen.fetch_add(1, Ordering::Relaxed) == number {
                act();
            }
            Ok(())
        })
    }

    /// Refuses the step of this number, and all after it.
    pub fn refusing_nth(number: usize) -> Self {
        let seen = AtomicUsize::new(0);
        Self::with(move |_| {
            if seen.fetch_add(1, Ordering::Relaxed) >= number {
                return Err(JournalClosed("taken over".into()));
            }
            Ok(())
        })
    }

    /// Refuses this step: it is not recorded, and may not be done.
    pub fn refusing(name: &'static str) -> Self {
        Self::with(move |step| {
            if step.name == name {
                return Err(JournalClosed("taken over".into()));
            }
            Ok(())
        })
    }

    pub fn steps(&self) -> Vec<Step> {
        self.steps.lock().unwrap().clone()
    }

    pub fn names(&self) -> Vec<String> {
        self.steps().into_iter().map(|step| step.name).collect()
    }
}

#[async_trait]
impl Journal for Notes {
    async fn record(&self, step: Step) -> Result<(), JournalClosed> {
        let allowed = self.hook.as_ref().map_or(Ok(()), |hook| hook(&step));
        if allowed.is_ok() {
            self.steps.lock().unwrap().push(step);
        }
        allowed
    }

    fn progress(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}
