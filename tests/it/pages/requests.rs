//! What pages answer, header by header, where a browser would hide it.

use std::collections::BTreeSet;

use holdfast::domain::{access::Role, ids::RestoreId};
use reqwest::Method;
use sea_orm::ConnectionTrait;

use super::site::{PASSWORD, Visitor, add_user, lodged};
use crate::{
    house::{postgres, psql},
    server::form,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_keeps_the_browser_on_a_short_leash() {
    let (house, _site, ada) = lodged().await;
    for path in [
        "/",
        "/login",
        "/nowhere",
        "/healthz",
        "/static/x/app.css",
        "/apps/new",
    ] {
        let answer = ada.get(path).await;
        let header = |name: &str| {
            let value = answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned());
            value.unwrap_or_else(|| panic!("{path} has no {name}"))
        };
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("cache-control"), "no-store");
        assert!(header("vary").contains("HX-Request"));
    }
    let page = ada.page("/").await;
    for banned in [
        " style=",
        "<script>",
        "javascript:",
        " onclick=",
        "http://",
        "https://",
    ] {
        assert!(!page.contains(banned), "the page has {banned}");
    }
    let (_, rest) = page.split_once(r#"rel="stylesheet" href=""#).unwrap();
    let kept = ada.get(rest.split('"').next().unwrap()).await;
    assert_eq!(
        kept.headers()["cache-control"],
        "public, max-age=31536000, immutable"
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_taken_only_with_token_and_confirmation() {
    const PATH: &str = "/apps/shop/upload-restore";
    let project = format!("page-upload-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    psql(&bed, "shop", "CREATE TABLE notes AS SELECT 1 AS i");
    let dump = bed.sh("pg_dump -U postgres shop");
    psql(&bed, "shop", "UPDATE notes SET i = 2");
    let (house, _site, ada) = lodged().await;
    house.app("shop", &project).await;
    let token = ada.token(PATH).await;
    let send = async |token: &str, confirm: &str, file: &str| {
        let fields = [
            ("csrf", token),
            ("strategy", "postgres"),
            ("container", "db"),
            ("confirm", confirm),
        ];
        let (kind, body) = form(&fields, "shop.sql", file.as_bytes());
        let request = ada.request(Method::POST, PATH).header("content-type", kind);
        request.body(body).send().await.unwrap()
    };
    let before = house.changes().await;
    assert_eq!(send("x", "shop", &dump).await.status(), 403);
    let unconfirmed = send(&token, "other", &dump).await;
    assert_eq!(unconfirmed.status(), 422);
    let page = unconfirmed.text().await.unwrap();
    assert!(page.contains("type shop to confirm"), "{page}");
    let garbage = send(&token, "shop", "no dump").await;
    assert_eq!(garbage.status(), 422);
    let page = garbage.text().await.unwrap();
    assert!(page.contains("no backup of this kind"), "{page}");
    assert_eq!(house.changes().await, before);
    let taken = send(&token, "shop", &dump).await;
    assert_eq!(taken.status(), 303);
    assert_eq!(taken.headers()["location"], "/restores/1");
    let restore = house.restore_over(RestoreId(1)).await;
    assert_eq!(restore.status, "success", "{restore:?}");
    assert_eq!(psql(&bed, "shop", "SELECT i FROM notes"), "1");
    for path in ["/restores/1", "/apps/shop", "/activity"] {
        let page = ada.page(path).await;
        assert!(page.contains("shop.sql"), "{path} does not name the file");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_taken_only_from_its_own_session_and_site() {
    let (house, site, ada) = lodged().await;
    add_user(&house, "olga", Role::Operator).await;
    let olga = Visitor::logged_in(&site, "olga").await;
    let (own, foreign) = (ada.token("/").await, olga.token("/").await);
    assert_ne!(own, foreign);
    let before = house.changes().await;
    for token in ["", "x", foreign.as_str()] {
        let answer = ada
            .post("/apps/new", &[("slug", "shop"), ("csrf", token)])
            .await;
        assert_eq!(answer.status(), 403, "{token:?}");
    }
    let body = format!("slug=shop&csrf={own}");
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
    ] {
        let request = ada.request(Method::POST, "/apps/new").header(name, value);
        let kind = "application/x-www-form-urlencoded";
        let request = request.header("content-type", kind).body(body.clone());
        assert_eq!(
            request.send().await.unwrap().status(),
            403,
            "{name}: {value}"
        );
    }
    assert_eq!(house.changes().await, before, "nothing was changed");
    let answer = ada
        .post("/apps/new", &[("slug", "shop"), ("csrf", &own)])
        .await;
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], "/apps/shop");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn htmx_gets_the_content_alone() {
    let (house, site, ada) = lodged().await;
    let fragment = |path: &'static str, target: &'static str| {
        let request = ada.request(Method::GET, path).header("hx-request", "true");
        async move { request.header("hx-target", target).send().await.unwrap() }
    };
    let whole = ada.page("/").await;
    let content = fragment("/", "main").await.text().await.unwrap();
    assert!(whole.contains("<html") && whole.contains("Nothing is backed up yet"));
    assert!(!content.contains("<html") && content.contains("Nothing is backed up yet"));
    let recent = fragment("/?status=failed", "recent")
        .await
        .text()
        .await
        .unwrap();
    assert!(recent.contains("No such run") && !recent.contains("Nothing is backed up yet"));

    let token = ada.token("/").await;
    let form = ada
        .request(Method::POST, "/apps/new")
        .header("hx-request", "true");
    let kind = "application/x-www-form-urlencoded";
    let refused = form
        .header("content-type", kind)
        .body(format!("slug=No+slug&csrf={token}"));
    let refused = refused.send().await.unwrap();
    assert_eq!(refused.status(), 422);
    let refused = refused.text().await.unwrap();
    assert!(refused.trim_start().starts_with("<form"), "{refused}");
    assert!(
        refused.contains("aria-invalid") && refused.contains("autofocus"),
        "{refused}"
    );

    let missing = fragment("/runs/99", "main").await;
    assert_eq!(missing.status(), 404);
    assert!(
        missing
            .text()
            .await
            .unwrap()
            .contains("The run 99 does not exist")
    );
    let stranger = Visitor::of(&site)
        .request(Method::GET, "/")
        .header("hx-request", "true");
    let stranger = stranger.send().await.unwrap();
    assert_eq!(stranger.headers()["hx-redirect"], "/login");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_ends_leads_nowhere_else_and_is_slowed_down() {
    let (house, site, ada) = lodged().await;
    let fields = [
        ("name", "ada"),
        ("password", PASSWORD),
        ("next", "//evil.example/"),
    ];
    let answer = Visitor::of(&site).post("/login", &fields).await;
    assert_eq!(answer.headers()["location"], "/");
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );

    let lost = Visitor::of(&site).get("/runs/3?x=1").await;
    assert_eq!(lost.headers()["location"], "/login?next=/runs/3%3Fx%3D1");

    let token = ada.token("/").await;
    let out = ada.post("/logout", &[("csrf", &token)]).await;
    assert_eq!(out.headers()["location"], "/login");
    assert_eq!(
        ada.get("/").await.status(),
        303,
        "the session has ended on the server"
    );

    let mut statuses = Vec::new();
    for _ in 0..8 {
        let wrong = [("name", "ada"), ("password", "not this one")];
        let answer = Visitor::of(&site).post("/login", &wrong).await;
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses[0], 422);
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    house.close().await;
}

/// Bytes on the wire.
async fn packed(ada: &Visitor, path: &str) -> usize {
    let asked = ada.request(Method::GET, path);
    let answer = asked
        .header("accept-encoding", "gzip")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip", "{path}");
    answer.bytes().await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_visit_is_small_even_with_many_apps() {
    let (house, _site, ada) = lodged().await;
    for number in 0..100 {
        house
            .app(&format!("app-{number}"), &format!("project-{number}"))
            .await;
    }
    let page = ada.page("/").await;
    assert!(page.contains("app-99"));
    let mut bytes = packed(&ada, "/").await;
    let files = page.split('"').filter(|text| text.starts_with("/static/"));
    let files: BTreeSet<&str> = files.filter_map(|file| file.split('#').next()).collect();
    for file in &files {
        bytes += packed(&ada, file).await;
    }
    assert!(files.len() > 4, "{files:?}");
    println!(
        "figure: pages: a first visit with 100 apps is {} kB compressed",
        bytes / 1000
    );
    assert!(bytes <= 100_000, "{bytes}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_activity_is_searched_and_exported() {
    let (house, _site, ada) = lodged().await;
    for slug in ["shop", "blog"] {
        house.app(slug, slug).await;
    }
    let rows = async |query: &str| {
        let page = ada.page(&format!("/activity?{query}")).await;
        page.matches("id=\"event-").count()
    };
    assert_eq!(rows("q=PROJECT+blog").await, 1);
    assert_eq!(rows("q=project&kind=settings").await, 2);
    assert_eq!(rows("q=project&kind=runs").await, 0);
    let page = ada.page("/activity?q=%3Cb%3E%26").await;
    assert!(
        page.contains("&#60;b&#62;&#38;") && !page.contains("<b>&"),
        "{page}"
    );
    assert!(page.contains("/api/audit/export?format=csv"), "{page}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_page_says_what_is_there_and_whether_the_log_is_whole() {
    let (house, _site, ada) = lodged().await;
    let page = ada.page("/system").await;
    for word in ["container engine", "disk space", "local target"] {
        assert!(page.contains(word), "{word} is not on {page}");
    }
    let token = ada.token("/system").await;
    let asked = async |path: &str| {
        let answer = ada.post(path, &[("csrf", &token)]).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    };
    let whole = asked("/system/log-check").await;
    assert!(whole.contains("events are as they were written"), "{whole}");
    let same = asked("/system/rebuild").await;
    assert!(same.contains("made again from"), "{same}");
    assert!(!same.contains("differed"), "{same}");

    // Somebody takes the locks off and edits what was written.
    let db = house.holdfast.log().db();
    for sql in [
        "DROP TRIGGER events_no_update",
        "UPDATE events SET data = '{\"user\":1,\"name\":\"eve\",\"role\":\"admin\"}' WHERE position = 1",
    ] {
        db.execute_unprepared(sql).await.unwrap();
    }
    let changed = asked("/system/log-check").await;
    assert!(changed.contains("The log was changed"), "{changed}");
    house.close().await;
}
