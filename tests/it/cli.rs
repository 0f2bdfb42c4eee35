//! The command line as people and scripts use it: the real program, with a server and without one.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    house::{postgres, psql},
    server::Server,
};

const PASSWORD: &str = "correct horse battery";
/// An engine that is not there.
const NO_ENGINE: (&str, &str) = ("DOCKER_HOST", "unix:///nonexistent/engine.sock");

pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }

    fn good(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }
}

/// The program with its data in this folder.
pub fn holdfast(data: &Path, args: &[&str]) -> Said {
    with(data, args, "", &[])
}

fn with(data: &Path, args: &[&str], input: &str, env: &[(&str, &str)]) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(args)
        .env_remove("HOLDFAST_URL")
        .env_remove("HOLDFAST_TOKEN")
        .env_remove("RUST_LOG")
        .env("HOLDFAST_DATA_DIR", data)
        .env("COLUMNS", "100")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let done = child.wait_with_output().unwrap();
    Said {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

#[test]
fn help_says_what_there_is() {
    let data = TempDir::new().unwrap();
    let ask = |words: &[&str]| {
        with(data.path(), words, "", &[("DOCKER_HOST", "")])
            .good()
            .out
    };
    let mut said = ask(&["--help"]);
    for command in ["serve", "backup", "restore", "config add", "token issue"] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        said += &format!("\n=== {command}\n{}", ask(&words));
    }
    let said = said.replace(&data.path().display().to_string(), "DATA");
    insta::assert_snapshot!(said);
    assert_eq!(
        std::fs::read_dir(data.path()).unwrap().count(),
        0,
        "help made files"
    );
}

#[test]
fn the_document_needs_no_server() {
    let data = TempDir::new().unwrap();
    let document = holdfast(data.path(), &["openapi"]).good().json();
    assert!(document["paths"]["/apps"].is_object());
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}

#[test]
fn without_a_server_and_without_an_engine() {
    let data = TempDir::new().unwrap();
    let run = |args: &[&str], input: &str| with(data.path(), args, input, &[NO_ENGINE]);
    run(
        &["user", "add", "anna", "--role", "admin", "--password-stdin"],
        PASSWORD,
    )
    .good();
    let users = run(&["user", "list", "--output", "json"], "").good().json();
    assert_eq!(users[0]["name"], "anna");
    run(
        &["app", "add", "shop", "--project", "p", "--name", "Shop"],
        "",
    )
    .good();
    let apps = run(&["app", "list"], "").good().out;
    assert_eq!(apps, "ID  SLUG  NAME  PROJECT\n1   shop  Shop  p\n");
    let token = run(&["token", "issue", "ci", "--user", "anna"], "")
        .good()
        .out;
    assert!(token.starts_with("hft_"), "{token}");
    let tokens = run(&["token", "list", "--output", "json"], "")
        .good()
        .json();
    let id = tokens[0]["id"].as_str().unwrap().to_owned();
    run(&["token", "revoke", &id], "").good();
    assert_eq!(
        run(&["token", "list", "--output", "json"], "")
            .good()
            .json(),
        json!([])
    );
    let export = run(&["audit", "export"], "").good().out;
    assert!(
        export.lines().last().unwrap().starts_with("{\"head\""),
        "{export}"
    );
    run(&["audit", "verify"], "").good();
    let rebuilt = run(&["rebuild", "--output", "json"], "").good().json();
    assert_eq!(rebuilt["differed"], json!([]));

    let doctor = run(&["doctor"], "");
    assert_eq!(doctor.code, 1, "{}", doctor.out);
    assert!(
        doctor.out.contains("container engine  bad"),
        "{}",
        doctor.out
    );
    for (args, code, said) in [
        (vec!["app", "add", "shop"], 1, "an app of this name exists"),
        (vec!["app", "add", "No Good"], 1, "slug: use 1 to 63"),
        (vec!["runs", "nothing"], 1, "the app nothing does not exist"),
        (vec!["runs", "../x"], 2, "is no name of an app"),
        (
            vec!["user", "add", "bob", "--password-stdin"],
            1,
            "at least 12 characters",
        ),
        (vec!["user", "remove", "bob"], 1, "there is no user bob"),
        (vec!["user", "remove", "anna"], 1, "the last admin"),
        (vec!["backup", "shop"], 1, "has no backup config"),
        (vec!["backup"], 2, "required arguments"),
        (vec!["restore", "1", "--yes"], 1, "the run 1 does not exist"),
        (vec!["nonsense"], 2, "unrecognized subcommand"),
        (
            vec!["--url", "http://127.0.0.1:1", "runs"],
            2,
            "needs a token",
        ),
    ] {
        let done = run(&args, "");
        assert_eq!(done.code, code, "{args:?}: {}{}", done.out, done.err);
        assert!(done.err.contains(said), "{args:?}: {}", done.err);
    }
    for (url, code, said) in [
        ("nonsense", 2, "is no address"),
        ("http://127.0.0.1:1", 3, "Connection refused"),
    ] {
        // A proxy would be handed the token.
        let env = [
            ("HOLDFAST_TOKEN", "x"),
            ("HTTP_PROXY", "http://192.0.2.1:9"),
        ];
        let done = with(data.path(), &["--url", url, "runs"], "", &env);
        assert_eq!(done.code, code, "{url}: {}{}", done.out, done.err);
        assert!(done.err.contains(said), "{url}: {}", done.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_server_in_the_folder_or_elsewhere() {
    let mut server = Server::start(&[]).await;
    let data = server.data.path().to_owned();
    let file = data.join("server.json");
    let told: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(data.join("setup-token").exists());
    with(
        &data,
        &["user", "add", "anna", "--role", "admin", "--password-stdin"],
        PASSWORD,
        &[],
    )
    .good();
    assert!(
        !data.join("setup-token").exists(),
        "nothing is left to set up"
    );
    holdfast(&data, &["app", "add", "shop"]).good();

    // From another machine, as it were: another data folder, a token.
    let token = holdfast(
        &data,
        &["token", "issue", "ci", "--user", "anna", "--role", "viewer"],
    )
    .good();
    let elsewhere = TempDir::new().unwrap();
    let env = [
        ("HOLDFAST_URL", told["url"].as_str().unwrap()),
        ("HOLDFAST_TOKEN", token.out.trim()),
    ];
    let apps = with(
        elsewhere.path(),
        &["app", "list", "--output", "json"],
        "",
        &env,
    )
    .good()
    .json();
    assert_eq!(apps[0]["slug"], "shop");
    let refused = with(elsewhere.path(), &["app", "add", "mine"], "", &env);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("your role does not allow this"),
        "{}",
        refused.err
    );
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);

    // Another process has the folder, but tells nobody where it is.
    let hidden = data.join("hidden");
    std::fs::rename(&file, &hidden).unwrap();
    let busy = holdfast(&data, &["app", "list"]);
    assert_eq!(busy.code, 3, "{}", busy.err);
    assert!(
        busy.err.contains("another Holdfast works in"),
        "{}",
        busy.err
    );
    std::fs::rename(&hidden, &file).unwrap();

    // A killed server leaves its file behind; nobody is fooled by it.
    server.kill();
    assert!(file.exists());
    let apps = holdfast(&data, &["app", "list", "--output", "json"])
        .good()
        .json();
    assert_eq!(apps[0]["slug"], "shop");

    server.restart().await;
    assert_eq!(server.terminate().await, Some(0));
    assert!(!file.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_alone_until_it_is_set_up() {
    let server = Server::start(&["--listen", "0.0.0.0:0"]).await;
    let data = server.data.path().to_owned();
    assert!(
        server.log().contains("it listens on 127.0.0.1:"),
        "{}",
        server.log()
    );
    let url = || {
        let told = std::fs::read_to_string(data.join("server.json")).unwrap();
        serde_json::from_str::<Value>(&told).unwrap()["url"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let first = url();
    with(
        &data,
        &["user", "add", "anna", "--role", "admin", "--password-stdin"],
        PASSWORD,
        &[],
    )
    .good();
    for _ in 0..200 {
        if url() != first {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        server.log().contains("set up; listening on 0.0.0.0:"),
        "{}",
        server.log()
    );
    let ready = server
        .client
        .get(format!("{}/readyz", url()))
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    assert!(
        server
            .client
            .get(format!("{first}/readyz"))
            .send()
            .await
            .is_err()
    );
    holdfast(&data, &["app", "list"]).good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_and_its_restore_with_a_server_and_without() {
    const COUNT: &str = "SELECT count(*) FROM notes";
    let project = format!("cli-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    psql(
        &bed,
        "shop",
        "CREATE TABLE notes AS SELECT i FROM generate_series(1, 1000) i",
    );
    let mut server = Server::start(&["--retry", "1"]).await;
    let data = server.data.path().to_owned();
    holdfast(&data, &["app", "add", "shop", "--project", &project]).good();
    let add = [
        "config",
        "add",
        "shop",
        "--strategy",
        "postgres",
        "--service",
        "db",
        "--target",
        "local",
        "--schedule",
        "0 2 * * *",
        "--option",
        "database=shop",
        "--output",
        "json",
    ];
    let config = holdfast(&data, &add).good().json()["id"].as_i64().unwrap();
    for round in 0..2 {
        let run = holdfast(&data, &["backup", "shop", "--wait", "--output", "json"]).good();
        let (run, steps) = (run.json(), run.err);
        assert_eq!(run["status"], "success", "{run}");
        assert!(steps.contains(&format!("run {}: ", run["id"])), "{steps}");
        let id = run["id"].to_string();
        psql(&bed, "shop", "DELETE FROM notes WHERE i > 10");
        let asked = holdfast(&data, &["restore", &id, "--wait"]);
        assert_eq!(asked.code, 2, "nobody is there to confirm: {}", asked.err);
        let restore = ["restore", &id, "--wait", "--yes", "--output", "json"];
        let restore = holdfast(&data, &restore).good().json();
        assert_eq!(psql(&bed, "shop", COUNT), "1000");
        let restore = restore["id"].to_string();
        let undo = ["undo", &restore, "--wait", "--yes", "--output", "json"];
        assert_eq!(holdfast(&data, &undo).good().json()["status"], "undone");
        assert_eq!(psql(&bed, "shop", COUNT), "10");
        psql(
            &bed,
            "shop",
            "TRUNCATE notes; INSERT INTO notes SELECT generate_series(1, 1000)",
        );
        if round == 0 {
            // Next time nobody serves, and the command does the work itself.
            assert_eq!(server.terminate().await, Some(0));
        }
    }
    let by_config = [
        "backup",
        "--config",
        &config.to_string(),
        "--output",
        "json",
    ];
    let run = holdfast(&data, &by_config).good().json();
    assert_eq!(
        run["status"], "success",
        "without a server it waits by itself"
    );

    crate::bed::docker(&["stop", "-t", "0", &bed.name]);
    let failed = holdfast(&data, &["backup", "shop", "--wait"]);
    assert_eq!(failed.code, 1, "{}{}", failed.out, failed.err);
    assert!(failed.out.contains("is not running"), "{}", failed.out);
    let runs = holdfast(&data, &["runs", "shop", "--output", "json"])
        .good()
        .json();
    let statuses: Vec<&str> = runs
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|run| run["status"].as_str())
        .collect();
    assert_eq!(statuses, ["failed", "success", "success", "success"]);
}

/// A stop in the middle of a fetch from the queue once left the database locked for as long as jobs
/// ran, so that how they ended could not be written.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_command_soon_and_its_run_goes_on_later() {
    const ROUNDS: i64 = 15;
    let project = format!("cli-signal-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    psql(&bed, "shop", "CREATE TABLE notes(i int)");
    let data = TempDir::new().unwrap();
    holdfast(data.path(), &["app", "add", "shop", "--project", &project]).good();
    let add = [
        "config",
        "add",
        "shop",
        "--strategy",
        "postgres",
        "--service",
        "db",
    ];
    holdfast(data.path(), &add).good();

    // The dump waits for this table.
    let hold = "BEGIN; LOCK TABLE notes; SELECT pg_sleep(600)";
    let words = [
        "exec", &bed.name, "psql", "-U", "postgres", "-d", "shop", "-c", hold,
    ];
    let mut holder = Command::new("docker").args(words).spawn().unwrap();
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        let mut child = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(["backup", "shop"])
            .env("HOLDFAST_DATA_DIR", data.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let moment = 900 + u64::try_from(round).unwrap() * 77 % 600;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let start = std::time::Instant::now();
        let code = child.wait().unwrap().code();
        slowest = slowest.max(start.elapsed());
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
        assert_eq!(code, Some(143), "{said}");
        assert!(!said.contains("locked"), "{said}");
    }
    println!("{ROUNDS} commands ended by SIGTERM, the slowest after {slowest:?}");
    assert!(slowest < Duration::from_secs(8), "{slowest:?}");
    let _ = holder.kill();
    let _ = holder.wait();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' \
               AND pid <> pg_backend_pid()";
    psql(&bed, "postgres", end);
    let run = holdfast(data.path(), &["backup", "shop", "--output", "json"])
        .good()
        .json();
    assert_eq!(
        run["id"], 1,
        "the same run, however often it was interrupted: {run}"
    );
    assert_eq!(run["status"], "success", "{run}");
}
