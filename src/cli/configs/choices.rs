//! What a config is to be, as flags: the same for one that is added and for one that is changed.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::{errors::Usage, typed};

/// What is not given is not sent: the server's default, or what the config has.
#[derive(Debug, Args)]
pub struct Choices {
    /// Service of the app, as in its compose file
    #[arg(long)]
    service: Option<String>,
    /// For people [default: what the strategy is called]
    #[arg(long)]
    name: Option<String>,
    /// Five cron fields or an `@` word; manual only without one, or with an empty one
    #[arg(long)]
    schedule: Option<String>,
    /// IANA name of the zone that the schedule is meant in
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// An option of the strategy, as in `database=shop`; may be repeated
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = pair)]
    options: Vec<(String, String)>,
    /// Read this credential of the strategy (`password`) from the first line of standard input
    #[arg(long, value_name = "KEY")]
    credential_stdin: Option<String>,
    /// A path, for strategies that need them; may be repeated
    #[arg(long = "path")]
    paths: Vec<String>,
    /// A setting of the target; may be repeated
    #[arg(long = "target-setting", value_name = "KEY=VALUE", value_parser = pair)]
    target_settings: Vec<(String, String)>,
    /// `gzip`, `zstd` or `none`
    #[arg(long)]
    compression: Option<String>,
    /// Encrypt backups to this public key of age (`age1…`); may be repeated
    #[arg(long = "recipient", value_name = "KEY")]
    recipients: Vec<String>,
    /// Encrypt also to a key that the server keeps, so that it checks and restores by itself
    #[arg(long, requires = "recipients")]
    server_key: bool,
    /// Keep the newest so many
    #[arg(long, value_name = "NUMBER", conflicts_with = "keep_days")]
    keep: Option<u32>,
    /// Keep those younger than so many days
    #[arg(long, value_name = "DAYS")]
    keep_days: Option<u32>,
    /// Keep the newest of each of the last so many days, as far as there are any; with the other three
    /// beside it, fewer the older they are
    #[arg(long, value_name = "DAYS", conflicts_with = "keep_days")]
    keep_daily: Option<u32>,
    #[arg(long, value_name = "WEEKS", conflicts_with = "keep_days")]
    keep_weekly: Option<u32>,
    #[arg(long, value_name = "MONTHS", conflicts_with = "keep_days")]
    keep_monthly: Option<u32>,
    #[arg(long, value_name = "YEARS", conflicts_with = "keep_days")]
    keep_yearly: Option<u32>,
    /// What becomes of slots that pass while the server is off: `skip`, `one` or `all`
    #[arg(long, value_name = "POLICY")]
    missed: Option<String>,
    /// With `--missed all`: of the last so many hours
    #[arg(long, value_name = "HOURS")]
    missed_window: Option<u32>,
    /// Start up to so much later than the schedule says, each config at its own
    #[arg(long, value_name = "SECONDS")]
    jitter: Option<u32>,
    /// Hours in which the schedule starts nothing: `08:00-18:00 Mon-Fri`
    #[arg(long, value_name = "HOURS AND DAYS")]
    blackout: Option<String>,
    /// Do not read the stored backup back before it counts
    #[arg(long)]
    no_verify: bool,
}

impl Choices {
    /// Under the API's names.
    pub fn body(&self) -> anyhow::Result<Map<String, Value>> {
        let mut body = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            body.extend(value.map(|value| (name.to_owned(), value)));
        };
        set("service", self.service.as_ref().map(|it| json!(it)));
        set("name", self.name.as_ref().map(|it| json!(it)));
        set("schedule_cron", self.schedule.as_ref().map(|it| json!(it)));
        set("time_zone", self.time_zone.as_ref().map(|it| json!(it)));
        set("compression", self.compression.as_ref().map(|it| json!(it)));
        set("missed_policy", self.missed.as_ref().map(|it| json!(it)));
        set("missed_window", self.missed_window.map(|it| json!(it)));
        set("jitter_seconds", self.jitter.map(|it| json!(it)));
        set("blackout", self.blackout.as_ref().map(|it| json!(it)));
        set("paths", given(&self.paths).map(|it| json!(it)));
        set("options", given(&self.options).map(map));
        let settings = given(&self.target_settings).map(map);
        set("target_config_json", settings);
        set("verify_upload", self.no_verify.then(|| json!(false)));
        set("encryption", self.encryption());
        let credential = self.credential_stdin.as_ref();
        let credential = credential.map(|key| anyhow::Ok(json!({ key: typed::first_line()? })));
        set("credentials", credential.transpose()?);
        self.retention(&mut body);
        Ok(body)
    }

    fn encryption(&self) -> Option<Value> {
        let recipients = given(&self.recipients)?;
        Some(json!({ "recipients": recipients, "server_key": self.server_key }))
    }

    fn retention(&self, body: &mut Map<String, Value>) {
        let periods = [
            ("keep_daily", self.keep_daily),
            ("keep_weekly", self.keep_weekly),
            ("keep_monthly", self.keep_monthly),
            ("keep_yearly", self.keep_yearly),
        ];
        let mut set = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
        if let Some(days) = self.keep_days {
            set("retention_mode", json!("time"));
            set("retention_days", json!(days));
        } else if periods.iter().any(|(_, number)| number.is_some()) {
            // Fewer the older they are; what is not named keeps none.
            set("retention_mode", json!("gfs"));
            set("keep_last", json!(self.keep.unwrap_or(0)));
            for (name, number) in periods {
                set(name, json!(number.unwrap_or(0)));
            }
        } else if let Some(count) = self.keep {
            set("retention_mode", json!("count"));
            set("retention_count", json!(count));
        }
    }
}

fn given<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

fn map(pairs: &[(String, String)]) -> Value {
    let pairs = pairs.iter();
    let map: Map<String, Value> = pairs
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    map.into()
}

fn pair(text: &str) -> Result<(String, String), Usage> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Usage("write it as KEY=VALUE".into())),
    }
}
