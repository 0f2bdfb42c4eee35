//! What an admin does, so that every operation answers as it does when all is well, and when something
//! stands in the way.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use holdfast::domain::access::Role;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{Seen, file, route};
use crate::{
    api::{Api, PASSWORD, send},
    bucket::Bucket,
    reconcile::stray,
};

/// An admin at work on a real service and a bucket.
pub struct Desk<'a> {
    pub api: &'a Api,
    pub seen: &'a mut Seen,
}

impl Desk<'_> {
    pub async fn ask(&mut self, method: &str, path: &str, body: Value, expected: u16) -> Value {
        let request = self.api.request(method, path);
        let request = request.bearer_auth(self.api.token(Role::Admin));
        let body = (!body.is_null()).then(|| body.to_string());
        let answer = self.seen.ask(request, body.as_deref(), expected).await;
        answer.body
    }

    pub async fn get(&mut self, path: &str) -> Value {
        self.ask("GET", path, Value::Null, 200).await
    }

    /// Until it is over.
    pub async fn over(&mut self, path: &str) -> Value {
        let deadline = Instant::now() + Duration::from_mins(2);
        loop {
            let job = self.get(path).await;
            let status = job["status"].as_str().unwrap_or_default();
            if !["queued", "running", "undoing"].contains(&status) {
                return job;
            }
            assert!(Instant::now() < deadline, "stuck: {job}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn apps(&mut self) {
        let app = json!({ "slug": "other", "project": "other" });
        self.ask("POST", "/apps", app.clone(), 201).await;
        self.ask("POST", "/apps", app, 400).await;
        self.ask("POST", "/apps/discover", Value::Null, 200).await;
        self.ask("PUT", "/apps/other", json!({ "name": "Another" }), 200)
            .await;
        for path in ["/apps", "/apps/other", "/apps/shop/backups/detect"] {
            self.get(path).await;
        }
        let run = "/apps/other/backups/run"; // there is nothing to run
        self.ask("POST", run, Value::Null, 409).await;
        self.ask("DELETE", "/apps/other", Value::Null, 204).await;
    }

    pub async fn configs(&mut self, bucket: &Bucket) -> i64 {
        let settings: BTreeMap<String, String> = bucket.settings().into_iter().collect();
        let config = json!({
            "service": "db", "strategy": "postgres", "options": { "database": "shop" },
            "target": "s3", "target_config_json": settings, "labels": { "team": "shop" },
            "ping_url": "http://93.184.216.34/ping", "copies": [{ "target": "local" }],
        });
        let path = "/apps/shop/backups/configs";
        let made = self.ask("POST", path, config.clone(), 201).await;
        assert_eq!(made["labels"], json!({ "team": "shop" }));
        let id = made["id"].as_i64().unwrap();
        self.get(path).await;
        let own = format!("/backups/configs/{id}");
        let changed = self
            .ask("PUT", &own, json!({ "labels": { "team": "" } }), 200)
            .await;
        assert_eq!(changed["labels"], json!({ "team": "" }));
        let wrong = json!({ "labels": { "a b": "" } });
        self.ask("PUT", &own, wrong, 400).await;
        self.get(&format!("{own}/retention")).await;
        let pings = format!("{own}/pings/redelivery"); // nothing was told yet
        self.ask("POST", &pings, Value::Null, 409).await;
        let mut other = json!(settings);
        other["config_id"] = json!(999_999);
        other["secret_key"] = json!("••••");
        self.ask("POST", "/backups/test-s3", other, 404).await;
        self.ask("POST", &format!("{own}/trigger"), Value::Null, 201)
            .await;
        self.ask("DELETE", &format!("{own}/trigger"), Value::Null, 204)
            .await;
        self.ask("POST", "/backups/test-s3", json!(settings), 200)
            .await;
        let short = self.ask("POST", path, config, 201).await;
        let short = format!("/backups/configs/{}", short["id"]);
        self.ask("DELETE", &short, Value::Null, 204).await;
        id
    }

    /// A good one.
    pub async fn run(&mut self, config: i64) -> i64 {
        // In the way of its copy.
        std::fs::create_dir_all(self.api.backups()).unwrap();
        std::fs::write(self.api.backups().join("shop"), "").unwrap();
        let asked = format!("/backups/configs/{config}/run");
        let asked = self.ask("POST", &asked, Value::Null, 202).await;
        let run = self
            .over(&format!("/backups/runs/{}", asked["run_id"]))
            .await;
        assert_eq!(run["status"], "success", "{run}");
        let path = format!("/backups/runs/{}", run["id"]);
        for list in ["/apps/shop/backups/runs", "/backups/summary"] {
            self.get(list).await;
        }
        for (range, expected) in [("", 200), ("bytes=0-9", 206), ("bytes=99999999-", 416)] {
            let request = self.api.request("GET", &format!("{path}/download"));
            let request = request.bearer_auth(self.api.token(Role::Admin));
            self.seen
                .ask(request.header("range", range), None, expected)
                .await;
        }
        let away = format!("{path}/download?presign=true");
        let stays = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().redirect(stays).build().unwrap();
        let request = client.get(self.api.url(&format!("/api{away}")));
        let request = request.bearer_auth(self.api.token(Role::Admin));
        self.seen.ask(request, None, 307).await;
        self.ask("POST", &format!("{path}/cancellation"), Value::Null, 409)
            .await;
        run["id"].as_i64().unwrap()
    }

    /// To a place where it could not be put at first.
    pub async fn copied(&mut self, run: i64) {
        let path = format!("/backups/runs/{run}");
        let copy = format!("{path}/copies/1");
        self.until(&path, "failed").await;
        std::fs::remove_file(self.api.backups().join("shop")).unwrap();
        self.ask("POST", &copy, Value::Null, 202).await;
        self.until(&path, "stored").await;
        self.ask("POST", &copy, Value::Null, 409).await;
    }

    async fn until(&mut self, path: &str, copy: &str) {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let run = self.get(path).await;
            if run["copies"][0]["status"] == copy {
                return;
            }
            assert!(Instant::now() < deadline, "never {copy}: {run}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Beside the copy lie two files that no run knows.
    pub async fn found(&mut self, run: i64) {
        let run = self.get(&format!("/backups/runs/{run}")).await;
        let key = run["file_path"].as_str().unwrap().to_owned();
        let good = self.api.backups().join(&key);
        let (whole, bare) = (stray(&good, &key, "whole"), stray(&good, &key, "bare"));
        let place = self.place("Local").await;
        let named = |key: &str| json!({ "place": place, "key": key });
        let nowhere = json!({ "place": "nowhere", "key": key });
        for what in ["adoption", "deletion"] {
            let path = format!("/system/artifacts/{what}");
            self.ask("POST", &path, named(&key), 409).await;
            self.ask("POST", &path, nowhere.clone(), 404).await;
        }
        let path = "/system/artifacts/verification";
        self.ask("POST", path, json!({ "place": place }), 202).await;
        self.ask("POST", path, json!({ "place": "nowhere" }), 404)
            .await;
        let path = "/system/artifacts/adoption";
        self.ask("POST", path, named(&whole), 202).await;
        let path = "/system/artifacts/deletion";
        self.ask("POST", path, named(&bare), 204).await;
    }

    async fn place(&mut self, target: &str) -> String {
        let found = self.get("/system/artifacts").await;
        let mut places = found["places"].as_array().unwrap().iter();
        let place = places.find(|it| it["target"].as_str().unwrap().starts_with(target));
        place.unwrap_or_else(|| panic!("{found}"))["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// And undone.
    pub async fn restored(&mut self, run: i64) {
        self.get(&format!("/backups/runs/{run}/restore-preview"))
            .await;
        let path = format!("/backups/restore/{run}");
        let asked = self.ask("POST", &path, Value::Null, 202).await;
        let restore = format!("/restores/{}", asked["restore_id"]);
        let done = self.over(&restore).await;
        assert_eq!(done["status"], "success", "{done}");
        self.get("/restores").await;
        let cancel = format!("{restore}/cancellation");
        self.ask("POST", &cancel, Value::Null, 409).await;
        let undo = format!("{restore}/undo");
        self.ask("POST", &undo, Value::Null, 202).await;
        self.over(&restore).await;
    }

    /// What is asked for waits, and stands in the way of what comes after it.
    pub async fn waiting(&mut self, config: i64, run: i64, dump: &[u8]) {
        let good = format!("/backups/runs/{run}");
        self.ask("POST", &format!("{good}/verification"), Value::Null, 202)
            .await;

        let asked = self
            .ask("POST", "/apps/shop/backups/run", Value::Null, 202)
            .await;
        let queued = format!("/backups/runs/{}", asked["run_ids"][0]);
        self.ask("POST", &format!("{queued}/cancellation"), Value::Null, 202)
            .await;
        for path in [
            format!("{queued}/download"),
            format!("{queued}/restore-preview"),
        ] {
            self.ask("GET", &path, Value::Null, 409).await;
        }
        self.ask("POST", &format!("{queued}/verification"), Value::Null, 409)
            .await;

        let restore = format!("/backups/restore/{run}");
        let asked = self.ask("POST", &restore, Value::Null, 202).await;
        self.ask("POST", &restore, Value::Null, 409).await;
        let upload = "/apps/shop/backups/upload-restore";
        let fields = [("strategy", "postgres"), ("container", "db")];
        let request = |api: &Api| {
            let request = api.request("POST", upload);
            file(request.bearer_auth(api.token(Role::Admin)), &fields, dump)
        };
        self.seen.ask(request(self.api), None, 409).await;
        let removed = format!("/backups/configs/{config}?artifacts=delete");
        self.ask("DELETE", &removed, Value::Null, 409).await;
        let first = format!("/restores/{}", asked["restore_id"]);
        self.ask("POST", &format!("{first}/cancellation"), Value::Null, 202)
            .await;
        self.ask("POST", &format!("{first}/undo"), Value::Null, 409)
            .await;
        self.seen.ask(request(self.api), None, 202).await;
    }

    /// The store gives nothing, and the copy is gone.
    pub async fn away(&mut self, run: i64) {
        std::fs::remove_dir_all(self.api.backups().join("shop")).unwrap();
        for path in ["download", "restore-preview"] {
            let path = format!("/backups/runs/{run}/{path}");
            self.ask("GET", &path, Value::Null, 502).await;
        }
        let place = self.place("S3").await;
        let lost = json!({ "place": place, "key": "shop/1/db-20260101-000000.sql.gz" });
        for what in ["adoption", "deletion"] {
            let path = format!("/system/artifacts/{what}");
            self.ask("POST", &path, lost.clone(), 502).await;
        }
        let path = "/system/artifacts/verification";
        self.ask("POST", path, json!({ "place": place }), 502).await;
    }

    pub async fn history(&mut self) {
        for path in ["/activity?app=nothing", "/restores?app=nothing"] {
            self.ask("GET", path, Value::Null, 404).await;
        }
        let absent = json!({ "id": 999_999 });
        self.ask("POST", "/webhooks/test", absent, 404).await;
        for path in [
            "/activity",
            "/activity/1",
            "/apps/shop/activity",
            "/audit/checkpoint",
            "/audit/export",
            "/me",
            "/sessions",
            "/system/doctor",
        ] {
            self.get(path).await;
        }
        self.ask("POST", "/audit/verify", Value::Null, 200).await;
        let nonsense = json!({ "checkpoint": { "position": 1 } });
        self.ask("POST", "/audit/verify", nonsense, 400).await;
        self.ask("POST", "/system/rebuild", Value::Null, 200).await;
    }

    pub async fn people(&mut self) {
        let user = json!({ "name": "bob", "role": "viewer", "password": PASSWORD });
        let bob = self.ask("POST", "/users", user.clone(), 201).await;
        self.ask("POST", "/users", user, 400).await;
        let bob = format!("/users/{}", bob["id"]);
        self.ask("PUT", &bob, json!({ "role": "operator" }), 200)
            .await;
        let grants = json!({ "grants": [{ "app": "shop", "role": "viewer" }] });
        self.ask("PUT", &format!("{bob}/grants"), grants, 200).await;
        self.get(&format!("{bob}/grants")).await;
        let password = json!({ "password": PASSWORD });
        self.ask("PUT", &format!("{bob}/password"), password, 204)
            .await;
        self.ask("DELETE", &bob, Value::Null, 204).await;
        let users = self.get("/users").await;
        let mut users = users.as_array().unwrap().iter();
        let admin = users.find(|user| user["role"] == "admin").unwrap();
        let admin = format!("/users/{}", admin["id"]);
        self.ask("PUT", &admin, json!({ "role": "viewer" }), 409)
            .await;
        self.ask("DELETE", &admin, Value::Null, 409).await;

        let key = self
            .ask("POST", "/apikeys", json!({ "name": "ci" }), 201)
            .await;
        self.get("/apikeys").await;
        let key = format!("/apikeys/{}", key["id"].as_str().unwrap());
        self.ask("DELETE", &key, Value::Null, 204).await;
    }

    pub async fn sessions(&mut self) {
        let who = json!({ "name": "admin", "password": PASSWORD }).to_string();
        let mut cookies = Vec::new();
        for _ in 0..2 {
            let login = self.api.request("POST", "/login");
            let login = self.seen.ask(login, Some(&who), 204).await;
            let cookie = login.header("set-cookie").split(';').next().unwrap();
            cookies.push(cookie.to_owned());
        }
        let with = |api: &Api, method: &str, path: &str| {
            let request = api.request(method, path).header("cookie", &cookies[0]);
            request.header("sec-fetch-site", "same-origin")
        };
        let proof = json!({ "password": PASSWORD }).to_string();
        let good = with(self.api, "POST", "/session/proof");
        self.seen.ask(good, Some(&proof), 204).await;
        let open = with(self.api, "GET", "/sessions");
        let open = self.seen.ask(open, None, 200).await.body;
        let mut others = open.as_array().unwrap().iter();
        let other = others.find(|session| session["current"] == false).unwrap();
        let other = format!("/sessions/{}", other["id"].as_str().unwrap());
        self.ask("DELETE", &other, Value::Null, 204).await;
        let end = with(self.api, "POST", "/logout");
        self.seen.ask(end, None, 204).await;
    }

    /// Last, for nobody gets in for a while after it.
    pub async fn guesses(&mut self) {
        let who = json!({ "name": "admin", "password": PASSWORD }).to_string();
        let login = self.api.request("POST", "/login");
        let login = self.seen.ask(login, Some(&who), 204).await;
        let cookie = login
            .header("set-cookie")
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let wrong = json!({ "name": "admin", "password": "wrong" }).to_string();
        self.until_throttled(|api| api.request("POST", "/login"), &wrong)
            .await;
        let proof = json!({ "password": "wrong" }).to_string();
        let path = "/session/proof";
        let prove = |api: &Api| {
            let request = api.request("POST", path).header("cookie", &cookie);
            request.header("sec-fetch-site", "same-origin")
        };
        self.until_throttled(prove, &proof).await;
    }

    pub async fn until_throttled(&mut self, request: impl Fn(&Api) -> RequestBuilder, body: &str) {
        for _ in 0..50 {
            let request = request(self.api);
            let copy = request.try_clone().unwrap().build().unwrap();
            let route = route(copy.method().as_str(), copy.url().path()).unwrap();
            let answer = send(request, Some(body)).await;
            let status = answer.status.as_u16();
            self.seen.answers.insert((route, status));
            if status == 429 {
                assert!(!answer.header("retry-after").is_empty());
                return;
            }
        }
        panic!("one may guess for ever");
    }

    pub async fn webhook(&mut self) -> String {
        let hook = json!({ "url": "http://93.184.216.34/", "name": "on call" });
        let made = self.ask("POST", "/webhooks", hook, 201).await;
        assert_eq!(made["secret_set"], true);
        let test = json!({ "id": made["id"] });
        self.ask("POST", "/webhooks/test", test, 200).await;
        self.get("/webhooks").await;
        format!("/webhooks/{}", made["id"])
    }

    /// What the run told, and that it can be told again.
    pub async fn told(&mut self, config: i64, hook: &str) {
        let told = self.get(&format!("{hook}/deliveries")).await;
        assert!(told[0]["id"].is_i64(), "{told}");
        let again = format!("/webhooks/deliveries/{}/redelivery", told[0]["id"]);
        self.ask("POST", &again, Value::Null, 202).await;
        self.ask("PUT", hook, json!({ "enabled": false }), 200)
            .await;
        self.ask("DELETE", hook, Value::Null, 204).await;
        let pings = format!("/backups/configs/{config}/pings");
        self.get(&pings).await;
        self.ask("POST", &format!("{pings}/redelivery"), Value::Null, 202)
            .await;
    }

    pub async fn own(&mut self) {
        let path = "/system/backup/config";
        self.get(path).await;
        self.ask("POST", path, json!({ "target": "local" }), 200)
            .await;
        let asked = self
            .ask("POST", "/system/backup/run", Value::Null, 202)
            .await;
        self.over(&format!("/backups/runs/{}", asked["run_id"]))
            .await;
        self.get("/system/backup/runs").await;
        let path = "/system/backup/download";
        self.ask("POST", path, Value::Null, 200).await;
    }
}
