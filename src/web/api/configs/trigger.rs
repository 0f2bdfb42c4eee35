//! A config's trigger, as it is asked for and shown once.

use poem_openapi::Object;
use serde::Deserialize;

use crate::app::IssuedTrigger;

#[derive(Object, Deserialize, Default)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields, default)]
pub struct TriggerBody {
    /// Calls have to be signed, after the Standard Webhooks specification; false when absent.
    pub signed: Option<bool>,
}

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Trigger {
    /// `POST` to it to ask for a run; it cannot be shown again.
    path: String,
    /// To sign with, when calls have to be signed; it cannot be shown again.
    secret: Option<String>,
}

impl From<IssuedTrigger> for Trigger {
    fn from(issued: IssuedTrigger) -> Self {
        Self {
            path: format!("/hooks/{}", issued.token.expose()),
            secret: issued.secret.map(|secret| secret.expose().clone()),
        }
    }
}
