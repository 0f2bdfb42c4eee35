//! The log of a run, as programs follow it: what happened first, then what happens, then its end.

use std::time::Duration;

use futures_util::future::join_all;
use holdfast::{
    app::Caller,
    domain::{access::Role, ids::ConfigId, ids::RunId, run::Trigger},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Api, send};

const RUNS: i64 = 50;
const LISTENERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(20);

/// What has come of a stream that goes on.
struct Stream {
    answer: reqwest::Response,
    text: String,
}

/// One event: its name, its id, its data.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    name: String,
    id: Option<i64>,
    data: Value,
}

impl Stream {
    /// Of the first run.
    async fn of(api: &Api, query: &str, last: Option<i64>) -> Self {
        Self::at(api, &format!("/backups/runs/1/log{query}"), last).await
    }

    async fn at(api: &Api, path: &str, last: Option<i64>) -> Self {
        let request = api.request("GET", path);
        let mut request = request.bearer_auth(api.token(Role::Viewer));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Self {
            answer,
            text: String::new(),
        }
    }

    /// `None` when the server ended it.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = parsed(event);
                self.text = rest.to_owned();
                if let Some(event) = event {
                    return Some(event);
                }
                continue;
            }
            let chunk = self.answer.chunk().await.unwrap()?;
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }

    async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn parsed(text: &str) -> Option<Event> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    Some(Event {
        name: field("event: ")?.to_owned(),
        id: field("id: ").map(|id| id.parse().unwrap()),
        data: serde_json::from_str(field("data: ")?).unwrap(),
    })
}

fn names(events: &[Event]) -> Vec<&str> {
    let names = events.iter();
    names
        .map(|event| match event.name.as_str() {
            "entry" => event.data["name"].as_str().unwrap(),
            name => name,
        })
        .collect()
}

async fn add_other(api: &Api) {
    let app = r#"{"slug":"other"}"#;
    let added = api.call("POST", "/apps", Some(app)).await;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_what_happened_then_what_happens_and_ends_with_the_run() {
    let api = Api::fake().await;
    api.config().await;
    let (holdfast, cli) = (&api.holdfast, Caller::cli("test"));
    let run = holdfast.request_run(&cli, ConfigId(1), Trigger::Manual);
    assert_eq!(run.await.unwrap(), RunId(1));

    let until_now = Stream::of(&api, "?follow=false", None).await.rest().await;
    assert_eq!(names(&until_now), ["run.requested"]);

    let mut stream = Stream::of(&api, "", None).await;
    let first = stream.next().await.unwrap();
    assert_eq!(vec![first.clone()], until_now);
    assert_eq!(first.id, first.data["position"].as_i64());
    assert_eq!(first.data["summary"], "Backup 1 requested (manual)");

    let job = holdfast.progress().begin("run-1");
    job.enter("Dumping", Some(100));
    loop {
        let progress = stream.next().await.unwrap();
        assert_eq!((progress.name.as_str(), progress.id), ("progress", None));
        if progress.data["phase"] == "Dumping" {
            assert_eq!(progress.data["estimate_bytes"], json!(100));
            break;
        }
    }
    drop(job);

    // Another run, and what else happens, is not told of.
    add_other(&api).await;
    holdfast.cancel_run(&cli, RunId(1)).await.unwrap();
    let rest = stream.rest().await;
    let rest: Vec<Event> = rest
        .into_iter()
        .filter(|it| it.name != "progress")
        .collect();
    assert_eq!(
        names(&rest),
        ["run.cancel_requested", "run.cancelled", "end"]
    );
    assert_eq!(rest[2].data["status"], "cancelled");
    assert_eq!(rest[2].id, rest[1].id);

    // Whoever comes back gets what came after what they have, and is then sent away.
    let again = Stream::of(&api, "", rest[0].id).await.rest().await;
    assert_eq!(again, rest[1..]);
    let request = || {
        let request = api.request("GET", "/backups/runs/1/log");
        request.bearer_auth(api.token(Role::Viewer))
    };
    let last = rest[1].id.unwrap();
    let over = send(request().header("Last-Event-ID", last), None).await;
    assert_eq!(over.status, StatusCode::NO_CONTENT);
    let wrong = send(request().header("Last-Event-ID", "x"), None).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{}", wrong.text);
    assert!(
        wrong.body["fields"]["Last-Event-ID"].is_string(),
        "{}",
        wrong.text
    );
}

/// Who loses the app while they listen hears no more of it.
#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_the_rights_of_who_listens_change() {
    let api = Api::fake().await;
    api.config().await;
    let (holdfast, cli) = (&api.holdfast, Caller::cli("test"));
    let run = holdfast.request_run(&cli, ConfigId(1), Trigger::Manual);
    run.await.unwrap();
    let mut stream = Stream::of(&api, "", None).await;
    stream.next().await.unwrap();
    add_other(&api).await;
    let viewer = holdfast.user_by_name("viewer").await.unwrap().id;
    let grants = r#"{"grants":[{"app":"other","role":"viewer"}]}"#;
    let path = format!("/users/{viewer}/grants");
    let granted = api.call("PUT", &path, Some(grants)).await;
    assert_eq!(granted.status, StatusCode::OK, "{}", granted.text);
    assert!(stream.rest().await.is_empty());
    let path = "/backups/runs/1/log";
    let again = api.call_as(Some(Role::Viewer), "GET", path, None).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND, "{}", again.text);
}

/// Whoever comes while the last events of a run are committed: they may have been read when the run was still
/// seen as going on.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_as_it_ends_hears_its_end() {
    let api = Api::fake().await;
    api.config().await;
    let (holdfast, cli) = (&api.holdfast, Caller::cli("test"));
    for run in 1..=RUNS {
        let requested = holdfast.request_run(&cli, ConfigId(1), Trigger::Manual);
        assert_eq!(requested.await.unwrap(), RunId(run));
        let path = format!("/backups/runs/{run}/log");
        let listening = join_all((0..LISTENERS).map(|_| async {
            let heard = Stream::at(&api, &path, None).await.rest();
            timeout(PATIENCE, heard).await.ok()
        }));
        let ended = holdfast.cancel_run(&cli, RunId(run));
        let (heard, ended) = tokio::join!(listening, ended);
        ended.unwrap();
        for heard in heard {
            let heard = heard.unwrap_or_else(|| panic!("nobody said that the run {run} was over"));
            assert_eq!(heard.last().unwrap().data["status"], "cancelled");
        }
    }
}
