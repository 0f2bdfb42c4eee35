//! Settings of an S3 target: tried out, stored, answered.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Api;
use crate::bucket::{ACCESS_KEY, BUCKET, Bucket, Operation, SECRET_KEY, Trouble};

const TRY: &str = "/backups/test-s3";

fn settings(bucket: &Bucket) -> Value {
    let pairs = bucket.settings().into_iter();
    Value::Object(pairs.map(|(name, value)| (name, value.into())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_tried_out_check_by_check() {
    let (api, bucket) = (Api::fake().await, Bucket::serve());
    let answer = api
        .call("POST", TRY, Some(&settings(&bucket).to_string()))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.body["ok"], true, "{}", answer.text);
    assert!(answer.body.get("error").is_none());
    let checks = answer.body["checks"].as_array().unwrap();
    let names: Vec<&str> = checks
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    for name in [
        "put",
        "multipart",
        "read_back",
        "list",
        "delete",
        "presign",
        "conditional_put",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(bucket.contents().is_empty());
    assert!(!answer.text.contains(SECRET_KEY));

    // The replaced module's own spelling.
    let old = json!({
        "Endpoint": bucket.endpoint(), "Bucket": BUCKET, "Prefix": "/x/", "Region": "",
        "AccessKey": ACCESS_KEY, "SecretKey": SECRET_KEY,
    });
    let answer = api.call("POST", TRY, Some(&old.to_string())).await;
    assert_eq!(answer.body["ok"], true, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_said_with_what_to_do() {
    let (api, bucket) = (Api::fake().await, Bucket::serve());
    let mut wrong = settings(&bucket);
    wrong["secret_key"] = "not-this-one".into();
    let answer = api.call("POST", TRY, Some(&wrong.to_string())).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["ok"], false);
    let error = answer.body["error"].as_str().unwrap();
    assert!(error.contains("secret key"), "{error}");
    assert_eq!(answer.body["checks"][0]["name"], "put");
    assert!(!answer.text.contains("not-this-one"));

    bucket.inject(Operation::Create, Trouble::Busy, usize::MAX);
    let answer = api
        .call("POST", TRY, Some(&settings(&bucket).to_string()))
        .await;
    assert_eq!(answer.body["ok"], false, "{}", answer.text);
    assert!(bucket.contents().is_empty());

    for (change, field) in [
        (json!({ "endpoint": "s3.example.com" }), "endpoint"),
        (json!({ "bucket": "../x" }), "bucket"),
        (json!({ "secret_key": "" }), "secret_key"),
        (json!({ "endpoint": "http://169.254.169.254" }), "endpoint"),
        (json!({ "acess_key": "x" }), "acess_key"),
    ] {
        let mut sent = settings(&bucket);
        for (name, value) in change.as_object().unwrap() {
            sent[name] = value.clone();
        }
        let answer = api.call("POST", TRY, Some(&sent.to_string())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{change}");
        assert!(answer.body["fields"][field].is_string(), "{}", answer.text);
    }
}
