//! Holdfast as a whole in this process: real engine, real database, a data folder of its own; and
//! places to put faults between it and the engine or the target.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use holdfast::{
    app::{Caller, ConfigInput, Holdfast, RestoreInput, Settings},
    bootstrap::{self, Opened},
    config::{Config, DataArgs, EngineArgs},
    docker::{
        Chunk, Command, Container, DockerEngine, DockerError, Engine, EngineInfo, HelperOrder,
        Session,
    },
    domain::{
        app::AppSpec,
        ids::{ConfigId, RestoreId, RunId},
        run::Trigger,
    },
    readmodel::{restores, runs},
    target::memory::{Fault, Faulty, Scope},
    work::{Work, WorkerHealth},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::bed::{BUSYBOX, Bed, docker, until_postgres};

/// Seconds without a byte: no pause of a busy machine is as long.
const STALL: u64 = 10;

pub struct House {
    pub holdfast: Holdfast,
    pub caller: Caller,
    pub faults: Faults,
    pub data: TempDir,
    work: Option<Work>,
    _opened: Opened,
}

/// What goes wrong right now.
#[derive(Clone, Default)]
pub struct Faults {
    pub target: Arc<Mutex<Option<(Fault, Scope)>>>,
    pub engine: Arc<Mutex<Option<EngineFault>>>,
    /// How many starts of a container the engine still refuses.
    pub starts: Arc<AtomicUsize>,
}

/// What happens to the stream of the dump.
#[derive(Debug, Clone)]
pub enum EngineFault {
    /// The connection breaks after so many bytes.
    CutAfter(usize),
    /// The stream ends as if all were well after so many bytes; the exit status says 0.
    EndAfter(usize),
    /// Nothing comes at all, and the exit status says 0.
    Silence,
    /// All comes, but the engine lost the exit status.
    NoExit,
    /// All comes, and the exit status says that the program was killed.
    Killed,
    /// Nothing comes, and nothing ends.
    Hang,
    /// After so many bytes it tells that it is there, and goes on when it is told to.
    Hold {
        after: usize,
        reached: CancellationToken,
        release: CancellationToken,
    },
}

/// What the servers of the tests are started with, unless one says otherwise.
pub fn engine_args() -> EngineArgs {
    EngineArgs {
        docker_host: None,
        helper_image: BUSYBOX.to_owned(),
        stall: 10,
        target_stall: 10,
        backups: 4,
        backups_per_target: None,
        keep_undo: 3600,
        exec_hooks: false,
        attempts: 2,
        private_targets: true,
        private_webhooks: true,
        recovery_keys: Vec::new(),
        retry: 1,
        master_key_file: None,
    }
}

/// Whether this command line writes a dump.
pub type IsDump = fn(&[String]) -> bool;

pub fn pg_dump(argv: &[String]) -> bool {
    argv[0].ends_with("pg_dump") && argv.get(1).is_none_or(|word| word != "--version")
}

impl House {
    pub async fn new() -> Self {
        Self::of(pg_dump).await
    }

    /// One whose engine can spoil the streams of these dumps.
    pub async fn of(is_dump: IsDump) -> Self {
        Self::open(is_dump, STALL, |_| {}).await
    }

    /// The same for tests of silence: it soon takes a pause for the end.
    pub async fn impatient(is_dump: IsDump) -> Self {
        Self::open(is_dump, 2, |_| {}).await
    }

    /// One that was told something else than usual.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::open(pg_dump, STALL, change).await
    }

    /// One that lets a dump move no byte for a minute.
    pub async fn patient() -> Self {
        Self::open(pg_dump, 60, |_| {}).await
    }

    async fn open(is_dump: IsDump, stall: u64, change: impl FnOnce(&mut Settings)) -> Self {
        Self::at(TempDir::new().unwrap(), is_dump, stall, change).await
    }

    /// In a data folder that may have something in it.
    pub async fn at(
        data: TempDir,
        is_dump: IsDump,
        stall: u64,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::assemble(data, None, is_dump, stall, change).await
    }

    /// One that reaches the engine by this socket.
    pub async fn through(socket: &std::path::Path) -> Self {
        let data = TempDir::new().unwrap();
        Self::assemble(data, socket.to_str(), pg_dump, STALL, |_| {}).await
    }

    async fn assemble(
        data: TempDir,
        docker: Option<&str>,
        is_dump: IsDump,
        stall: u64,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let args = DataArgs {
            data_dir: data.path().to_owned(),
        };
        let engine_args = EngineArgs {
            stall,
            target_stall: stall,
            exec_hooks: true,
            ..engine_args()
        };
        let mut config = Config::new(&args, &engine_args).unwrap();
        config.settings.retry_base = Duration::from_millis(20);
        config.settings.retry_max = Duration::from_millis(40);
        change(&mut config.settings);
        let faults = Faults::default();
        let engine = FaultyEngine {
            inner: DockerEngine::connect(docker)
                .unwrap()
                .with_helper_image(BUSYBOX),
            fault: faults.engine.clone(),
            is_dump,
            starts: faults.starts.clone(),
        };
        let target_fault = faults.target.clone();
        let opened = bootstrap::open_with(
            &config,
            Arc::new(engine),
            Some(Arc::new(move |inner| {
                let faulty = Faulty::new(inner);
                if let Some((fault, scope)) = target_fault.lock().unwrap().clone() {
                    faulty.inject(fault, scope);
                }
                Arc::new(faulty)
            })),
        )
        .await
        .unwrap();
        let holdfast = opened.holdfast.clone();
        let work = Work::start(holdfast.clone(), "test").await.unwrap();
        Self {
            caller: Caller::system("test"),
            holdfast,
            faults,
            data,
            work: Some(work),
            _opened: opened,
        }
    }

    /// Events but refusals: those are meant to be noted.
    pub async fn changes(&self) -> usize {
        let events = self.holdfast.log().read_from(0, 10_000).await.unwrap();
        let told = events.iter().filter(|event| event.name != "audit.refused");
        told.count()
    }

    /// An app `slug` of the compose project that `postgres` was started with.
    pub async fn app(&self, slug: &str, project: &str) {
        let spec = AppSpec {
            project: project.to_owned(),
            ..AppSpec::default()
        };
        self.holdfast
            .register_app(&self.caller, slug, spec)
            .await
            .unwrap();
    }

    pub async fn config(&self, slug: &str, change: impl FnOnce(&mut ConfigInput)) -> ConfigId {
        let mut input = ConfigInput {
            service: Some("db".into()),
            strategy: Some("postgres".into()),
            target: Some("local".into()),
            ..ConfigInput::default()
        };
        change(&mut input);
        self.holdfast
            .create_config(&self.caller, slug, input)
            .await
            .unwrap()
            .config_id()
    }

    pub async fn request(&self, config: ConfigId) -> RunId {
        self.holdfast
            .request_run(&self.caller, config, Trigger::Manual)
            .await
            .unwrap()
    }

    /// Runs a backup to its end.
    pub async fn back_up(&self, config: ConfigId) -> runs::Model {
        let id = self.request(config).await;
        self.run_over(id).await
    }

    /// The run as it is now.
    pub async fn run(&self, id: RunId) -> runs::Model {
        self.holdfast.run(&self.caller, id).await.unwrap()
    }

    pub async fn run_count(&self) -> usize {
        let all = runs::Filter {
            limit: 1000,
            ..runs::Filter::default()
        };
        self.holdfast.runs(&self.caller, &all).await.unwrap().len()
    }

    pub async fn run_over(&self, id: RunId) -> runs::Model {
        self.run_when(id, runs::Model::is_over).await
    }

    /// The run once it is so.
    pub async fn run_when(&self, id: RunId, so: impl Fn(&runs::Model) -> bool) -> runs::Model {
        run_when(&self.holdfast, &self.caller, id, so).await
    }

    /// Restores a run to its end.
    pub async fn restore(&self, run: RunId) -> restores::Model {
        let id = self
            .holdfast
            .request_restore(&self.caller, run, RestoreInput::default())
            .await
            .unwrap();
        self.restore_over(id).await
    }

    pub async fn restore_over(&self, id: RestoreId) -> restores::Model {
        let mut head = self.holdfast.log().watch_head();
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let restore = self.holdfast.restore(&self.caller, id).await.unwrap();
            if restore.is_over() {
                return restore;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "stuck: {restore:?}");
            let _ = tokio::time::timeout(left, head.changed()).await;
        }
    }

    pub fn workers(&self) -> Vec<WorkerHealth> {
        self.work
            .as_ref()
            .map_or_else(Vec::new, |work| work.health.workers())
    }

    pub async fn close(mut self) {
        if let Some(work) = self.work.take() {
            work.stop(Duration::from_secs(10)).await;
        }
    }

    pub fn heal(&self) {
        *self.faults.target.lock().unwrap() = None;
        *self.faults.engine.lock().unwrap() = None;
    }
}

/// The run once it is so; panics after two minutes.
pub async fn run_when(
    holdfast: &Holdfast,
    caller: &Caller,
    id: RunId,
    so: impl Fn(&runs::Model) -> bool,
) -> runs::Model {
    let mut head = holdfast.log().watch_head();
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let run = holdfast.run(caller, id).await.unwrap();
        if so(&run) {
            return run;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "it stays so: {run:?}");
        let _ = tokio::time::timeout(left, head.changed()).await;
    }
}

/// A PostgreSQL of its own compose project, ready to serve.
pub fn postgres(image: &str, project: &str, options: &[&str]) -> Bed {
    let fixed = ["-e", "POSTGRES_PASSWORD=secret", "-e", "POSTGRES_DB=shop"];
    let bed = Bed::service(image, project, &[&fixed[..], options].concat(), &[]);
    until_postgres(&bed);
    bed
}

/// As the superuser, in that database; what `psql` prints.
pub fn psql(bed: &Bed, database: &str, sql: &str) -> String {
    let fixed = ["exec", &bed.name, "psql", "-U", "postgres", "-d", database];
    docker(&[&fixed[..], &["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]].concat())
}

struct FaultyEngine {
    inner: DockerEngine,
    fault: Arc<Mutex<Option<EngineFault>>>,
    is_dump: IsDump,
    starts: Arc<AtomicUsize>,
}

#[async_trait]
impl Engine for FaultyEngine {
    async fn info(&self) -> Result<EngineInfo, DockerError> {
        self.inner.info().await
    }

    async fn containers(&self) -> Result<Vec<Container>, DockerError> {
        self.inner.containers().await
    }

    async fn container(&self, id_or_name: &str) -> Result<Container, DockerError> {
        self.inner.container(id_or_name).await
    }

    async fn exec(&self, container: &str, command: Command) -> Result<Session, DockerError> {
        let dumps = (self.is_dump)(&command.argv);
        let session = self.inner.exec(container, command).await?;
        let fault = self.fault.lock().unwrap().clone();
        Ok(match fault {
            Some(fault) if dumps => spoil(session, fault, container),
            _ => session,
        })
    }

    async fn sweep(&self, container: &str, user: Option<&str>) -> Result<(), DockerError> {
        self.inner.sweep(container, user).await
    }

    async fn stopped(&self, container: &str) -> Result<(), DockerError> {
        self.inner.stopped(container).await
    }

    async fn start(&self, container: &str) -> Result<(), DockerError> {
        let refused = |left: usize| left.checked_sub(1);
        let refused = self.starts.fetch_update(SeqCst, SeqCst, refused);
        if refused.is_ok() {
            return Err(DockerError::Refused {
                status: 500,
                message: "it was told to refuse".into(),
            });
        }
        self.inner.start(container).await
    }

    async fn stop(&self, container: &str, grace: Duration) -> Result<(), DockerError> {
        self.inner.stop(container, grace).await
    }

    async fn helper(&self, order: HelperOrder<'_>) -> Result<Container, DockerError> {
        self.inner.helper(order).await
    }

    async fn remove_helper(&self, helper: &str) -> Result<(), DockerError> {
        self.inner.remove_helper(helper).await
    }

    async fn sweep_helpers(&self, container: &str) -> Result<usize, DockerError> {
        self.inner.sweep_helpers(container).await
    }
}

fn spoil(session: Session, fault: EngineFault, container: &str) -> Session {
    if let EngineFault::Hold {
        after,
        reached,
        release,
    } = fault
    {
        return Session {
            output: hold(session.output, after, reached, release).boxed(),
            ..session
        };
    }
    let container = container.to_owned();
    let Session {
        stdin,
        output,
        exit,
    } = session;
    // A session that is let go of ends its program, so the real one is held to the end.
    let saying = |status: Result<i64, DockerError>| {
        Box::pin(async move {
            let _real = exit;
            status
        })
    };
    match fault {
        EngineFault::CutAfter(bytes) => {
            let cut = futures_util::stream::once(async move {
                Err(DockerError::Cut {
                    container,
                    reason: "connection reset".into(),
                })
            });
            Session {
                stdin,
                output: first(output, bytes).chain(cut).boxed(),
                exit: saying(Ok(0)),
            }
        }
        EngineFault::EndAfter(bytes) => Session {
            stdin,
            output: first(output, bytes).boxed(),
            exit: saying(Ok(0)),
        },
        EngineFault::Silence => Session {
            stdin,
            output: futures_util::stream::empty().boxed(),
            exit: saying(Ok(0)),
        },
        EngineFault::NoExit => Session {
            stdin,
            output,
            exit: saying(Err(DockerError::NoExitCode {
                container,
                program: "the dump".into(),
            })),
        },
        EngineFault::Killed => Session {
            stdin,
            output,
            exit: saying(Ok(137)),
        },
        EngineFault::Hang | EngineFault::Hold { .. } => Session {
            stdin,
            output: futures_util::stream::pending().boxed(),
            exit: Box::pin(futures_util::future::pending()),
        },
    }
}

fn hold(
    output: futures_util::stream::BoxStream<'static, Result<Chunk, DockerError>>,
    after: usize,
    reached: CancellationToken,
    release: CancellationToken,
) -> impl futures_util::Stream<Item = Result<Chunk, DockerError>> + Send + 'static {
    let mut seen = 0;
    output.then(move |chunk| {
        if let Ok(Chunk::Stdout(data)) = &chunk {
            seen += data.len();
        }
        let (held, reached, release) = (seen >= after, reached.clone(), release.clone());
        async move {
            if held {
                reached.cancel();
                release.cancelled().await;
            }
            chunk
        }
    })
}

/// The first bytes of standard output, and all of standard error until then.
fn first(
    output: futures_util::stream::BoxStream<'static, Result<Chunk, DockerError>>,
    bytes: usize,
) -> impl futures_util::Stream<Item = Result<Chunk, DockerError>> + Send + 'static {
    output.scan(bytes, |left, chunk| {
        let chunk = match chunk {
            _ if *left == 0 => None,
            Ok(Chunk::Stdout(data)) => {
                let part: Bytes = data.slice(..data.len().min(*left));
                *left -= part.len();
                Some(Ok(Chunk::Stdout(part)))
            }
            other => Some(other),
        };
        futures_util::future::ready(chunk)
    })
}
