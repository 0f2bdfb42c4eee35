//! Who may call what: every operation, as nobody and in every role.

use holdfast::{domain::access::Role, web::api::access::Access};
use reqwest::StatusCode;

use super::Api;

/// Every operation with its path filled in.
fn operations(slug: &str, id: &str) -> Vec<(&'static str, String, Access)> {
    holdfast::web::api::access::OPERATIONS
        .iter()
        .map(|(method, form, access)| {
            let path = form
                .replace("{slug}", slug)
                .replace("{id}", id)
                .replace("{position}", id);
            (*method, path, *access)
        })
        .collect()
}

fn may(access: Access, role: Option<Role>) -> bool {
    match access {
        Access::Anybody => true,
        Access::Needs(least, _) => role.is_some_and(|role| role >= least),
    }
}

const EVERYBODY: [Option<Role>; 4] = [
    None,
    Some(Role::Viewer),
    Some(Role::Operator),
    Some(Role::Admin),
];

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_past_his_role_and_nothing_changes() {
    let api = Api::fake().await;
    let (mut calls, mut leaks) = (0, 0);
    let head = api.changes().await;
    // With names that exist, so that only the role can be in the way.
    for (method, path, access) in operations("shop", "1") {
        for role in EVERYBODY.into_iter().filter(|role| !may(access, *role)) {
            let expected = match role {
                None => StatusCode::UNAUTHORIZED,
                Some(_) => StatusCode::FORBIDDEN,
            };
            let answer = api.call_as(role, method, &path, Some("{}")).await;
            calls += 1;
            if answer.status != expected {
                leaks += 1;
                println!("{method} {path} as {role:?}: {}", answer.status);
            }
            assert!(
                answer.body["message"].is_string(),
                "{method} {path}: {}",
                answer.text
            );
        }
    }
    println!(
        "{calls} refused calls, {leaks} leaks, {} changes",
        api.changes().await - head
    );
    assert_eq!((leaks, api.changes().await), (0, head));
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_gets_what_his_role_allows() {
    let api = Api::fake().await;
    // With names that do not exist, so that nothing is in the way of the next call.
    for (method, path, access) in operations("nothing", "999") {
        for role in EVERYBODY.into_iter().filter(|role| may(access, *role)) {
            let answer = api.call_as(role, method, &path, Some("{}")).await;
            let status = answer.status;
            let expected = ["/login", "/logout"].contains(&path.as_str())
                || ![StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
            assert!(
                expected && !status.is_server_error(),
                "{method} {path} {role:?}: {answer:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_good_token_is_nobody() {
    let api = Api::fake().await;
    let good = api.token(Role::Admin).to_owned();
    for value in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Basic {good}"),
        format!("Bearer {good}x"),
        format!("Bearer {}", &good[..good.len() - 1]),
        "Bearer hft_' OR 1=1 --".to_owned(),
    ] {
        let request = api.request("GET", "/apps").header("authorization", &value);
        let answer = super::send(request, None).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{value:?}");
        assert_eq!(answer.body["error"], "unauthenticated");
    }
    let request = api
        .request("GET", "/apps")
        .header("authorization", format!("bearer {good}"));
    assert_eq!(super::send(request, None).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_never_stronger_than_the_one_that_made_it() {
    let api = Api::fake().await;
    let weak = r#"{"name":"weak","role":"viewer"}"#;
    let weak = api.call("POST", "/apikeys", Some(weak)).await.body;
    let weak = weak["token"].as_str().unwrap();
    for (method, path, body) in [
        ("POST", "/apikeys", r#"{"name":"strong","role":"admin"}"#),
        ("POST", "/apikeys", r#"{"name":"strong","user":"operator"}"#),
        (
            "PUT",
            "/users/3/password",
            r#"{"password":"another horse battery"}"#,
        ),
        ("POST", "/apps", r#"{"slug":"mine"}"#),
    ] {
        let request = api.request(method, path).bearer_auth(weak);
        let answer = super::send(request, Some(body)).await;
        assert_eq!(
            answer.status,
            StatusCode::FORBIDDEN,
            "{path}: {}",
            answer.text
        );
    }
    let request = api.request("POST", "/apikeys").bearer_auth(weak);
    let same = super::send(request, Some(r#"{"name":"as weak"}"#)).await;
    assert_eq!(same.status, StatusCode::CREATED, "{}", same.text);
    assert_eq!(same.body["role"], "viewer");

    // Nor does it outlive it, nor end a stronger one.
    let short = r#"{"name":"short","role":"viewer","expires_in_days":2}"#;
    let short = api.call("POST", "/apikeys", Some(short)).await.body;
    let ask = |body| {
        let request = api.request("POST", "/apikeys");
        super::send(
            request.bearer_auth(short["token"].as_str().unwrap()),
            Some(body),
        )
    };
    for body in [r#"{"name":"x"}"#, r#"{"name":"x","expires_in_days":3}"#] {
        let longer = ask(body).await;
        assert_eq!(longer.status, StatusCode::BAD_REQUEST, "{}", longer.text);
        assert!(
            longer.body["fields"]["expires_at"].is_string(),
            "{}",
            longer.text
        );
    }
    let shorter = ask(r#"{"name":"x","expires_in_days":1}"#).await;
    assert_eq!(shorter.status, StatusCode::CREATED, "{}", shorter.text);
    let strong = r#"{"name":"strong","role":"admin"}"#;
    let strong = api.call("POST", "/apikeys", Some(strong)).await.body;
    let path = format!("/apikeys/{}", strong["id"].as_str().unwrap());
    let request = api.request("DELETE", &path).bearer_auth(weak);
    let answer = super::send(request, None).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_and_revoked_for_good() {
    let api = Api::fake().await;
    let body = r#"{"name":"ci","role":"operator","user":"operator","expires_in_days":30}"#;
    let made = api.call("POST", "/apikeys", Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let token = made.body["token"].as_str().unwrap().to_owned();
    let request = || api.request("GET", "/me").bearer_auth(&token);
    let me = super::send(request(), None).await.body;
    assert_eq!(me["name"], "operator");
    assert_eq!(me["role"], "operator");

    let list = api.call("GET", "/apikeys", None).await;
    assert!(!list.text.contains(&token[4..]), "a token is shown again");
    let listed = list.body.as_array().unwrap();
    let listed = listed
        .iter()
        .find(|key| key["id"] == made.body["id"])
        .unwrap();
    assert!(
        listed["last_used_at"].is_string() && listed["expires_at"].is_string(),
        "{listed}"
    );
    let own = api
        .call_as(Some(Role::Viewer), "GET", "/apikeys", None)
        .await
        .body;
    assert_eq!(own.as_array().unwrap().len(), 1, "{own}");

    let path = format!("/apikeys/{}", made.body["id"].as_str().unwrap());
    let foreign = api.call_as(Some(Role::Viewer), "DELETE", &path, None).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!(
        api.call("DELETE", &path, None).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        super::send(request(), None).await.status,
        StatusCode::UNAUTHORIZED
    );
}
