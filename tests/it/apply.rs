//! Declared in a file, and so on the server: the real program against a real one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cli::{Said, with},
    house::postgres,
    server::Server,
};

/// Would be found wherever it went.
const KEY: &str = "canary-4f1d9a-secret-key";
const ENV: [(&str, &str); 4] = [
    ("BUCKET_KEY", KEY),
    ("PING", "http://93.184.216.34/ping/canary-4f1d9a-ping"),
    ("HOOK", "http://93.184.216.34/hook/canary-4f1d9a-hook"),
    ("ANNA", "canary-4f1d9a-password"),
];

fn document(project: &str) -> String {
    format!(
        r#"
version: 1
apps:
  - slug: shop
    name: The shop
    project: {project}
    configs:
      - name: nightly
        service: db
        strategy: postgres
        options: {{ database: shop }}
        schedule: "0 2 * * *"
        time_zone: Europe/Berlin
        missed_policy: all
        missed_window: 48
        jitter_seconds: 60
        blackout: 08:00-18:00 Mon-Fri
        compression: zstd
        retention: {{ keep_daily: 7, keep_weekly: 4 }}
        pre_hooks:
          - {{ type: start_container, service: db, timeout: 30 }}
        post_hooks:
          - {{ type: start, service: db }}
        target: local
        copies:
          - target: s3
            settings:
              endpoint: https://s3.example.org
              bucket: shop-backups
              access_key: AKIDEXAMPLE
              secret_key: {{ env: BUCKET_KEY }}
        ping_url: {{ env: PING }}
        labels: {{ team: shop, env: prod }}
      - service: db
        strategy: postgres
        options: {{ database: postgres }}
        target: s3
        target_settings:
          endpoint: https://s3.example.org
          bucket: shop-backups
          prefix: all
          access_key: AKIDEXAMPLE
          secret_key: {{ file: key }}
        retention: {{ days: 30 }}
webhooks:
  - name: on call
    kind: standard
    url: {{ env: HOOK }}
    events: [backup_failed, backup_missed]
users:
  - name: anna
    role: operator
    password: {{ env: ANNA }}
    grants: {{ shop: operator }}
"#
    )
}

/// A folder with a document, and a server to apply it to.
struct Desk {
    server: Server,
    folder: TempDir,
}

impl Desk {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("key"), format!("{KEY}\n")).unwrap();
        let server = Server::start(&["--private-webhooks"]).await;
        Self { server, folder }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Said {
        with(self.server.data.path(), args, "", env)
    }

    fn apply(&self, file: &Path, more: &[&str], env: &[(&str, &str)]) -> Said {
        let file = file.display().to_string();
        self.run(&[&["apply", &file], more].concat(), env)
    }

    /// What the log holds, one line an event.
    fn log(&self) -> Vec<String> {
        let export = self.run(&["audit", "export"], &[]).good().out;
        let events = export.lines().filter(|line| !line.starts_with("{\"head\""));
        // An export is an event of the log too.
        let told = events.filter(|line| !line.contains("\"audit.exported\""));
        told.map(ToOwned::to_owned).collect()
    }

    async fn configs(&self) -> Vec<Value> {
        let found = self.server.get("/api/apps/shop/backups/configs").await;
        found.as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_is_made_once_and_exported_as_it_is() {
    let project = format!("apply-{}", std::process::id());
    let _bed = postgres(crate::bed::POSTGRES, &project, &[]);
    let desk = Desk::new().await;
    let file = desk.write("shop.yaml", &document(&project));

    // Only looked at.
    let dry = desk.apply(&file, &["--dry-run"], &ENV);
    assert_eq!(dry.code, 4, "{}{}", dry.out, dry.err);
    for line in [
        "+ app shop",
        "+ config shop/nightly",
        "    schedule: \"0 2 * * *\"",
        "    labels.env: \"prod\"",
        "+ config shop/db (postgres)",
        "    target_settings.secret_key: (from the file key)",
        "    ping_url: (from PING)",
        "+ webhook on call",
        "+ user anna",
        "To add: 5. To change: 0. To remove: 0.",
    ] {
        assert!(dry.out.contains(line), "{line}: {}", dry.out);
    }
    let refused = desk.apply(&file, &[], &ENV);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("add --yes"), "{}", refused.err);
    let unset = desk.apply(&file, &["--yes"], &ENV[1..]);
    assert_eq!(unset.code, 2, "{}", unset.err);
    let said = "BUCKET_KEY is not in the environment";
    assert!(unset.err.contains(said), "{}", unset.err);
    assert_eq!(desk.server.get("/api/apps").await, json!([]));

    // Done, and done once: later no secret is needed either.
    let done = desk.apply(&file, &["--yes"], &ENV).good();
    assert!(done.out.contains("Done: 5."), "{}", done.out);
    let log = desk.log();
    let again = desk.apply(&file, &["--yes"], &[]).good();
    assert_eq!(again.out, "Nothing to change.\n");
    desk.apply(&file, &["--dry-run"], &[]).good();
    assert_eq!(desk.log(), log);

    let configs = desk.configs().await;
    let (nightly, other) = (&configs[0], &configs[1]);
    assert_eq!(nightly["keep_weekly"], 4);
    assert_eq!(nightly["ping_url"], "http://93.184.216.34/••••");
    let labels = json!({ "env": "prod", "holdfast.apply": "default", "team": "shop" });
    assert_eq!(nightly["labels"], labels);
    assert!(
        nightly["copies"]
            .as_str()
            .unwrap()
            .contains(r#"\"secret_key\":\"••••\""#),
        "{nightly}"
    );
    assert_eq!(other["retention_days"], 30);
    assert!(
        other["target_config_json"]
            .as_str()
            .unwrap()
            .contains("\"secret_key\":\"••••\""),
        "{other}"
    );

    // What is there, applied to where it is.
    for format in ["table", "json"] {
        let export = desk.run(&["export", "--output", format], &[]).good().out;
        let exported = desk.write(&format!("export.{format}"), &export);
        let same = desk.apply(&exported, &["--yes"], &[]).good();
        assert_eq!(same.out, "Nothing to change.\n", "{export}");
        for said in [&export, &done.out, &dry.out] {
            assert!(!said.contains("canary-4f1d9a"), "{said}");
        }
    }
    assert_eq!(desk.log(), log);
    assert!(!log.concat().contains("canary-4f1d9a"));

    // And to another server: the same again.
    let export = desk.run(&["export"], &[]).good().out;
    assert!(
        export.contains("env: HOLDFAST_SHOP_NIGHTLY_PING_URL # it is set"),
        "{export}"
    );
    let names = export.lines().filter_map(|line| {
        let (_, name) = line.trim().split_once("env: HOLDFAST_")?;
        Some(format!("HOLDFAST_{}", name.split(' ').next()?))
    });
    let value = |name: &String| match name.rsplit('_').next() {
        Some("URL") => "http://93.184.216.34/x",
        Some("SECRET") => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        _ => KEY,
    };
    let names: Vec<String> = names.collect();
    let env: Vec<(&str, &str)> = names.iter().map(|it| (it.as_str(), value(it))).collect();
    let elsewhere = Desk::new().await;
    let file = elsewhere.write("export.yaml", &export);
    elsewhere.apply(&file, &["--yes"], &env).good();
    assert_eq!(elsewhere.run(&["export"], &[]).good().out, export);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_declared_is_left_alone_and_only_its_own_is_pruned() {
    let project = format!("prune-{}", std::process::id());
    let _bed = postgres(crate::bed::POSTGRES, &project, &[]);
    let desk = Desk::new().await;
    let config = |name: &str, more: &str| {
        format!(
            "{{name: {name}, service: db, strategy: postgres, options: {{database: shop}}, {more}}}"
        )
    };
    let whole = |name: &str, configs: &[String]| {
        format!(
            "name: {name}\napps: [{{slug: shop, project: {project}, configs: [{}]}}]",
            configs.join(", ")
        )
    };
    let [hourly, daily] = [config("hourly", "schedule: '@hourly'"), config("daily", "")];
    let file = desk.write("a.yaml", &whole("a", &[hourly.clone(), daily.clone()]));
    desk.apply(&file, &["--yes"], &[]).good();
    let by_hand = json!({ "service": "db", "strategy": "postgres", "options": { "database": "shop" }, "name": "by hand" });
    desk.server
        .post("/api/apps/shop/backups/configs", by_hand)
        .await;

    // Changed by hand: what is declared comes back, the rest stays.
    let id = desk.configs().await[0]["id"].as_i64().unwrap();
    let changed = json!({ "schedule_cron": "0 5 * * *", "blackout": "08:00-18:00 Mon-Fri" });
    let path = format!("/api/backups/configs/{id}");
    let (status, _) = desk
        .server
        .try_call(Method::PUT, &path, Some(changed))
        .await
        .unwrap();
    assert_eq!(status, 200);
    let done = desk
        .apply(&file, &["--yes", "--output", "json"], &[])
        .good()
        .json();
    let fields = json!([{ "field": "schedule", "before": "0 5 * * *", "after": "@hourly" }]);
    assert_eq!(done["steps"][0]["fields"], fields, "{done}");
    assert_eq!(done["left_alone"], json!(["config shop/by hand"]));
    assert_eq!((&done["change"], &done["done"]), (&json!(1), &json!(1)));
    let now = &desk.configs().await[0];
    assert_eq!(now["schedule_cron"], "@hourly");
    assert_eq!(now["blackout"], "08:00-18:00 Mon-Fri");

    // Another document's configs are none of its business; nor what a person made.
    let names = async || {
        let configs = desk.configs().await;
        let names = configs
            .iter()
            .map(|it| it["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let other = desk.write("b.yaml", &whole("b", &[]));
    let left = desk.apply(&other, &["--yes", "--prune"], &[]).good();
    assert!(left.out.contains("Nothing to change."), "{}", left.out);
    let fewer = desk.write("fewer.yaml", &whole("a", &[daily]));
    desk.apply(&fewer, &["--yes"], &[]).good();
    assert_eq!(names().await, ["hourly", "daily", "by hand"]);
    let pruned = desk.apply(&fewer, &["--yes", "--prune"], &[]).good();
    assert!(
        pruned
            .out
            .contains("- config shop/hourly; its backups stay"),
        "{}",
        pruned.out
    );
    assert_eq!(names().await, ["daily", "by hand"]);

    // What the server refuses ends it there, and says how far it was.
    let [soon, never] = [
        config("soon", ""),
        config("never", "schedule: '61 * * * *'"),
    ];
    let wrong = desk.write("wrong.yaml", &whole("a", &[soon, never]));
    let refused = desk.apply(&wrong, &["--yes"], &[]);
    assert_eq!(refused.code, 1, "{}", refused.out);
    for said in [
        "config shop/never: done before it: 1 of 2",
        "schedule_cron: ",
    ] {
        assert!(refused.err.contains(said), "{said}: {}", refused.err);
    }
    assert_eq!(names().await, ["daily", "by hand", "soon"]);

    // Two of the same name are told apart by number alone, as the export does.
    let twin = json!({ "service": "db", "strategy": "postgres", "options": { "database": "shop" }, "name": "daily" });
    desk.server
        .post("/api/apps/shop/backups/configs", twin)
        .await;
    let twins = desk.apply(&fewer, &["--yes"], &[]);
    assert_eq!(twins.code, 2, "{}", twins.out);
    assert!(
        twins.err.contains("several configs are known by \"daily\""),
        "{}",
        twins.err
    );
    let export = desk.run(&["export"], &[]).good().out;
    let file = desk.write("export.yaml", &export);
    let same = desk.apply(&file, &["--yes"], &[]).good();
    assert_eq!(same.out, "Nothing to change.\n");
}
