//! A backup of what is there, before a restore replaces it.

use holdfast::domain::{
    access::Role,
    ids::{RestoreId, RunId},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    house::House,
    note,
    pages::site::{Site, Visitor, add_user},
    server::Server,
};

struct Shop {
    server: Server,
    config: String,
}

impl Shop {
    async fn run(&self) -> i64 {
        let path = format!("/api/backups/configs/{}/run", self.config);
        let run = self.server.post(&path, json!({})).await;
        let run = run["run_id"].as_i64().unwrap();
        assert_eq!(self.server.wait_for_run(run).await["status"], "success");
        run
    }

    async fn restore(&self, run: i64, body: Value) -> (StatusCode, Value) {
        let path = format!("/api/backups/restore/{run}");
        let asked = self.server.try_call(Method::POST, &path, Some(body)).await;
        asked.unwrap()
    }

    /// Safety run and restore, both over.
    async fn safely(&self, run: i64) -> (Value, Value) {
        let body = json!({ "mode": "in_place", "safety_backup": true });
        let (status, asked) = self.restore(run, body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{asked}");
        let restore = asked["restore_id"].as_i64().unwrap();
        let restore = self.server.wait_for_restore(restore).await;
        let safety = asked["safety_run_id"].as_i64().unwrap();
        (self.server.wait_for_run(safety).await, restore)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_begins_when_its_safety_backup_is_good_and_only_then() {
    let (project, bed) = note::service("safety");
    let server = Server::start(&["--attempts", "1"]).await;
    let app = json!({ "slug": "shop", "project": project });
    server.post("/api/apps", app).await;
    let config = json!({ "strategy": "sqlite", "service": "db", "paths": [note::FILE],
        "target": "local", "retention_count": 1 });
    let config = server.post("/api/apps/shop/backups/configs", config).await;
    let config = config["id"].to_string();
    let shop = Shop { server, config };
    let first = shop.run().await;
    note::write(&bed, "second");

    let (safety, restore) = shop.safely(first).await;
    assert_eq!(
        (&safety["status"], &safety["trigger"]),
        (&json!("success"), &json!("restore"))
    );
    assert_eq!(restore["status"], "success", "{restore}");
    assert!(
        safety["finished_at"].as_str() <= restore["started_at"].as_str(),
        "{safety} {restore}"
    );
    assert_eq!(note::read(&bed), note::FIRST);
    // What the safety backup holds is what was there.
    let (status, asked) = shop
        .restore(safety["id"].as_i64().unwrap(), json!({}))
        .await;
    assert_eq!(status, StatusCode::ACCEPTED, "{asked}");
    assert!(asked["safety_run_id"].is_null(), "{asked}");
    let back = asked["restore_id"].as_i64().unwrap();
    assert_eq!(
        shop.server.wait_for_restore(back).await["status"],
        "success"
    );
    assert_eq!(note::read(&bed), "second");

    let last = shop.run().await;
    bed.sh("rm -f /data/app.db*"); // there is nothing that could be backed up
    let (safety, restore) = shop.safely(last).await;
    assert_eq!(safety["status"], "failed", "{safety}");
    assert_eq!(restore["status"], "failed", "{restore}");
    let said = restore["error_msg"].as_str().unwrap();
    assert!(said.contains(&format!("run {}", safety["id"])), "{said}");
    assert!(restore["started_at"].is_null(), "{restore}");
    assert_eq!(bed.sh("ls /data").trim(), "", "nothing was touched");

    let (status, refused) = shop.restore(last, json!({ "mode": "merge" })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused["fields"]["mode"].is_string(), "{refused}");
    let path = format!("/api/backups/configs/{}", shop.config);
    shop.server
        .try_call(Method::DELETE, &path, None)
        .await
        .unwrap();
    let (status, refused) = shop.restore(last, json!({ "safety_backup": true })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused["fields"]["safety_backup"].is_string(), "{refused}");
}

/// Two restores whose safety backups take their time, and a third one that needs none; then a kill.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_safety_backup_holds_up_nobody_and_is_not_forgotten() {
    const HELD: &str = "while [ -e /data/held ]; do sleep 0.1; done";
    let mut server = Server::start(&["--exec-hooks"]).await;
    let mut shops = Vec::new();
    for slug in ["one", "two", "free"] {
        let (project, bed) = note::service(&format!("safety-{slug}"));
        let app = json!({ "slug": slug, "project": project });
        server.post("/api/apps", app).await;
        let config = json!({ "strategy": "sqlite", "service": "db", "paths": [note::FILE], "target": "local",
            "pre_hooks": [{ "type": "exec", "service": "db", "command": HELD }] });
        let path = format!("/api/apps/{slug}/backups/configs");
        let config = server.post(&path, config).await;
        let path = format!("/api/backups/configs/{}/run", config["id"]);
        let run = server.post(&path, json!({})).await["run_id"].as_i64();
        let run = server.wait_for_run(run.unwrap()).await;
        assert_eq!(run["status"], "success", "{run}");
        note::write(&bed, "second");
        bed.sh("touch /data/held");
        shops.push((bed, format!("/api/backups/restore/{}", run["id"])));
    }
    let mut waiting = Vec::new();
    for (_, path) in &shops[..2] {
        let asked = server.post(path, json!({ "safety_backup": true })).await;
        waiting.push((
            asked["restore_id"].as_i64().unwrap(),
            asked["safety_run_id"].clone(),
        ));
    }
    let free = server.post(&shops[2].1, json!({})).await["restore_id"].as_i64();
    let free = server.wait_for_restore(free.unwrap()).await;
    assert_eq!(free["status"], "success", "{free}");
    assert_eq!(note::read(&shops[2].0), note::FIRST);

    server.kill();
    server.restart().await;
    for ((bed, _), (restore, safety)) in shops.iter().zip(&waiting) {
        let path = format!("/api/restores/{restore}");
        let restore = server.get(&path).await;
        assert_eq!(restore["status"], "queued", "{restore}");
        assert_eq!(&restore["safety_run_id"], safety, "{restore}");
        assert_eq!(note::read(bed), "second");
        bed.sh("rm /data/held");
    }
    for ((bed, _), (restore, safety)) in shops.iter().zip(&waiting) {
        let restore = server.wait_for_restore(*restore).await;
        assert_eq!(restore["status"], "success", "{restore}");
        let safety = server.wait_for_run(safety.as_i64().unwrap()).await;
        assert_eq!(safety["status"], "success", "{safety}");
        assert_eq!(note::read(bed), note::FIRST);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_asks_for_one_and_says_what_it_waits_for() {
    let (project, bed) = note::service("safety-page");
    let house = House::new().await;
    add_user(&house, "ada", Role::Admin).await;
    let site = Site::of(&house);
    let ada = Visitor::logged_in(&site, "ada").await;
    house.app("shop", &project).await;
    let config = house.config("shop", |input| {
        input.strategy = Some("sqlite".into());
        input.paths = Some(vec![note::FILE.into()]);
    });
    let run = house.back_up(config.await).await.run_id();
    note::write(&bed, "second");
    let path = format!("/runs/{run}/restore");
    let page = ada.page(&path).await;
    assert!(page.contains(r#"name="safety_backup""#), "{page}");
    let token = ada.token("/").await;
    let ask = async |confirm: &str| {
        let fields = [
            ("csrf", token.as_str()),
            ("confirm", confirm),
            ("safety_backup", "on"),
        ];
        ada.post(&path, &fields).await
    };
    let refused = ask("another").await;
    assert_eq!(refused.status(), 422);
    let page = refused.text().await.unwrap();
    assert!(page.contains(r#"name="safety_backup" checked"#), "{page}");
    assert_eq!(ask("shop").await.headers()["location"], "/restores/1");
    let restore = house.restore_over(RestoreId(1)).await;
    assert_eq!(restore.status, "success", "{restore:?}");
    let safety = house.run(RunId(run.0 + 1)).await;
    assert_eq!(
        (safety.trigger.as_str(), safety.status.as_str()),
        ("restore", "success")
    );
    assert_eq!(note::read(&bed), note::FIRST);
    house.close().await;
}
