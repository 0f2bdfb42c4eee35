//! The adapter against a real engine: streams, exit statuses, and each way in which a program, its
//! container, the connection or the engine can fail it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt;
use holdfast::{
    docker::{Chunk, Command, DockerEngine, DockerError, Engine, Output, Session, Tools, command},
    domain::secret::Secret,
    strategy::{Options, Site},
};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::{
    bed::{self, Bed},
    proxy::Proxy,
};

const LIMIT: Duration = Duration::from_secs(20);

fn engine() -> DockerEngine {
    DockerEngine::connect(None).unwrap()
}

async fn run<const N: usize>(bed: &Bed, argv: [&str; N]) -> Result<Output, DockerError> {
    command::run(&engine(), &bed.name, Command::new(argv), None, LIMIT).await
}

/// Bytes of standard output up to the end, and the exit status.
async fn drain(mut session: Session) -> (Result<u64, DockerError>, Result<i64, DockerError>) {
    let mut bytes = 0;
    while let Some(chunk) = session.output.next().await {
        match chunk {
            Ok(Chunk::Stdout(chunk)) => bytes += chunk.len() as u64,
            Ok(Chunk::Stderr(_)) => {}
            Err(error) => return (Err(error), session.exit.await),
        }
    }
    (Ok(bytes), session.exit.await)
}

#[tokio::test(flavor = "multi_thread")]
async fn output_error_output_and_exit_status_arrive_apart() {
    let bed = Bed::idle();
    let script = "printf out; printf err >&2; exit 3";
    let done = run(&bed, ["sh", "-c", script]).await.unwrap();
    let expected = Output {
        code: 3,
        stdout: "out".into(),
        stderr: "err".into(),
    };
    assert_eq!(done, expected);
    assert_eq!(run(&bed, ["true"]).await.unwrap().code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn argv_is_no_shell_line() {
    let bed = Bed::idle();
    let odd = "$(id) ; 'x' \"y\" * \n\\ é";
    let done = run(&bed, ["printf", "%s|", odd, ""]).await.unwrap();
    assert_eq!(done.stdout, format!("{odd}||"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_the_environment_and_in_no_argument() {
    let bed = Bed::idle();
    let script = r#"tr "\0" " " < /proc/$$/cmdline; printf "\n%s" "$PGPASSWORD""#;
    let secret = "p@ss $'\"%=word";
    let command = Command::new(["sh", "-c", script]).env("PGPASSWORD", secret.into());
    assert!(!format!("{command:?}").contains("p@ss"));
    let done = command::run(&engine(), &bed.name, command, None, LIMIT)
        .await
        .unwrap();
    let (arguments, environment) = done.stdout.rsplit_once('\n').unwrap();
    assert!(!arguments.contains("p@ss"));
    assert_eq!(environment, secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_runs_it() {
    let bed = Bed::idle();
    let mut command = Command::new(["id", "-u"]);
    command.user = Some("1234".into());
    let done = command::run(&engine(), &bed.name, command, None, LIMIT)
        .await
        .unwrap();
    assert_eq!(done.stdout.trim(), "1234");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_standard_input_reaches_the_program() {
    let bed = Bed::idle();
    let input = Bytes::from_static(b"one\ntwo\n");
    let count = Command::new(["wc", "-c"]);
    let done = command::run(&engine(), &bed.name, count, Some(input.clone()), LIMIT)
        .await
        .unwrap();
    assert_eq!(done.stdout.trim(), "8");
    let echo = Command::new(["cat"]);
    let done = command::run(&engine(), &bed.name, echo, Some(input), LIMIT)
        .await
        .unwrap();
    assert_eq!(done.stdout, "one\ntwo\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn letting_go_of_standard_input_does_not_close_it() {
    let bed = Bed::idle();
    let command = Command::new(["cat"]).with_stdin();
    let mut session = engine().exec(&bed.name, command).await.unwrap();
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"half").await.unwrap();
    stdin.flush().await.unwrap();
    let echoed = session.output.next().await.unwrap().unwrap();
    assert_eq!(echoed, Chunk::Stdout(Bytes::from_static(b"half")));
    drop(stdin);
    let quiet = Duration::from_millis(300);
    assert!(
        tokio::time::timeout(quiet, session.output.next())
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_mib_arrive_whole_in_both_directions() {
    let bed = Bed::idle();
    let told = bed.sh("head -c 67108864 /dev/urandom > /tmp/f && sha256sum < /tmp/f");
    let cat = Command::new(["cat", "/tmp/f"]);
    let mut session = engine().exec(&bed.name, cat).await.unwrap();
    let (mut hash, mut all) = (Sha256::new(), Vec::new());
    while let Some(chunk) = session.output.next().await {
        if let Chunk::Stdout(bytes) = chunk.unwrap() {
            hash.update(&bytes);
            all.extend_from_slice(&bytes);
        }
    }
    assert_eq!(session.exit.await.unwrap(), 0);
    assert_eq!(all.len(), 64 << 20);
    assert_eq!(
        told.split(' ').next().unwrap(),
        hex::encode(hash.finalize())
    );
    let sum = Command::new(["sha256sum"]);
    let done = command::run(&engine(), &bed.name, sum, Some(all.into()), LIMIT)
        .await
        .unwrap();
    assert_eq!(done.stdout.trim(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_program_is_named() {
    let bed = Bed::idle();
    for program in ["pg_dump", "/no/such"] {
        let error = run(&bed, [program, "--version"]).await.unwrap_err();
        assert!(
            matches!(&error, DockerError::NoSuchProgram { program: p, .. } if p == program),
            "{error:?}"
        );
        assert!(!error.is_temporary());
    }
    let error = run(&bed, ["/etc/passwd"]).await.unwrap_err();
    assert!(error.to_string().contains("permission denied"), "{error}");
    let own = run(&bed, ["sh", "-c", "exit 126"]).await.unwrap();
    assert_eq!(own.code, 126);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_may_write_what_looks_like_a_refusal() {
    let bed = Bed::idle();
    let script = "printf 'OCI runtime notes: '; sleep 0.1; head -c 5000 /dev/zero; exit 4";
    let done = run(&bed, ["sh", "-c", script]).await.unwrap();
    assert_eq!((done.code, done.stdout.len()), (4, 5019));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_container_ends_the_output_and_the_status_tells() {
    let bed = Bed::idle();
    let mut session = engine()
        .exec(&bed.name, Command::new(["yes"]))
        .await
        .unwrap();
    session.output.next().await.unwrap().unwrap();
    bed::docker(&["kill", &bed.name]);
    let started = Instant::now();
    let (_, exit) = drain(session).await;
    assert!(!matches!(exit, Ok(0)), "{exit:?}");
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_ends_the_output_and_the_status_tells() {
    let bed = Bed::idle();
    let script = "echo begun; kill -9 $$";
    let session = engine()
        .exec(&bed.name, Command::new(["sh", "-c", script]))
        .await
        .unwrap();
    let (bytes, exit) = drain(session).await;
    assert_eq!((bytes.unwrap(), exit.unwrap()), (6, 137));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_container_stalls() {
    let bed = Bed::idle();
    let engine = engine();
    let begun = Command::new(["sh", "-c", "while :; do echo x; sleep 0.05; done"]);
    let mut session = engine.exec(&bed.name, begun).await.unwrap();
    session.output.next().await.unwrap().unwrap();
    bed::docker(&["pause", &bed.name]);
    let limit = Duration::from_millis(500);
    let quiet = async { while session.output.next().await.is_some() {} };
    assert!(tokio::time::timeout(limit, quiet).await.is_err());
    bed::docker(&["unpause", &bed.name]);
    let waiting = Command::new(["sleep", "60"]);
    let error = command::run(&engine, &bed.name, waiting, None, limit)
        .await
        .unwrap_err();
    assert!(matches!(error, DockerError::Stalled { after, .. } if after == limit));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_dies_when_its_session_is_dropped() {
    let bed = Bed::idle();
    let engine = engine();
    let mut other = engine
        .exec(&bed.name, Command::new(["cat"]).with_stdin())
        .await
        .unwrap();
    for argv in [
        &["yes"][..],
        &["sleep", "77"],
        &["sh", "-c", "trap '' TERM; sleep 77 & wait; wait"],
    ] {
        let session = engine
            .exec(&bed.name, Command::new(argv.to_vec()))
            .await
            .unwrap();
        bed::until("it runs", || bed.sh("ps").contains(argv.last().unwrap())).await;
        drop(session);
        bed::until("it is gone", || {
            !bed.sh("ps").contains(argv.last().unwrap())
        })
        .await;
    }
    other.stdin.take().unwrap().shutdown().await.unwrap();
    assert_eq!(drain(other).await.1.unwrap(), 0, "the others live on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_session_cancels_its_query_in_the_server() {
    let bed = Bed::run(bed::POSTGRES, &["-e", "POSTGRES_PASSWORD=x"], &[]);
    let psql = [
        "psql",
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "-c",
        "select pg_sleep(60)",
    ];
    let ready = || {
        bed.sh("pg_isready -h 127.0.0.1 || true")
            .contains("accepting")
    };
    bed::until("the server is up", ready).await;
    let command = Command::new(psql).env("PGPASSWORD", "x".into());
    let session = engine().exec(&bed.name, command).await.unwrap();
    let count = "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'";
    let running = || bed.sh(&format!("psql -U postgres -Atc \"{count}\""));
    bed::until("the query runs", || running() == "1").await;
    drop(session);
    bed::until("the query is gone", || running() == "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_whose_session_is_dropped_never_sees_the_end_of_its_input() {
    let bed = Bed::idle();
    let script = "cat > /tmp/in; echo committed > /tmp/out";
    let command = Command::new(["sh", "-c", script]).with_stdin();
    let mut session = engine().exec(&bed.name, command).await.unwrap();
    let stdin = session.stdin.as_mut().unwrap();
    stdin.write_all(b"half").await.unwrap();
    stdin.flush().await.unwrap();
    bed::until("half of it is there", || {
        bed.sh("cat /tmp/in || true") == "half"
    })
    .await;
    drop(session);
    bed::until("it is gone", || !bed.sh("ps").contains("cat > /tmp/in")).await;
    assert_eq!(bed.sh("ls /tmp"), "in");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_life_left_running_is_swept() {
    let bed = Bed::idle();
    bed::docker(&[
        "exec",
        "-d",
        "-e",
        "HOLDFAST_EXEC=01ABC",
        &bed.name,
        "sleep",
        "88",
    ]);
    bed::docker(&["exec", "-d", &bed.name, "sleep", "99"]);
    bed::until("both run", || bed.sh("ps").contains("99")).await;
    let engine = engine();
    engine.sweep(&bed.name, None).await.unwrap();
    let left = bed.sh("ps");
    assert!(
        !left.contains("sleep 88") && left.contains("sleep 99"),
        "{left}"
    );
    engine.sweep(&bed.name, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_and_unknown_containers_are_told_apart() {
    let bed = Bed::idle();
    let engine = engine();
    bed::docker(&["kill", &bed.name]);
    let error = run(&bed, ["true"]).await.unwrap_err();
    assert!(matches!(error, DockerError::NotRunning(_)), "{error:?}");
    for unknown in ["no-such", "", "../info", "x/../y", "a?b", "a%2fb"] {
        let exec = engine.exec(unknown, Command::new(["true"])).await;
        let inspect = engine.container(unknown).await;
        for error in [exec.err().unwrap(), inspect.unwrap_err()] {
            assert!(
                matches!(error, DockerError::NoSuchContainer(_)),
                "{error:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_resolves_soon_after_the_end() {
    let engine = engine();
    for end in [&["kill"][..], &["rm", "-f"], &["restart", "-t", "0"]] {
        let bed = Bed::idle();
        let waiting = engine.stopped(&bed.name);
        tokio::pin!(waiting);
        let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
        assert!(early.is_err(), "it runs");
        let name = bed.name.clone();
        let ending = tokio::task::spawn_blocking(move || {
            bed::docker(&[end, &[name.as_str()]].concat());
            Instant::now()
        });
        let told = async {
            waiting.await.unwrap();
            Instant::now()
        };
        let (told, ended) = tokio::join!(told, ending);
        let late = told.saturating_duration_since(ended.unwrap());
        assert!(late < Duration::from_secs(10), "{end:?}: {late:?}");
    }
    engine.stopped("no-such").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_and_start_may_be_repeated() {
    let bed = Bed::idle();
    let engine = engine();
    for _ in 0..2 {
        engine
            .stop(&bed.name, Duration::from_secs(1))
            .await
            .unwrap();
        assert!(!engine.container(&bed.name).await.unwrap().running);
    }
    for _ in 0..2 {
        engine.start(&bed.name).await.unwrap();
        assert!(engine.container(&bed.name).await.unwrap().running);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_described() {
    let volume = format!(
        "hf-test-{}",
        ulid::Ulid::generate().to_string().to_lowercase()
    );
    let mount = format!("{volume}:/data:ro");
    let bed = Bed::run(
        bed::BUSYBOX,
        &[
            "-e",
            "A=b=c",
            "-v",
            &mount,
            "-l",
            "com.docker.compose.project=shop",
        ],
        &["sleep", "3600"],
    );
    let engine = engine();
    let found = engine.container(&bed.name).await.unwrap();
    assert_eq!(found.name, bed.name);
    assert_eq!(found.image, bed::BUSYBOX);
    assert!(found.image_id.starts_with("sha256:"));
    assert_eq!(found.env("A"), Some("b=c"));
    assert_eq!(found.project(), Some("shop"));
    let [mount] = &found.mounts[..] else {
        panic!("one mount, not {:?}", found.mounts)
    };
    assert_eq!(
        (
            &*mount.kind,
            &*mount.source,
            &*mount.destination,
            mount.read_only
        ),
        ("volume", &*volume, "/data", true)
    );
    let all = engine.containers().await.unwrap();
    let mut listed = all.into_iter().find(|c| c.id == found.id).unwrap();
    assert_eq!(listed.env, Secret::default());
    listed.env = found.env.clone();
    assert_eq!(listed, found);
    drop(bed);
    bed::docker(&["volume", "rm", &volume]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_is_named_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let host = format!("unix://{}", socket.display());
    let engine = DockerEngine::connect(Some(&host)).unwrap();
    for round in 0..2 {
        let error = engine.info().await.unwrap_err();
        assert!(
            matches!(error, DockerError::Unreachable { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(&host), "{error}");
        assert!(error.is_temporary());
        let proxy = Proxy::listen(&socket, None);
        assert_eq!(engine.info().await.unwrap().os, "linux");
        let asked = proxy
            .requests()
            .iter()
            .filter(|line| *line == "GET /version HTTP/1.1")
            .count();
        assert_eq!(asked, 1, "negotiated anew in round {round}");
        drop(proxy);
    }
    for far in ["ssh://host", "https://host:2376", "nonsense"] {
        let error = DockerEngine::connect(Some(far)).err().unwrap();
        assert!(error.to_string().contains(far), "{error}");
    }
}

/// 16 bytes of output come as one frame: 8 bytes of header, 16 of payload. Cut after any number
/// of them, nothing may look like a whole stream; after all of them nothing is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_inside_a_frame_is_seen_wherever_it_falls() {
    let bed = Bed::idle();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    for through in 0..=24 {
        let proxy = Proxy::listen(&socket, Some(through));
        let engine = DockerEngine::connect(socket.to_str()).unwrap();
        let command = Command::new(["printf", "0123456789abcdef"]);
        let session = engine.exec(&bed.name, command).await.unwrap();
        let (bytes, exit) = drain(session).await;
        assert_eq!(exit.unwrap(), 0, "the program itself ended well");
        match through {
            0 => assert_eq!(bytes.unwrap(), 0),
            24 => assert_eq!(bytes.unwrap(), 16),
            _ => assert!(matches!(bytes, Err(DockerError::Cut { .. })), "{through}"),
        }
        drop(proxy);
    }
}

/// A helper works on the volumes of a service that does not run, and nothing of it stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_helper_lends_its_programs_to_the_volumes_of_a_stopped_service() {
    let engine = Arc::new(engine().with_helper_image(bed::BUSYBOX));
    let bed = Bed::run(bed::BUSYBOX, &["-v", "/data"], &["sleep", "3600"]);
    bed.sh("echo kept > /data/file; echo gone > /own-layer");
    crate::bed::docker(&["kill", &bed.name]);
    engine.stopped(&bed.name).await.unwrap();
    let site = site(engine.clone(), &bed).await;

    let helper = site.helper(Tools::Own, false).await.unwrap();
    let script = "cat /data/file; id -u; ls /own-layer 2>/dev/null; echo new > /data/new";
    let done = run_at(&helper.site, script).await;
    assert_eq!((done.code, done.stdout.as_str()), (0, "kept\n0\n"));
    helper.remove().await.unwrap();

    let helper = site.helper(Tools::Common, true).await.unwrap();
    let done = run_at(&helper.site, "cat /data/new && ! echo x > /data/file").await;
    assert_eq!((done.code, done.stdout.as_str()), (0, "new\n"));
    let of = site.container.id.as_str();
    assert_eq!(engine.sweep_helpers(of).await.unwrap(), 1);
    assert_eq!(engine.sweep_helpers(of).await.unwrap(), 0);
    helper.remove().await.unwrap(); // gone is fine

    let helper = site.helper(Tools::Own, false).await.unwrap();
    let id = helper.site.container.id.clone();
    drop(helper);
    engine.stopped(&id).await.unwrap();
}

/// The image of the service has no `sleep`, or the helper image is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_cannot_be_had_leaves_nothing() {
    let engine = Arc::new(engine().with_helper_image("holdfast-test/there-is-no-such:image"));
    let bed = Bed::run(bed::BUSYBOX, &["-v", "/data"], &["sleep", "3600"]);
    let site = site(engine.clone(), &bed).await;
    let error = site.helper(Tools::Common, false).await.err().unwrap();
    assert!(error.to_string().contains("helper image"), "{error}");
    assert_eq!(engine.sweep_helpers(&site.container.id).await.unwrap(), 0);
}

/// A service is stopped when it has ended, and started when it is seen to run.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_stopped_and_started_for_sure() {
    let bed = Bed::idle();
    let site = site(Arc::new(engine()), &bed).await;
    for _ in 0..2 {
        site.stop_service().await.unwrap();
        let container = site.engine.container(&bed.name).await.unwrap();
        assert!(!container.running);
    }
    for _ in 0..2 {
        site.start_service().await.unwrap();
        assert!(site.engine.container(&bed.name).await.unwrap().running);
    }
}

async fn site(engine: Arc<DockerEngine>, bed: &Bed) -> Site {
    let container = engine.container(&bed.name).await.unwrap();
    Site {
        engine,
        container,
        options: Options::default(),
        cancel: CancellationToken::new(),
        stall: LIMIT,
    }
}

async fn run_at(site: &Site, script: &str) -> Output {
    let script = Command::new(["sh", "-c", script]);
    command::run(&*site.engine, &site.container.id, script, None, LIMIT)
        .await
        .unwrap()
}
