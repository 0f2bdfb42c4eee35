//! Sessions: the same cookie that the pages use.

use holdfast::domain::access::Role;
use reqwest::StatusCode;
use serde_json::json;

use super::{Answer, Api, PASSWORD, send};

async fn log_in(api: &Api, name: &str, password: &str) -> Answer {
    let body = json!({ "name": name, "password": password }).to_string();
    send(api.request("POST", "/login"), Some(&body)).await
}

fn cookie(answer: &Answer) -> String {
    let value = answer.header("set-cookie");
    value.split(';').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_opened_used_and_ended() {
    let api = Api::fake().await;
    let opened = log_in(&api, "operator", PASSWORD).await;
    assert_eq!(opened.status, StatusCode::NO_CONTENT, "{}", opened.text);
    let set = opened.header("set-cookie");
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Lax"),
        "{set}"
    );
    let cookie = cookie(&opened);
    let by = |method: &str, path: &str| api.request(method, path).header("cookie", &cookie);

    let me = send(by("GET", "/me"), None).await.body;
    assert_eq!(
        me,
        json!({ "name": "operator", "kind": "user", "role": "operator" })
    );
    let app = send(by("POST", "/apps"), Some(r#"{"slug":"second"}"#)).await;
    assert_eq!(app.status, StatusCode::CREATED, "{}", app.text);
    assert_eq!(
        send(by("GET", "/users"), None).await.status,
        StatusCode::FORBIDDEN
    );

    let ended = send(by("POST", "/logout"), None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert!(ended.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(
        send(by("GET", "/me"), None).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_cannot_use_a_session() {
    let api = Api::fake().await;
    let cookie = cookie(&log_in(&api, "admin", PASSWORD).await);
    let head = api.head();
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let request = api
            .request("POST", "/apps")
            .header("cookie", &cookie)
            .header(name, value);
        let answer = send(request, Some(r#"{"slug":"theirs"}"#)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert_eq!(answer.body["error"], "forbidden", "{}", answer.text);
    }
    assert_eq!(api.head(), head);
    // A token is never sent unasked.
    let request = api
        .request("POST", "/apps")
        .bearer_auth(api.token(Role::Admin))
        .header("origin", "https://tool.example");
    let answer = send(request, Some(r#"{"slug":"ours"}"#)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_down_and_told_when_to_go_on() {
    let api = Api::fake().await;
    let mut refused = 0;
    let last = loop {
        let answer = log_in(&api, "viewer", "not this one either").await;
        if answer.status != StatusCode::UNAUTHORIZED {
            break answer;
        }
        assert!(
            answer.body["message"]
                .as_str()
                .unwrap()
                .contains("do not go together")
        );
        refused += 1;
        assert!(refused < 20, "guessing is never slowed down");
    };
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(last.body["error"], "throttled");
    let wait: u64 = last.header("retry-after").parse().unwrap();
    assert!((1..=61).contains(&wait));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_ended_by_their_owner_or_an_admin() {
    let api = Api::fake().await;
    let here = cookie(&log_in(&api, "operator", PASSWORD).await);
    let there = cookie(&log_in(&api, "operator", PASSWORD).await);
    let other = cookie(&log_in(&api, "viewer", PASSWORD).await);
    let by = |cookie: &str, method: &str, path: &str| {
        api.request(method, path)
            .header("cookie", cookie.to_owned())
    };
    let list = async |cookie: &str| {
        let answer = send(by(cookie, "GET", "/sessions"), None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        for secret in [&here, &there, &other] {
            let secret = secret.split_once('=').unwrap().1;
            assert!(!answer.text.contains(secret), "{}", answer.text);
        }
        answer.body.as_array().unwrap().clone()
    };

    let own = list(&here).await;
    assert_eq!(own.len(), 2, "{own:?}");
    assert!(own.iter().all(|session| session["user"] == "operator"));
    let current: Vec<_> = own.iter().filter(|s| s["current"] == true).collect();
    assert_eq!(current.len(), 1, "{own:?}");
    let far = own.iter().find(|s| s["current"] == false).unwrap();
    let path = format!("/sessions/{}", far["id"].as_str().unwrap());

    // Of somebody else: as if it were not there, and nothing happens.
    let head = api.head();
    for path in [path.as_str(), "/sessions/0", "/sessions/%25", "/sessions/_"] {
        let refused = send(by(&other, "DELETE", path), None).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(api.head(), head);

    let ended = send(by(&here, "DELETE", &path), None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT, "{}", ended.text);
    let gone = send(by(&there, "GET", "/me"), None).await;
    assert_eq!(gone.status, StatusCode::UNAUTHORIZED);
    assert_eq!(list(&here).await.len(), 1);

    let all = api.call("GET", "/sessions", None).await.body;
    let theirs = all.as_array().unwrap().iter();
    let theirs = theirs.clone().find(|s| s["user"] == "viewer").unwrap();
    let path = format!("/sessions/{}", theirs["id"].as_str().unwrap());
    assert_eq!(
        api.call("DELETE", &path, None).await.status,
        StatusCode::NO_CONTENT
    );
    let gone = send(by(&other, "GET", "/me"), None).await;
    assert_eq!(gone.status, StatusCode::UNAUTHORIZED);
    let activity = api.call("GET", "/activity?limit=2", None).await.text;
    assert!(activity.contains("audit.session_ended"), "{activity}");
}
