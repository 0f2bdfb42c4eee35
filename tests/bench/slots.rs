//! Ten thousand schedules due in the same minute: how long until each slot has its event, settled many in a
//! transaction, beside one write a config; and how long a page's question takes meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use holdfast::{
    app::{Holdfast, MasterKey, Settings, Vault},
    docker::fake::FakeEngine,
    domain::{
        config::{Config, ConfigCommand, ConfigSpec},
        ids::{AppId, ConfigId, RunId},
        run::{Run, RunCommand, Trigger},
    },
    log::{Cause, Log, open_sqlite},
    readmodel::{self, overview},
};
use tempfile::TempDir;

use super::{Reach::AtMost, runtime, verdicts};

const CONFIGS: i64 = 10_000;
const ROUNDS: usize = 3;

pub fn run() {
    runtime().block_on(async {
        let mut rows = Vec::new();
        for _ in 0..ROUNDS {
            rows.push((one_by_one().await, together().await));
        }
        let middle = |pick: fn(&(Duration, (Duration, Duration))) -> Duration| {
            let mut values: Vec<Duration> = rows.iter().map(pick).collect();
            values.sort();
            values[values.len() / 2].as_secs_f64()
        };
        let (alone, all) = (middle(|row| row.0), middle(|row| row.1.0));
        let page = middle(|row| row.1.1);
        println!("\n| {CONFIGS} slots due at once | seconds | of the first |\n|---|---|---|");
        println!("| one write a config | {alone:.2} | 1.00 |");
        println!("| settled together | {all:.2} | {:.2} |", all / alone);
        verdicts(&[
            (
                "until the last slot has its event, seconds",
                all,
                AtMost(2.0),
            ),
            (
                "a page's question meanwhile, slowest, seconds",
                page,
                AtMost(0.25),
            ),
        ]);
    });
}

struct Scene {
    holdfast: Holdfast,
    clock: Arc<AtomicI64>,
    _folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let start: DateTime<Utc> = "2026-11-30T01:30:00Z".parse().unwrap();
        let clock = Arc::new(AtomicI64::new(start.timestamp_millis()));
        let told = clock.clone();
        let now = move || DateTime::from_timestamp_millis(told.load(SeqCst)).unwrap();
        let db = open_sqlite(&folder.path().join("holdfast.db"))
            .await
            .unwrap();
        let log = Log::open(db, readmodel::all(), Arc::new(now))
            .await
            .unwrap();
        let made = log.write(Cause::system("bench"), |unit| {
            Box::pin(async move {
                let commands = (1..=CONFIGS).map(|id| {
                    let spec = ConfigSpec {
                        service: "db".into(),
                        strategy: "postgres".into(),
                        schedule_cron: "0 2 * * *".into(),
                        ..ConfigSpec::default()
                    };
                    let (config, app) = (ConfigId(id), AppId(1 + id / 50));
                    (id, ConfigCommand::Create { config, app, spec })
                });
                unit.begin_all::<Config>(commands.collect()).await
            })
        });
        made.await.unwrap();
        let vault = Vault::new(MasterKey::from_hex(&"ab".repeat(32)).unwrap());
        let settings = Settings::new(folder.path().to_owned());
        let holdfast = Holdfast::new(log, FakeEngine::with("db"), vault, settings, None);
        holdfast.settle_slots().await.unwrap();
        Self {
            holdfast,
            clock,
            _folder: folder,
        }
    }

    fn come_due(&self) {
        let by = TimeDelta::minutes(30) + TimeDelta::seconds(1);
        self.clock.fetch_add(by.num_milliseconds(), SeqCst);
    }
}

/// As it was done before: look at each, and write for each.
async fn one_by_one() -> Duration {
    let scene = Scene::new().await;
    scene.come_due();
    let log = scene.holdfast.log();
    let started = Instant::now();
    for id in 1..=CONFIGS {
        let config = ConfigId(id);
        let settled = log.write(Cause::system("schedule"), move |unit| {
            Box::pin(async move {
                let row = readmodel::configs::get(unit.tx(), config).await?;
                let busy = readmodel::runs::unfinished_of(unit.tx(), config).await?;
                assert!(row.is_some() && busy.is_none());
                let run = unit
                    .next_id(holdfast::domain::event::StreamKind::Run)
                    .await?;
                let command = RunCommand::Request {
                    run: RunId(run),
                    app: AppId(1),
                    config,
                    trigger: Trigger::Schedule,
                    key: None,
                    slot: Some(unit.now()),
                };
                unit.execute::<Run>(run, command).await
            })
        });
        settled.await.unwrap();
    }
    started.elapsed()
}

/// How long it takes, and the slowest answer to a page's question meanwhile.
async fn together() -> (Duration, Duration) {
    let scene = Scene::new().await;
    scene.come_due();
    let log = scene.holdfast.log();
    let head = log.head();
    let started = Instant::now();
    let settle = async {
        scene.holdfast.settle_slots().await.unwrap();
        started.elapsed()
    };
    let ask = async {
        let mut slowest = Duration::ZERO;
        while log.head() - head < CONFIGS {
            let asked = Instant::now();
            overview::beats(log.db(), 1).await.unwrap();
            slowest = slowest.max(asked.elapsed());
            tokio::task::yield_now().await;
        }
        slowest
    };
    let done = tokio::join!(settle, ask);
    let runs = readmodel::runs::unfinished(log.db()).await.unwrap();
    assert_eq!(runs.len(), usize::try_from(CONFIGS).unwrap());
    done
}
