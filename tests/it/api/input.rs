//! What cannot be used: refused with the true status, the field named, and nothing stored.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Api, send};

const TABLE: &str = include_str!("unusable.txt");
const CONFIGS: &str = "/apps/shop/backups/configs";

struct Case {
    method: &'static str,
    path: &'static str,
    body: String,
    status: u16,
    /// Empty: none is to blame.
    field: &'static str,
}

/// A good app or config, changed as the object says.
fn changed(mut good: Value, changes: &Value) -> String {
    for (key, value) in changes.as_object().unwrap() {
        good[key] = value.clone();
    }
    good.to_string()
}

fn config(changes: &Value) -> String {
    let good = json!({ "strategy": "postgres", "service": "db", "target": "local" });
    changed(good, changes)
}

fn good_hook() -> Value {
    json!({ "type": "exec", "service": "db", "command": "true" })
}

/// With the second of two hooks, as JSON and as text.
fn hooked(second: &Value) -> [String; 2] {
    let hooks = json!([good_hook(), second]);
    let text = json!(hooks.to_string());
    [hooks, text].map(|hooks| config(&json!({ "pre_hooks": hooks })))
}

/// The cases of a line of the table; its head says how it is read.
fn read(line: &'static str) -> Vec<Case> {
    let (status, rest) = word(line);
    let (field, rest) = word(rest);
    let (method, rest) = word(rest);
    let given = || serde_json::from_str(rest).unwrap();
    let (method, path, bodies) = match method {
        "app" => {
            let app = changed(json!({ "slug": "new" }), &given());
            ("POST", "/apps", vec![app])
        }
        "config" => ("POST", CONFIGS, vec![config(&given())]),
        "hook" => ("POST", CONFIGS, hooked(&given()).to_vec()),
        method => {
            let (path, body) = word(rest);
            (method, path, vec![body.to_owned()])
        }
    };
    let long = "x".repeat(10_000);
    let case = |body: String| Case {
        method,
        path,
        body: body.replace("LONG", &long),
        status: status.parse().unwrap(),
        field: field.trim_matches('-'),
    };
    bodies.into_iter().map(case).collect()
}

fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// What needs keys of age or would be too long for the table.
fn made() -> Vec<Case> {
    let (public, private) = holdfast::app::new_key();
    let private = private.expose().as_str();
    let many: Vec<String> = (0..21).map(|_| holdfast::app::new_key().0).collect();
    let mut cases = Vec::new();
    let mut refused = |field, body: Value| {
        cases.push(Case {
            method: "POST",
            path: CONFIGS,
            body: config(&body),
            status: 400,
            field,
        });
    };
    for (sent, field) in [
        (json!("age"), "encryption"),
        (json!(7), "encryption"),
        (json!([public]), "encryption"),
        (json!({ "recipients": public }), "encryption"),
        (json!({ "recipients": [public, "age1"] }), "encryption"),
        (json!({ "recipients": [public, 7] }), "encryption"),
        (json!({ "recipients": ["ssh-ed25519 AAAA"] }), "encryption"),
        (json!({ "recipients": [private] }), "encryption"),
        (json!({ "recipients": many }), "encryption"),
        (json!({ "recipient": [public] }), "encryption.recipient"),
        (json!({ "server_key": true }), "encryption"),
        (
            json!({ "recipients": [public], "server_key": "yes" }),
            "encryption",
        ),
    ] {
        refused(field, json!({ "encryption": sent.to_string() }));
        refused(field, json!({ "encryption": sent }));
    }
    refused("pre_hooks", json!({ "pre_hooks": vec![good_hook(); 17] }));
    cases
}

fn cases() -> Vec<Case> {
    let lines = TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.flat_map(read).chain(made()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_refused_by_name_and_not_stored() {
    let api = Api::fake().await;
    let head = api.head();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for Case {
        method,
        path,
        body,
        status,
        field,
    } in cases()
    {
        let body = (!body.is_empty() || method != "GET").then_some(body.as_str());
        let answer = api.call(method, path, body).await;
        count += 1;
        let named = field.is_empty() || answer.body["fields"][field].is_string();
        let told = answer.body["error"].is_string() && answer.body["message"].is_string();
        let short = answer.text.len() < 2_000;
        if answer.status.as_u16() != status || !named || !told || !short {
            let sent: String = body.unwrap_or_default().chars().take(120).collect();
            wrong.push(format!(
                "{method} {path} {sent} (expected {status} {field:?}): {} {}",
                answer.status, answer.text
            ));
        }
        if api.head() != head {
            wrong.push(format!("{method} {path}: something was stored"));
            break;
        }
    }
    println!(
        "{count} unusable requests, {} answered wrongly",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_and_bodies_without_end() {
    let api = Api::fake().await;
    let head = api.head();
    let admin = api.token(holdfast::domain::access::Role::Admin).to_owned();
    let post = || api.request("POST", "/apps").bearer_auth(&admin);
    for bytes in [
        &b"\xff\xfe\x00\x01"[..],
        b"{\"slug\":\"\xff\"}",
        &[0; 64],
        b" ",
    ] {
        let answer = send(post().body(bytes.to_vec()), None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
        assert_eq!(answer.body["error"], "invalid");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(
        send(post(), Some(&deep)).await.status,
        StatusCode::BAD_REQUEST
    );
    let huge = format!("{{\"slug\":\"{}\"}}", "a".repeat(2 << 20));
    assert_eq!(
        send(post(), Some(&huge)).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(api.head(), head);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_is_told_as_such() {
    let engine = holdfast::docker::fake::FakeEngine::with("x");
    engine.set_down(true);
    let api = Api::new(engine).await;
    api.add_app("shop").await;
    let discover = api.call("POST", "/apps/discover", None).await;
    assert_eq!(discover.status, StatusCode::BAD_GATEWAY);
    assert!(
        discover.body["message"]
            .as_str()
            .unwrap()
            .contains("does not answer")
    );
    assert!(discover.body["id"].is_string());
    let detect = api.call("GET", "/apps/shop/backups/detect", None).await;
    assert_eq!(detect.status, StatusCode::OK);
    assert_eq!(detect.body["strategies"], json!([]));
    assert!(detect.body["error"].is_string());
    let doctor = api.call("GET", "/system/doctor", None).await;
    assert_eq!(doctor.body["ok"], false, "{}", doctor.text);
    let ready = api.client.get(format!("{}/readyz", api.url)).send().await;
    assert_eq!(ready.unwrap().status(), StatusCode::OK);
}
