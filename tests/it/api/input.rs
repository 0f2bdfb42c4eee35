//! What cannot be used: refused with the true status, the field named, and nothing stored.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Api, send};

/// Method, path, body, status, field (empty: none is to blame).
type Case = (&'static str, &'static str, String, u16, &'static str);

const CONFIGS: &str = "/apps/shop/backups/configs";

fn config(change: &Value) -> String {
    let mut config = json!({ "strategy": "postgres", "service": "db", "target": "local" });
    for (key, value) in change.as_object().unwrap() {
        config[key] = value.clone();
    }
    config.to_string()
}

fn app(change: &Value) -> String {
    let mut app = json!({ "slug": "new" });
    for (key, value) in change.as_object().unwrap() {
        app[key] = value.clone();
    }
    app.to_string()
}

/// Encryption as JSON and as text; none of it is a public key of age, but the first.
fn encryption(cases: &mut Vec<Case>) {
    let (public, private) = holdfast::app::new_key();
    let private = private.expose().as_str();
    let many: Vec<String> = (0..21).map(|_| holdfast::app::new_key().0).collect();
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
        let text = json!({ "encryption": sent.to_string() });
        for body in [json!({ "encryption": sent }), text] {
            cases.push(("POST", CONFIGS, config(&body), 400, field));
        }
    }
}

/// Hooks as JSON and as text, each wrong in one place.
fn hooks(cases: &mut Vec<Case>) {
    let good = json!({ "type": "exec", "service": "db", "command": "true" });
    for (second, field) in [
        (json!("stop"), "pre_hooks[1]"),
        (json!({ "service": "db" }), "pre_hooks[1].type"),
        (json!({ "type": "stop" }), "pre_hooks[1].service"),
        (
            json!({ "type": "stop", "service": 7 }),
            "pre_hooks[1].service",
        ),
        (
            json!({ "type": "reboot", "service": "db" }),
            "pre_hooks[1].type",
        ),
        (
            json!({ "type": "Stop", "service": "db" }),
            "pre_hooks[1].type",
        ),
        (
            json!({ "type": "start", "service": "db", "user": "root" }),
            "pre_hooks[1].user",
        ),
        (
            json!({ "type": "exec", "service": "db" }),
            "pre_hooks[1].command",
        ),
        (
            json!({ "type": "exec", "service": "db", "command": " " }),
            "pre_hooks[1].command",
        ),
        (
            json!({ "type": "start", "service": "db", "command": "x" }),
            "pre_hooks[1].command",
        ),
        (
            json!({ "type": "start", "service": "-db" }),
            "pre_hooks[1].service",
        ),
        (
            json!({ "type": "start", "service": "nothing" }),
            "pre_hooks[1].service",
        ),
        (
            json!({ "type": "start", "service": "db", "timeout": 0 }),
            "pre_hooks[1].timeout",
        ),
        (
            json!({ "type": "start", "service": "db", "timeout": 3601 }),
            "pre_hooks[1].timeout",
        ),
        (
            json!({ "type": "start", "service": "db", "timeout": "60" }),
            "pre_hooks[1].timeout",
        ),
        // A PostgreSQL that does not run cannot be dumped.
        (
            json!({ "type": "stop", "service": "db" }),
            "pre_hooks[1].service",
        ),
        (
            json!({ "type": "stop_container", "service": "db" }),
            "pre_hooks[1].service",
        ),
    ] {
        let list = json!([good, second]);
        for sent in [list.clone(), json!(list.to_string())] {
            let body = config(&json!({ "pre_hooks": sent }));
            cases.push(("POST", CONFIGS, body, 400, field));
        }
    }
    for (kind, service) in [("stop", "old"), ("flush_mysql", "db")] {
        let hook = json!([{ "type": kind, "service": service }]);
        let body = config(&json!({ "post_hooks": hook }));
        cases.push(("POST", CONFIGS, body, 400, "post_hooks[0].type"));
    }
    let stop = json!({ "type": "stop", "service": "old" });
    for second in [
        stop.clone(),
        json!({ "type": "start_container", "service": "old" }),
        json!({ "type": "exec", "service": "old", "command": "true" }),
    ] {
        let body = config(&json!({ "pre_hooks": [stop, second] }));
        cases.push(("POST", CONFIGS, body, 400, "pre_hooks[1].service"));
    }
    let many = json!(vec![good; 17]);
    cases.push((
        "POST",
        CONFIGS,
        config(&json!({ "pre_hooks": many })),
        400,
        "pre_hooks",
    ));
    for text in ["[", "{}", "7", "[[]]"] {
        let field = if text == "[[]]" {
            "post_hooks[0]"
        } else {
            "post_hooks"
        };
        cases.push((
            "POST",
            CONFIGS,
            config(&json!({ "post_hooks": text })),
            400,
            field,
        ));
    }
}

fn cases() -> Vec<Case> {
    let long = "x".repeat(10_000);
    let mut cases: Vec<Case> = Vec::new();
    let mut case = |method, path, body: String, status, field| {
        cases.push((method, path, body, status, field));
    };
    // Not JSON, or not the right JSON.
    for body in [
        "",
        " ",
        "{",
        "[]",
        "nonsense",
        "\"x\"",
        "null",
        "{}{}",
        "{\"slug\":\"a\"}x",
    ] {
        case("POST", "/apps", body.to_owned(), 400, "");
    }
    case("POST", "/apps", "{}".to_owned(), 400, "slug");
    // Not the fields in their order.
    case("PUT", "/apps/shop", "[null]".to_owned(), 400, "");
    case("POST", "/apps", app(&json!({ "slugg": 1 })), 400, "slugg");
    case(
        "POST",
        "/apps",
        r#"{"slug":"a","slug":"b"}"#.to_owned(),
        400,
        "slug",
    );
    // What would be lost in silence.
    for path in ["/apps/shop/backups/run", "/backups/configs/1/run"] {
        case("POST", path, r#"{"all":true}"#.to_owned(), 400, "all");
    }
    let for_ever = r#"{"name":"x","expires_in_days":4000000000}"#;
    case(
        "POST",
        "/apikeys",
        for_ever.to_owned(),
        400,
        "expires_in_days",
    );
    // Apps.
    for slug in [
        json!(1),
        json!(null),
        json!([]),
        json!(""),
        json!("A"),
        json!("-a"),
        json!("a/b"),
        json!("../x"),
        json!("a\0b"),
        json!("$(id)"),
        json!(long),
    ] {
        case("POST", "/apps", app(&json!({ "slug": slug })), 400, "slug");
    }
    case(
        "POST",
        "/apps",
        app(&json!({ "slug": "shop" })),
        400,
        "slug",
    );
    case("POST", "/apps", app(&json!({ "name": long })), 400, "name");
    case(
        "POST",
        "/apps",
        app(&json!({ "name": "a\0b" })),
        400,
        "name",
    );
    case(
        "POST",
        "/apps",
        app(&json!({ "project": "--rm" })),
        400,
        "project",
    );
    case(
        "POST",
        "/apps",
        app(&json!({ "project": long })),
        400,
        "project",
    );
    case(
        "POST",
        "/apps",
        app(&json!({ "compose_path": "../etc" })),
        400,
        "compose_path",
    );
    case(
        "PUT",
        "/apps/shop",
        json!({ "slug": "other" }).to_string(),
        400,
        "slug",
    );
    case(
        "PUT",
        "/apps/nothing",
        json!({ "name": "x" }).to_string(),
        404,
        "",
    );
    case("DELETE", "/apps/nothing", String::new(), 404, "");
    // Configs: names and types.
    case(
        "POST",
        "/apps/nothing/backups/configs",
        config(&json!({})),
        404,
        "",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "strategy": "oracle" })),
        400,
        "strategy",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "strategy": 5 })),
        400,
        "strategy",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "target": "ftp" })),
        400,
        "target",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "service": "nothing" })),
        400,
        "service",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "service": "old" })),
        400,
        "service",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "service": "--help" })),
        400,
        "service",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "service": long })),
        400,
        "service",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "name": long })),
        400,
        "name",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "name": "\u{7}" })),
        400,
        "name",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "nmae": "x" })),
        400,
        "nmae",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "enabled": "yes" })),
        400,
        "enabled",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "verify_upload": 1 })),
        400,
        "verify_upload",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "compression": "rar" })),
        400,
        "compression",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "missed_policy": "x" })),
        400,
        "missed_policy",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "options": [] })),
        400,
        "options",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "options": { "database": 5 } })),
        400,
        "options.database",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "options": { "database": "a\0b" } })),
        400,
        "options.database",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "options": { "databse": "x" } })),
        400,
        "options.databse",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "paths": "not json" })),
        400,
        "paths",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "paths": [1] })),
        400,
        "paths",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "paths": ["../x"] })),
        400,
        "paths",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "target_config_json": "{" })),
        400,
        "target_config_json",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "target_config_json": [] })),
        400,
        "target_config_json",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "target_config_json": { "x": {} } })),
        400,
        "target_config_json",
    );
    // Configs: schedules and retention.
    for cron in [
        "hello",
        "* * * *",
        "0 0 12 * * *",
        "60 * * * *",
        "0 0 31 2 *",
        "*/0 * * * *",
        "@sometimes",
        &long,
    ] {
        case(
            "POST",
            CONFIGS,
            config(&json!({ "schedule_cron": cron })),
            400,
            "schedule_cron",
        );
    }
    case(
        "POST",
        CONFIGS,
        config(&json!({ "time_zone": "Mars/Base" })),
        400,
        "time_zone",
    );
    for blackout in ["always", "08:00-18:00 Mo", "00:00-24:00", "25:00-26:00"] {
        case(
            "POST",
            CONFIGS,
            config(&json!({ "blackout": blackout })),
            400,
            "blackout",
        );
    }
    case(
        "POST",
        CONFIGS,
        config(&json!({ "jitter_seconds": 21_601 })),
        400,
        "jitter_seconds",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "retention_mode": "all" })),
        400,
        "retention_mode",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "retention_count": 0 })),
        400,
        "retention_count",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "retention_count": -1 })),
        400,
        "retention_count",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "retention_count": "7" })),
        400,
        "retention_count",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "retention_count": 1e30 })),
        400,
        "retention_count",
    );
    case(
        "POST",
        CONFIGS,
        config(&json!({ "retention_mode": "time", "retention_days": 0 })),
        400,
        "retention_days",
    );
    hooks(&mut cases);
    encryption(&mut cases);
    let mut case = |method, path, body: String, status, field| {
        cases.push((method, path, body, status, field));
    };
    case("PUT", "/backups/configs/999", "{}".to_owned(), 404, "");
    case("PUT", "/backups/configs/x", "{}".to_owned(), 404, "");
    case("DELETE", "/backups/configs/999", String::new(), 404, "");
    // Runs and restores.
    case("POST", "/apps/nothing/backups/run", String::new(), 404, "");
    case("POST", "/apps/shop/backups/run", String::new(), 409, "");
    case(
        "POST",
        "/apps/shop/backups/run?all=perhaps",
        String::new(),
        400,
        "all",
    );
    case("POST", "/backups/configs/999/run", String::new(), 404, "");
    case(
        "GET",
        "/apps/shop/backups/runs?status=done",
        String::new(),
        400,
        "status",
    );
    case(
        "GET",
        "/apps/shop/backups/runs?limit=0",
        String::new(),
        400,
        "limit",
    );
    case(
        "GET",
        "/apps/shop/backups/runs?limit=1001",
        String::new(),
        400,
        "limit",
    );
    case(
        "GET",
        "/apps/shop/backups/runs?limit=x",
        String::new(),
        400,
        "limit",
    );
    case(
        "GET",
        "/apps/shop/backups/runs?before=x",
        String::new(),
        400,
        "before",
    );
    case("GET", "/backups/runs/999", String::new(), 404, "");
    case("GET", "/backups/runs/-1", String::new(), 404, "");
    case(
        "GET",
        "/backups/runs/99999999999999999999",
        String::new(),
        404,
        "",
    );
    case("GET", "/backups/runs/999/download", String::new(), 404, "");
    case(
        "POST",
        "/backups/runs/999/cancellation",
        String::new(),
        404,
        "",
    );
    case("POST", "/backups/restore/999", String::new(), 404, "");
    case(
        "POST",
        "/backups/restore/999",
        r#"{"mode":"x"}"#.to_owned(),
        400,
        "mode",
    );
    case("POST", "/restores/999/undo", String::new(), 404, "");
    // Looking back.
    case(
        "GET",
        "/activity?categories=run,nonsense",
        String::new(),
        400,
        "categories",
    );
    case("GET", "/activity?app=nothing", String::new(), 404, "");
    case("GET", "/activity/0", String::new(), 404, "");
    case("GET", "/activity/999999", String::new(), 404, "");
    case(
        "GET",
        "/audit/export?format=xml",
        String::new(),
        400,
        "format",
    );
    case(
        "GET",
        "/audit/export?from=yesterday",
        String::new(),
        400,
        "from",
    );
    // People.
    let user = |name: &str, role: &str, password: &str| {
        json!({ "name": name, "role": role, "password": password }).to_string()
    };
    let good = "correct horse battery";
    case("POST", "/users", user("a", "root", good), 400, "role");
    case(
        "POST",
        "/users",
        user("a", "viewer", "short"),
        400,
        "password",
    );
    case(
        "POST",
        "/users",
        user("a", "viewer", &long),
        400,
        "password",
    );
    case("POST", "/users", user("a b", "viewer", good), 400, "name");
    case("POST", "/users", user(&long, "viewer", good), 400, "name");
    case("POST", "/users", user("admin", "viewer", good), 400, "name");
    case("DELETE", "/users/3", String::new(), 409, "");
    case(
        "PUT",
        "/users/3/password",
        r#"{"password":"x"}"#.to_owned(),
        400,
        "password",
    );
    case("POST", "/apikeys", r#"{"name":""}"#.to_owned(), 400, "name");
    case(
        "POST",
        "/apikeys",
        r#"{"name":"a","role":"god"}"#.to_owned(),
        400,
        "role",
    );
    case(
        "POST",
        "/apikeys",
        r#"{"name":"a","user":"nobody"}"#.to_owned(),
        400,
        "user",
    );
    case(
        "POST",
        "/apikeys",
        r#"{"name":"a","expires_at":"soon"}"#.to_owned(),
        400,
        "expires_at",
    );
    case(
        "POST",
        "/apikeys",
        r#"{"name":"a","expires_at":"2001-01-01T00:00:00Z"}"#.to_owned(),
        400,
        "expires_at",
    );
    case("DELETE", "/apikeys/x", String::new(), 404, "");
    // What nobody knows behind the `?`.
    case(
        "DELETE",
        "/backups/configs/1?artifacts=some",
        String::new(),
        400,
        "artifacts",
    );
    case(
        "GET",
        "/apps/shop/backups/runs?limt=5",
        String::new(),
        400,
        "limt",
    );
    case(
        "GET",
        "/backups/runs/1/download?presigned=true",
        String::new(),
        400,
        "presigned",
    );
    // No such place.
    case("GET", "/nothing", String::new(), 404, "");
    case("GET", "/apps/", String::new(), 404, "");
    case("PATCH", "/apps/shop", "{}".to_owned(), 405, "");
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_refused_by_name_and_not_stored() {
    let api = Api::fake().await;
    let head = api.head();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (method, path, body, status, field) in cases() {
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
    for bytes in [&b"\xff\xfe\x00\x01"[..], b"{\"slug\":\"\xff\"}", &[0; 64]] {
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
