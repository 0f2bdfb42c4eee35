//! Triggers: a run for whoever has the address, and for nobody else.

use holdfast::domain::access::Role;
use reqwest::StatusCode;
use serde_json::json;

use crate::api::Api;

async fn pull(api: &Api, path: &str, headers: &[(&str, &str)]) -> (StatusCode, serde_json::Value) {
    let mut request = reqwest::Client::new().post(api.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body("{}").send().await.unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_asks_for_a_run_until_it_is_revoked_and_shows_only_once() {
    let api = Api::fake().await;
    let config = api.config().await;
    let of_config = format!("/backups/configs/{config}/trigger");
    let as_operator = Some(Role::Operator);
    let issued = api
        .call_as(as_operator, "POST", &of_config, Some("{}"))
        .await;
    assert_eq!(issued.status, StatusCode::CREATED, "{}", issued.text);
    let path = issued.body["path"].as_str().unwrap().to_owned();
    let (status, answer) = pull(&api, &path, &[]).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let run = answer["run_id"].as_i64().unwrap();
    assert!(run > 0);
    // Said again, it is the same run: while that is not over, and under the same key after it.
    let (_, again) = pull(&api, &path, &[("idempotency-key", "deploy-7")]).await;
    assert_eq!(again["run_id"], run);

    let token = path.trim_start_matches("/hooks/");
    for event in api.events().await {
        assert!(!event.contains(token), "the log holds the token: {event}");
    }

    let (status, _) = pull(&api, "/hooks/hook_00", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let second = api
        .call_as(as_operator, "POST", &of_config, Some("{}"))
        .await;
    assert_ne!(second.body["path"], path.as_str());
    assert_eq!(pull(&api, &path, &[]).await.0, StatusCode::NOT_FOUND);
    let path = second.body["path"].as_str().unwrap();
    let revoked = api.call_as(as_operator, "DELETE", &of_config, None).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert_eq!(pull(&api, path, &[]).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_signed_where_they_have_to_be_and_not_too_many() {
    let api = Api::fake().await;
    let config = api.config().await;
    let of_config = format!("/backups/configs/{config}/trigger");
    let body = json!({ "signed": true }).to_string();
    let issued = api
        .call_as(Some(Role::Operator), "POST", &of_config, Some(&body))
        .await;
    let path = issued.body["path"].as_str().unwrap();
    assert!(
        issued.body["secret"]
            .as_str()
            .unwrap()
            .starts_with("whsec_")
    );
    assert_eq!(pull(&api, path, &[]).await.0, StatusCode::NOT_FOUND);
    let forged = [
        ("webhook-id", "a"),
        ("webhook-timestamp", "1795000000"),
        ("webhook-signature", "v1,AAAA"),
    ];
    assert_eq!(pull(&api, path, &forged).await.0, StatusCode::NOT_FOUND);
    let mut refused = 0;
    for _ in 0..20 {
        refused += usize::from(pull(&api, path, &[]).await.0 == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused >= 10, "{refused}");
}
