//! Trying a target's settings out.

use std::collections::BTreeMap;

use poem_openapi::{Object, OpenApi, payload::Json};
use serde::Deserialize;

use super::{answer::Answer, body::Body, visit::Visit};
use crate::{
    app,
    domain::{ids::ConfigId, secret::Secret},
    target::Trial,
};

/// As in a config; the names of the replaced module (`AccessKey`, …) are taken too.
#[derive(Object, Deserialize, Default)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields, default)]
pub struct S3Settings {
    /// URL of the store; Amazon S3 when it is empty
    #[serde(alias = "Endpoint")]
    endpoint: Option<String>,
    #[serde(alias = "Bucket")]
    bucket: Option<String>,
    #[serde(alias = "Prefix")]
    prefix: Option<String>,
    #[serde(alias = "AccessKey")]
    access_key: Option<String>,
    #[serde(alias = "SecretKey")]
    secret_key: Option<String>,
    /// `us-east-1` when it is empty
    #[serde(alias = "Region")]
    region: Option<String>,
    /// `path` or `virtual`
    addressing: Option<String>,
    /// The config whose secret key is meant when none is sent, or a masked one
    config_id: Option<i64>,
}

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Tried {
    /// Whether backups can be kept there.
    ok: bool,
    /// What failed first, and what to do.
    error: Option<String>,
    checks: Vec<TriedOut>,
}

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct TriedOut {
    /// `put`, `read_back`, `list`, `conditional_put`, `presign`, `multipart`, `open_uploads` or `delete`
    name: String,
    ok: bool,
    /// What was found.
    detail: Option<String>,
    /// Backups work without it.
    optional: bool,
}

pub struct Trials;

#[OpenApi]
impl Trials {
    /// Tries an S3 bucket out, with small objects of its own that are gone afterwards
    ///
    /// Nothing is stored. What is wrong with the settings themselves is a 400, with the field named.
    #[oai(path = "/backups/test-s3", method = "post", operation_id = "test_s3")]
    async fn test_s3(&self, visit: Visit, body: Body<S3Settings>) -> Answer<Tried> {
        let (config, settings) = body.0.parts();
        let trials = visit
            .holdfast
            .try_target(&visit.caller, "s3", settings, config)
            .await?;
        Ok(Json(Tried::from(trials)))
    }
}

impl S3Settings {
    fn parts(self) -> (Option<ConfigId>, BTreeMap<String, Secret>) {
        let settings = [
            ("endpoint", self.endpoint),
            ("bucket", self.bucket),
            ("prefix", self.prefix),
            ("access_key", self.access_key),
            ("secret_key", self.secret_key),
            ("region", self.region),
            ("addressing", self.addressing),
        ];
        let sent = settings
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), Secret::new(value?))));
        (self.config_id.map(ConfigId), sent.collect())
    }
}

impl From<app::Trials> for Tried {
    fn from(trials: app::Trials) -> Self {
        let problem = trials.problem();
        Self {
            ok: problem.is_none(),
            error: problem.map(|trial| trial.detail.clone()),
            checks: trials.0.iter().map(TriedOut::from).collect(),
        }
    }
}

impl From<&Trial> for TriedOut {
    fn from(trial: &Trial) -> Self {
        Self {
            name: trial.name.to_owned(),
            ok: trial.ok,
            detail: Some(trial.detail.clone()).filter(|detail| !detail.is_empty()),
            optional: trial.optional,
        }
    }
}
