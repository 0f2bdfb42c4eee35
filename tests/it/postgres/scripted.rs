//! What a real engine and a real pg_dump will not do on demand: scripted.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast::{
    docker::{
        Container, DockerError,
        fake::{FakeEngine, Script},
    },
    domain::{failure::Failure, secret::Secret},
    strategy::{Options, Sink, SinkClosed, Site, StrategyError},
};
use tokio_util::sync::CancellationToken;

use super::place::{Heap, judge, postgres};

const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\nCOPY public.t (x) FROM stdin;\n1\n\\.\n\n\
    --\n-- PostgreSQL database dump complete\n--\n\n";

async fn dump(
    script: impl Fn() -> Script + Send + Sync + 'static,
) -> Result<Vec<u8>, StrategyError> {
    let engine = FakeEngine::with("db");
    engine.on("pg_dump", move |_| script());
    engine.on("psql", |_| Script::new().read_all(|_| Script::new()));
    let site = site(engine).await;
    let mut sink = Heap::default();
    postgres().backup(&site, &mut sink).await?;
    Ok(sink.bytes)
}

async fn site(engine: std::sync::Arc<FakeEngine>) -> Site {
    use holdfast::docker::Engine as _;
    let container = engine.container("db").await.unwrap();
    Site {
        engine,
        container,
        options: Options::default(),
        cancel: CancellationToken::new(),
        stall: Duration::from_millis(300),
    }
}

#[tokio::test]
async fn only_a_whole_stream_with_status_0_counts() {
    let whole = dump(|| Script::new().stdout(DUMP)).await.unwrap();
    assert_eq!(judge(&whole).unwrap().total(), 1);
    let half = &DUMP[..60];
    let green = [
        (
            "cut in a frame",
            dump(|| Script::new().stdout(DUMP).cut()).await,
        ),
        (
            "no exit status",
            dump(|| Script::new().stdout(DUMP).no_exit_code()).await,
        ),
        (
            "status 1",
            dump(|| Script::new().stdout(DUMP).exit(1)).await,
        ),
        (
            "status 137",
            dump(|| Script::new().stdout(DUMP).exit(137)).await,
        ),
        ("stalls", dump(|| Script::new().stdout(DUMP).stall()).await),
        ("stalls at once", dump(|| Script::new().stall()).await),
        (
            "missing",
            dump(|| {
                Script::refused(DockerError::NoSuchProgram {
                    container: "db".into(),
                    program: "pg_dump".into(),
                })
            })
            .await,
        ),
        (
            "not running",
            dump(|| Script::refused(DockerError::NotRunning("db".into()))).await,
        ),
    ];
    for (what, result) in &green {
        assert!(result.is_err(), "{what}");
    }
    // Status 0 and not whole: the validator's word counts.
    for (what, script) in [("nothing", ""), ("half", half), ("an error page", "<html>")] {
        let bytes = dump(move || Script::new().stdout(script)).await.unwrap();
        assert!(judge(&bytes).is_err(), "{what}");
    }
    println!("figure: postgres: {} lies, 0 green", green.len() + 3);
}

#[tokio::test]
async fn warnings_are_passed_on() {
    let engine = FakeEngine::with("db");
    let said = "pg_dump: warning: there are circular foreign keys\npg_dump: detail: a\nWARNING:  database \"x\" has a collation version mismatch\n";
    engine.on("pg_dump", move |_| Script::new().stdout(DUMP).stderr(said));
    let dumped = postgres()
        .backup(&site(engine).await, &mut Heap::default())
        .await
        .unwrap();
    assert_eq!(
        dumped.warnings,
        [
            "warning: there are circular foreign keys",
            "WARNING:  database \"x\" has a collation version mismatch"
        ]
    );
}

#[tokio::test]
async fn the_password_is_passed_by_environment_and_masked_in_what_is_said() {
    let engine = FakeEngine::with("db");
    let said = "pg_dump: error: connection failed: hunter2-canary\npg_dump: detail: password=hunter2-canary\n";
    engine.on("pg_dump", move |_| Script::new().stderr(said).exit(1));
    engine.on("psql", |_| Script::new().read_all(|_| Script::new()));
    let mut site = site(engine.clone()).await;
    site.options
        .credentials
        .insert("password".into(), "hunter2-canary".into());
    let error = postgres()
        .backup(&site, &mut Heap::default())
        .await
        .unwrap_err();
    let failure: Failure = error.into();
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    assert!(failure.detail.contains("••••"));
    let call = &engine.calls()[0];
    assert!(!call.argv.join(" ").contains("hunter2"));
    let passed = call
        .env
        .iter()
        .find(|(key, _)| key == "PGPASSWORD")
        .unwrap();
    assert_eq!(passed.1.expose(), "hunter2-canary");
}

#[tokio::test]
async fn secrets_come_from_the_files_that_the_environment_names() {
    let engine = FakeEngine::with("db");
    let env = [
        ("POSTGRES_USER_FILE", "/run/user"),
        ("POSTGRES_DB_FILE", "/run/db"),
        ("POSTGRES_PASSWORD_FILE", "/run/password"),
    ];
    engine.add(Container {
        id: "db-id".into(),
        name: "db".into(),
        running: true,
        env: Secret::new(
            env.iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        ),
        ..Container::default()
    });
    engine.on("cat", |call| match call.argv[2].as_str() {
        "/run/user" => Script::new().stdout("anna\n"),
        "/run/db" => Script::new().stdout("orders"),
        "/run/password" => Script::new().stdout("from a file \n"),
        other => panic!("{other}"),
    });
    engine.on("pg_dump", |_| Script::new().stdout(DUMP));
    let mut sink = Heap::default();
    postgres()
        .backup(&site(engine.clone()).await, &mut sink)
        .await
        .unwrap();
    let call = engine
        .calls()
        .into_iter()
        .find(|call| call.argv[0] == "pg_dump")
        .unwrap();
    assert!(call.argv.contains(&"--username=anna".to_owned()));
    assert!(call.argv.contains(&"--dbname=orders".to_owned()));
    assert!(
        call.env
            .iter()
            .any(|(k, v)| k == "PGPASSWORD" && v.expose() == "from a file ")
    );

    engine.on("cat", |_| Script::new().stderr("cat: no such file").exit(1));
    let error = postgres()
        .backup(&site(engine).await, &mut sink)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("/run/user of POSTGRES_USER_FILE"),
        "{error}"
    );
}

/// A sink that gives up, or never comes back.
struct Bad {
    hangs: bool,
}

#[async_trait]
impl Sink for Bad {
    async fn write(&mut self, _: Bytes) -> Result<(), SinkClosed> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Err(SinkClosed)
    }
}

#[tokio::test]
async fn a_receiver_that_gives_up_or_hangs_ends_the_dump() {
    let engine = FakeEngine::with("db");
    engine.on("pg_dump", |_| {
        Script::new().repeat(vec![b'x'; 65536], 1_000_000)
    });
    engine.on("psql", |_| Script::new().read_all(|_| Script::new()));
    let place = site(engine.clone()).await;
    let error = postgres()
        .backup(&place, &mut Bad { hangs: false })
        .await
        .unwrap_err();
    assert!(matches!(error, StrategyError::SinkClosed(_)), "{error}");

    let cancel = place.cancel.clone();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    };
    let mut hangs = Bad { hangs: true };
    let (result, ()) = tokio::join!(postgres().backup(&place, &mut hangs), stop);
    assert!(matches!(result, Err(StrategyError::Cancelled)));

    // The container dies: at once, not at a time-out.
    let place = Site {
        stall: Duration::from_mins(10),
        ..site(engine.clone()).await
    };
    engine.on("pg_dump", |_| Script::new().stdout(DUMP).stall());
    let killer = engine.clone();
    let kill = async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        killer.kill("db");
    };
    let mut sink = Heap::default();
    let work = async { tokio::join!(postgres().backup(&place, &mut sink), kill).0 };
    let error = tokio::time::timeout(Duration::from_secs(5), work)
        .await
        .unwrap()
        .unwrap_err();
    let failure: Failure = error.into();
    assert!(failure.is_temporary(), "{failure:?}");
}

#[test]
fn only_database_images_are_detected() {
    let detect = |image: &str| {
        let container = Container {
            image: image.into(),
            ..Container::default()
        };
        postgres().detect(&container)
    };
    for image in [
        "postgres",
        "postgres:16-alpine",
        "docker.io/library/postgres:16",
        "bitnami/postgresql:15",
        "postgis/postgis:16-3.4",
        "timescale/timescaledb:latest-pg16",
        "timescale/timescaledb-ha:pg16",
        "pgvector/pgvector:pg16",
        "ankane/pgvector",
        "supabase/postgres:15.1",
        "r:5000/x/postgres@sha256:00",
    ] {
        assert!(detect(image).is_some(), "{image}");
    }
    for image in [
        "prometheuscommunity/postgres-exporter",
        "dpage/pgadmin4",
        "postgrest/postgrest",
        "mysql:8",
        "edoburu/pgbouncer",
        "prodrigestivill/postgres-backup-local",
        "sosedoff/pgweb",
        "postgres/app",
        "redis",
        "",
        "zalando/postgres-operator",
        "timescale/promscale",
    ] {
        assert!(detect(image).is_none(), "{image}");
    }
    let mut container = Container {
        image: "postgres:16".into(),
        ..Container::default()
    };
    assert_eq!(
        postgres().detect(&container).unwrap().metadata["database"],
        "postgres"
    );
    container.env = Secret::new([("POSTGRES_DB".to_owned(), "shop".to_owned())].into());
    let detected = postgres().detect(&container).unwrap();
    assert_eq!(
        detected.reason,
        "image postgres:16, database shop from POSTGRES_DB"
    );
}
