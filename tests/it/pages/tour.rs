//! Every page, in both themes, on a wide screen and on a phone: nothing stands over the edge, nothing
//! is asked of another host, and axe finds nothing serious. With `HOLDFAST_SCREENSHOTS=write` in the
//! environment what was seen is kept in `docs/screenshots`.

use std::{collections::BTreeSet, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use holdfast::{
    app::{ConfigInput, WebhookInput},
    domain::{access::Role, ids::ConfigId},
    target::memory::{Fault, Scope},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    axe,
    browser::{Browser, CONTROL},
    past,
    site::{PASSWORD, Site, add_user},
};
use crate::{
    bed::{BUSYBOX, Bed},
    house::{House, postgres, psql},
};

/// The first page with the palette open.
const PALETTE: &str = "/?palette";
const WIZARD: &str = "/apps/:slug/configs/new/:step";

/// Route, an address of it, and the name of its picture when it is worth one.
const PAGES: [(&str, &str, &str); 35] = [
    ("/", "/", "dashboard"),
    ("/apps", "/apps", ""),
    ("/apps/new", "/apps/new", ""),
    ("/apps/:slug", "/apps/shop", "app"),
    (
        "/apps/:slug/upload-restore",
        "/apps/shop/upload-restore",
        "",
    ),
    (
        "/apps/:slug/configs/new",
        "/apps/shop/configs/new",
        "config-new",
    ),
    (WIZARD, "/apps/shop/configs/new/where", "config-where"),
    (WIZARD, "/apps/shop/configs/new/when", "config-when"),
    (WIZARD, "/apps/shop/configs/new/around", ""),
    (WIZARD, "/apps/shop/configs/new/keep", "config-keep"),
    (WIZARD, "/apps/shop/configs/new/summary", "config-summary"),
    ("/apps/:slug/configs/all", "/apps/shop/configs/all", ""),
    ("/configs/:id", "/configs/1", ""),
    (
        "/configs/:id/retention",
        "/configs/1/retention",
        "retention",
    ),
    ("/runs/:id", "/runs/1", "run"),
    ("/runs/:id", "/runs/2", "run-failed"),
    ("/runs/:id/by-hand", "/runs/1/by-hand", ""),
    ("/runs/:id/restore", "/runs/1/restore", "restore-new"),
    ("/restores/:id", "/restores/1", "restore"),
    ("/activity", "/activity", "activity"),
    ("/apps/:slug/activity", "/apps/shop/activity", ""),
    ("/activity/:position", "/activity/4", "event"),
    ("/find", "/find?q=shop", "find"),
    ("/api-reference", "/api-reference", ""),
    ("/webhooks", "/webhooks", ""),
    ("/configs/:id/trigger", "/configs/1/trigger", ""),
    ("/configs/:id/pings", "/configs/1/pings", ""),
    ("/keys", "/keys", ""),
    ("/system", "/system", "system"),
    ("/system/artifacts", "/system/artifacts", "artifacts"),
    ("/system/backup", "/system/backup", "own-database"),
    ("/account", "/account", ""),
    ("/account/second-factor", "/account/second-factor", ""),
    ("/users", "/users", "users"),
    ("", "/nowhere", ""),
];
/// Before the log-in, or no page but a part of one or a file.
const OTHERS: [&str; 10] = [
    "/login",
    "/login/sso",
    "/login/sso/return",
    "/prove/sso",
    "/setup",
    "/prove",
    "/schedule",
    "/retention",
    "/runs/:id/download",
    "/targets/trial",
];
const WIDE: u32 = 1280;
const PHONE: u32 = 320;
/// Name, theme and width. Colours do not depend on the width.
const VIEWS: [(&str, &str, u32); 3] = [
    ("light", "light", WIDE),
    ("dark", "dark", WIDE),
    ("phone", "light", PHONE),
];

#[test]
fn no_page_is_left_out() {
    let routes = include_str!("../../../src/web/pages/mod.rs");
    let squeezed: String = routes.split_whitespace().collect();
    let served: BTreeSet<&str> = squeezed
        .split(".at(\"")
        .skip(1)
        .filter_map(|rest| rest.split_once("\","))
        .filter(|(_, handler)| handler.starts_with("get("))
        .map(|(path, _)| path)
        .collect();
    assert!(
        served.len() > 10,
        "the routes are written in another way: {served:?}"
    );
    let looked_at: BTreeSet<&str> = PAGES
        .iter()
        .map(|(route, ..)| *route)
        .chain(OTHERS)
        .collect();
    let missing: Vec<_> = served.difference(&looked_at).collect();
    assert!(
        missing.is_empty(),
        "pages that nobody looks at: {missing:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_is_for_everybody() {
    let project = format!("tour-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    psql(
        &bed,
        "shop",
        "CREATE TABLE orders AS SELECT i, md5(i::text) note FROM generate_series(1, 20000) i",
    );
    let uploads = tempfile::tempdir().unwrap();
    let mount = format!("{}:/uploads", uploads.path().display());
    let labels = [
        format!("com.docker.compose.project={project}"),
        "com.docker.compose.service=files".to_owned(),
    ];
    let [first, second] = &labels;
    // Data that no config covers.
    let _files = Bed::run(
        BUSYBOX,
        &["--label", first, "--label", second, "-v", &mount],
        &["sleep", "3600"],
    );
    let house = House::patient().await;
    let site = Site::of(&house);
    let browser = Browser::start(&site.url).await;
    house.holdfast.prepare_setup().await.unwrap();
    let mut tour = Tour {
        browser: &browser,
        seen: 0,
        wrong: Vec::new(),
    };
    tour.look("/setup", "").await;
    add_user(&house, "ada", Role::Admin).await;
    tour.look("/login", "login").await;

    fill(&house, &project).await;
    past::fill(&house).await;
    browser.go("/login").await;
    browser.fill("#name", "ada").await;
    browser.fill("#password", PASSWORD).await;
    browser.press("Log in").await;
    browser.reads("h1", "").await;
    for (_, path, picture) in PAGES {
        tour.look(path, picture).await;
    }
    tour.look(PALETTE, "palette").await;
    live(&house, &mut tour).await;
    println!(
        "figure: pages: {} views in both themes at {WIDE} and {PHONE} px, serious findings {}",
        tour.seen,
        tour.wrong.len()
    );
    assert!(tour.wrong.is_empty(), "{:#?}", tour.wrong);
    browser.close().await;
    house.close().await;
}

/// A run in the middle of its work.
async fn live(house: &House, tour: &mut Tour<'_>) {
    let (reached, release) = (CancellationToken::new(), CancellationToken::new());
    let stall = Fault::Stall {
        after: 150_000,
        reached: reached.clone(),
        release: release.clone(),
    };
    *house.faults.target.lock().unwrap() = Some((stall, Scope::Artifacts));
    let run = house.request(ConfigId(1)).await;
    reached.cancelled().await;
    tour.look(&format!("/runs/{run}"), "run-live").await;
    house.heal();
    release.cancel();
    house.run_over(run).await;
}

/// An app with a backup that is good, one that failed, a restore, and a webhook.
async fn fill(house: &House, project: &str) {
    house.app("shop", project).await;
    let config = house
        .config("shop", |config| {
            config.schedule_cron = Some("30 2 * * 1-5".into());
        })
        .await;
    let later = ConfigInput {
        schedule_cron: Some("15 3 * * *".into()),
        retention_count: Some(14),
        ..ConfigInput::default()
    };
    house
        .holdfast
        .change_config(&house.caller, config, later)
        .await
        .unwrap();
    let run = house.back_up(config).await;
    assert_eq!(run.status, "success", "{run:?}");
    *house.faults.target.lock().unwrap() = Some((Fault::Refuse, Scope::Artifacts));
    assert_eq!(house.back_up(config).await.status, "failed");
    house.heal();
    assert_eq!(house.restore(run.run_id()).await.status, "success");
    let webhook = WebhookInput {
        url: Some("http://127.0.0.1:9/".into()),
        ..WebhookInput::default()
    };
    house
        .holdfast
        .add_webhook(&house.caller, webhook)
        .await
        .unwrap();
}

struct Tour<'a> {
    browser: &'a Browser,
    seen: usize,
    wrong: Vec<String>,
}

impl Tour<'_> {
    /// Loaded once: what a browser is switched to or turned into shows without asking the server.
    async fn look(&mut self, path: &str, picture: &str) {
        self.browser.wide(WIDE, 900).await;
        self.browser.prefers("light").await;
        self.browser.go(path).await;
        self.browser.find("h1").await;
        if path == PALETTE {
            self.browser.keys(&format!("{CONTROL}k{CONTROL}sho")).await;
            self.browser.find("#palette #found li").await;
        }
        for (kind, theme, width) in VIEWS {
            self.browser.prefers(theme).await;
            self.browser.wide(width, 900).await;
            self.judge(&format!("{path} {kind}")).await;
            self.keep(picture, kind, width).await;
        }
    }

    async fn judge(&mut self, view: &str) {
        self.seen += 1;
        for line in axe::violations(self.browser).await {
            self.wrong.push(format!("{view}: {line}"));
        }
        let beyond = self
            .browser
            .run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
            .await;
        if beyond != 0 {
            self.wrong
                .push(format!("{view}: stands {beyond} px over the edge"));
        }
        let foreign = self
            .browser
            .run("return performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => !name.startsWith(location.origin))")
            .await;
        if foreign != json!([]) {
            self.wrong.push(format!("{view}: asks {foreign}"));
        }
    }

    async fn keep(&self, picture: &str, kind: &str, width: u32) {
        let wanted = std::env::var("HOLDFAST_SCREENSHOTS").is_ok_and(|value| value == "write");
        if !wanted || picture.is_empty() {
            return;
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots");
        std::fs::write(
            folder.join(format!("{picture}-{kind}.png")),
            self.browser.picture(width).await,
        )
        .unwrap();
    }
}

impl Browser {
    async fn prefers(&self, theme: &str) {
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": theme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    async fn wide(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    /// The whole page, as PNG.
    async fn picture(&self, width: u32) -> Vec<u8> {
        let height = self
            .run("return document.documentElement.scrollHeight")
            .await;
        let height = u32::try_from(height.as_u64().unwrap_or(900)).unwrap_or(900);
        self.wide(width, height.clamp(600, 4000)).await;
        let taken = self
            .devtools("Page.captureScreenshot", json!({ "format": "png" }))
            .await;
        BASE64_STANDARD
            .decode(taken["data"].as_str().expect("a picture"))
            .unwrap()
    }
}
