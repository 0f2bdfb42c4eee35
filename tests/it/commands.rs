//! Commands about what is there already: looked at, followed, changed, cancelled, taken back.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use futures_util::stream;
use poem::{
    IntoResponse, Request, Route,
    http::StatusCode,
    listener::{Acceptor, Listener, TcpListener},
    web::sse::{Event, SSE},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    bed::docker,
    cli::{Said, holdfast, with},
    note,
    server::Server,
};

fn json_of(data: &Path, args: &[&str]) -> Value {
    let args = [args, &["--output", "json"]].concat();
    holdfast(data, &args).good().json()
}

/// With a config of an SQLite database; its id comes with it.
fn configured(data: &Path, project: &str) -> String {
    holdfast(data, &["apps", "add", "shop", "--project", project]).good();
    let add = [
        "configs",
        "add",
        "shop",
        "--strategy",
        "sqlite",
        "--service",
        "db",
        "--path",
        note::FILE,
        "--keep",
        "5",
        "--no-verify",
    ];
    json_of(data, &add)["id"].to_string()
}

fn lines(said: &Said) -> Vec<&str> {
    said.out.lines().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_restores_are_listed_shown_followed_and_taken_back() {
    let (project, bed) = note::service("commands");
    let server = Server::start(&["--retry", "1"]).await;
    let data = server.data.path();
    let config = configured(data, &project);

    let run = json_of(data, &["backup", "shop"])["id"].to_string();
    let followed = holdfast(data, &["runs", "log", &run, "--follow"]).good();
    let told = lines(&followed);
    assert!(told[0].ends_with("requested (cli)"), "{told:?}");
    assert!(
        told.last().unwrap().contains("Backup succeeded"),
        "{told:?}"
    );
    assert_eq!(followed.err, "", "no bar without a terminal");
    // The past in the end is what was followed, and each line an event of the log.
    assert_eq!(lines(&holdfast(data, &["runs", "log", &run]).good()), told);
    let entries = holdfast(data, &["runs", "log", &run, "--output", "json"]).good();
    let entries: Vec<Value> = lines(&entries)
        .into_iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(entries.len(), told.len());
    assert_eq!(entries[0]["name"], "run.requested");

    let shown = holdfast(data, &["runs", "show", &run]).good().out;
    for part in ["success", "cli", "SHA-256"] {
        assert!(shown.contains(part), "{shown}");
    }
    for list in [&["runs"][..], &["runs", "shop"], &["runs", "list", "shop"]] {
        assert_eq!(json_of(data, list).as_array().unwrap().len(), 1, "{list:?}");
    }

    let restore = ["restore", &run, "--wait", "--yes"];
    let restore = json_of(data, &restore)["id"].to_string();
    for list in [
        &["restores"][..],
        &["restores", "list", "shop"],
        &["restores", "shop"],
    ] {
        let found = json_of(data, list);
        assert_eq!(found[0]["id"].to_string(), restore, "{list:?}: {found}");
    }
    assert_eq!(
        json_of(data, &["restores", "show", &restore])["status"],
        "success"
    );
    let undo = ["restores", "undo", &restore, "--yes", "--wait"];
    assert_eq!(json_of(data, &undo)["status"], "undone");

    // What is over cannot be cancelled, and a run that failed is a failure of who follows it.
    for over in [["runs", "cancel", &run], ["restores", "cancel", &restore]] {
        let refused = holdfast(data, &over);
        assert_eq!(refused.code, 1, "{over:?}: {}", refused.out);
        assert!(refused.err.contains("is over"), "{over:?}: {}", refused.err);
    }
    docker(&["rm", "-f", "-v", &bed.name]);
    let failing = json_of(data, &["backup", "--config", &config])["id"].to_string();
    let followed = holdfast(data, &["runs", "log", &failing, "--follow"]);
    assert_eq!(followed.code, 1, "{}{}", followed.out, followed.err);
    holdfast(data, &["runs", "log", &failing]).good();
    for (args, code, said) in [
        (["runs", "show", "99"], 1, "the run 99 does not exist"),
        (["runs", "log", "99"], 1, "the run 99 does not exist"),
        (
            ["restores", "show", "99"],
            1,
            "the restore 99 does not exist",
        ),
        (["runs", "show", "x"], 2, "invalid value"),
    ] {
        let done = holdfast(data, &args);
        assert_eq!(done.code, code, "{args:?}: {}", done.err);
        assert!(done.err.contains(said), "{args:?}: {}", done.err);
    }
}

/// As somebody at a terminal sees it: what `script` gives a program is one.
fn at_a_terminal(data: &Path, command: &str) -> String {
    let program = env!("CARGO_BIN_EXE_holdfast");
    let done = Command::new("script")
        .args(["-qec", &format!("{program} {command}"), "/dev/null"])
        .env("HOLDFAST_DATA_DIR", data)
        .env("TERM", "xterm")
        .env_remove("HOLDFAST_URL")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{command}: {said}");
    said
}

/// What a bar is drawn with.
const DRAWN: &str = "\u{1b}[";

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_is_drawn_at_a_terminal_and_nowhere_else() {
    let (project, _bed) = note::service("bars");
    let server = Server::start(&[]).await;
    let data = server.data.path();
    configured(data, &project);
    let file = data.join("got").display().to_string();
    let elsewhere = format!("{file}-too");
    for (command, own) in [
        ("backup shop --wait", &["backup", "shop", "--wait"][..]),
        (
            "restore 1 --wait --yes",
            &["restore", "1", "--wait", "--yes"],
        ),
        (
            &format!("download 1 {file}"),
            &["download", "1", &elsewhere],
        ),
    ] {
        let seen = at_a_terminal(data, command);
        assert!(seen.contains(DRAWN), "{command}: {seen:?}");
        let said = holdfast(data, own).good();
        assert!(
            !said.err.contains(DRAWN) && !said.out.contains(DRAWN),
            "{command}: {}",
            said.err
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_config_an_app_and_a_user_only_what_is_given_changes() {
    let (project, _bed) = note::service("changes");
    let server = Server::start(&[]).await;
    let data = server.data.path();
    let id = configured(data, &project);
    let before = json_of(data, &["configs", "list", "shop"])[0].clone();
    let change = |flags: &[&str]| json_of(data, &[&["configs", "change", &id], flags].concat());

    let mut now = change(&["--keep-daily", "7", "--schedule", "@daily", "--verify"]);
    assert_eq!(now["retention_mode"], "gfs");
    assert_eq!(now["keep_daily"], 7);
    assert_eq!(now["schedule_cron"], "@daily");
    assert_eq!(now["verify_upload"], true);
    now = change(&["--keep", "5", "--schedule", "", "--no-verify"]);
    for field in [
        "retention_count",
        "schedule_cron",
        "verify_upload",
        "paths",
        "service",
    ] {
        assert_eq!(now[field], before[field], "{field}");
    }
    let (public, _) = holdfast::app::new_key();
    now = change(&["--recipient", &public]);
    assert!(now["encryption"].to_string().contains(&public), "{now}");
    assert_eq!(
        change(&["--no-encryption"])["encryption"],
        before["encryption"]
    );
    assert_eq!(change(&["--pause"])["enabled"], false);
    assert_eq!(change(&["--resume"])["enabled"], true);
    for (flags, code, said) in [
        (&["--schedule", "every day"][..], 1, "schedule_cron"),
        (&[], 2, "say what is to change"),
        (&["--verify", "--no-verify"], 2, "cannot be used with"),
    ] {
        let done = holdfast(data, &[&["configs", "change", &id], flags].concat());
        assert_eq!(done.code, code, "{flags:?}: {}{}", done.out, done.err);
        assert!(done.err.contains(said), "{flags:?}: {}", done.err);
    }

    let app = json_of(data, &["apps", "show", "shop"]);
    assert_eq!(app["project"], json!(project));
    let shown = holdfast(data, &["apps", "show", "shop"]).good().out;
    assert!(shown.contains(&project), "{shown}");
    for (name, role) in [("anna", "admin"), ("bob", "viewer")] {
        let add = ["users", "add", name, "--role", role, "--password-stdin"];
        with(data, &add, "correct horse battery", &[]).good();
    }
    let bob = json_of(data, &["users", "change", "bob", "--role", "operator"]);
    assert_eq!(bob["role"], "operator");
    let last = holdfast(data, &["users", "change", "anna", "--role", "viewer"]);
    assert_eq!(last.code, 1, "{}", last.out);
    assert!(last.err.contains("the last admin"), "{}", last.err);
}

/// What came last may have been the last of it, on a stream that broke off before it said how the run ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_end_was_not_told_is_looked_at() {
    for (status, code) in [("success", 0), ("failed", 1), ("cancelled", 1)] {
        let server = broken_off(status).await;
        let args = ["--url", &server, "runs", "log", "7", "--follow"];
        let data = TempDir::new().unwrap();
        let followed = with(data.path(), &args, "", &[("HOLDFAST_TOKEN", "x")]);
        assert_eq!(followed.code, code, "{status}: {}", followed.err);
        assert_eq!(followed.out, "then  It went on\n");
    }
}

/// What answers may be another server by now, or one that answers everything.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_ours_is_no_success() {
    let route = Route::new().at("*", poem::endpoint::make_sync(|_| "<html>Welcome</html>"));
    let server = served(route).await;
    let data = TempDir::new().unwrap();
    let file = data.path().join("got").display().to_string();
    for args in [
        &["backup", "shop", "--wait"][..],
        &["backup", "--config", "1"],
        &["restore", "1", "--yes"],
        &["runs", "log", "1", "--follow"],
        &["configs", "remove", "1"],
        &["download", "1", &file],
    ] {
        let args = [&["--url", &server], args].concat();
        let said = with(data.path(), &args, "", &[("HOLDFAST_TOKEN", "x")]);
        assert_eq!(said.code, 3, "{args:?}: {}{}", said.out, said.err);
        assert!(
            said.err.contains("is no Holdfast"),
            "{args:?}: {}",
            said.err
        );
    }
    assert!(!Path::new(&file).exists());
}

/// The address of a server that ends a stream early, sends whoever comes back away, and knows how run 7 ended.
async fn broken_off(status: &'static str) -> String {
    let log = move |request: &Request| match request.header("Last-Event-ID") {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => SSE::new(stream::iter([Event::message(
            r#"{"at":"then","summary":"It went on"}"#,
        )
        .event_type("entry")
        .id("3")]))
        .into_response(),
    };
    let run = move |_: &Request| {
        json!({ "id": 7, "status": status })
            .to_string()
            .into_response()
    };
    let route = Route::new()
        .at(
            "/api/backups/runs/7/log",
            poem::endpoint::make_sync(move |it| log(&it)),
        )
        .at(
            "/api/backups/runs/7",
            poem::endpoint::make_sync(move |it| run(&it)),
        );
    served(route).await
}

async fn served(route: Route) -> String {
    let listener = TcpListener::bind("127.0.0.1:0");
    let acceptor = listener.into_acceptor().await.unwrap();
    let address = acceptor.local_addr()[0].to_string();
    tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(route));
    address.replace("socket://", "http://")
}
