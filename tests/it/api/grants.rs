//! Who may see which app: everything, as somebody who was granted another one, and as tokens that are for
//! something else.

use std::collections::BTreeSet;

use holdfast::{
    app::Caller,
    domain::{
        access::{Role, TokenSpec},
        app::AppSpec,
        event::StreamKind,
        failure::Failure,
        grant::TokenScope,
        ids::{AppId, ConfigId, RestoreId, RunId, UserId},
        restore::{Restore, RestoreCommand, RestoreSource},
        run::{Run, RunCommand, Trigger},
        secret::Secret,
    },
    log::Cause,
    web::{
        api::access::{Access, OPERATIONS},
        pages::access::PAGES,
    },
};
use reqwest::StatusCode;

use super::{Answer, Api, PASSWORD, send};

/// Part of everything that belongs to the app that was not granted.
const MARK: &str = "shop";

/// With a run, a restore and a config of the app `shop`; and `olga`, an operator of `blog` alone.
struct Scene {
    api: Api,
    olga: UserId,
    token: String,
    cookie: String,
}

impl Scene {
    async fn new() -> Self {
        let api = Api::fake().await;
        api.config().await;
        run_and_restore(&api).await;
        let (holdfast, cli) = (&api.holdfast, Caller::cli("test"));
        let spec = AppSpec {
            project: "blog".to_owned(),
            ..AppSpec::default()
        };
        holdfast.register_app(&cli, "blog", spec).await.unwrap();
        let password = Secret::from(PASSWORD);
        let olga = holdfast
            .add_user(&cli, "olga", Role::Operator, &password)
            .await
            .unwrap();
        let grants = r#"{"grants":[{"app":"blog","role":"operator"}]}"#;
        let path = format!("/users/{olga}/grants");
        let granted = api.call("PUT", &path, Some(grants)).await;
        assert_eq!(granted.status, StatusCode::OK, "{}", granted.text);
        let token = token(&api, olga, Role::Operator, None).await;
        let cookie = cookie(&api, "olga").await;
        Self {
            api,
            olga,
            token,
            cookie,
        }
    }

    async fn as_olga(&self, method: &str, path: &str) -> Answer {
        let request = self.api.request(method, path).bearer_auth(&self.token);
        let body = (method != "GET").then_some("{}");
        send(request, body).await
    }
}

async fn token(
    api: &Api,
    user: UserId,
    role: Role,
    scopes: Option<BTreeSet<TokenScope>>,
) -> String {
    let spec = TokenSpec {
        name: "test".to_owned(),
        role,
        expires_at: None,
        scopes,
    };
    let cli = Caller::cli("test");
    let issued = api.holdfast.issue_token(&cli, user, spec);
    issued.await.unwrap().token.expose().clone()
}

async fn cookie(api: &Api, name: &str) -> String {
    let body = serde_json::json!({ "name": name, "password": PASSWORD }).to_string();
    let answer = send(api.request("POST", "/login"), Some(&body)).await;
    let set = answer.header("set-cookie");
    set.split(';').next().unwrap().to_owned()
}

async fn run_and_restore(api: &Api) {
    let written = api.holdfast.log().write(Cause::system("test"), |unit| {
        Box::pin(async move {
            let run = RunId(unit.next_id(StreamKind::Run).await?);
            let request = RunCommand::Request {
                run,
                app: AppId(1),
                config: ConfigId(1),
                trigger: Trigger::Manual,
                key: None,
                slot: None,
            };
            unit.execute::<Run>(run.0, request).await?;
            let fail = RunCommand::Fail {
                attempt: 1,
                failure: Failure::permanent("shop is away", ""),
                retry_at: None,
            };
            unit.execute::<Run>(run.0, fail).await?;
            let restore = RestoreId(unit.next_id(StreamKind::Restore).await?);
            let request = RestoreCommand::Request {
                restore,
                source: RestoreSource::Run {
                    run,
                    from: None,
                    safety: None,
                },
                app: AppId(1),
                service: "shop-db".into(),
                identity: None,
            };
            unit.execute::<Restore>(restore.0, request).await
        })
    });
    written.await.unwrap();
}

fn filled(form: &str) -> String {
    form.replace("{slug}", "shop")
        .replace("{id}", "1")
        .replace("{position}", "1")
}

/// The app, or something of it, is named in the path.
fn is_of_an_app(form: &str) -> bool {
    let mine = ["/users", "/apikeys", "/sessions", "/webhooks", "/account"];
    form.contains('{') && !mine.iter().any(|own| form.starts_with(own))
}

/// Of the event that `{position}` is filled with: the first that has an app.
async fn first_of_shop(api: &Api) -> i64 {
    let events = api.holdfast.log().read_from(0, 1000).await.unwrap();
    let mut of_shop = events
        .iter()
        .filter(|event| event.scope.app == Some(AppId(1)));
    of_shop.next().unwrap().position
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_does_not_exist() {
    let scene = Scene::new().await;
    let position = first_of_shop(&scene.api).await.to_string();
    let (before, mut calls, mut leaks) = (scene.api.changes().await, 0, 0);
    for (method, form, access) in OPERATIONS {
        let Access::Needs(role, _) = access else {
            continue;
        };
        let path = match *form {
            "/activity/{position}" => format!("/activity/{position}"),
            form => filled(form),
        };
        if ["/logout", "/sessions/1"].contains(&path.as_str()) {
            continue; // her own
        }
        let answer = scene.as_olga(method, &path).await;
        calls += 1;
        let status = answer.status;
        let closed = match (role, is_of_an_app(form)) {
            (Role::Admin, _) => status == StatusCode::FORBIDDEN,
            (_, true) => [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST].contains(&status),
            (_, false) => *method == "GET" || status.is_client_error(),
        };
        // Of what she sent herself, the name may be said back.
        let told = answer.text.replace("the app shop does not exist", "");
        if !closed || told.contains(MARK) {
            leaks += 1;
            println!("{method} {path}: {status} {}", answer.text);
        }
    }
    for (methods, form, role) in PAGES {
        if *form == "/logout" || role.is_none() {
            continue;
        }
        for method in methods.split(',') {
            let method = method.parse().unwrap();
            let request = scene
                .api
                .client
                .request(method, scene.api.url(&filled(form)));
            let answer = send(request.header("cookie", &scene.cookie), None).await;
            calls += 1;
            let told = answer.text.replace("The app shop does not exist", "");
            let open = answer.status.is_success() && (is_of_an_app(form) || told.contains(MARK));
            if open || answer.status.is_server_error() {
                leaks += 1;
                println!("{methods} {form}: {}", answer.status);
            }
        }
    }
    for path in [
        "/live?app=shop",
        "/live?run=1",
        "/live?restore=1",
        "/metrics",
    ] {
        let request = scene.api.client.get(scene.api.url(path));
        let answer = send(request.header("cookie", &scene.cookie), None).await;
        calls += 1;
        let open = match path {
            "/metrics" => answer.text.contains(MARK),
            _ => answer.status != StatusCode::NOT_FOUND,
        };
        leaks += usize::from(open);
    }
    // Looking for it by its number says no more than looking for what never was.
    for wanted in ["run+1", "restore+1", "run+99", "shop"] {
        let request = scene
            .api
            .client
            .get(scene.api.url(&format!("/find?q={wanted}")));
        let answer = send(request.header("cookie", &scene.cookie), None).await;
        calls += 1;
        let empty = answer.status == StatusCode::OK && answer.text.contains("Nothing is called");
        leaks += usize::from(!empty);
    }
    let changes = scene.api.changes().await - before;
    println!(
        "figure: access: {calls} calls over all routes as the operator of another app: {leaks} leaks, {changes} changes"
    );
    assert_eq!((leaks, changes), (0, 0));

    // Granted, it is there; as a viewer, to look at.
    let grants = r#"{"grants":[{"app":"shop","role":"viewer"},{"app":"blog","role":"operator"}]}"#;
    let path = format!("/users/{}/grants", scene.olga);
    scene.api.call("PUT", &path, Some(grants)).await;
    let summary = scene.as_olga("GET", "/backups/summary").await;
    assert_eq!(
        summary.body["apps"].as_array().unwrap().len(),
        2,
        "{}",
        summary.text
    );
    let run = scene.as_olga("POST", "/backups/configs/1/run").await;
    assert_eq!(run.status, StatusCode::FORBIDDEN, "{}", run.text);
    let other = r#"{"project":"shop"}"#;
    let request = scene
        .api
        .request("PUT", "/apps/blog")
        .bearer_auth(&scene.token);
    let answer = send(request, Some(other)).await;
    assert_eq!(
        answer.status,
        StatusCode::FORBIDDEN,
        "another app's project: {}",
        answer.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_for_what_its_scopes_say() {
    let scene = Scene::new().await;
    let api = &scene.api;
    let admin = api.holdfast.user_by_name("admin").await.unwrap().user_id();
    let (before, mut calls, mut leaks) = (scene.api.changes().await, 0, 0);
    for scope in TokenScope::ALL {
        let token = token(api, admin, Role::Admin, Some([scope].into())).await;
        for (method, form, access) in OPERATIONS {
            let Access::Needs(_, needed) = access else {
                continue;
            };
            if *needed == scope {
                continue;
            }
            let request = api.request(method, &filled(form)).bearer_auth(&token);
            let answer = send(request, Some("{}")).await;
            calls += 1;
            let said = answer.body["message"].as_str().unwrap_or_default();
            if answer.status != StatusCode::FORBIDDEN || !said.contains(needed.name()) {
                leaks += 1;
                println!("{method} {form} with {}: {}", scope.name(), answer.text);
            }
        }
    }
    let issued = TokenScope::ALL.len();
    let changes = scene.api.changes().await - before - issued;
    println!(
        "figure: access: {calls} calls with a token of another scope: {leaks} leaks, {changes} changes"
    );
    assert_eq!((leaks, changes), (0, 0));

    // Nor does it make one that may more, or all.
    let own = token(api, admin, Role::Admin, Some([TokenScope::Admin].into())).await;
    for (body, status) in [
        (r#"{"name":"x"}"#, StatusCode::BAD_REQUEST),
        (r#"{"name":"x","scopes":["read"]}"#, StatusCode::BAD_REQUEST),
        (r#"{"name":"x","scopes":["moon"]}"#, StatusCode::BAD_REQUEST),
        (r#"{"name":"x","scopes":[]}"#, StatusCode::BAD_REQUEST),
        (r#"{"name":"x","scopes":["admin"]}"#, StatusCode::CREATED),
    ] {
        let request = api.request("POST", "/apikeys").bearer_auth(&own);
        let answer = send(request, Some(body)).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_disabled_is_out_at_once_and_an_admin_is_left() {
    let scene = Scene::new().await;
    let api = &scene.api;
    let path = format!("/users/{}", scene.olga);
    let disable = Some(r#"{"disabled":true}"#);
    let changed = api.call("PUT", &path, disable).await;
    assert_eq!(changed.body["disabled"], true, "{}", changed.text);
    let by_token = scene.as_olga("GET", "/me").await;
    assert_eq!(by_token.status, StatusCode::UNAUTHORIZED);
    let request = api.request("GET", "/me").header("cookie", &scene.cookie);
    assert_eq!(send(request, None).await.status, StatusCode::UNAUTHORIZED);
    let body = serde_json::json!({ "name": "olga", "password": PASSWORD }).to_string();
    let again = send(api.request("POST", "/login"), Some(&body)).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);

    let enable = Some(r#"{"disabled":false,"role":"viewer"}"#);
    let changed = api.call("PUT", &path, enable).await;
    assert_eq!(changed.body["role"], "viewer", "{}", changed.text);
    let me = scene.as_olga("GET", "/me").await;
    assert_eq!(
        me.body["role"], "viewer",
        "a token is never above its user: {}",
        me.text
    );

    let admin = api.holdfast.user_by_name("admin").await.unwrap().id;
    for body in [disable, Some(r#"{"role":"viewer"}"#)] {
        let answer = api.call("PUT", &format!("/users/{admin}"), body).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
    }
    for grants in [
        r#"{"grants":[{"app":"moon","role":"viewer"}]}"#,
        r#"{"grants":[{"app":"shop","role":"admin"}]}"#,
    ] {
        let answer = api
            .call("PUT", &format!("{path}/grants"), Some(grants))
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
        assert!(
            answer.body["fields"]["grants"].is_string(),
            "{}",
            answer.text
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_stand_in_the_audit_log_and_cannot_flood_it() {
    let scene = Scene::new().await;
    let api = &scene.api;
    scene.as_olga("GET", "/apps/shop").await;
    scene.as_olga("GET", "/users").await;
    let request = api.request("GET", "/apps").bearer_auth("hft_none");
    send(request, None).await;
    for _ in 0..100 {
        scene.as_olga("DELETE", "/users/1").await;
    }
    let events = api.holdfast.log().read_from(0, 10_000).await.unwrap();
    let refused: Vec<_> = events
        .iter()
        .filter(|it| it.name == "audit.refused")
        .collect();
    assert_eq!(refused.len(), 10, "of one address, in a minute");
    for (event, what, why, who) in [
        (refused[0], "GET /apps/{slug}", "not granted", "olga"),
        (refused[1], "GET /users", "not allowed", "olga"),
        (refused[2], "GET /apps", "not known", "somebody"),
    ] {
        assert!(
            event.data.contains(what) && event.data.contains(why),
            "{}",
            event.data
        );
        assert_eq!(event.actor.name, who);
        assert!(!event.actor.address.is_empty());
    }
}
