//! The API for people: every operation of the document that the server serves, with what it asks for and
//! what it answers. Made from that document, so it cannot say anything else.

use std::{collections::BTreeMap, sync::LazyLock};

use askama::Template;
use poem::{Response, handler};
use serde_json::Value;

use crate::web::{
    api::{self, access::Access},
    errors::WebError,
    page::Section,
    request::Visit,
};

#[derive(Template)]
#[template(path = "reference/content.html")]
struct Content {
    groups: &'static [Group],
    count: usize,
}

/// The operations whose paths begin alike.
struct Group {
    name: String,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    description: String,
    /// Who may call it.
    access: String,
    parameters: Vec<Field>,
    body: Vec<Field>,
    answers: Vec<(String, String)>,
    example: String,
}

struct Field {
    name: String,
    /// Where it goes, for a parameter; what it is.
    kind: String,
    required: bool,
    description: String,
}

#[handler]
pub fn show(visit: Visit) -> Result<Response, WebError> {
    let content = Content {
        groups: &GROUPS,
        count: GROUPS.iter().map(|group| group.operations.len()).sum(),
    };
    visit.page("API", Section::Activity, &content)
}

static GROUPS: LazyLock<Vec<Group>> = LazyLock::new(|| {
    let document = serde_json::from_str(&api::document()).unwrap_or_default();
    groups(&document)
});

fn groups(document: &Value) -> Vec<Group> {
    let mut groups: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        let first = path.split('/').nth(1).unwrap_or_default();
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let operation = Operation::of(document, method, path, operation);
            groups.entry(first.to_owned()).or_default().push(operation);
        }
    }
    let groups = groups.into_iter();
    groups
        .map(|(name, operations)| Group { name, operations })
        .collect()
}

impl Operation {
    fn of(document: &Value, method: &str, path: &str, operation: &Value) -> Self {
        let method = method.to_uppercase();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let parameters: Vec<Field> = parameters
            .map(|parameter| Field {
                name: text(&parameter["name"]),
                kind: format!(
                    "{}, {}",
                    text(&parameter["in"]),
                    kind(document, &parameter["schema"])
                ),
                required: parameter["required"] == true,
                description: text(&parameter["description"]),
            })
            .collect();
        let content = &operation["requestBody"]["content"];
        let schema = content.as_object().and_then(|kinds| kinds.values().next());
        let body = schema.map_or_else(Vec::new, |it| fields(document, &it["schema"]));
        let answers = operation["responses"].as_object().into_iter().flatten();
        Self {
            id: text(&operation["operationId"]),
            summary: text(&operation["summary"]),
            description: text(&operation["description"]),
            access: access(&method, path),
            answers: answers
                .map(|(status, answer)| (status.clone(), text(&answer["description"])))
                .collect(),
            example: example(&method, path, content, &body),
            parameters,
            body,
            method,
            path: path.to_owned(),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A viewer who may read, and so on.
fn access(method: &str, path: &str) -> String {
    let mut rows = api::access::OPERATIONS.iter();
    match rows.find(|row| (row.0, row.1) == (method, path)) {
        Some((_, _, Access::Needs(role, scope))) => {
            format!("{}, scope {}", role.name(), scope.name())
        }
        _ => "anybody".to_owned(),
    }
}

/// Where the schema is written down.
fn settled<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let schema = schema["allOf"].get(0).unwrap_or(schema);
    let reference = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
    let found = reference.and_then(|pointer| document.pointer(pointer));
    found.unwrap_or(schema)
}

fn fields(document: &Value, schema: &Value) -> Vec<Field> {
    let schema = settled(document, schema);
    let required = schema["required"].as_array().into_iter().flatten();
    let required: Vec<&str> = required.filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, property)| Field {
            kind: kind(document, property),
            required: required.contains(&name.as_str()),
            description: text(&property["description"]),
            name: name.clone(),
        })
        .collect()
}

/// `integer`, `array of string`, `object`.
fn kind(document: &Value, schema: &Value) -> String {
    let schema = settled(document, schema);
    match schema["type"].as_str() {
        Some("array") => format!("array of {}", kind(document, &schema["items"])),
        Some(kind) => kind.to_owned(),
        None if schema["properties"].is_object() => "object".to_owned(),
        None => "JSON".to_owned(),
    }
}

/// What one would type. Names in braces are to be filled in.
fn example(method: &str, path: &str, content: &Value, body: &[Field]) -> String {
    let mut said = String::from("curl");
    if method != "GET" {
        said += &format!(" -X {method}");
    }
    if access(method, path) != "anybody" {
        said += " -H \"Authorization: Bearer $TOKEN\"";
    }
    said += &format!(" \"$HOLDFAST_URL/api{path}\"");
    let fields = body.iter().filter(|field| field.required);
    if content["application/json"].is_object() {
        let fields: Vec<String> = fields.map(|it| format!("\"{}\": …", it.name)).collect();
        if !fields.is_empty() {
            said += " \\\n  -H \"Content-Type: application/json\"";
            said += &format!(" -d '{{{}}}'", fields.join(", "));
        }
    } else if content.is_object() {
        for field in fields {
            let value = if field.name == "file" { "@FILE" } else { "…" };
            said += &format!(" \\\n  -F {}={value}", field.name);
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_every_operation_with_what_it_asks_for() {
        let operations = || GROUPS.iter().flat_map(|group| &group.operations);
        // All but the document itself.
        assert_eq!(operations().count(), api::access::OPERATIONS.len() - 1);
        for operation in operations() {
            assert!(!operation.summary.is_empty(), "{}", operation.path);
            assert!(operation.answers.len() > 1, "{}", operation.path);
        }
        let find = |id: &str| operations().find(|it| it.id == id).unwrap();
        let add = find("add_user");
        assert_eq!(add.access, "admin, scope admin");
        let name = add.body.iter().find(|field| field.name == "name").unwrap();
        assert_eq!((name.kind.as_str(), name.required), ("string", true));
        assert!(add.example.contains("-X POST"), "{}", add.example);
        assert!(add.example.contains("\"name\": …"), "{}", add.example);
        let log = find("follow_run");
        let names: Vec<&str> = log.parameters.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["id", "follow", "Last-Event-ID"]);
        assert!(!find("log_in").example.contains("Authorization"));
    }
}
