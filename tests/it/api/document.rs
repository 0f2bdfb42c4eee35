//! The OpenAPI document says what there is, and nothing else.

use std::collections::BTreeSet;

use holdfast::web::api::access::{Access, OPERATIONS};
use serde_json::Value;

use super::Api;

fn document() -> Value {
    serde_json::from_str(&holdfast::web::api::document()).unwrap()
}

/// Method in capitals, path, the operation.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods
                .iter()
                .map(|(method, operation)| (method.to_uppercase(), path.clone(), operation))
        })
        .collect()
}

#[test]
fn it_has_the_operations_of_the_table() {
    let document = document();
    let described: BTreeSet<(String, String)> = operations(&document)
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    let expected: BTreeSet<(String, String)> = OPERATIONS
        .iter()
        .filter(|(_, path, _)| *path != "/openapi.json")
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(described, expected);
    println!("{} operations", described.len());
}

#[test]
fn each_operation_is_described_as_a_whole() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let what = format!("{method} {path}");
        assert!(operation["summary"].is_string(), "{what} has no summary");
        let id = operation["operationId"].as_str().unwrap_or_default();
        assert!(
            !id.is_empty() && ids.insert(id.to_owned()),
            "{what}: id {id:?}"
        );
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{what}"
        );
        assert!(responses.contains_key("500"), "{what} has no errors");
        let closed = OPERATIONS.iter().any(|row| {
            (row.0, row.1) == (method.as_str(), path.as_str()) && row.2 != Access::Anybody
        });
        assert_eq!(operation["security"].is_array(), closed, "{what}");
        let named: BTreeSet<&str> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        let in_path: BTreeSet<&str> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        assert_eq!(named, in_path, "{what}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match value.as_str() {
                        Some(text) if key == "$ref" => found.push(text.to_owned()),
                        _ => references(value, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
}

/// What clients of the replaced module call: every row of the contract that this version serves.
#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_reachable() {
    let api = Api::fake().await;
    for (method, path) in [
        ("GET", "/apps/shop/backups/configs"),
        ("POST", "/apps/shop/backups/configs"),
        ("PUT", "/backups/configs/1"),
        ("DELETE", "/backups/configs/1"),
        ("GET", "/apps/shop/backups/runs"),
        ("POST", "/apps/shop/backups/run"),
        ("POST", "/backups/configs/1/run"),
        ("POST", "/backups/restore/1"),
        ("GET", "/backups/summary"),
        ("GET", "/apps/shop/backups/detect"),
        ("GET", "/backups/runs/1/download"),
        ("GET", "/activity"),
        ("GET", "/activity/1"),
        ("GET", "/apps/shop/activity"),
        ("GET", "/audit/checkpoint"),
        ("GET", "/audit/export"),
        ("POST", "/audit/verify"),
        ("GET", "/apps"),
        ("POST", "/apps"),
        ("GET", "/apps/shop"),
        ("PUT", "/apps/shop"),
        ("POST", "/apps/discover"),
        ("GET", "/backups/runs/1"),
        ("POST", "/backups/runs/1/cancellation"),
        ("GET", "/restores"),
        ("GET", "/restores/1"),
        ("POST", "/restores/1/undo"),
        ("POST", "/restores/1/cancellation"),
        ("GET", "/apikeys"),
        ("POST", "/apikeys"),
        ("DELETE", "/apikeys/1-1"),
        ("GET", "/openapi.json"),
    ] {
        let answer = api
            .call(method, path, (method != "GET").then_some("{}"))
            .await;
        let told = answer.body["message"].as_str().unwrap_or_default();
        assert!(
            answer.status.as_u16() < 500 && !told.contains("no such operation"),
            "{method} {path}: {} {told}",
            answer.status
        );
        assert_ne!(answer.status.as_u16(), 405, "{method} {path}");
    }
}
