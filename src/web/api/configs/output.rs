//! A config as it is answered. Secrets are masked, whatever they are called.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use serde_json::json;

use crate::{
    app::MASK,
    domain::{
        calendar::Calendar,
        config::{ConfigSpec, Retention},
        copies::FurtherTarget,
        ids::ConfigId,
        slots::MissedPolicy,
    },
    readmodel::configs,
    web::api::values::{Time, json_text, uuid},
};

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Config {
    id: i64,
    uuid: String,
    app_id: i64,
    name: String,
    service: String,
    strategy: String,
    /// The strategy's plain options.
    options: BTreeMap<String, String>,
    /// Names of the credentials that are set; values are masked.
    credentials: BTreeMap<String, String>,
    /// JSON list, as text.
    paths: String,
    target: String,
    /// JSON object, as text; secrets are masked.
    target_config_json: String,
    /// JSON list of `{target, target_config_json}`, as text, the settings of each as text in it; secrets are
    /// masked.
    copies: String,
    schedule_cron: String,
    time_zone: String,
    enabled: bool,
    /// Of the schedule, counted from now; absent when it is manual or paused.
    next_run_at: Option<Time>,
    /// `skip`, `one` or `all`.
    missed_policy: String,
    /// Hours; only with `all`.
    missed_window: Option<u32>,
    /// Up to so many seconds later than the schedule says, each config at its own.
    jitter_seconds: u32,
    /// Hours in which the schedule starts nothing: `08:00-18:00 Mon-Fri`; empty when there are none.
    blackout: String,
    compression: String,
    /// JSON object `{recipients, server_key}`, as text; without recipients nothing is encrypted.
    encryption: String,
    /// `count`, `time` or `gfs`.
    retention_mode: String,
    retention_count: u32,
    retention_days: u32,
    /// This one and the next four: only with `gfs`.
    keep_last: Option<u32>,
    keep_daily: Option<u32>,
    keep_weekly: Option<u32>,
    keep_monthly: Option<u32>,
    keep_yearly: Option<u32>,
    verify_upload: bool,
    /// JSON list of `{type, service, command?, timeout?}`, as text.
    pre_hooks: String,
    /// JSON list of the same, as text.
    post_hooks: String,
    /// Scheme and host; the rest is masked.
    ping_url: Option<String>,
    labels: BTreeMap<String, String>,
    /// 1 for the first form of this config, one more with each change.
    revision: i32,
    created_at: Time,
    updated_at: Time,
}

impl Config {
    pub fn of(config: &configs::Model, now: DateTime<Utc>) -> Self {
        let spec = config.spec();
        let (mut retention_count, mut retention_days, mut gfs) = (7, 30, None);
        match spec.retention {
            Retention::Count { count } => retention_count = count,
            Retention::Time { days } => retention_days = days,
            Retention::Gfs(kept) => gfs = Some(kept),
        }
        Self {
            id: config.id,
            uuid: uuid("config", config.id, config.created_at),
            app_id: config.app_id,
            next_run_at: next_run(config.config_id(), &spec, now).map(Into::into),
            credentials: masked(&spec.credentials),
            paths: json_text(&spec.paths),
            target_config_json: target_settings(&spec),
            copies: copies(&spec),
            encryption: encryption(&spec),
            name: spec.name,
            service: spec.service,
            strategy: spec.strategy,
            options: spec.options,
            target: spec.target,
            schedule_cron: spec.schedule_cron,
            time_zone: spec.time_zone,
            enabled: spec.enabled,
            missed_policy: spec.missed_policy.name().to_owned(),
            missed_window: match spec.missed_policy {
                MissedPolicy::All { hours } => Some(hours),
                MissedPolicy::Skip | MissedPolicy::One => None,
            },
            jitter_seconds: spec.jitter_seconds,
            blackout: spec.blackout,
            compression: spec.compression.name().to_owned(),
            retention_mode: spec.retention.mode().to_owned(),
            retention_count,
            retention_days,
            keep_last: gfs.map(|gfs| gfs.keep_last),
            keep_daily: gfs.map(|gfs| gfs.keep_daily),
            keep_weekly: gfs.map(|gfs| gfs.keep_weekly),
            keep_monthly: gfs.map(|gfs| gfs.keep_monthly),
            keep_yearly: gfs.map(|gfs| gfs.keep_yearly),
            verify_upload: spec.verify_upload,
            pre_hooks: json_text(&spec.pre_hooks),
            post_hooks: json_text(&spec.post_hooks),
            ping_url: spec.ping.map(|ping| format!("{}/{MASK}", ping.origin)),
            labels: spec.labels,
            revision: config.revision,
            created_at: Time::of(config.created_at),
            updated_at: Time::of(config.updated_at),
        }
    }
}

/// When the schedule comes next, counted from `now`.
pub fn next_run(config: ConfigId, spec: &ConfigSpec, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let calendar = Calendar::of(config, spec).filter(|_| spec.enabled)?;
    calendar.next_heeded(now)
}

fn masked<T>(secrets: &BTreeMap<String, T>) -> BTreeMap<String, String> {
    let names = secrets.keys().cloned();
    names.map(|name| (name, MASK.to_owned())).collect()
}

pub fn encryption(spec: &ConfigSpec) -> String {
    json_text(&json!({
        "recipients": spec.encryption.recipients,
        "server_key": spec.encryption.own.is_some(),
    }))
}

pub fn target_settings(spec: &ConfigSpec) -> String {
    json_text(&settings(&spec.first_target()))
}

fn settings(at: &FurtherTarget) -> BTreeMap<String, String> {
    let mut settings = at.settings.clone();
    settings.extend(masked(&at.secrets));
    settings
}

fn copies(spec: &ConfigSpec) -> String {
    let copies = spec.copies.iter().map(
        |copy| json!({ "target": copy.target, "target_config_json": json_text(&settings(copy)) }),
    );
    json_text(&copies.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the first target's: whoever reads one reads the other.
    #[test]
    fn the_settings_of_a_copy_are_text() {
        let copy = FurtherTarget {
            target: "s3".to_owned(),
            settings: [("bucket".to_owned(), "b".to_owned())].into(),
            ..FurtherTarget::default()
        };
        let spec = ConfigSpec {
            copies: vec![copy],
            ..ConfigSpec::default()
        };
        let expected = r#"[{"target":"s3","target_config_json":"{\"bucket\":\"b\"}"}]"#;
        assert_eq!(copies(&spec), expected);
    }
}
