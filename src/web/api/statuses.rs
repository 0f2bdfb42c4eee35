//! Which errors an operation can answer. The code says it of all of them alike, since they share a type;
//! the document says of each only what can come of it, so that whoever reads it knows what to expect, and
//! tests find what it leaves out and what never comes.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::access::{Access, OPERATIONS};

/// Errors beside those that follow from what an operation is.
const MORE: &[(&str, &str, &[u16])] = &[
    ("POST", "/login", &[401, 429]),
    ("POST", "/session/proof", &[429]),
    ("POST", "/apps/discover", &[502]),
    ("DELETE", "/backups/configs/{id}", &[409]),
    ("POST", "/apps/{slug}/backups/run", &[409]),
    ("GET", "/backups/runs/{id}/download", &[409, 502]),
    ("POST", "/backups/runs/{id}/cancellation", &[409]),
    ("POST", "/backups/runs/{id}/verification", &[409]),
    ("GET", "/backups/runs/{id}/restore-preview", &[409, 502]),
    ("POST", "/backups/restore/{id}", &[409]),
    ("POST", "/apps/{slug}/backups/upload-restore", &[409]),
    ("POST", "/backups/test-s3", &[404]),
    ("POST", "/backups/runs/{id}/copies/{copy}", &[409]),
    ("POST", "/backups/configs/{id}/pings/redelivery", &[409]),
    ("POST", "/system/artifacts/adoption", &[404, 409, 502]),
    ("POST", "/system/artifacts/deletion", &[404, 409, 502]),
    ("POST", "/system/artifacts/verification", &[404, 502]),
    ("GET", "/restores", &[404]),
    ("GET", "/activity", &[404]),
    ("POST", "/webhooks/test", &[404]),
    ("POST", "/restores/{id}/undo", &[409]),
    ("POST", "/restores/{id}/cancellation", &[409]),
    ("PUT", "/users/{id}", &[409]),
    ("DELETE", "/users/{id}", &[409]),
];

/// Answers without JSON, which no type tells of.
const PLAIN: &[(&str, &str, u16, &str)] = &[
    (
        "GET",
        "/backups/runs/{id}/log",
        204,
        "With `Last-Event-ID`: the run is over, and nothing came after that.",
    ),
    (
        "GET",
        "/backups/runs/{id}/download",
        206,
        "The part of the bytes that `Range` asked for.",
    ),
    (
        "GET",
        "/backups/runs/{id}/download",
        307,
        "With `presign=true`: where the store itself gives them away.",
    ),
    (
        "GET",
        "/backups/runs/{id}/download",
        416,
        "`Range` asked for what lies outside.",
    ),
];

/// Leaves each operation the answers that it can give.
pub fn narrow(document: &mut Value) {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            let method = method.to_uppercase();
            let errors = errors(&method, path, operation);
            let Some(responses) = operation["responses"].as_object_mut() else {
                continue;
            };
            responses.retain(|status, _| {
                let status = status.parse().unwrap_or(0);
                status < 400 || errors.contains(&status)
            });
            add_plain(&method, path, responses);
        }
    }
}

fn errors(method: &str, path: &str, operation: &Value) -> BTreeSet<u16> {
    // An unknown parameter is refused everywhere, and everywhere something may break.
    let mut errors = BTreeSet::from([400, 500]);
    let mut operations = OPERATIONS.iter();
    let access = operations.find(|row| (row.0, row.1) == (method, path));
    if access.is_some_and(|row| matches!(row.2, Access::Needs(..))) {
        errors.extend([401, 403]);
    }
    if path.contains('{') {
        errors.insert(404);
    }
    if operation["requestBody"]["content"]["application/json"].is_object() {
        errors.insert(413);
    }
    let more = MORE.iter().filter(|row| (row.0, row.1) == (method, path));
    errors.extend(more.flat_map(|row| row.2));
    errors
}

fn add_plain(method: &str, path: &str, responses: &mut Map<String, Value>) {
    let rows = PLAIN.iter().filter(|row| (row.0, row.1) == (method, path));
    for (_, _, status, description) in rows {
        let content = if *status == 206 {
            json!({ "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } })
        } else {
            json!({})
        };
        responses.insert(
            status.to_string(),
            json!({ "description": description, "content": content }),
        );
    }
    responses.sort_keys();
}
