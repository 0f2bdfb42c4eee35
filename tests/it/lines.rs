//! The server's own log: every line about a run says about which, for programs and for people.

use serde_json::{Value, json};

use crate::{note, server::Server};

/// What the server wrote while it made a backup and brought it back.
async fn written(format: &str) -> Vec<String> {
    let (project, bed) = note::service(&format!("lines-{format}"));
    let mut server = Server::start(&["--log-format", format, "--attempts", "1"]).await;
    // What a library says of a slow machine is about no run.
    server.restart_with(&[("RUST_LOG", "holdfast=info")]).await;
    let app = json!({ "slug": "shop", "project": project });
    server.post("/api/apps", app).await;
    let config = json!({ "strategy": "sqlite", "service": "db", "paths": [note::FILE],
        "target": "local" });
    let config = server.post("/api/apps/shop/backups/configs", config).await;
    let path = format!("/api/backups/configs/{}/run", config["id"]);
    let run = server.post(&path, json!({})).await["run_id"]
        .as_i64()
        .unwrap();
    assert_eq!(server.wait_for_run(run).await["status"], "success");
    let path = format!("/api/backups/restore/{run}");
    let restore = server.post(&path, json!({})).await;
    let restore = restore["restore_id"].as_i64().unwrap();
    assert_eq!(server.wait_for_restore(restore).await["status"], "success");
    bed.sh("rm -f /data/app.db*");
    let path = format!("/api/backups/configs/{}/run", config["id"]);
    let failed = server.post(&path, json!({})).await["run_id"]
        .as_i64()
        .unwrap();
    assert_eq!(server.wait_for_run(failed).await["status"], "failed");
    server.terminate().await;
    let log = std::fs::read_to_string(server.data.path().join("server.log")).unwrap();
    log.lines().map(str::to_owned).collect()
}

/// Between the first and the last line that is about it, there is none that does not say so.
fn are_about(lines: &[(String, bool)], what: &str) {
    let first = lines.iter().position(|(_, about)| *about).unwrap();
    let last = lines.iter().rposition(|(_, about)| *about).unwrap();
    let strangers: Vec<_> = lines[first..=last]
        .iter()
        .filter(|(_, about)| !about)
        .collect();
    assert!(last > first, "{what}: only one line: {lines:?}");
    assert!(strangers.is_empty(), "{what}: {strangers:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_a_run_names_it_in_json() {
    let lines: Vec<Value> = written("json")
        .await
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    for (kind, id) in [("run", 1), ("restore", 1), ("run", 2)] {
        // At its end a run may have more that follows from it at work at the same time.
        let about = |line: &Value| line["span"][kind] == json!(id);
        let judged: Vec<_> = lines
            .iter()
            .map(|line| (line.to_string(), about(line)))
            .collect();
        are_about(&judged, &format!("{kind} {id}"));
    }
    let said = |run: i64, message: &str| {
        let mut lines = lines.iter();
        lines.any(|line| line["span"]["run"] == json!(run) && line["message"] == message)
    };
    assert!(said(1, "the backup begins") && said(1, "the backup succeeded"));
    assert!(said(2, "the backup failed"), "{lines:#?}");
    for line in &lines {
        for field in ["timestamp", "level", "message", "target"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_a_run_names_it_for_people() {
    let lines = written("human").await;
    for (kind, id) in [("backup{run", 1), ("restore{restore", 1), ("backup{run", 2)] {
        let mark = format!("{kind}={id} ");
        let judged: Vec<_> = lines
            .iter()
            .map(|line| (line.clone(), line.contains(&mark)))
            .collect();
        are_about(&judged, &mark);
    }
}
