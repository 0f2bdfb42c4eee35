//! Who may do what, on the pages.

use holdfast::domain::access::Role;

use super::{
    browser::Browser,
    site::{PASSWORD, Site, Visitor, add_user},
};
use crate::house::{House, postgres};

/// Every form that changes something, with fields that would do.
const CHANGES: [(&str, &[(&str, &str)]); 23] = [
    ("/apps/new", &[("slug", "second"), ("project", "second")]),
    ("/apps/shop/run", &[]),
    (
        "/apps/shop/configs/new",
        &[
            ("service", "db"),
            ("strategy", "postgres"),
            ("target", "local"),
            ("time_zone", "UTC"),
        ],
    ),
    ("/apps/shop/configs/new/summary", &[("go", "create")]),
    (
        "/configs/1",
        &[
            ("service", "db"),
            ("strategy", "postgres"),
            ("target", "local"),
            ("time_zone", "UTC"),
        ],
    ),
    ("/configs/1/run", &[]),
    ("/configs/1/delete", &[]),
    ("/configs/1/switch", &[("to", "off")]),
    ("/runs/1/cancel", &[]),
    ("/runs/1/restore", &[("confirm", "shop")]),
    ("/restores/1/undo", &[]),
    ("/webhooks", &[("url", "http://93.184.216.34/")]),
    ("/webhooks/1/test", &[]),
    ("/webhooks/1/delete", &[]),
    ("/system/backup", &[("schedule_cron", "0 3 * * *")]),
    ("/system/backup/run", &[]),
    ("/configs/1/trigger", &[]),
    ("/configs/1/trigger/revoke", &[]),
    ("/configs/1/pings/again", &[]),
    ("/system/backup/download", &[]),
    ("/keys", &[]),
    ("/system/log-check", &[]),
    ("/system/rebuild", &[]),
];

const PAGES: [&str; 19] = [
    "/",
    "/apps",
    "/apps/new",
    "/apps/shop",
    "/apps/shop/configs/new",
    "/apps/shop/configs/new/what",
    "/apps/shop/configs/all",
    "/apps/shop/upload-restore",
    "/configs/1",
    "/configs/1/trigger",
    "/configs/1/pings",
    "/runs/1",
    "/runs/1/restore",
    "/runs/1/download",
    "/restores/1",
    "/activity",
    "/system",
    "/system/backup",
    "/keys",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_looks_and_changes_nothing() {
    let project = format!("viewer-{}", std::process::id());
    let _bed = postgres(crate::bed::POSTGRES, &project, &[]);
    let house = House::new().await;
    house.app("shop", &project).await;
    let config = house.config("shop", |_| {}).await;
    let run = house.back_up(config).await;
    house.restore(run.run_id()).await;
    add_user(&house, "vera", Role::Viewer).await;
    let site = Site::of(&house);

    let vera = Visitor::logged_in(&site, "vera").await;
    let token = vera.token("/").await;
    let before = house.changes().await;
    for (path, fields) in CHANGES {
        let fields = [fields, &[("csrf", token.as_str())]].concat();
        let answer = vera.post(path, &fields).await;
        assert_eq!(answer.status(), 403, "{path}");
        let page = answer.text().await.unwrap();
        assert!(page.contains("role does not allow"), "{path}: {page}");
    }
    assert_eq!(house.changes().await, before, "nothing was changed");
    for path in PAGES {
        let status = vera.get(path).await.status();
        let acting = [
            "new",
            "what",
            "configs/all",
            "restore",
            "download",
            "configs/1",
            "trigger",
            "system",
            "system/backup",
            "keys",
        ];
        let expected = if acting.iter().any(|word| path.ends_with(word)) {
            403
        } else {
            200
        };
        assert_eq!(status, expected, "{path}");
    }

    // Who logged in from where is for administrators alone.
    for path in ["/activity", "/activity?kind=access"] {
        let page = vera.get(path).await.text().await.unwrap();
        assert!(
            page.contains("Restore succeeded") != path.contains("access"),
            "{path}"
        );
        assert!(
            !page.contains("Logged in") && !page.contains(">Access<"),
            "{path}"
        );
    }

    let browser = Browser::start(&site.url).await;
    browser.go("/login").await;
    browser.fill("#name", "vera").await;
    browser.fill("#password", PASSWORD).await;
    browser.press("Log in").await;
    for path in ["/", "/apps", "/apps/shop", "/runs/1", "/restores/1"] {
        browser.go(path).await;
        browser.find("h1").await;
        // What is left to press looks at things or copies them.
        let forms = browser.has("main form").await;
        assert!(!forms, "{path} offers a viewer a form");
        assert!(
            !browser
                .has("main a[href$='/new'], main a[href$='/restore']")
                .await,
            "{path}"
        );
    }
    browser.close().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_anything_without_a_log_in() {
    let house = House::new().await;
    let site = Site::of(&house);
    let nobody = Visitor::of(&site);
    for path in PAGES {
        let answer = nobody.get(path).await;
        assert_eq!(answer.status(), 303, "{path}");
        assert_eq!(answer.headers()["location"], "/setup", "{path}");
    }
    add_user(&house, "ada", Role::Admin).await;
    let before = house.changes().await;
    for path in PAGES.into_iter().chain(["/live"]) {
        let answer = nobody.get(path).await;
        assert_eq!(answer.status(), 303, "{path}");
        let to = answer.headers()["location"].to_str().unwrap().to_owned();
        assert!(to.starts_with("/login"), "{path} leads to {to}");
    }
    for (path, fields) in CHANGES {
        let answer = nobody.post(path, fields).await;
        assert_eq!(answer.status(), 303, "{path}");
        assert_eq!(answer.headers()["location"], "/login", "{path}");
    }
    assert_eq!(house.changes().await, before, "nothing was changed");
    house.close().await;
}
