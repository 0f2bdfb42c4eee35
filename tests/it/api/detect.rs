//! Apps by their compose file: registration by path and by upload, detection from the file and the
//! engine together, and what nothing covers.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use holdfast::docker::{Container, Mount, fake::FakeEngine};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Api;

const COMPOSE: &str = "\
name: shop
services:
  db:
    image: postgres:${TAG:-16}
    environment: { POSTGRES_DB: shop, POSTGRES_PASSWORD: TOPSECRET }
    volumes: [ data:/var/lib/postgresql/data ]
    labels:
      holdfast.backup.schedule: '@daily'
      simpledeploy.backup.retention: count:3
  own:
    image: registry.example:5000/acme/store:1
    labels: { simpledeploy.backup.strategy: postgres, holdfast.backup.paths: '/a, /b' }
  metrics: { image: prometheuscommunity/postgres-exporter }
  files:
    image: acme/web
    volumes: [ uploads:/srv/uploads, './nginx.conf:/etc/nginx.conf:ro' ]
  scratch:
    image: postgres:16
    labels: [ holdfast.backup.strategy=none ]
  debug: { image: 'postgres:16', profiles: [debug] }
volumes: { data: , uploads: }
";

struct Shop {
    api: Api,
    engine: Arc<FakeEngine>,
    folder: TempDir,
}

impl Shop {
    async fn new() -> Self {
        let engine = Arc::new(FakeEngine::default());
        engine.add(container("db", "postgres:16", true));
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("compose.yml"), COMPOSE).unwrap();
        Self {
            api: Api::new(engine.clone()).await,
            engine,
            folder,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("compose.yml")
    }

    async fn register(&self, body: Value) -> super::Answer {
        self.api
            .call("POST", "/apps", Some(&body.to_string()))
            .await
    }

    async fn registered(&self) {
        let made = self
            .register(json!({ "slug": "shop", "compose_path": self.path() }))
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        assert_eq!(made.body["project"], "shop");
    }

    async fn detect(&self) -> Value {
        let answer = self
            .api
            .call("GET", "/apps/shop/backups/detect", None)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert!(!answer.text.contains("TOPSECRET"), "{}", answer.text);
        answer.body
    }

    /// Service → what was found of it for PostgreSQL.
    async fn databases(&self) -> BTreeMap<String, Value> {
        let found = self.detect().await;
        let all = found["strategies"].as_array().unwrap();
        let postgres = all.iter().find(|s| s["strategy_type"] == "postgres");
        let services = postgres.unwrap()["services"].as_array().unwrap().iter();
        services
            .map(|s| (s["service_name"].as_str().unwrap().to_owned(), s.clone()))
            .collect()
    }
}

fn container(service: &str, image: &str, running: bool) -> Container {
    Container {
        image: image.into(),
        ..super::container("shop", service, running)
    }
}

#[tokio::test]
async fn the_file_and_the_engine_are_seen_together() {
    let shop = Shop::new().await;
    shop.registered().await;
    let found = shop.databases().await;
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["db", "debug", "own"]);
    let db = &found["db"];
    assert_eq!(db["running"], true);
    assert_eq!(db["has_container"], true);
    assert_eq!(db["metadata"]["schedule"], "@daily", "{db}");
    assert_eq!(db["metadata"]["retention"], "count:3");
    let own = &found["own"];
    assert_eq!(own["running"], false);
    assert_eq!(own["has_container"], false);
    assert_eq!(own["container_name"], "shop-own-1");
    assert_eq!(own["reason"], "label simpledeploy.backup.strategy");
    assert_eq!(own["paths"], json!(["/a", "/b"]));
    assert_eq!(found["debug"]["profiles"], json!(["debug"]));
}

#[tokio::test]
async fn what_stands_in_the_file_today_counts_for_a_running_service() {
    let shop = Shop::new().await;
    shop.registered().await;
    let mut other = container("cache", "acme/cache", true);
    let label = |value: &str| ("holdfast.backup.strategy".to_owned(), value.to_owned());
    other.labels.extend([label("postgres")]);
    shop.engine.add(other);
    assert!(shop.databases().await.contains_key("cache"));
    let file = "services: { cache: { labels: { holdfast.backup.strategy: none } } }";
    fs::write(shop.path(), file).unwrap();
    assert!(!shop.databases().await.contains_key("cache"));
}

#[tokio::test]
async fn an_unreadable_file_is_an_empty_list_and_says_why() {
    let shop = Shop::new().await;
    shop.registered().await;
    for (text, said) in [
        (Some("services: [TOPSECRET"), "is not valid at line 1"),
        (Some("TOPSECRET"), "it is no compose file"),
        (None, "there is no file"),
    ] {
        match text {
            Some(text) => fs::write(shop.path(), text).unwrap(),
            None => fs::remove_file(shop.path()).unwrap(),
        }
        let found = shop.detect().await;
        assert_eq!(found["strategies"], json!([]));
        let error = found["error"].as_str().unwrap();
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_file_can_be_sent_as_text_or_as_a_file() {
    let shop = Shop::new().await;
    let made = shop
        .register(json!({ "slug": "shop", "compose": COMPOSE }))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.body["project"], "shop");
    assert_eq!(made.body["compose_uploaded"], true);
    assert!(shop.databases().await.contains_key("own"));

    let boundary = "cut-here";
    let part = |name: &str, value: &str| {
        format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"{value}\r\n")
    };
    let file = format!("; filename=\"compose.yml\"\r\n\r\n{COMPOSE}");
    let form = |parts: &[String]| format!("{}--{boundary}--\r\n", parts.concat());
    let post = |body: String| {
        let token = shop.api.token(holdfast::domain::access::Role::Operator);
        let request = shop.api.request("POST", "/apps").bearer_auth(token);
        let kind = format!("multipart/form-data; boundary={boundary}");
        let request = request.header("content-type", kind).body(body);
        super::send(request, None)
    };
    let made = post(form(&[
        part("slug", "\r\n\r\nother"),
        part("compose", &file),
    ]))
    .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.body["compose_uploaded"], true);
    let typo = post(form(&[part("slugg", "\r\n\r\nx"), part("compose", &file)])).await;
    assert_eq!(typo.status, StatusCode::BAD_REQUEST, "{}", typo.text);
    assert!(typo.body["fields"]["slugg"].is_string(), "{}", typo.text);
    let cut = post(part("slug", "\r\n\r\nx")).await;
    assert_eq!(cut.status, StatusCode::BAD_REQUEST, "{}", cut.text);

    // A compose file holds passwords: it is in the vault, not in the log.
    let events = shop.api.call("GET", "/activity?limit=100", None).await;
    assert!(events.text.contains("app.registered"), "{}", events.text);
    assert!(!events.text.contains("TOPSECRET"), "{}", events.text);

    let change = json!({ "compose": "", "name": "Shop" }).to_string();
    let changed = shop.api.call("PUT", "/apps/shop", Some(&change)).await;
    assert_eq!(changed.body["compose_uploaded"], false, "{}", changed.text);
    assert!(!shop.databases().await.contains_key("own"));
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_by_its_field() {
    let shop = Shop::new().await;
    let head = shop.api.head();
    for (body, field) in [
        (json!({ "compose_path": "/none/such.yml" }), "compose_path"),
        (json!({ "compose_path": "/etc/passwd" }), "compose_path"),
        (json!({ "compose_path": "/dev/zero" }), "compose_path"),
        (json!({ "compose_path": "relative.yml" }), "compose_path"),
        (json!({ "compose_path": "/a/../b.yml" }), "compose_path"),
        (
            json!({ "compose_path": format!("{}:x", shop.path().display()) }),
            "compose_path",
        ),
        (json!({ "compose": "services: [" }), "compose"),
        (
            json!({ "compose": "services: {}", "compose_path": shop.path() }),
            "compose",
        ),
    ] {
        let mut body = body;
        body["slug"] = "shop".into();
        let answer = shop.register(body.clone()).await;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{body}: {}",
            answer.text
        );
        assert!(
            answer.body["fields"][field].is_string(),
            "{body}: {}",
            answer.text
        );
        assert!(!answer.text.contains("root:"), "{}", answer.text);
    }
    assert_eq!(shop.api.head(), head);
}

#[tokio::test]
async fn what_nothing_covers_is_named() {
    let shop = Shop::new().await;
    let mut volume = container("queue", "acme/queue", false);
    volume.mounts = vec![Mount {
        kind: "volume".into(),
        source: "shop_queue".into(),
        destination: "/data".into(),
        read_only: false,
    }];
    shop.engine.add(volume);
    shop.registered().await;
    let app = shop.api.call("GET", "/apps/shop", None).await.body;
    let named: Vec<(&str, &str)> = app["unprotected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            let text = |key: &str| found[key].as_str().unwrap();
            (text("service"), text("holds"))
        })
        .collect();
    assert_eq!(
        named,
        [
            ("db", "Database (PostgreSQL)"),
            ("files", "volume shop_uploads"),
            ("queue", "volume shop_queue"),
        ]
    );
    let summary = shop.api.call("GET", "/backups/summary", None).await.body;
    let app = &summary["apps"][0];
    assert_eq!(app["unprotected"], json!(["db", "files", "queue"]));
    assert_eq!(app["coverage"], 0.0);
}
