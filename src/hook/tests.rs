//! Hooks on an engine that does as it is told.

use std::sync::Mutex;

use super::*;
use crate::docker::fake::{FakeEngine, Script};

/// Notes what is owed, and starts without a second look.
#[derive(Default)]
struct Notes {
    owed: Mutex<Vec<String>>,
    engine: Option<Arc<FakeEngine>>,
}

#[async_trait]
impl Ledger for Notes {
    async fn owe_start(&self, container: &Container, _: Duration) -> Result<bool, Failure> {
        self.owed.lock().unwrap().push(container.id.clone());
        Ok(true)
    }

    async fn is_owed_start(&self, container: &str) -> Result<bool, Failure> {
        Ok(self.owed.lock().unwrap().iter().any(|id| id == container))
    }

    async fn start_again(&self, container: &str, _: bool) -> Result<Found, Failure> {
        let engine = self.engine.as_ref().unwrap();
        let running = engine.container(container).await?.running;
        engine.start(container).await?;
        self.owed.lock().unwrap().retain(|id| id != container);
        Ok(if running {
            Found::Running
        } else {
            Found::Stopped
        })
    }
}

struct Bench {
    fake: Arc<FakeEngine>,
    notes: Arc<Notes>,
}

impl Bench {
    fn new() -> Self {
        let fake = FakeEngine::with("web");
        let notes = Arc::new(Notes {
            engine: Some(fake.clone()),
            ..Notes::default()
        });
        Self { fake, notes }
    }

    async fn run(&self, kind: &str, command: Option<&str>) -> Result<Ran, Failure> {
        let hook = Hook {
            kind: kind.into(),
            service: "web".into(),
            command: command.map(Into::into),
            timeout: Some(1),
        };
        let engine: Arc<dyn Engine> = self.fake.clone();
        let ledger: Arc<dyn Ledger> = self.notes.clone();
        let containers = [engine.container("web").await?];
        let place = Place {
            engine: &engine,
            hook: &hook,
            containers: &containers,
            options: None,
            ledger: &ledger,
            cancel: &CancellationToken::new(),
        };
        find(kind).unwrap().run(&place).await
    }

    fn owed(&self) -> usize {
        self.notes.owed.lock().unwrap().len()
    }
}

#[test]
fn each_type_has_one_name_and_one_place() {
    for kind in ALL {
        assert_eq!(find(kind.name()).unwrap().label(), kind.label());
        for phase in [Phase::Before, Phase::After] {
            assert!(kind.refuses(phase).is_none() || phase == Phase::After);
        }
    }
    assert_eq!(find("stop_container").unwrap().name(), "stop");
    assert_eq!(find("start_container").unwrap().name(), "start");
    assert!(find("Stop").is_none() && find("").is_none());
}

#[tokio::test]
async fn what_is_stopped_is_owed_before_and_started_after() {
    let bench = Bench::new();
    let ran = bench.run("stop", None).await.unwrap();
    assert_eq!(bench.owed(), 1);
    assert_eq!(bench.fake.journal(), ["stop web"]);
    let released = ran.held.unwrap().release().await;
    assert!(released.broken.is_none() && released.warnings.is_empty());
    assert_eq!((bench.owed(), bench.fake.journal().len()), (0, 2));
}

#[tokio::test]
async fn a_stop_that_fails_is_made_good_at_once() {
    let bench = Bench::new();
    let error = DockerError::Refused {
        status: 500,
        message: "no".into(),
    };
    bench.fake.refuse("stop", error);
    assert!(bench.run("stop", None).await.is_err());
    assert_eq!(bench.fake.journal(), ["stop web", "start web"]);
    assert_eq!(bench.owed(), 0);
}

#[tokio::test]
async fn a_service_that_was_started_meanwhile_had_not_stood_still() {
    let bench = Bench::new();
    let ran = bench.run("stop", None).await.unwrap();
    bench.fake.start("web").await.unwrap();
    let released = ran.held.unwrap().release().await;
    let broken = released.broken.unwrap();
    assert!(
        broken.message.contains("started by something else"),
        "{broken:?}"
    );
}

#[tokio::test]
async fn one_that_was_owed_a_start_is_taken_over_stopped() {
    let bench = Bench::new();
    bench.fake.kill("web");
    assert!(bench.run("stop", None).await.unwrap().held.is_none());
    bench.notes.owed.lock().unwrap().push("web-id".into());
    assert!(bench.run("stop", None).await.unwrap().held.is_some());
}

#[tokio::test]
async fn commands_go_to_the_shell_whole_and_their_end_is_told() {
    let bench = Bench::new();
    bench.fake.on("sh", |call| {
        assert_eq!(call.argv, ["sh", "-c", "--", "-x $(id)"]);
        Script::new().stdout("one\n").stderr("two\n").exit(4)
    });
    let failure = bench.run("exec", Some("-x $(id)")).await.err().unwrap();
    assert_eq!(failure.message, "the command ended with status 4: two");
    assert_eq!(failure.detail, "one\ntwo");
    bench.fake.on("sh", |_| Script::new().stall());
    let failure = bench.run("exec", Some("x")).await.err().unwrap();
    assert_eq!(failure.message, "it was not done within 1 s");
    assert!(
        bench
            .fake
            .calls()
            .iter()
            .all(crate::docker::fake::Call::is_over)
    );
    bench.fake.kill("web");
    let failure = bench.run("exec", Some("x")).await.err().unwrap();
    assert_eq!(failure.message, "the service web does not run");
}

#[tokio::test]
async fn a_save_counts_when_it_began_on_our_word_and_went_well() {
    let bench = Bench::new();
    let asked = Arc::new(Mutex::new(0));
    let status = Arc::new(Mutex::new("ok"));
    let (count, said) = (asked.clone(), status.clone());
    bench.fake.on("redis-cli", move |call| {
        let mut count = count.lock().unwrap();
        *count += 1;
        match (call.argv[1].as_str(), *count % 6) {
            ("--version", _) => Script::new().stdout("redis-cli 7.0"),
            ("BGSAVE", 2) => Script::new().stdout("ERR Background save already in progress\n"),
            ("BGSAVE", _) => Script::new().stdout("Background saving started\n"),
            ("INFO", 4) => Script::new().stdout("rdb_bgsave_in_progress:1\r\n"),
            _ => Script::new().stdout(format!(
                "rdb_bgsave_in_progress:0\r\nrdb_last_bgsave_status:{}\r\n",
                said.lock().unwrap()
            )),
        }
    });
    bench.run("flush_redis", None).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), 5, "it waited for its own save");
    *asked.lock().unwrap() = 0;
    *status.lock().unwrap() = "err";
    let failure = bench.run("flush_redis", None).await.err().unwrap();
    assert!(
        failure.message.contains("could not save: err"),
        "{failure:?}"
    );
    bench
        .fake
        .on("redis-cli", |call| match call.argv[1].as_str() {
            "--version" => Script::new(),
            _ => Script::new().stdout("NOAUTH Authentication required.\n"),
        });
    let failure = bench.run("flush_redis", None).await.err().unwrap();
    assert!(failure.hint.contains("REDIS_PASSWORD"), "{failure:?}");
}

#[test]
fn secrets_are_known_by_their_names() {
    let env = [
        ("MYSQL_PASSWORD", "one-secret"),
        ("API_KEY", "another"),
        ("PATH", "/usr/bin"),
        ("DB_PASSWORD_FILE", "/run/secrets/db"),
        ("TOKEN", "x"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let secrets = secrets_of(&BTreeMap::from(env));
    let shown: Vec<&str> = secrets.iter().map(|s| s.expose().as_str()).collect();
    assert_eq!(shown, ["another", "one-secret"]);
}
