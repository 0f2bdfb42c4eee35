//! What pages answer, header by header, where a browser would hide it.

use std::{collections::BTreeSet, time::Duration};

use futures_util::StreamExt;
use holdfast::domain::{
    access::Role,
    ids::{ConfigId, RestoreId},
};
use reqwest::Method;
use sea_orm::ConnectionTrait;

use super::site::{PASSWORD, Site, Visitor, add_user};
use crate::{
    bucket::{Bucket, SECRET_KEY},
    house::{House, postgres, psql},
    server::form,
};

async fn lodged() -> (House, Site) {
    let house = House::new().await;
    add_user(&house, "ada", Role::Admin).await;
    let site = Site::of(&house);
    (house, site)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_keeps_the_browser_on_a_short_leash() {
    let (house, site) = lodged().await;
    let ada = Visitor::logged_in(&site, "ada").await;
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
    let (house, site) = lodged().await;
    house.app("shop", &project).await;
    let ada = Visitor::logged_in(&site, "ada").await;
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
    let (house, site) = lodged().await;
    add_user(&house, "olga", Role::Operator).await;
    let ada = Visitor::logged_in(&site, "ada").await;
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
    let (house, site) = lodged().await;
    let ada = Visitor::logged_in(&site, "ada").await;
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
    let (house, site) = lodged().await;
    let ada = Visitor::logged_in(&site, "ada").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_live_stream_goes_on_where_it_was() {
    let (house, site) = lodged().await;
    let project = format!("live-{}", std::process::id());
    let _bed = postgres(crate::bed::POSTGRES, &project, &[]);
    house.app("shop", &project).await;
    let config = house.config("shop", |_| {}).await;
    let ada = Visitor::logged_in(&site, "ada").await;
    let seen = house.holdfast.log().head();
    let run = house.back_up(config).await;

    // Nothing was missed, so nothing is sent until something happens.
    let head = house.holdfast.log().head();
    let mut quiet = ada
        .get(&format!("/live?app=shop&from={head}"))
        .await
        .bytes_stream();
    assert!(
        tokio::time::timeout(Duration::from_millis(300), quiet.next())
            .await
            .is_err()
    );

    let request = ada.request(Method::GET, &format!("/live?run={}", run.id));
    let answer = request
        .header("last-event-id", seen.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    // The run is over, so the stream ends by itself.
    let text = answer.text().await.unwrap();
    assert!(
        text.contains(&format!("id: {head}\nevent: run\n")),
        "{text}"
    );
    assert!(
        text.contains("success") && text.contains("event: over"),
        "{text}"
    );

    house.request(config).await;
    let first = tokio::time::timeout(Duration::from_secs(5), quiet.next()).await;
    let first = String::from_utf8_lossy(&first.unwrap().unwrap().unwrap()).into_owned();
    assert!(first.contains("event: last"), "{first}");
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
    let (house, site) = lodged().await;
    for number in 0..100 {
        house
            .app(&format!("app-{number}"), &format!("project-{number}"))
            .await;
    }
    let ada = Visitor::logged_in(&site, "ada").await;
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
    let (house, site) = lodged().await;
    for slug in ["shop", "blog"] {
        house.app(slug, slug).await;
    }
    let ada = Visitor::logged_in(&site, "ada").await;
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
async fn hooks_are_rows_of_the_form() {
    let (house, site) = lodged().await;
    let project = format!("hooked-{}", std::process::id());
    let _bed = postgres(crate::bed::POSTGRES, &project, &[]);
    house.app("shop", &project).await;
    let ada = Visitor::logged_in(&site, "ada").await;
    let new = "/apps/shop/configs/new";
    let token = ada.token("/apps/shop/configs/all").await;
    let fixed = [
        ("csrf", token.as_str()),
        ("service", "db"),
        ("strategy", "postgres"),
        ("target", "local"),
        ("time_zone", "UTC"),
        ("compression", "gzip"),
        ("retention_mode", "count"),
        ("retention_count", "7"),
        ("retention_days", "30"),
    ];
    let exec = [
        ("pre_hooks.0.type", ""),
        ("pre_hooks.1.type", "exec"),
        ("pre_hooks.1.service", "db"),
        ("pre_hooks.1.command", "echo 1\r\necho 2"),
    ];
    let refused = async |more: &[(&str, &str)], says: &str| {
        let answer = ada.post(new, &[&fixed[..], &exec, more].concat()).await;
        assert_eq!(answer.status(), 422);
        let page = answer.text().await.unwrap();
        assert!(page.contains(says), "{says}: {page}");
        assert!(
            page.contains("echo 1\necho 2"),
            "what was typed stays: {page}"
        );
    };
    refused(
        &[
            ("post_hooks.0.type", "start"),
            ("post_hooks.0.timeout", "x"),
        ],
        "id=\"post_hooks.0.timeout-error\"",
    )
    .await;
    // The row that was left empty is gone, and a problem stands beside the row that it is of.
    refused(
        &[("pre_hooks.2.type", "stop"), ("pre_hooks.2.service", "db")],
        "id=\"pre_hooks.1.service-error\"",
    )
    .await;
    refused(
        &[
            ("pre_hooks.2.type", "reboot"),
            ("pre_hooks.2.service", "db"),
        ],
        "id=\"pre_hooks.1.type-error\"",
    )
    .await;
    let stored = ada.post(new, &[&fixed[..], &exec].concat()).await;
    assert_eq!(stored.status(), 303);
    let app = house.holdfast.app(&house.caller, "shop").await.unwrap();
    let config = house.holdfast.configs(&house.caller, &app).await.unwrap();
    let config = config.last().unwrap();
    let hooks = config.spec().pre_hooks;
    assert_eq!(hooks[0].command.as_deref(), Some("echo 1\necho 2"));

    let edit = format!("/configs/{}", config.id);
    let page = ada.page(&edit).await;
    assert!(page.contains("<option value=\"exec\" selected"), "{page}");
    assert!(page.contains("echo 1\necho 2"), "{page}");
    let emptied = [("pre_hooks.0.type", ""), ("pre_hooks.0.service", "")];
    let same = ada.post(&edit, &fixed).await;
    assert_eq!(same.status(), 303);
    let spec = async || {
        let config = house
            .holdfast
            .config(&house.caller, config.config_id())
            .await;
        config.unwrap().spec()
    };
    assert_eq!(spec().await.pre_hooks, hooks, "not asked for, not changed");
    let taken_out = ada.post(&edit, &[&fixed[..], &emptied].concat()).await;
    assert_eq!(taken_out.status(), 303);
    assert_eq!(spec().await.pre_hooks, []);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_asks_only_for_what_the_chosen_ones_need() {
    let (house, site) = lodged().await;
    let project = format!("asked-{}", std::process::id());
    let _bed = postgres(crate::bed::POSTGRES, &project, &[]);
    house.app("shop", &project).await;
    let password = [("password".to_owned(), "secret".into())];
    let config = house
        .config("shop", |config| config.credentials = Some(password.into()))
        .await;
    let ada = Visitor::logged_in(&site, "ada").await;
    let edit = format!("/configs/{config}");
    let page = ada.page(&edit).await;
    assert_eq!(page.matches("type=\"password\"").count(), 1, "{page}");
    let token = ada.token(&edit).await;
    let before = house.changes().await;

    let body = format!("csrf={token}&show=fields&name=Kept&strategy=redis&target=local");
    let ask = |body: String| {
        let request = ada.request(Method::POST, &edit);
        request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    };
    // Without a script: the whole page, with what was typed.
    let whole = ask(body.clone()).send().await.unwrap();
    assert_eq!(whole.status(), 200);
    let whole = whole.text().await.unwrap();
    assert!(whole.contains("value=\"Kept\"") && whole.contains("<html"));
    assert!(whole.contains("strategy.redis.password") && !whole.contains("strategy.postgres."));
    // With one: that part alone.
    let part = |body: String| {
        let request = ask(body).header("hx-request", "true");
        async move {
            let request = request.header("hx-target", "strategy-fields");
            request.send().await.unwrap().text().await.unwrap()
        }
    };
    let redis = part(body.clone()).await;
    assert!(redis.starts_with("<div id=\"strategy-fields\""), "{redis}");
    assert!(redis.contains("strategy.redis.password") && !redis.contains("local"));
    // Back again: what is stored is still known to be set.
    let back = part(body.replace("redis", "postgres")).await;
    assert!(
        back.contains("strategy.postgres.password\" type=\"password\" value=\"••••\""),
        "{back}"
    );
    let foreign = ask(body.replace(&token, "x")).send().await.unwrap();
    assert_eq!(foreign.status(), 403);
    assert_eq!(house.changes().await, before, "nothing was changed");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_tried_out_before_it_is_saved() {
    let (house, site) = lodged().await;
    let bucket = Bucket::serve();
    let ada = Visitor::logged_in(&site, "ada").await;
    let token = ada.token("/apps/new").await;
    let tried = async |change: (&str, &str)| {
        let mut fields = vec![("csrf".to_owned(), token.clone())];
        fields.push(("target".to_owned(), "s3".to_owned()));
        for (name, value) in bucket.settings() {
            let value = if name == change.0 {
                change.1.to_owned()
            } else {
                value
            };
            fields.push((format!("target.s3.{name}"), value));
        }
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        let answer = ada.post("/targets/trial", &fields).await;
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.unwrap();
        assert!(!text.contains(SECRET_KEY));
        text
    };
    let text = tried(("", "")).await;
    assert!(text.contains("Backups can be kept there"), "{text}");
    let text = tried(("bucket", "elsewhere")).await;
    assert!(text.contains("the bucket does not exist"), "{text}");
    let text = tried(("bucket", "<b>")).await;
    assert!(text.contains("<b>bucket</b>: use the bucket"), "{text}");
    assert!(bucket.contents().is_empty());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_encrypted_to_a_key_that_is_shown_once() {
    let (house, site) = lodged().await;
    let project = format!("keyed-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    house.app("shop", &project).await;
    let ada = Visitor::logged_in(&site, "ada").await;
    let token = ada.token("/keys").await;
    let made = ada.post("/keys", &[("csrf", &token)]).await;
    assert_eq!(made.headers()["cache-control"], "no-store");
    let page = made.text().await.unwrap();
    let shown = |id: &str| {
        let start = page.split(&format!("id=\"{id}\">")).nth(1).unwrap();
        start.split('<').next().unwrap().to_owned()
    };
    let (public, private) = (shown("public-key"), shown("private-key"));
    assert!(page.contains("hx-history=\"false\""));

    let new = "/apps/shop/configs/new";
    let token = ada.token("/apps/shop/configs/all").await;
    let fixed = [
        ("csrf", token.as_str()),
        ("service", "db"),
        ("strategy", "postgres"),
        ("target", "local"),
        ("time_zone", "UTC"),
        ("compression", "gzip"),
        ("retention_mode", "count"),
        ("retention_count", "7"),
        ("retention_days", "30"),
        ("server_key", "on"),
    ];
    let refused = ada
        .post(new, &[&fixed[..], &[("recipients", &private)]].concat())
        .await;
    assert_eq!(refused.status(), 422);
    let page = refused.text().await.unwrap();
    assert!(page.contains("id=\"recipients-error\"") && !page.contains(&private));
    // Without a recipient the box says nothing.
    let saved = ada
        .post(new, &[&fixed[..], &[("recipients", "")]].concat())
        .await;
    assert_eq!(saved.status(), 303);
    let fields = [&fixed[..fixed.len() - 1], &[("recipients", &public)]].concat();
    assert_eq!(ada.post(new, &fields).await.status(), 303);
    let config = async |id| {
        house
            .holdfast
            .config(&house.caller, ConfigId(id))
            .await
            .unwrap()
    };
    let (plain, locked) = (config(1).await, config(2).await);
    assert!(plain.spec().encryption.is_none());
    let encryption = locked.spec().encryption;
    assert_eq!(encryption.recipients, std::slice::from_ref(&public));
    assert!(encryption.own.is_none());

    let run = house.back_up(locked.config_id()).await;
    assert_eq!(run.status, "success", "{run:?}");
    psql(&bed, "shop", "CREATE TABLE later(i int)");
    let page = ada.page(&format!("/runs/{}", run.id)).await;
    assert!(page.contains(&public) && page.contains("judged before it was encrypted"));
    let restore = format!("/runs/{}/restore", run.id);
    let token = ada.token(&restore).await;
    let ask = async |identity: &str| {
        let fields = [
            ("csrf", token.as_str()),
            ("confirm", "shop"),
            ("identity", identity),
        ];
        ada.post(&restore, &fields).await
    };
    let refused = ask("").await;
    assert_eq!(refused.status(), 422);
    let page = refused.text().await.unwrap();
    assert!(page.contains("id=\"identity-error\""), "{page}");
    let asked = ask(&private).await;
    assert_eq!(asked.status(), 303);
    let restored = house.restore_over(RestoreId(1)).await;
    assert_eq!(restored.status, "success", "{restored:?}");
    let later = "SELECT count(*) FROM pg_class WHERE relname = 'later'";
    assert_eq!(psql(&bed, "shop", later), "0");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_page_says_what_is_there_and_whether_the_log_is_whole() {
    let (house, site) = lodged().await;
    let ada = Visitor::logged_in(&site, "ada").await;
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
