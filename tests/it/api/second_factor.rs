//! A second factor, and proving anew who is there.

use chrono::Utc;
use holdfast::{
    app::Caller,
    domain::{access::Role, ids::UserId},
};
use reqwest::StatusCode;
use sea_orm::ConnectionTrait;
use serde_json::json;
use totp_rs::{Builder, Secret as Key, Totp};

use super::{Answer, Api, PASSWORD, send};

async fn log_in(api: &Api, code: Option<&str>) -> Answer {
    let body = json!({ "name": "operator", "password": PASSWORD, "code": code });
    send(api.request("POST", "/login"), Some(&body.to_string())).await
}

fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    set.split(';').next().unwrap().to_owned()
}

/// Who sits in the browser with that cookie.
async fn sitting(api: &Api, cookie: &str) -> Caller {
    let (_, value) = cookie.split_once('=').unwrap();
    let caller = api.holdfast.session(value, "127.0.0.1").await.unwrap();
    caller.unwrap()
}

struct Phone(Totp);

impl Phone {
    fn with(key: &str) -> Self {
        let key = Key::try_from_base32(key).unwrap();
        Self(Builder::new().with_secret(key).build().unwrap())
    }

    /// The code of so many steps from now.
    fn code(&self, steps: i64) -> String {
        let at = Utc::now().timestamp() + 30 * steps;
        self.0.generate(u64::try_from(at).unwrap()).to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_asks_for_a_code_that_counts_once() {
    let api = Api::fake().await;
    let here = cookie(&log_in(&api, None).await);
    let caller = sitting(&api, &here).await;
    let user: UserId = caller.user.unwrap();
    let new = api.holdfast.enrol(&caller).await.unwrap();
    assert!(
        new.address
            .expose()
            .starts_with("otpauth://totp/Holdfast:operator?")
    );
    let phone = Phone::with(new.key.expose());
    // Until it is confirmed nobody is asked for it.
    assert_eq!(log_in(&api, None).await.status, StatusCode::NO_CONTENT);
    assert!(
        api.holdfast
            .confirm_factor(&caller, "000000")
            .await
            .is_err()
    );
    let first = phone.code(0);
    let recovery = api.holdfast.confirm_factor(&caller, &first).await.unwrap();
    assert_eq!(recovery.len(), 10);

    let asked = log_in(&api, None).await;
    assert_eq!(asked.status, StatusCode::UNAUTHORIZED);
    assert_eq!(asked.body["error"], "code_needed", "{}", asked.text);
    let used = log_in(&api, Some(&first)).await;
    assert_eq!(
        used.status,
        StatusCode::UNAUTHORIZED,
        "a code that was used"
    );
    let code = phone.code(1);
    assert_eq!(
        log_in(&api, Some(&code)).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        log_in(&api, Some(&code)).await.status,
        StatusCode::UNAUTHORIZED
    );
    let again = recovery[3].expose().to_uppercase();
    assert_eq!(
        log_in(&api, Some(&again)).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        log_in(&api, Some(&again)).await.status,
        StatusCode::UNAUTHORIZED
    );

    // Neither the key nor a recovery code is in the log.
    for event in api.events().await {
        assert!(!event.contains(new.key.expose()), "{event}");
        for code in &recovery {
            assert!(!event.contains(code.expose()), "{event}");
        }
    }
    let admin = sitting(&api, &cookie(&admin(&api).await)).await;
    api.holdfast.remove_factor(&admin, user).await.unwrap();
    assert_eq!(log_in(&api, None).await.status, StatusCode::NO_CONTENT);
}

async fn admin(api: &Api) -> Answer {
    let body = json!({ "name": "admin", "password": PASSWORD }).to_string();
    send(api.request("POST", "/login"), Some(&body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_back_asks_anew_who_is_there() {
    let api = Api::fake().await;
    let cookie = cookie(&admin(&api).await);
    let by = |method: &str, path: &str| api.request(method, path).header("cookie", &cookie);
    let token = Some(r#"{"name":"x"}"#);
    let fresh = send(by("POST", "/apikeys"), token).await;
    assert_eq!(fresh.status, StatusCode::CREATED, "{}", fresh.text);

    let age = "UPDATE sessions SET proved_at = proved_at - 16 * 60 * 1000";
    api.holdfast
        .log()
        .db()
        .execute_unprepared(age)
        .await
        .unwrap();
    let before = api.changes().await;
    for (method, path, body) in [
        ("POST", "/apikeys", token),
        ("DELETE", "/apps/shop", None),
        ("DELETE", "/users/1", None),
        ("PUT", "/users/1", Some(r#"{"role":"operator"}"#)),
        ("PUT", "/users/1/grants", Some(r#"{"grants":[]}"#)),
        (
            "PUT",
            "/users/1/password",
            Some(r#"{"password":"another horse battery"}"#),
        ),
        (
            "POST",
            "/users",
            Some(r#"{"name":"eve","role":"admin","password":"another horse battery"}"#),
        ),
    ] {
        let answer = send(by(method, path), body).await;
        assert_eq!(
            answer.status,
            StatusCode::FORBIDDEN,
            "{path}: {}",
            answer.text
        );
        assert_eq!(answer.body["error"], "proof_needed", "{path}");
    }
    let wrong = send(
        by("POST", "/session/proof"),
        Some(r#"{"password":"not this one"}"#),
    )
    .await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{}", wrong.text);
    let events = api.changes().await - before;
    assert_eq!(events, 1, "the refused proof, and nothing else");

    let body = json!({ "password": PASSWORD }).to_string();
    // Who shows a token proves nothing of a session that somebody else opened, and does not end it.
    for path in ["/session/proof", "/logout"] {
        let request = by("POST", path).bearer_auth(api.token(Role::Viewer));
        let refused = send(request, Some(&body)).await;
        assert_eq!(
            refused.status,
            StatusCode::FORBIDDEN,
            "{path}: {}",
            refused.text
        );
        let still = send(by("DELETE", "/apps/shop"), None).await;
        assert_eq!(
            still.body["error"], "proof_needed",
            "{path}: {}",
            still.text
        );
    }
    let proved = send(by("POST", "/session/proof"), Some(&body)).await;
    assert_eq!(proved.status, StatusCode::NO_CONTENT, "{}", proved.text);
    let removed = send(by("DELETE", "/apps/shop"), None).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{}", removed.text);
    // A token has its scopes instead.
    assert_eq!(
        api.call("POST", "/apikeys", token).await.status,
        StatusCode::CREATED
    );
}
