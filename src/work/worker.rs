//! Workers of one queue, and the watch over them. apalis' own polling loses wake-ups and its retry,
//! timeout and panic layers leave rows stuck, so: an own poll strategy, and all of that inside the
//! handler. A worker that ended, or whose poll strategy fell silent while it had nothing to do, is
//! replaced by one with a new name.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use apalis::layers::WorkerBuilderExt;
use apalis::prelude::{
    Attempt, BackendExt, BoxDynError, Data, ParallelizeExt, PollSnapshot, PollStrategy, TaskId,
    WorkerBuilder, WorkerError,
};
use apalis_sqlite::{Config, SqliteStorage};
use futures_util::FutureExt;
use serde_json::Value;
use sqlx::SqlitePool;
use tokio::{sync::Notify, task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use ulid::Ulid;

use super::{
    job::{Job, Queue},
    queue::Bells,
};
use crate::app::Holdfast;

const HEARTBEAT: Duration = Duration::from_secs(5);
/// A safety net below the bell, and what finds jobs whose time has come.
const TICK: Duration = Duration::from_secs(1);
/// An idle worker that has not polled for this long is replaced.
const SILENCE_MS: i64 = 30_000;
/// How often a stop looks whether the last job is over.
const LOOK: Duration = Duration::from_millis(20);
const WATCH: Duration = Duration::from_secs(5);
const MAX_PAUSE: i64 = 300;

/// How the workers are, for `/readyz`, metrics and the System page.
#[derive(Default)]
pub struct Health(Mutex<BTreeMap<&'static str, Arc<Pulse>>>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerHealth {
    pub queue: &'static str,
    pub alive: bool,
    /// Jobs at work.
    pub busy: usize,
    pub restarts: usize,
}

/// One queue's signs of life.
struct Pulse {
    /// Milliseconds since `start` of the last poll.
    polled: AtomicI64,
    start: tokio::time::Instant,
    busy: AtomicUsize,
    restarts: AtomicUsize,
}

impl Pulse {
    fn new() -> Self {
        Self {
            polled: AtomicI64::new(0),
            start: tokio::time::Instant::now(),
            busy: AtomicUsize::new(0),
            restarts: AtomicUsize::new(0),
        }
    }

    fn beat(&self) {
        self.polled.store(self.elapsed(), Relaxed);
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Until no job is at work.
    async fn idle(&self) {
        while self.busy.load(Relaxed) > 0 {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn is_silent(&self) -> bool {
        let silence = self.elapsed() - self.polled.load(Relaxed);
        self.busy.load(Relaxed) == 0 && silence > SILENCE_MS
    }
}

impl Health {
    pub fn workers(&self) -> Vec<WorkerHealth> {
        let pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulses
            .iter()
            .map(|(&queue, pulse)| WorkerHealth {
                queue,
                alive: !pulse.is_silent(),
                busy: pulse.busy.load(Relaxed),
                restarts: pulse.restarts.load(Relaxed),
            })
            .collect()
    }

    fn of(&self, queue: &'static str) -> Arc<Pulse> {
        let mut pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulses
            .entry(queue)
            .or_insert_with(|| Arc::new(Pulse::new()))
            .clone()
    }
}

/// Keeps a worker of `queue` running until `stop`; then lets its jobs end.
pub async fn supervise(
    holdfast: Holdfast,
    queue: &'static Queue,
    bells: Bells,
    health: Arc<Health>,
    stop: CancellationToken,
) {
    let pulse = health.of(queue.name);
    loop {
        pulse.beat();
        let mut worker = spawn(&holdfast, queue, &bells, &pulse, &stop);
        let ended = watch(&mut worker, &pulse).await;
        if stop.is_cancelled() {
            return;
        }
        tracing::error!(queue = queue.name, reason = %ended, "the worker starts again");
        pulse.restarts.fetch_add(1, Relaxed);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// Until the worker ends or falls silent; says which.
async fn watch(worker: &mut JoinHandle<Result<(), WorkerError>>, pulse: &Pulse) -> String {
    let mut look = tokio::time::interval(WATCH);
    loop {
        tokio::select! {
            ended = &mut *worker => return match ended {
                Ok(Ok(())) => "it ended".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            },
            _ = look.tick() => if pulse.is_silent() {
                worker.abort();
                return "it fell silent".to_owned();
            },
        }
    }
}

fn spawn(
    holdfast: &Holdfast,
    queue: &'static Queue,
    bells: &Bells,
    pulse: &Arc<Pulse>,
    stop: &CancellationToken,
) -> JoinHandle<Result<(), WorkerError>> {
    let pool = holdfast.log().db().get_sqlite_connection_pool().clone();
    let config = Config::default()
        .queue(queue.name)
        .batch_size(1) // larger ones stop the heartbeat while they wait
        .heartbeat_interval(HEARTBEAT)
        .missed_heartbeats(3);
    let storage = SqliteStorage::<Value>::new(&pool).with_config(config);
    let doorbell = Doorbell::new(bells.of(queue.name), pulse.clone(), stop.clone());
    // A name that was used before is refused until its heartbeat is old.
    let name = format!("{}-{}", queue.name, Ulid::generate());
    let context = Handler {
        holdfast: holdfast.clone(),
        pool,
        pulse: pulse.clone(),
        stop: stop.clone(),
    };
    let worker = WorkerBuilder::new(name.as_str())
        .backend(storage.poll_with_strategy(doorbell))
        .concurrency(queue.at_once(holdfast.settings()))
        .parallelize(tokio::spawn)
        .data(context)
        .build(handle);
    let (stop, pulse) = (stop.clone(), pulse.clone());
    tokio::spawn(worker.run_until(async move {
        stop.cancelled().await;
        // A worker that is told to stop polls its jobs and nothing else any more: a transaction it
        // was in the middle of would lock the database until the last of them is over.
        pulse.idle().await;
        Ok::<(), WorkerError>(())
    }))
}

#[derive(Clone)]
struct Handler {
    holdfast: Holdfast,
    pool: SqlitePool,
    pulse: Arc<Pulse>,
    stop: CancellationToken,
}

async fn handle(
    args: Value,
    attempt: Attempt,
    id: TaskId,
    handler: Data<Handler>,
) -> Result<(), BoxDynError> {
    let _busy = Busy::new(&handler.pulse);
    if handler.stop.is_cancelled() {
        return Ok(()); // the next start fills the queue anew
    }
    // Decoded here, because arguments that apalis cannot decode end the worker.
    let result = match serde_json::from_value::<Job>(args) {
        Err(error) => {
            tracing::error!(%id, %error, "a job of another version is left alone");
            return Ok(());
        }
        Ok(job) => {
            let span = job.span();
            let work = job.perform(&handler.holdfast).instrument(span.clone());
            let error = match AssertUnwindSafe(work).catch_unwind().await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it panicked".to_owned(),
            };
            span.in_scope(|| tracing::error!(%id, %error, "the job comes back"));
            error
        }
    };
    let pause = (1_i64 << attempt.current().min(9)).min(MAX_PAUSE);
    sqlx::query("UPDATE Jobs SET run_at = unixepoch() + ? WHERE id = ?")
        .bind(pause)
        .bind(id.to_string())
        .execute(&handler.pool)
        .await?;
    Err(result.into())
}

/// Counts a job as at work.
struct Busy(Arc<Pulse>);

impl Busy {
    fn new(pulse: &Arc<Pulse>) -> Self {
        pulse.busy.fetch_add(1, Relaxed);
        Self(pulse.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.beat();
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

/// Wakes a worker on the bell, and on a slow tick. Unlike apalis' own strategies it polls its
/// sources until they are pending, so no wake-up is lost.
struct Doorbell {
    bell: Arc<Notify>,
    rung: Pin<Box<tokio::sync::futures::OwnedNotified>>,
    tick: tokio::time::Interval,
    pulse: Arc<Pulse>,
    stop: CancellationToken,
}

impl Doorbell {
    fn new(bell: Arc<Notify>, pulse: Arc<Pulse>, stop: CancellationToken) -> Self {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            rung: Box::pin(bell.clone().notified_owned()),
            bell,
            tick,
            pulse,
            stop,
        }
    }
}

impl PollStrategy for Doorbell {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        self.pulse.beat();
        if self.stop.is_cancelled() {
            return Poll::Pending; // nothing is claimed any more
        }
        let mut ring = false;
        while self.tick.poll_tick(cx).is_ready() {
            ring = true;
        }
        while self.rung.as_mut().poll(cx).is_ready() {
            ring = true;
            self.rung = Box::pin(self.bell.clone().notified_owned());
        }
        if ring {
            cx.waker().wake_by_ref(); // one more fetch after the one in flight
            Poll::Ready(Some(()))
        } else {
            Poll::Pending
        }
    }
}
