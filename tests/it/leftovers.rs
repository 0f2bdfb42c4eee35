//! What runs that ended without success may have left in their target: it goes as soon as the target lets it
//! go, however often the server is started in between, and nothing goes that has become another run's.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chrono::Utc;
use holdfast::{
    app::{Holdfast, MasterKey, Settings, Vault},
    docker::fake::FakeEngine,
    domain::{
        failure::Failure,
        ids::ConfigId,
        manifest::{Artifact, Fingerprint},
        run::{Run, RunCommand, RunStatus},
    },
    log::{Cause, Log, open_sqlite},
    readmodel,
    target::memory::{Fault, Faulty, Scope},
    work::Work,
};
use sea_orm::{ConnectionTrait, Statement};
use tempfile::TempDir;

use crate::{samples, slots};

const GRACE: Duration = Duration::from_secs(10);

/// A data folder whose local target fails as it is told.
struct Scene {
    folder: TempDir,
    fault: Arc<Mutex<Option<Fault>>>,
}

impl Scene {
    /// With the app 1 and its config 1.
    async fn new() -> (Self, Holdfast) {
        let scene = Self {
            folder: TempDir::new().unwrap(),
            fault: Arc::default(),
        };
        let holdfast = scene.open().await;
        slots::app_and_configs(&holdfast, 1).await;
        (scene, holdfast)
    }

    /// As the server does that takes over after a kill.
    async fn open(&self) -> Holdfast {
        let db = open_sqlite(&self.folder.path().join("holdfast.db"))
            .await
            .unwrap();
        let log = Log::open(db, readmodel::all(), Arc::new(Utc::now))
            .await
            .unwrap();
        let vault = Vault::new(MasterKey::from_hex(&"ab".repeat(32)).unwrap());
        let settings = Settings::new(self.folder.path().to_owned());
        let fault = self.fault.clone();
        let decorate = Arc::new(move |inner| {
            let faulty = Faulty::new(inner);
            if let Some(fault) = fault.lock().unwrap().clone() {
                faulty.inject(fault, Scope::All);
            }
            Arc::new(faulty) as Arc<_>
        });
        Holdfast::new(
            log,
            FakeEngine::with("shop-db"),
            vault,
            settings,
            Some(decorate),
        )
    }

    /// Starts while the target deletes nothing, until a job has come to nothing because of that.
    async fn start_in_vain(&self) -> (Holdfast, Work) {
        self.tell(Some(Fault::Hold));
        let holdfast = self.open().await;
        let work = Work::start(holdfast.clone(), "test").await.unwrap();
        let deadline = Instant::now() + GRACE;
        let refused = "SELECT id FROM Jobs WHERE status = 'Failed'";
        let db = holdfast.log().db();
        let refused = || Statement::from_string(db.get_database_backend(), refused);
        while db.query_one_raw(refused()).await.unwrap().is_none() {
            assert!(Instant::now() < deadline, "nobody tries");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        (holdfast, work)
    }

    fn tell(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap() = fault;
    }

    fn file(&self, key: &str) -> PathBuf {
        self.folder.path().join("backups").join(key)
    }

    /// The first attempt of a run, which has stored under `key` whatever it had to.
    async fn begin(&self, holdfast: &Holdfast, run: i64, key: &str) {
        std::fs::create_dir_all(self.file(key).parent().unwrap()).unwrap();
        for name in [key.to_owned(), format!("{key}.json")] {
            std::fs::write(self.file(&name), "left").unwrap();
        }
        for command in samples::beginning(run, ConfigId(1), samples::local_pin(key)) {
            order(holdfast, run, command).await;
        }
    }

    /// Until neither the artifact nor its manifest is there.
    async fn until_gone(&self, holdfast: &Holdfast, key: &str) {
        let mut head = holdfast.log().watch_head();
        let deadline = Instant::now() + GRACE;
        while self.file(key).exists() || self.file(&format!("{key}.json")).exists() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{key} was left for ever");
            let _ = tokio::time::timeout(left, head.changed()).await;
        }
    }
}

async fn order(holdfast: &Holdfast, run: i64, command: RunCommand) {
    let cause = Cause::system("test");
    let log = holdfast.log();
    log.execute::<Run>(cause, run, command).await.unwrap();
}

fn failed() -> RunCommand {
    RunCommand::Fail {
        attempt: 1,
        failure: Failure::permanent("the store is away", ""),
        retry_at: None,
    }
}

async fn status(holdfast: &Holdfast, run: i64) -> RunStatus {
    holdfast.log().load::<Run>(run).await.unwrap().0.status
}

/// The start that finds the run cancelled cannot remove what it left, nor can the next one.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_cancelled_run_left_goes_when_its_target_lets_it() {
    let (scene, holdfast) = Scene::new().await;
    scene.begin(&holdfast, 1, "shop/1/db.sql").await;
    order(&holdfast, 1, RunCommand::Cancel).await;
    drop(holdfast); // killed before the worker could confirm it

    let (holdfast, work) = scene.start_in_vain().await;
    assert_eq!(status(&holdfast, 1).await, RunStatus::Cancelled);
    work.stop(GRACE).await;
    let (holdfast, work) = scene.start_in_vain().await;
    assert!(scene.file("shop/1/db.sql").exists());
    scene.tell(None);
    scene.until_gone(&holdfast, "shop/1/db.sql").await;
    work.stop(GRACE).await;
    assert!(holdfast.rebuild().await.unwrap().differed.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_runs_left_goes_at_a_later_start_and_nothing_else() {
    let (scene, holdfast) = Scene::new().await;
    for (run, key) in [(1, "shop/1/one.sql"), (2, "shop/1/two.sql")] {
        scene.begin(&holdfast, run, key).await;
        order(&holdfast, run, failed()).await;
    }
    // The name of the second looked free, and was given away again.
    scene.begin(&holdfast, 3, "shop/1/two.sql").await;
    let artifact = Artifact {
        key: "shop/1/two.sql".into(),
        ..samples::artifact()
    };
    let succeed = RunCommand::Succeed {
        attempt: 1,
        artifact,
        fingerprint: Fingerprint::default(),
        warnings: vec![],
    };
    order(&holdfast, 3, succeed).await;
    let (_, work) = scene.start_in_vain().await;
    work.stop(GRACE).await;

    scene.tell(None);
    let holdfast = scene.open().await;
    let work = Work::start(holdfast.clone(), "test").await.unwrap();
    scene.until_gone(&holdfast, "shop/1/one.sql").await;
    let mut head = holdfast.log().watch_head();
    while !holdfast
        .log()
        .load::<Run>(2)
        .await
        .unwrap()
        .0
        .abandoned
        .is_empty()
    {
        let changed = tokio::time::timeout(GRACE, head.changed());
        changed.await.expect("it is done with").unwrap();
    }
    assert!(scene.file("shop/1/two.sql").exists(), "it is good");
    assert!(scene.file("shop/1/two.sql.json").exists());
    work.stop(GRACE).await;
}
