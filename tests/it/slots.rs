//! Slots under a clock that is set at will: restarts, downtime, jumps forward and back. Each slot ends in
//! one event. And what is not kept is told once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use holdfast::{
    app::{Caller, Holdfast, MasterKey, Settings, Vault},
    docker::fake::FakeEngine,
    domain::{
        app::{App, AppCommand},
        calendar::Calendar,
        config::{Config, ConfigCommand, ConfigEvent, ConfigSpec},
        event::{Event, Scope},
        ids::{AppId, ConfigId, RunId},
        lateness::Overdue,
        run::{RunEvent, Trigger},
        schedule::{self, Schedule},
        slots::{MissedPolicy, Passed, Slots},
    },
    log::{Cause, Log, open_sqlite},
    readmodel,
};
use tempfile::TempDir;

use crate::samples;

/// A server without workers, whose clock stands still until it is moved.
struct Scene {
    folder: TempDir,
    clock: Arc<AtomicI64>,
    holdfast: Holdfast,
}

pub async fn open(folder: &TempDir, clock: &Arc<AtomicI64>) -> Holdfast {
    let db = open_sqlite(&folder.path().join("holdfast.db"))
        .await
        .unwrap();
    let clock = clock.clone();
    let now = move || DateTime::from_timestamp_millis(clock.load(SeqCst)).unwrap();
    let log = Log::open(db, readmodel::all(), Arc::new(now))
        .await
        .unwrap();
    let vault = Vault::new(MasterKey::from_hex(&"ab".repeat(32)).unwrap());
    let settings = Settings::new(folder.path().to_owned());
    Holdfast::new(log, FakeEngine::with("shop-db"), vault, settings, None)
}

/// The app 1, and so many configs of it without a schedule.
pub async fn app_and_configs(holdfast: &Holdfast, configs: i64) {
    let command = AppCommand::Register {
        app: AppId(1),
        slug: "shop".into(),
        spec: samples::app_spec(),
    };
    let log = holdfast.log();
    log.execute::<App>(Cause::system("test"), 1, command)
        .await
        .unwrap();
    for id in 1..=configs {
        let command = ConfigCommand::Create {
            config: ConfigId(id),
            app: AppId(1),
            spec: spec("", MissedPolicy::One, 0, ""),
        };
        log.execute::<Config>(Cause::system("test"), id, command)
            .await
            .unwrap();
    }
}

impl Scene {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(AtomicI64::new(samples::time().timestamp_millis()));
        let holdfast = open(&folder, &clock).await;
        app_and_configs(&holdfast, 0).await;
        Self {
            folder,
            clock,
            holdfast,
        }
    }

    async fn config(&self, id: i64, cron: &str, policy: MissedPolicy) {
        self.config_of(id, spec(cron, policy, 0, "")).await;
    }

    async fn config_of(&self, id: i64, spec: ConfigSpec) {
        let command = ConfigCommand::Create {
            config: ConfigId(id),
            app: AppId(1),
            spec,
        };
        let log = self.holdfast.log();
        log.execute::<Config>(Cause::system("test"), id, command)
            .await
            .unwrap();
    }

    fn now(&self) -> DateTime<Utc> {
        self.holdfast.log().now()
    }

    fn advance(&self, by: TimeDelta) {
        self.clock.fetch_add(by.num_milliseconds(), SeqCst);
    }

    /// Power off and on.
    async fn restart(&mut self) {
        self.holdfast = open(&self.folder, &self.clock).await;
    }

    async fn tick(&self) {
        self.holdfast.settle_slots().await.unwrap();
        self.holdfast.tell_overdue().await.unwrap();
    }

    async fn end_runs(&self) {
        let db = self.holdfast.log().db();
        for run in readmodel::runs::unfinished(db).await.unwrap() {
            let caller = Caller::system("test");
            self.holdfast
                .cancel_run(&caller, run.run_id())
                .await
                .unwrap();
        }
    }

    async fn events(&self) -> Vec<(i64, Event)> {
        let (mut events, mut at) = (Vec::new(), 0);
        loop {
            let batch = self.holdfast.log().read_from(at, 5000).await.unwrap();
            let Some(last) = batch.last() else {
                return events;
            };
            at = last.position;
            events.extend(batch.into_iter().map(|it| {
                let config = it.scope.config.map_or(0, |id| id.0);
                (config, it.event)
            }));
        }
    }
}

fn spec(cron: &str, policy: MissedPolicy, jitter: u32, blackout: &str) -> ConfigSpec {
    ConfigSpec {
        service: "db".into(),
        strategy: "postgres".into(),
        schedule_cron: cron.into(),
        time_zone: "Europe/Berlin".into(),
        missed_policy: policy,
        jitter_seconds: jitter,
        blackout: blackout.into(),
        ..ConfigSpec::default()
    }
}

/// What the log says of each slot of one config: `run`, `skipped`, `missed` or `blacked out`, as often as it does.
async fn ends(
    scene: &Scene,
    config: i64,
    cron: &str,
) -> BTreeMap<DateTime<Utc>, Vec<&'static str>> {
    let (schedule, zone) = (
        Schedule::parse(cron).unwrap(),
        schedule::zone("Europe/Berlin").unwrap(),
    );
    let within = |slots: &Slots| {
        let next = |at: &DateTime<Utc>| schedule.next_after(*at, zone);
        let all = std::iter::successors(Some(slots.first), next);
        let all: Vec<_> = all.take_while(|slot| *slot <= slots.last).collect();
        assert_eq!(all.len(), slots.count as usize, "{slots:?}");
        all
    };
    let mut ends: BTreeMap<DateTime<Utc>, Vec<&'static str>> = BTreeMap::new();
    for (_, event) in scene.events().await.into_iter().filter(|it| it.0 == config) {
        let (how, slots) = match event {
            Event::Run(RunEvent::Requested {
                slot: Some(slot),
                trigger: Trigger::Schedule,
                ..
            }) => ("run", vec![slot]),
            Event::Config(ConfigEvent::SlotsSkipped { slots, .. }) => ("skipped", within(&slots)),
            Event::Config(ConfigEvent::SlotsMissed { slots }) => ("missed", within(&slots)),
            Event::Config(ConfigEvent::SlotsBlackedOut { slots }) => {
                ("blacked out", within(&slots))
            }
            _ => continue,
        };
        for slot in slots {
            ends.entry(slot).or_default().push(how);
        }
    }
    ends
}

/// Cron, policy, jitter in seconds, blackout.
const CONFIGS: [(&str, MissedPolicy, u32, &str); 5] = [
    ("*/7 * * * *", MissedPolicy::One, 0, ""),
    ("30 * * * *", MissedPolicy::Skip, 0, ""),
    ("*/20 1-5 * * *", MissedPolicy::All { hours: 6 }, 600, ""),
    ("10 * * * *", MissedPolicy::One, 900, "08:00-18:00 Mon-Fri"),
    (
        "*/30 * * * *",
        MissedPolicy::All { hours: 6 },
        0,
        "22:00-04:30",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn promise_04_each_slot_ends_as_one_event_over_restarts_and_clock_jumps() {
    let mut scene = Scene::new().await;
    let start = scene.now();
    for (id, (cron, policy, jitter, blackout)) in (1..).zip(CONFIGS) {
        scene
            .config_of(id, spec(cron, policy, jitter, blackout))
            .await;
    }
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = |limit: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        i64::try_from(random % limit).unwrap()
    };
    let (mut restarts, mut back, mut latest) = (0, 0, start);
    while latest - start < TimeDelta::days(55) {
        match below(20) {
            0 => scene.advance(TimeDelta::hours(below(40))),
            1 => {
                scene.advance(TimeDelta::minutes(-below(600)));
                back += 1;
            }
            2 => {
                scene.restart().await;
                restarts += 1;
            }
            _ => scene.advance(TimeDelta::seconds(below(1500))),
        }
        if scene.now() < start || latest - scene.now() > TimeDelta::hours(20) {
            scene.advance(latest - scene.now()); // further back is another test's
        }
        latest = latest.max(scene.now());
        scene.tick().await;
        if below(3) > 0 {
            scene.end_runs().await;
        }
    }
    scene.advance(latest - scene.now());
    scene.tick().await;

    let (mut slots, mut by_end) = (0, BTreeMap::<&str, usize>::new());
    for (id, (cron, policy, jitter, blackout)) in (1..).zip(CONFIGS) {
        let ends = ends(&scene, id, cron).await;
        let spec = spec(cron, policy, jitter, blackout);
        let calendar = Calendar::of(ConfigId(id), &spec).unwrap();
        for due in calendar.slots(start).take_while(|due| due.at <= latest) {
            let found = ends.get(&due.slot);
            assert_eq!(found.map(Vec::len), Some(1), "{cron} {due:?}: {found:?}");
            *by_end.entry(found.unwrap()[0]).or_default() += 1;
            slots += 1;
        }
        let last = ends.keys().next_back();
        assert!(last.is_none_or(|slot| *slot <= latest), "{cron}: {last:?}");
    }
    let rebuilt = scene.holdfast.rebuild().await.unwrap();
    assert!(rebuilt.differed.is_empty(), "{rebuilt:?}");
    println!(
        "figure: promise 4: {slots} slots over {restarts} restarts and {back} clocks set back: \
         {by_end:?}, doubled 0, silent 0"
    );
    assert!(slots >= 10_000 && by_end.len() == 4, "{slots} {by_end:?}");
}

/// A clock that was wrong by weeks must not mean weeks without a backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_far_ahead_is_found_out() {
    let scene = Scene::new().await;
    scene.config(1, "0 * * * *", MissedPolicy::One).await;
    scene.advance(TimeDelta::days(400));
    scene.tick().await;
    scene.end_runs().await;
    scene.advance(TimeDelta::days(-400));
    for _ in 0..3 {
        scene.tick().await;
        scene.end_runs().await;
        scene.advance(TimeDelta::hours(1));
    }
    let events = scene.events().await;
    let set_back =
        |it: &&(i64, Event)| matches!(it.1, Event::Config(ConfigEvent::ClockSetBack { .. }));
    let requested = |it: &&(i64, Event)| matches!(it.1, Event::Run(RunEvent::Requested { .. }));
    assert_eq!(events.iter().filter(set_back).count(), 1);
    assert_eq!(events.iter().filter(requested).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_never_succeeded_is_late_then_missed_and_told_once_each() {
    let mut scene = Scene::new().await;
    scene.config(1, "0 2 * * *", MissedPolicy::Skip).await;
    scene.config(2, "", MissedPolicy::One).await;
    for step in 0..40 {
        scene.advance(TimeDelta::hours(2));
        if step % 7 == 0 {
            scene.restart().await;
        }
        scene.tick().await;
        scene.tick().await;
        scene.end_runs().await;
    }
    let events = scene.events().await;
    let told: Vec<(i64, Overdue)> = events
        .into_iter()
        .filter_map(|(config, event)| match event {
            Event::Config(ConfigEvent::Overdue { how, .. }) => Some((config, how)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(1, Overdue::Late), (1, Overdue::Missed)]);
}

/// A blackout is over at 18:00 in Berlin; nobody is told that he is late before.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_a_blackout_is_one_run_when_it_is_over_and_never_late_before() {
    let mut scene = Scene::new().await;
    let held = spec("0 * * * *", MissedPolicy::Skip, 120, "08:00-18:00");
    scene.config_of(1, held.clone()).await;
    let calendar = Calendar::of(ConfigId(1), &held).unwrap();
    let start = scene.now();
    for step in 0..24 * 30 {
        scene.advance(TimeDelta::minutes(2));
        if step % 50 == 0 {
            scene.restart().await;
        }
        scene.tick().await;
        if let Some(run) = readmodel::runs::unfinished(scene.holdfast.log().db())
            .await
            .unwrap()
            .first()
        {
            let at = DateTime::from_timestamp_millis(run.requested_at).unwrap();
            let heeded = calendar.slots(start - TimeDelta::days(1));
            let mut heeded = heeded.take_while(|due| due.at <= at);
            let on_time = heeded.any(|due| at - due.at <= TimeDelta::minutes(2));
            assert!(on_time, "{at}");
        }
        scene.end_runs().await;
    }
    let ends = ends(&scene, 1, "0 * * * *").await;
    let count = |how: &str| ends.values().filter(|it| **it == [how]).count();
    // From noon to noon: those of the second morning wait still.
    assert_eq!(
        (ends.len(), count("run"), count("blacked out")),
        (19, 14, 5)
    );
    // Runs are cancelled here, so it is late in the end; not while the blackout lasted.
    let mut told = 0;
    for it in scene.holdfast.log().read_from(0, 5000).await.unwrap() {
        if let Event::Config(ConfigEvent::Overdue { promised, .. }) = it.event {
            let mut slots = calendar.slots(promised - TimeDelta::seconds(1));
            assert!(it.at > slots.next().unwrap().at, "{promised} at {}", it.at);
            told += 1;
        }
    }
    assert!(told > 0);
}

/// Many due in the same minute: each has its run, together in few transactions, and whoever asks for
/// something meanwhile gets it.
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_due_in_one_minute_have_their_runs_and_stand_in_nobodys_way() {
    const MANY: i64 = 2000;
    let scene = Scene::new().await;
    let log = scene.holdfast.log();
    let made = log.write(Cause::system("test"), |unit| {
        Box::pin(async move {
            let commands = (1..=MANY).map(|id| {
                let spec = spec("0 * * * *", MissedPolicy::One, 0, "");
                let (config, app) = (ConfigId(id), AppId(1));
                (id, ConfigCommand::Create { config, app, spec })
            });
            unit.begin_all::<Config>(commands.collect()).await
        })
    });
    made.await.unwrap();
    scene.tick().await;
    let head = log.head();
    scene.advance(TimeDelta::hours(1));
    let started = std::time::Instant::now();
    let settled = scene.holdfast.settle_slots();
    let meanwhile = async {
        let mut slowest = std::time::Duration::ZERO;
        while log.head() - head < MANY {
            let asked = std::time::Instant::now();
            let note = holdfast::domain::audit::AuditEvent::Exported {};
            let noted = log.write(Cause::system("test"), move |unit| {
                Box::pin(async move { unit.note(note, Scope::default()).await })
            });
            noted.await.unwrap();
            slowest = slowest.max(asked.elapsed());
        }
        slowest
    };
    let (settled, slowest) = tokio::join!(settled, meanwhile);
    settled.unwrap();
    let took = started.elapsed();
    let runs = readmodel::runs::unfinished(log.db()).await.unwrap();
    let mut configs: Vec<i64> = runs.iter().map(|run| run.backup_config_id).collect();
    configs.sort_unstable();
    assert_eq!(configs, (1..=MANY).collect::<Vec<_>>());
    assert!(log.verify(|_| {}).await.unwrap().holds());
    assert!(scene.holdfast.rebuild().await.unwrap().differed.is_empty());
    println!(
        "figure: slots: {MANY} schedules due at once have their runs in {took:.1?} (debug build), a \
         command of somebody else's took {slowest:.1?} at most meanwhile"
    );
    assert!(slowest < std::time::Duration::from_secs(30), "{slowest:?}");
}

#[test]
fn nothing_is_told_of_a_config_that_is_gone() {
    use holdfast::domain::aggregate::Aggregate;
    let command = ConfigCommand::PassSlots {
        slots: samples::slots(),
        why: Passed::Busy(RunId(1)),
    };
    assert!(Config::default().decide(command).is_err());
}
