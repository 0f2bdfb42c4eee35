//! The main job through the API alone, on a real database.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use holdfast::{docker::DockerEngine, domain::access::Role};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Answer, Api, metrics, send};
use crate::house::{postgres, psql};

const CONFIGS: &str = "/apps/shop/backups/configs";
const DIGEST: &str = "SELECT count(*), md5(string_agg(note, '' ORDER BY i)) FROM notes";

async fn over(api: &Api, path: &str) -> Value {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        let job = api.call("GET", path, None).await.body;
        let status = job["status"].as_str().unwrap();
        if !["queued", "running", "undoing"].contains(&status) {
            return job;
        }
        assert!(Instant::now() < deadline, "stuck: {job}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn back_up_download_restore_undo_and_look_back() {
    let project = format!("api-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    psql(
        &bed,
        "shop",
        "CREATE TABLE notes AS SELECT i, md5(i::text) note FROM generate_series(1, 20000) i",
    );
    let api = Api::working(Arc::new(DockerEngine::connect(None).unwrap())).await;
    api.add_app(&project).await;

    detected(&api).await;
    refused(&api).await;
    let config = configured(&api).await;
    let run = ran(&api, config).await;
    downloaded(&api, &run).await;

    let original = psql(&bed, "shop", DIGEST);
    psql(&bed, "shop", "DELETE FROM notes WHERE i % 2 = 0");
    let changed = psql(&bed, "shop", DIGEST);
    let restore = restored(&api, &run).await;
    assert_eq!(psql(&bed, "shop", DIGEST), original);
    let undo = api
        .call("POST", &format!("/restores/{restore}/undo"), None)
        .await;
    assert_eq!(undo.status, StatusCode::ACCEPTED, "{}", undo.text);
    let undone = over(&api, &format!("/restores/{restore}")).await;
    assert_eq!(undone["status"], "undone", "{undone}");
    assert_eq!(psql(&bed, "shop", DIGEST), changed);

    summarised(&api).await;
    exported(&api).await;
    api.close().await;
}

async fn detected(api: &Api) {
    let detect = api
        .call("GET", "/apps/shop/backups/detect", None)
        .await
        .body;
    let postgres = &detect["strategies"][0];
    assert_eq!(postgres["strategy_type"], "postgres", "{detect}");
    assert_eq!(postgres["label"], "Database (PostgreSQL)");
    assert_eq!(postgres["available"], true);
    assert_eq!(postgres["services"][0]["service_name"], "db");
}

/// What only the service itself can tell.
async fn refused(api: &Api) {
    let head = api.head();
    for (change, field) in [
        (
            json!({ "options": { "database": "nothing" } }),
            "options.database",
        ),
        (json!({ "service": "web" }), "service"),
    ] {
        let mut body = json!({ "strategy": "postgres", "service": "db" });
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        let answer = api.call("POST", CONFIGS, Some(&body.to_string())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
        assert!(answer.body["fields"][field].is_string(), "{}", answer.text);
    }
    assert_eq!(api.head(), head);
}

/// As a client of the replaced module sends it: no service, JSON inside texts.
async fn configured(api: &Api) -> i64 {
    let body = json!({
        "strategy": "postgres",
        "target": "local",
        "schedule_cron": "0 2 * * *",
        "target_config_json": "{}",
        "retention_mode": "count",
        "retention_count": 5,
        "pre_hooks": "[]",
        "post_hooks": "",
        "paths": "[]",
    });
    let made = api.call("POST", CONFIGS, Some(&body.to_string())).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let config = made.body;
    assert_eq!(config["service"], "db");
    assert_eq!(config["paths"], "[]");
    assert_eq!(config["target_config_json"], "{}");
    assert_eq!(config["retention_count"], 5);
    assert!(
        config["next_run_at"]
            .as_str()
            .unwrap()
            .ends_with("T02:00:00.000Z")
    );

    // What was answered may be sent back; absent fields keep their value.
    let path = format!("/backups/configs/{}", config["id"]);
    let same = api.call("PUT", &path, Some(&config.to_string())).await;
    assert_eq!(same.body, config, "{}", same.text);
    let secret = r#"{"credentials":{"password":"secret"},"name":"Nightly"}"#;
    let named = api.call("PUT", &path, Some(secret)).await;
    assert_eq!(named.body["revision"], 2, "{}", named.text);
    assert_eq!(named.body["credentials"]["password"], "••••");
    assert!(!named.text.contains("secret"));
    let masked = api.call("PUT", &path, Some(&named.body.to_string())).await;
    assert_eq!(
        masked.body["revision"], 2,
        "a masked secret is no change: {}",
        masked.text
    );
    config["id"].as_i64().unwrap()
}

async fn ran(api: &Api, config: i64) -> Value {
    let path = format!("/backups/configs/{config}/run");
    let ask = || {
        let request = api.request("POST", &path);
        let request = request.header("idempotency-key", "deploy 4711");
        send(request.bearer_auth(api.token(Role::Operator)), None)
    };
    let first = ask().await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    let run = over(api, &format!("/backups/runs/{}", first.body["run_id"])).await;
    assert_eq!(run["status"], "success", "{run}");
    assert_eq!(run["trigger"], "api");
    let again = ask().await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.text);
    assert_eq!(again.body["run_id"], run["id"], "said twice, done once");
    assert_eq!(run["contents"]["total"], 20_000);
    assert_eq!(run["checksum"].as_str().unwrap().len(), 64);
    assert!(
        run["verified_at"].is_string() && run["error_msg"].is_null(),
        "{run}"
    );
    let all = api
        .call("POST", "/apps/shop/backups/run?all=true", Some("{}"))
        .await;
    let second = all.body["run_ids"][0].as_i64().unwrap();
    let newest = over(api, &format!("/backups/runs/{second}")).await;
    metrics::tell_of(api, config, &newest).await;
    let list = api
        .call("GET", "/apps/shop/backups/runs?status=success", None)
        .await
        .body;
    let ids: Vec<i64> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [second, run["id"].as_i64().unwrap()], "newest first");
    let older = format!("/apps/shop/backups/runs?limit=1&before={second}&config={config}");
    assert_eq!(api.call("GET", &older, None).await.body[0]["id"], run["id"]);
    run
}

async fn downloaded(api: &Api, run: &Value) {
    let path = format!("/backups/runs/{}/download", run["id"]);
    let request = |range: Option<&str>| {
        let request = api
            .request("GET", &path)
            .bearer_auth(api.token(Role::Operator));
        match range {
            Some(range) => request.header("range", range),
            None => request,
        }
    };
    let whole = request(None).send().await.unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    let headers = whole.headers().clone();
    let bytes = whole.bytes().await.unwrap();
    let size = run["size_bytes"].as_u64().unwrap();
    assert_eq!(headers["content-length"], size.to_string());
    assert_eq!(bytes.len() as u64, size);
    assert_eq!(
        hex::encode(Sha256::digest(&bytes)),
        run["checksum"].as_str().unwrap()
    );
    assert!(headers["digest"].to_str().unwrap().starts_with("sha-256="));
    let name = run["file_path"]
        .as_str()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap();
    let disposition = headers["content-disposition"].to_str().unwrap();
    assert_eq!(disposition, format!("attachment; filename=\"{name}\""));

    let part = request(Some("bytes=10-19")).send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        part.headers()["content-range"],
        format!("bytes 10-19/{size}")
    );
    assert_eq!(part.bytes().await.unwrap(), bytes.slice(10..20));
    let stale = request(Some("bytes=10-19")).header("if-range", "\"other\"");
    assert_eq!(stale.send().await.unwrap().status(), StatusCode::OK);
    let outside: Answer = send(request(Some(&format!("bytes={size}-"))), None).await;
    assert_eq!(outside.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(outside.header("content-range"), format!("bytes */{size}"));
}

async fn restored(api: &Api, run: &Value) -> i64 {
    let preview = format!("/backups/runs/{}/restore-preview", run["id"]);
    let preview = api.call("GET", &preview, None).await.body;
    assert_eq!(preview["contents"]["total"], 20_000, "{preview}");
    assert_eq!(preview["destination"]["subject"], "shop", "{preview}");
    assert!(!preview["restore_by_hand"].as_array().unwrap().is_empty());
    let path = format!("/backups/restore/{}", run["id"]);
    let asked = api.call_as(Some(Role::Operator), "POST", &path, None).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text);
    let twice = api.call("POST", &path, Some("{}")).await;
    assert!([StatusCode::CONFLICT, StatusCode::ACCEPTED].contains(&twice.status));
    let id = asked.body["restore_id"].as_i64().unwrap();
    let restore = over(api, &format!("/restores/{id}")).await;
    assert_eq!(restore["status"], "success", "{restore}");
    assert_eq!(restore["can_undo"], true);
    if twice.status == StatusCode::ACCEPTED {
        over(api, &format!("/restores/{}", twice.body["restore_id"])).await;
    }
    id
}

async fn summarised(api: &Api) {
    let summary = api
        .call_as(Some(Role::Viewer), "GET", "/backups/summary", None)
        .await
        .body;
    let app = &summary["apps"][0];
    assert_eq!(app["app_slug"], "shop", "{summary}");
    assert_eq!(app["config_count"], 1);
    assert_eq!(app["strategies"], json!(["postgres"]));
    assert_eq!(app["last_run_status"], "success");
    assert_eq!(app["recent_success_count"], 2);
    assert_eq!(app["recent_fail_count"], 0);
    assert_eq!(app["next_cron"], "0 2 * * *");
    assert_eq!(app["coverage"], 1.0);
    assert!(app["total_size_bytes"].as_u64().unwrap() > 0);
    let recent = summary["recent_runs"].as_array().unwrap();
    assert_eq!(recent.len(), 2);
    assert_eq!(recent[0]["app_slug"], "shop");
    assert_eq!(recent[0]["strategy"], "postgres");
    assert_eq!(recent[0]["status"], "success");
}

async fn exported(api: &Api) {
    let seen = api
        .call_as(
            Some(Role::Viewer),
            "GET",
            "/apps/shop/activity?limit=1000",
            None,
        )
        .await;
    let names: Vec<&str> = seen
        .body
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["name"].as_str())
        .collect();
    assert_eq!(names.last(), Some(&"app.registered"));
    assert!(names.contains(&"restore.undone") && !names.iter().any(|n| n.starts_with("user.")));

    let lines = api.call("GET", "/audit/export", None).await;
    let lines: Vec<Value> = lines
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (head, events) = lines.split_last().unwrap();
    let last = events.last().unwrap();
    for field in ["position", "hash"] {
        assert_eq!(head["head"][field], last[field]);
    }
    let checkpoint = api.call("GET", "/audit/checkpoint", None).await.body;
    assert_eq!(checkpoint["position"].as_i64(), Some(api.head()));
    let against = json!({ "checkpoint": checkpoint }).to_string();
    let verified = api.call("POST", "/audit/verify", Some(&against)).await.body;
    assert_eq!(verified["compared"], checkpoint["position"], "{verified}");
    assert_eq!(events.len() as u64, last["position"].as_u64().unwrap());
    assert_eq!(last["name"], "audit.exported");
    let csv = api
        .call("GET", "/audit/export?format=csv&to=2001-01-01", None)
        .await;
    assert_eq!(
        csv.text.lines().count(),
        2,
        "heading and head: {}",
        csv.text
    );
    assert!(csv.header("x-holdfast-head").contains(':'));
    let after = last["position"].as_i64().unwrap() - 2;
    let rest = api
        .call("GET", &format!("/audit/export?after={after}"), None)
        .await;
    let rest: Vec<&str> = rest.text.lines().collect();
    assert_eq!(rest[1], events.last().unwrap().to_string(), "resumed");
    let verified = api.call("POST", "/audit/verify", None).await.body;
    assert_eq!(verified["ok"], true, "{verified}");
    let events = verified["events"].as_i64().unwrap();
    assert_eq!(events, api.head());
}
