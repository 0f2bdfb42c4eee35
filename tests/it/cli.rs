//! The command line as people and scripts use it: the real program, with a server and without one.

use std::{
    io::Write,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    bed::until,
    house::{postgres, psql},
    server::Server,
    session::Session,
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
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }

    pub fn good(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }
}

/// The program with its data in this folder.
pub fn holdfast(data: &Path, args: &[&str]) -> Said {
    with(data, args, "", &[])
}

pub fn with(data: &Path, args: &[&str], input: &str, env: &[(&str, &str)]) -> Said {
    let data = data.display().to_string();
    let env = [&[("HOLDFAST_DATA_DIR", data.as_str())], env].concat();
    spawned(args, input, &env)
}

/// With nothing in its environment that says where a server is, but what is given. One that waits for what
/// never comes is ended, so that a test says so.
fn spawned(args: &[&str], input: &str, env: &[(&str, &str)]) -> Said {
    let mut child = Command::new("timeout")
        .args(["--verbose", "300", env!("CARGO_BIN_EXE_holdfast")])
        .args(args)
        .env_remove("HOLDFAST_DATA_DIR")
        .env_remove("HOLDFAST_URL")
        .env_remove("HOLDFAST_TOKEN")
        .env_remove("RUST_LOG")
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
    for command in [
        "serve",
        "apply",
        "export",
        "backup",
        "download",
        "activity",
        "restore",
        "restores",
        "runs",
        "runs log",
        "configs add",
        "configs change",
        "tokens issue",
    ] {
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
        &[
            "users",
            "add",
            "anna",
            "--role",
            "admin",
            "--password-stdin",
        ],
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

    let lying = run(&["artifacts", "list", "--output", "json"], "");
    assert_eq!(lying.good().json(), json!({ "ok": true, "places": [] }));
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
        (vec!["copy", "1"], 1, "the run 1 does not exist"),
        (
            vec!["artifacts", "delete", "a/1/b", "--place", "x", "--yes"],
            1,
            "no config and no run stores there",
        ),
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

/// Without a data folder or an address: what the client's own file says.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_has_a_file_of_its_own() {
    let server = Server::start(&[]).await;
    let data = server.data.path().to_owned();
    with(
        &data,
        &[
            "users",
            "add",
            "anna",
            "--role",
            "admin",
            "--password-stdin",
        ],
        PASSWORD,
        &[],
    )
    .good();
    holdfast(&data, &["apps", "add", "shop"]).good();
    let token = holdfast(&data, &["tokens", "issue", "desk", "--user", "anna"]).good();
    let told: Value =
        serde_json::from_str(&std::fs::read_to_string(data.join("server.json")).unwrap()).unwrap();
    let (url, token) = (told["url"].as_str().unwrap(), token.out.trim());
    let config = TempDir::new().unwrap();
    let folder = config.path().join("holdfast");
    std::fs::create_dir(&folder).unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, mode).unwrap();
    };
    let home = config.path().display().to_string();
    let list = |env: &[(&str, &str)]| {
        let env = [&[("XDG_CONFIG_HOME", home.as_str())], env].concat();
        spawned(&["apps", "list", "--output", "json"], "", &env)
    };
    let whole = format!("url = {url:?}\ntoken = {token:?}\n");
    write("client.toml", &whole, 0o600);
    assert_eq!(list(&[]).good().json()[0]["slug"], "shop");
    // Beside it, in a file of its own.
    write("token", &format!("{token}\n"), 0o600);
    let beside = format!("url = {url:?}\ntoken_file = \"token\"\n");
    write("client.toml", &beside, 0o644);
    assert_eq!(list(&[]).good().json()[0]["slug"], "shop");

    // The environment and the command line go first, and the token goes to no other address.
    let wrong = list(&[("HOLDFAST_TOKEN", "hft_wrong")]);
    assert_eq!(wrong.code, 1, "{}", wrong.err);
    let other = list(&[("HOLDFAST_URL", "http://127.0.0.1:1")]);
    assert_eq!(other.code, 2, "{}", other.err);
    assert!(
        other.err.contains("http://127.0.0.1:1 needs a token"),
        "{}",
        other.err
    );
    let elsewhere = TempDir::new().unwrap();
    let named = elsewhere.path().display().to_string();
    assert_eq!(
        list(&[("HOLDFAST_DATA_DIR", &named)]).good().json(),
        json!([])
    );

    for (text, mode, said) in [
        (whole.as_str(), 0o640, "others may read it; chmod 600"),
        (
            "url = \"x\"\ntoken = \"hft_canary",
            0o600,
            "line 2 is not understood",
        ),
        (
            "url = \"x\"\nserver = \"y\"",
            0o600,
            "known are url, token and token_file",
        ),
        ("token = \"x\"\ntoken_file = \"y\"", 0o600, "not both"),
    ] {
        write("client.toml", text, mode);
        let refused = list(&[]);
        assert_eq!(refused.code, 2, "{text}: {}", refused.err);
        assert!(refused.err.contains(said), "{text}: {}", refused.err);
        assert!(!refused.err.contains("hft_"), "{}", refused.err);
    }
}

#[test]
fn shells_are_told_what_there_is() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = spawned(&["completions", shell], "", &[]).good().out;
        for word in ["apply", "configs", "dry-run", "follow"] {
            assert!(script.contains(word), "{shell} is not told of {word}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_alone_until_it_is_set_up() {
    let server = Server::start(&["--listen", "0.0.0.0:0"]).await;
    let data = server.data.path().to_owned();
    until("it says where it listens", || {
        server.log().contains("it listens on 127.0.0.1:")
    })
    .await;
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
    until("it listens elsewhere, and says so", || {
        url() != first && server.log().contains("set up; listening on 0.0.0.0:")
    })
    .await;
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
        fetched(&data, &run);
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

/// The artifact under its own name, in whole or not at all; and what happened.
fn fetched(data: &Path, run: &Value) {
    let id = run["id"].to_string();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("got");
    let path = file.display().to_string();
    holdfast(data, &["download", &id, &path]).good();
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(bytes.len() as u64, run["size_bytes"].as_u64().unwrap());
    let again = holdfast(data, &["download", &id, &path]);
    assert_eq!(again.code, 1, "{}", again.out);
    assert!(again.err.contains("File exists"), "{}", again.err);
    let absent = holdfast(data, &["download", "999", &format!("{path}-2")]);
    assert_eq!(absent.code, 1, "{}", absent.out);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let seen = holdfast(
        data,
        &["activity", "shop", "--limit", "1", "--output", "json"],
    );
    let seen = seen.good().json();
    assert_eq!(seen[0]["name"], "audit.downloaded", "{seen}");
    let position = seen[0]["position"].to_string();
    let event = holdfast(data, &["activity", "--event", &position])
        .good()
        .out;
    assert!(event.contains("Hash "), "{event}");
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
    let holder = Session::open(&bed.name, "postgres", "shop", "BEGIN; LOCK TABLE notes");
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
        let ended = child.wait().unwrap();
        // As a shell has it, which does not tell an end by the signal from one that was its own.
        let code = ended.code().or(ended.signal().map(|it| it + 128));
        slowest = slowest.max(start.elapsed());
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
        assert_eq!(code, Some(143), "{said}");
        assert!(!said.contains("locked"), "{said}");
    }
    println!("{ROUNDS} commands ended by SIGTERM, the slowest after {slowest:?}");
    assert!(slowest < Duration::from_secs(30), "{slowest:?}");
    holder.end();
    let run = holdfast(data.path(), &["backup", "shop", "--output", "json"])
        .good()
        .json();
    assert_eq!(
        run["id"], 1,
        "the same run, however often it was interrupted: {run}"
    );
    assert_eq!(run["status"], "success", "{run}");
}
