//! The form of a config, as whoever fills it in meets it.

use holdfast::domain::ids::{ConfigId, RestoreId};
use reqwest::Method;

use super::site::lodged;
use crate::{
    bucket::{Bucket, SECRET_KEY},
    house::{postgres, psql},
};

/// What every config of the database has in the form.
fn filled_in(token: &str) -> [(&str, &str); 9] {
    [
        ("csrf", token),
        ("service", "db"),
        ("strategy", "postgres"),
        ("target", "local"),
        ("time_zone", "UTC"),
        ("compression", "gzip"),
        ("retention_mode", "count"),
        ("retention_count", "7"),
        ("retention_days", "30"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_are_rows_of_the_form() {
    let (house, _site, ada) = lodged().await;
    let project = format!("hooked-{}", std::process::id());
    let _bed = postgres(crate::bed::POSTGRES, &project, &[]);
    house.app("shop", &project).await;
    let new = "/apps/shop/configs/new";
    let token = ada.token("/apps/shop/configs/all").await;
    let fixed = filled_in(&token);
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
    let (house, _site, ada) = lodged().await;
    let project = format!("asked-{}", std::process::id());
    let _bed = postgres(crate::bed::POSTGRES, &project, &[]);
    house.app("shop", &project).await;
    let password = [("password".to_owned(), "secret".into())];
    let config = house
        .config("shop", |config| config.credentials = Some(password.into()))
        .await;
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
    let (house, _site, ada) = lodged().await;
    let bucket = Bucket::serve();
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
    let (house, _site, ada) = lodged().await;
    let project = format!("keyed-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    house.app("shop", &project).await;
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
    let fixed = [&filled_in(&token)[..], &[("server_key", "on")]].concat();
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
    let fields = [&filled_in(&token)[..], &[("recipients", &public)]].concat();
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
