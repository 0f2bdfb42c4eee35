//! An engine that does as it is told: for tests of what a real one will not do on demand.
//!
//! ```
//! # use holdfast::docker::{fake::{FakeEngine, Script}, Command, Engine, command};
//! # use std::time::Duration;
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let engine = FakeEngine::with("shop-db");
//! engine.on("pg_dump", |call| match call.argv.last().unwrap().as_str() {
//!     "shop" => Script::new().stdout("-- dump").exit(0),
//!     _ => Script::new().stderr("no such database").exit(1),
//! });
//! let dump = Command::new(["pg_dump", "shop"]);
//! let done = command::run(&*engine, "shop-db", dump, None, Duration::from_secs(1)).await.unwrap();
//! assert_eq!(done.stdout, "-- dump");
//! assert_eq!(engine.journal(), ["exec shop-db: pg_dump shop"]);
//! # }
//! ```

mod script;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

pub use self::script::Script;
use self::script::Stdin;
use super::{Command, Container, DockerError, Engine, EngineInfo, HelperOrder, Session};
use crate::domain::secret::Secret;

#[derive(Default)]
pub struct FakeEngine {
    state: Mutex<State>,
    down: AtomicBool,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<String, Entry>,
    programs: HashMap<String, Handler>,
    /// Errors waiting for the next `start`, `stop` or `sweep`.
    refusals: HashMap<&'static str, VecDeque<DockerError>>,
    journal: Vec<String>,
    calls: Vec<Call>,
}

struct Entry {
    container: Container,
    /// Cancelled when the container stops; a new one for each start.
    dead: CancellationToken,
}

/// Label of a helper: whom it helps.
const HELPS: &str = "helps";

type Handler = Arc<dyn Fn(&Call) -> Script + Send + Sync>;

/// A program that was run.
#[derive(Clone)]
pub struct Call {
    pub container: String,
    pub argv: Vec<String>,
    pub env: Vec<(String, Secret)>,
    pub user: Option<String>,
    stdin: Arc<Stdin>,
}

impl Call {
    /// What was written to its standard input so far, and whether the end of it was told.
    pub fn stdin(&self) -> (Bytes, bool) {
        self.stdin.seen()
    }

    /// Whether its output ended, or nobody holds the session any more.
    pub fn is_over(&self) -> bool {
        self.stdin.is_gone()
    }
}

impl FakeEngine {
    /// An engine with one running container of this name.
    pub fn with(name: &str) -> Arc<Self> {
        let engine = Arc::new(Self::default());
        engine.add(Container {
            id: format!("{name}-id"),
            name: name.to_owned(),
            running: true,
            ..Container::default()
        });
        engine
    }

    /// Adds or replaces a container, found by its name and its id.
    pub fn add(&self, container: Container) {
        let dead = CancellationToken::new();
        if !container.running {
            dead.cancel();
        }
        let name = container.name.clone();
        self.state()
            .containers
            .insert(name, Entry { container, dead });
    }

    /// What happens when a program of this name is started; the last word counts. A program
    /// nothing was said of is not in the image.
    pub fn on(&self, program: &str, script: impl Fn(&Call) -> Script + Send + Sync + 'static) {
        self.state()
            .programs
            .insert(program.to_owned(), Arc::new(script));
    }

    /// The container dies: its programs' output ends, their exit status is 137.
    pub fn kill(&self, name: &str) {
        if let Some(entry) = self.state().containers.get_mut(name) {
            entry.container.running = false;
            entry.dead.cancel();
        }
    }

    /// The container dies and is gone.
    pub fn remove(&self, name: &str) {
        self.kill(name);
        self.state().containers.remove(name);
    }

    /// While down, every call fails with `Unreachable`. Running programs go on.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// The next `"start"`, `"stop"`, `"sweep"` or `"helper"` fails with this; several wait in line.
    pub fn refuse(&self, verb: &'static str, error: DockerError) {
        self.state()
            .refusals
            .entry(verb)
            .or_default()
            .push_back(error);
    }

    /// What was asked of the engine, in order: `exec db: pg_dump shop`, `stop db`, `start db`.
    pub fn journal(&self) -> Vec<String> {
        self.state().journal.clone()
    }

    /// The programs that were run, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn up(&self) -> Result<MutexGuard<'_, State>, DockerError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(DockerError::Unreachable {
                host: "fake://".into(),
                reason: "it was told to be down".into(),
            });
        }
        Ok(self.state())
    }

    /// A `start`, `stop` or `sweep`: noted, refused if so told.
    fn order(
        &self,
        verb: &'static str,
        container: &str,
    ) -> Result<MutexGuard<'_, State>, DockerError> {
        let mut state = self.up()?;
        let name = state.entry(container)?.container.name.clone();
        state.journal.push(format!("{verb} {name}"));
        match state.refusals.get_mut(verb).and_then(VecDeque::pop_front) {
            Some(error) => Err(error),
            None => Ok(state),
        }
    }
}

impl State {
    fn entry(&mut self, id_or_name: &str) -> Result<&mut Entry, DockerError> {
        self.containers
            .values_mut()
            .find(|entry| entry.container.name == id_or_name || entry.container.id == id_or_name)
            .ok_or_else(|| DockerError::NoSuchContainer(id_or_name.to_owned()))
    }
}

#[async_trait]
impl Engine for FakeEngine {
    async fn info(&self) -> Result<EngineInfo, DockerError> {
        drop(self.up()?);
        Ok(EngineInfo {
            version: "0.0-fake".into(),
            api_version: "1.40".into(),
            os: "linux".into(),
        })
    }

    async fn containers(&self) -> Result<Vec<Container>, DockerError> {
        let bare = |entry: &Entry| Container {
            env: Secret::default(),
            ..entry.container.clone()
        };
        Ok(self.up()?.containers.values().map(bare).collect())
    }

    async fn container(&self, id_or_name: &str) -> Result<Container, DockerError> {
        Ok(self.up()?.entry(id_or_name)?.container.clone())
    }

    async fn exec(&self, container: &str, command: Command) -> Result<Session, DockerError> {
        let (handler, call, dead) = {
            let mut state = self.up()?;
            let entry = state.entry(container)?;
            let (name, dead) = (entry.container.name.clone(), entry.dead.clone());
            if !entry.container.running {
                return Err(DockerError::NotRunning(name));
            }
            let program = command.program().to_owned();
            state
                .journal
                .push(format!("exec {name}: {}", command.argv.join(" ")));
            let call = Call {
                container: name.clone(),
                argv: command.argv,
                env: command.env,
                user: command.user,
                stdin: Stdin::new(command.stdin),
            };
            state.calls.push(call.clone());
            let handler = state.programs.get(&program).cloned();
            let missing = DockerError::NoSuchProgram {
                container: name,
                program,
            };
            (handler.ok_or(missing)?, call, dead)
        };
        // Unlocked, so that a script may look at the engine and change it.
        handler(&call).play(&call, call.stdin.clone(), dead)
    }

    async fn sweep(&self, container: &str, _user: Option<&str>) -> Result<(), DockerError> {
        self.order("sweep", container).map(drop)
    }

    async fn stopped(&self, container: &str) -> Result<(), DockerError> {
        let dead = match self.up()?.entry(container) {
            Ok(entry) => entry.dead.clone(),
            Err(_) => return Ok(()),
        };
        dead.cancelled().await;
        Ok(())
    }

    async fn start(&self, container: &str) -> Result<(), DockerError> {
        let mut state = self.order("start", container)?;
        let entry = state.entry(container)?;
        if !entry.container.running {
            entry.container.running = true;
            entry.dead = CancellationToken::new();
        }
        Ok(())
    }

    async fn stop(&self, container: &str, _grace: Duration) -> Result<(), DockerError> {
        let mut state = self.order("stop", container)?;
        let entry = state.entry(container)?;
        entry.container.running = false;
        entry.dead.cancel();
        Ok(())
    }

    async fn helper(&self, order: HelperOrder<'_>) -> Result<Container, DockerError> {
        let state = self.order("helper", &order.of.id)?;
        let number = state.containers.len();
        let container = Container {
            id: format!("helper-{number}-id"),
            name: format!("helper-{number}"),
            image: order.of.image.clone(),
            image_id: order.of.image_id.clone(),
            running: true,
            labels: BTreeMap::from([(HELPS.to_owned(), order.of.id.clone())]),
            mounts: order.of.mounts.clone(),
            ..Container::default()
        };
        drop(state);
        self.add(container.clone());
        Ok(container)
    }

    async fn remove_helper(&self, helper: &str) -> Result<(), DockerError> {
        let found = self.up()?.entry(helper).map(|e| e.container.name.clone());
        if let Ok(name) = found {
            self.remove(&name);
        }
        Ok(())
    }

    async fn sweep_helpers(&self, container: &str) -> Result<usize, DockerError> {
        let of = |entry: &&Entry| entry.container.label(HELPS) == Some(container);
        let all = self.up()?;
        let helpers = all.containers.values().filter(of);
        let names: Vec<String> = helpers.map(|e| e.container.name.clone()).collect();
        drop(all);
        for name in &names {
            self.remove(name);
        }
        Ok(names.len())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::docker::Chunk;

    #[tokio::test]
    async fn signals_put_a_test_at_a_point_of_the_script() {
        let engine = FakeEngine::with("db");
        let (here, go) = (CancellationToken::new(), CancellationToken::new());
        let signals = (here.clone(), go.clone());
        engine.on("tar", move |_| {
            Script::new()
                .stdout("one")
                .tell(&signals.0)
                .wait(&signals.1)
                .stdout("two")
        });
        let mut session = engine.exec("db", Command::new(["tar"])).await.unwrap();
        let chunk = session.output.next().await.unwrap().unwrap();
        assert_eq!(chunk, Chunk::Stdout("one".into()));
        let (next, ()) = tokio::join!(session.output.next(), async {
            here.cancelled().await;
            go.cancel();
        });
        assert_eq!(next.unwrap().unwrap(), Chunk::Stdout("two".into()));
        assert!(session.output.next().await.is_none());
        assert_eq!(session.exit.await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_killed_container_ends_what_runs_in_it() {
        let engine = FakeEngine::with("db");
        engine.on("pg_dump", |_| Script::new().stdout("half").stall());
        let mut session = engine
            .exec("db", Command::new(["pg_dump"]).with_stdin())
            .await
            .unwrap();
        let mut stdin = session.stdin.take().unwrap();
        session.output.next().await.unwrap().unwrap();
        let (stopped, end, ()) = tokio::join!(engine.stopped("db"), session.output.next(), async {
            engine.kill("db");
        });
        stopped.unwrap();
        assert!(end.is_none());
        assert_eq!(session.exit.await.unwrap(), 137);
        assert!(stdin.write_all(b"more").await.is_err());
        let error = engine
            .exec("db", Command::new(["pg_dump"]))
            .await
            .err()
            .unwrap();
        assert!(matches!(error, DockerError::NotRunning(_)));
        engine.start("db").await.unwrap();
        assert!(engine.container("db-id").await.unwrap().running);
    }

    #[tokio::test]
    async fn refusals_and_outages_are_told() {
        let engine = FakeEngine::with("db");
        let grace = Duration::from_secs(1);
        engine.refuse("stop", DockerError::Cancelled);
        assert!(engine.stop("db", grace).await.is_err());
        engine.stop("db", grace).await.unwrap();
        engine.set_down(true);
        assert!(matches!(
            engine.info().await,
            Err(DockerError::Unreachable { .. })
        ));
        engine.set_down(false);
        engine.remove("db");
        engine.stopped("db").await.unwrap();
        assert!(matches!(
            engine.start("db").await,
            Err(DockerError::NoSuchContainer(_))
        ));
        assert_eq!(engine.journal(), ["stop db", "stop db"]);
    }

    #[tokio::test]
    async fn what_was_written_can_be_looked_at() {
        let engine = FakeEngine::with("db");
        engine.on("psql", |_| Script::new().stall());
        let mut session = engine
            .exec("db", Command::new(["psql"]).with_stdin())
            .await
            .unwrap();
        let mut stdin = session.stdin.take().unwrap();
        stdin.write_all(b"select 1").await.unwrap();
        let call = engine.calls().remove(0);
        assert_eq!(call.stdin(), (Bytes::from_static(b"select 1"), false));
        stdin.shutdown().await.unwrap();
        assert!(call.stdin().1 && !call.is_over());
        drop(session);
        assert!(call.is_over());
        let error = engine
            .exec("db", Command::new(["mysql"]))
            .await
            .err()
            .unwrap();
        assert!(matches!(error, DockerError::NoSuchProgram { .. }));
    }
}
