//! How far a job is, for whoever looks. Counting costs one atomic addition, whether anybody looks
//! or not; each viewer samples at a pace of its own, at most four times a second. Nothing of it is
//! stored: percentages are no facts, and a crash forgets them.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::watch;

/// Least time between two updates of one viewer.
const PAUSE: Duration = Duration::from_millis(250);

/// All jobs at work, by name: `run-12`, `restore-3`. Clones are the same hub.
#[derive(Clone)]
pub struct Hub {
    jobs: Arc<Mutex<BTreeMap<String, Arc<Progress>>>>,
    /// Bumped when a job begins, ends or enters a phase: wakes viewers of what does not count.
    turns: watch::Sender<u64>,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    pub fn new() -> Self {
        Self {
            jobs: Arc::default(),
            turns: watch::Sender::new(0),
        }
    }

    /// Shows a job until the returned value is dropped. A newer attempt takes the older's place.
    pub fn begin(&self, job: impl Into<String>) -> Job {
        let (name, progress) = (job.into(), Arc::new(Progress::on(self.turns.clone())));
        self.jobs().insert(name.clone(), Arc::clone(&progress));
        turn(&self.turns);
        Job {
            name,
            progress,
            hub: self.clone(),
        }
    }

    /// `None` when the job is not at work.
    pub fn snapshot(&self, job: &str) -> Option<Snapshot> {
        self.jobs().get(job).map(|progress| progress.snapshot())
    }

    pub fn all(&self) -> Vec<(String, Snapshot)> {
        let jobs = self.jobs();
        let all = jobs.iter();
        all.map(|(name, progress)| (name.clone(), progress.snapshot()))
            .collect()
    }

    /// What there is now, then every change: `None` while the job is not at work, which tells a
    /// page to look at the facts again. Never ends by itself, for another attempt may begin.
    pub fn watch(&self, job: &str) -> impl Stream<Item = Option<Snapshot>> + Send + use<> {
        let viewer = Viewer {
            hub: self.clone(),
            job: job.to_owned(),
            turns: self.turns.subscribe(),
            shown: Shown::Nothing,
        };
        stream::unfold(viewer, |mut viewer| async {
            let next = viewer.next().await;
            Some((next, viewer))
        })
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Progress>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(PartialEq)]
enum Shown {
    Nothing,
    Idle,
    At(Snapshot),
}

struct Viewer {
    hub: Hub,
    job: String,
    turns: watch::Receiver<u64>,
    shown: Shown,
}

impl Viewer {
    async fn next(&mut self) -> Option<Snapshot> {
        if let Shown::At(_) = self.shown {
            tokio::time::sleep(PAUSE).await;
        }
        loop {
            // Before looking: what turns after this wakes us.
            self.turns.mark_unchanged();
            let now = self.hub.snapshot(&self.job);
            let shown = now.clone().map_or(Shown::Idle, Shown::At);
            if self.shown != shown {
                self.shown = shown;
                return now;
            }
            let turned = self.turns.changed(); // cannot fail: we hold the hub
            if now.is_some() {
                let _ = tokio::time::timeout(PAUSE, turned).await;
            } else {
                let _ = turned.await;
            }
        }
    }
}

/// A job at work; dropping it ends the show.
pub struct Job {
    name: String,
    progress: Arc<Progress>,
    hub: Hub,
}

impl Job {
    /// To hand to those who count.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}

impl Deref for Job {
    type Target = Progress;

    fn deref(&self) -> &Progress {
        &self.progress
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let mut jobs = self.hub.jobs();
        if jobs
            .get(&self.name)
            .is_some_and(|present| Arc::ptr_eq(present, &self.progress))
        {
            jobs.remove(&self.name);
        }
        drop(jobs);
        turn(&self.hub.turns);
    }
}

/// The counters of one job. `default` counts for nobody.
#[derive(Default)]
pub struct Progress {
    phase: Mutex<Phase>,
    raw: AtomicU64,
    stored: AtomicU64,
    turns: Option<watch::Sender<u64>>,
}

struct Phase {
    title: String,
    estimate: Option<u64>,
    since: Instant,
}

impl Default for Phase {
    fn default() -> Self {
        Self {
            title: String::new(),
            estimate: None,
            since: Instant::now(),
        }
    }
}

impl Progress {
    fn on(turns: watch::Sender<u64>) -> Self {
        Self {
            turns: Some(turns),
            ..Self::default()
        }
    }

    /// Begins the next phase (`Dumping`, `Verifying`) and counts from zero. `estimate`: raw bytes
    /// it will come to, as far as anybody knows.
    pub fn enter(&self, title: impl Into<String>, estimate: Option<u64>) {
        *self.phase() = Phase {
            title: title.into(),
            estimate,
            since: Instant::now(),
        };
        self.raw.store(0, Relaxed);
        self.stored.store(0, Relaxed);
        if let Some(turns) = &self.turns {
            turn(turns);
        }
    }

    /// Bytes as the strategy gives or takes them.
    pub fn add_raw(&self, bytes: u64) {
        self.raw.fetch_add(bytes, Relaxed);
    }

    /// Sets what was done so far, for those who count themselves.
    pub fn set_raw(&self, bytes: u64) {
        self.raw.store(bytes, Relaxed);
    }

    /// Bytes as the target holds them.
    pub fn add_stored(&self, bytes: u64) {
        self.stored.fetch_add(bytes, Relaxed);
    }

    pub fn snapshot(&self) -> Snapshot {
        let phase = self.phase();
        Snapshot {
            phase: phase.title.clone(),
            raw_bytes: self.raw.load(Relaxed),
            stored_bytes: self.stored.load(Relaxed),
            estimate: phase.estimate,
            since: phase.since,
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One look at a job. Sizes in bytes, all of the present phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// In words; empty before the first.
    pub phase: String,
    pub raw_bytes: u64,
    pub stored_bytes: u64,
    pub estimate: Option<u64>,
    #[serde(skip)]
    pub since: Instant,
}

impl Snapshot {
    /// 0 to 99: an estimate never says that all is done.
    pub fn percent(&self) -> Option<u8> {
        let estimate = self.estimate.filter(|&estimate| estimate > 0)?;
        let percent = u128::from(self.raw_bytes) * 100 / u128::from(estimate);
        u8::try_from(percent.min(99)).ok()
    }

    /// Raw bytes a second since the phase began.
    pub fn rate(&self) -> u64 {
        let millis = self.since.elapsed().as_millis().max(1);
        u64::try_from(u128::from(self.raw_bytes) * 1000 / millis).unwrap_or(u64::MAX)
    }
}

fn turn(turns: &watch::Sender<u64>) {
    turns.send_modify(|turn| *turn = turn.wrapping_add(1));
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_viewer_sees_the_job_begin_move_and_end_at_his_pace() {
        let hub = Hub::new();
        let mut seen = pin!(hub.watch("run-1"));
        assert_eq!(seen.next().await, Some(None));

        let (job, now) = tokio::join!(async { hub.begin("run-1") }, seen.next());
        assert_eq!(now.flatten().map(|now| now.phase), Some(String::new()));
        let other = hub.begin("run-2");

        job.enter("Dumping", Some(400));
        let started = Instant::now();
        let counted = job.progress();
        let counting = async {
            loop {
                counted.add_raw(1);
                other.add_raw(1);
                tokio::task::yield_now().await;
            }
        };
        let watching = async {
            for _ in 0..3 {
                let now = seen.next().await.flatten().unwrap();
                assert_eq!(now.phase, "Dumping");
                assert_eq!(now.estimate, Some(400));
            }
        };
        tokio::select! { () = counting => {}, () = watching => {} }
        assert!(started.elapsed() >= PAUSE * 3, "faster than anybody reads");

        drop(job);
        while let Some(now) = seen.next().await {
            if now.is_none() {
                break;
            }
        }
        assert_eq!(hub.snapshot("run-1"), None);
        assert_eq!(hub.all().len(), 1);
    }

    #[test]
    fn an_older_attempt_does_not_take_the_newer_away() {
        let hub = Hub::new();
        let old = hub.begin("run-1");
        let new = hub.begin("run-1");
        new.enter("Dumping", None);
        drop(old);
        assert_eq!(hub.snapshot("run-1").unwrap().phase, "Dumping");
        drop(new);
        assert_eq!(hub.snapshot("run-1"), None);
    }

    #[test]
    fn an_estimate_never_says_all() {
        let progress = Progress::default();
        assert_eq!(progress.snapshot().percent(), None);
        for (done, percent) in [(0, 0), (50, 50), (100, 99), (u64::MAX, 99)] {
            progress.enter("Dumping", Some(100));
            progress.set_raw(done);
            assert_eq!(progress.snapshot().percent(), Some(percent));
        }
        progress.enter("Verifying", Some(0));
        assert_eq!(progress.snapshot().percent(), None);
        assert_eq!(progress.snapshot().raw_bytes, 0);
    }
}
