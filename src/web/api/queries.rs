//! What may stand behind the `?`: what the document names, and nothing else. A misspelt or
//! unsupported parameter must not be passed over in silence: `?artifacts=delete` would answer as if
//! it had been done.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde_json::Value;

use super::error::ApiError;

/// Method and path, as in the table of operations → names.
static KNOWN: LazyLock<BTreeMap<(String, String), BTreeSet<String>>> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(&super::document()).unwrap_or_default();
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| {
            ((method.to_uppercase(), path.clone()), names(operation))
        })
    });
    operations.collect()
});

fn names(operation: &Value) -> BTreeSet<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters
        .filter(|parameter| parameter["in"] == "query")
        .filter_map(|parameter| Some(parameter["name"].as_str()?.to_owned()))
        .collect()
}

/// Refuses the first name that the operation does not know.
pub fn check(method: &str, form: &str, query: Option<&str>) -> Result<(), ApiError> {
    let known = KNOWN.get(&(method.to_owned(), form.to_owned()));
    let pairs = query.unwrap_or_default().split('&');
    let mut sent = pairs.map(|pair| pair.split('=').next().unwrap_or_default());
    let unknown =
        sent.find(|name| !name.is_empty() && !known.is_some_and(|known| known.contains(*name)));
    let Some(name) = unknown else { return Ok(()) };
    let name: String = name.chars().take(64).collect();
    let known: Vec<&str> = known.into_iter().flatten().map(String::as_str).collect();
    let hint = if known.is_empty() {
        "this operation takes no parameters".to_owned()
    } else {
        format!("unknown parameter; use some of: {}", known.join(", "))
    };
    Err(ApiError::invalid(&name, hint))
}
