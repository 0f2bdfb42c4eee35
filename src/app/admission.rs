//! Which of the runs that wait may begin: so many backups at a time on the engine and on each target.
//! The oldest goes first; one that must wait for its target holds up no other. Runs that may be long
//! never take the last place, so that the short ones get through beside them. Restores ask nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Holdfast, Settings, backup::internal};
use crate::{
    domain::{
        config::ConfigSpec,
        failure::Failure,
        ids::{ConfigId, RunId},
    },
    readmodel::{configs, restores, runs},
    target,
};

/// A run whose config's newest good one took less is short.
pub(super) const LONG: Duration = Duration::from_secs(10 * 60);

/// What a run needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// Names the place it writes to: equal for all that share it.
    pub target: String,
    /// It took long the last time, or nobody knows.
    pub may_be_long: bool,
}

/// How many may be at work.
#[derive(Debug, Clone, Copy)]
struct Limits {
    at_once: usize,
    per_target: usize,
}

#[derive(Debug)]
struct AtWork {
    wish: Wish,
    since: Instant,
}

impl AtWork {
    fn is_long(&self) -> bool {
        self.wish.may_be_long || self.since.elapsed() >= LONG
    }
}

#[derive(Debug)]
struct Waiting {
    wish: Wish,
    admit: oneshot::Sender<Entry>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    at_work: BTreeMap<i64, AtWork>,
    /// By the number of the run, which is the order in which they were asked for.
    line: BTreeMap<i64, Waiting>,
}

/// The door. Cheap to share.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    state: Mutex<State>,
}

/// A place at work; dropped, the next may have it.
#[derive(Debug)]
pub(super) struct Entry {
    run: i64,
    admission: Arc<Admission>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.admission.state().at_work.remove(&self.run);
        self.admission.admit();
    }
}

/// Takes a run out of the line whose future is dropped.
struct InLine<'a> {
    run: i64,
    admission: &'a Admission,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.admission.state().line.remove(&self.run);
    }
}

impl Admission {
    pub fn new(settings: &Settings) -> Arc<Self> {
        let limits = Limits {
            at_once: settings.backups.max(1),
            per_target: settings.backups_per_target.unwrap_or(usize::MAX).max(1),
        };
        Arc::new(Self {
            limits,
            state: Mutex::default(),
        })
    }

    /// Waits for a place. `None` once the door is closed. A run stands in the line once: its job is at
    /// work once (`RunningJobs`).
    pub async fn enter(self: &Arc<Self>, run: RunId, wish: Wish) -> Option<Entry> {
        let (admit, admitted) = oneshot::channel();
        {
            let mut state = self.state();
            if state.closed {
                return None;
            }
            state.line.insert(run.0, Waiting { wish, admit });
        }
        let _in_line = InLine {
            run: run.0,
            admission: self,
        };
        self.admit();
        admitted.await.ok()
    }

    /// Nobody comes in any more, and nobody waits.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.line.clear();
    }

    /// Runs at work and runs in the line.
    pub fn count(&self) -> (usize, usize) {
        let state = self.state();
        (state.at_work.len(), state.line.len())
    }

    /// Lets in, oldest first, whoever fits.
    fn admit(self: &Arc<Self>) {
        let mut admitted = Vec::new();
        {
            let mut state = self.state();
            let waiting: Vec<i64> = state.line.keys().copied().collect();
            for run in waiting {
                if state.at_work.len() >= self.limits.at_once {
                    break;
                }
                let Some(next) = state.line.get(&run) else {
                    continue;
                };
                if !fits(&self.limits, &state.at_work, &next.wish) {
                    continue;
                }
                if let Some(Waiting { wish, admit }) = state.line.remove(&run) {
                    let since = Instant::now();
                    state.at_work.insert(run, AtWork { wish, since });
                    admitted.push((run, admit));
                }
            }
        }
        // Not under the lock: an entry that nobody takes any more is dropped here, and asks for it.
        for (run, admit) in admitted {
            let admission = self.clone();
            let _ = admit.send(Entry { run, admission });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fits(limits: &Limits, at_work: &BTreeMap<i64, AtWork>, wish: &Wish) -> bool {
    let there = at_work.values();
    let at_target = there.clone().filter(|it| it.wish.target == wish.target);
    let long = there.clone().filter(|it| it.is_long()).count();
    let last_place = limits.at_once > 1 && long + 1 >= limits.at_once;
    at_work.len() < limits.at_once
        && at_target.count() < limits.per_target
        && !(wish.may_be_long && last_place)
}

impl Holdfast {
    /// What a backup of the config needs.
    pub(super) async fn wish_of(&self, config: ConfigId) -> Result<Wish, Failure> {
        let row = configs::get(self.db(), config).await.map_err(internal)?;
        let spec = row.map(|row| row.spec()).unwrap_or_default();
        let kind = target::kind(&spec.target);
        let last = runs::newest_success(self.db(), config).await;
        let last = last.map_err(internal)?;
        let took = last.and_then(|last| u64::try_from(last.duration_ms()?).ok());
        Ok(Wish {
            target: kind.map_or_else(String::new, |kind| kind.shared(&spec.target_settings)),
            may_be_long: took.is_none_or(|took| Duration::from_millis(took) >= LONG),
        })
    }

    /// Waits for a restore of a service of this config that is at work or left it half done, because until
    /// that is in order the database may be closed, or not the one that it should be; and for whoever works
    /// on one of the containers. A restore at work waits for nobody, so that nobody here waits for himself.
    pub(super) async fn until_free(
        &self,
        config: ConfigId,
        containers: &BTreeSet<String>,
    ) -> Result<(), Failure> {
        let (config, app) = self.config_and_app(config).await?;
        let spec = config.spec();
        let mut head = self.log().watch_head();
        loop {
            head.borrow_and_update();
            if self.is_settled(app.id, &spec).await? || head.changed().await.is_err() {
                break;
            }
        }
        self.turns(containers).await?;
        Ok(())
    }

    /// Whether no restore of a service of this config is at work or half done.
    pub(super) async fn is_settled(&self, app: i64, spec: &ConfigSpec) -> Result<bool, Failure> {
        let hooked = spec.pre_hooks.iter().chain(&spec.post_hooks);
        let services = hooked.map(|hook| &hook.service).chain([&spec.service]);
        let services = services.map(|service| (app, service.clone())).collect();
        let unsettled = restores::unsettle(self.db(), &services).await;
        Ok(!unsettled.map_err(internal)?)
    }
}

#[cfg(test)]
mod tests;
