//! Hooks as they are sent: a list, or text that holds one.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    domain::{
        failure::FieldErrors,
        hook::{Hook, Phase},
    },
    web::api::body::short,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HookBody {
    r#type: String,
    service: String,
    #[serde(default)]
    command: Option<String>,
    #[serde(default)]
    timeout: Option<u32>,
}

/// Reads each hook by itself, so that every problem names its place: `pre_hooks[1].timeout`.
pub fn read(phase: Phase, sent: Vec<Value>, errors: &mut FieldErrors) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for (index, value) in sent.into_iter().enumerate() {
        match serde_path_to_error::deserialize::<_, HookBody>(value) {
            Ok(body) => hooks.push(Hook {
                kind: body.r#type,
                service: body.service,
                // Clients send what their form holds: nothing typed is nothing said.
                command: body.command.filter(|command| !command.is_empty()),
                timeout: body.timeout,
            }),
            Err(error) => {
                let said = error.inner().to_string();
                let place = phase.place(index);
                let named = ["unknown field `", "missing field `"];
                let named = named.iter().find_map(|start| said.strip_prefix(start));
                let field = match (named, error.path().to_string().as_str()) {
                    (Some(rest), _) => rest.split('`').next().unwrap_or_default().to_owned(),
                    (None, ".") => String::new(),
                    (None, path) => path.to_owned(),
                };
                let field = if field.is_empty() {
                    place
                } else {
                    format!("{place}.{field}")
                };
                errors.add(short(&field), short(&said));
            }
        }
    }
    hooks
}
