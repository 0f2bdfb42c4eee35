//! `recover`: a data folder out of a target, on the worst day.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use holdfast::{
    bootstrap::{self, From, Recovered, Wanted},
    config::{Config, DataArgs},
    domain::secret::Secret,
    target::Settings,
};
use serde_json::json;

use super::{
    connect,
    errors::Usage,
    keys,
    output::{self, Column, Format},
};

#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// `local:/path` or `s3://bucket/prefix`, its keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    #[arg(long)]
    target: String,
    /// URL of the store; Amazon S3 when not given
    #[arg(long)]
    endpoint: Option<String>,
    #[arg(long)]
    region: Option<String>,
    /// Which log, when several lie there: `instance/history`, as `doctor` tells and the error lists
    #[arg(long)]
    log: Option<String>,
    /// File with the private half of one of the server's recovery keys: its secrets come back too. `-` reads it from
    /// standard input
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// When a piece of the log is missing or damaged: take what comes before it
    #[arg(long)]
    partial: bool,
}

const RECOVERED: [Column; 9] = [
    ("Log", "/log"),
    ("Events", "/events"),
    ("Should have been", "/promised"),
    ("Refused pieces", "/flaws"),
    ("Found newer", "/adopted"),
    ("Without manifest", "/bare"),
    ("Not taken", "/refused"),
    ("Secrets brought back", "/secrets_back"),
    ("Secrets to enter", "/secrets"),
];

pub async fn run(args: RecoverArgs, data: &DataArgs, format: Format) -> anyhow::Result<()> {
    let config = Config::new(data, &connect::environment()?)?;
    let from = from(&args)?;
    let wanted = Wanted {
        log: args.log,
        partial: args.partial,
        identity: args
            .identity
            .as_deref()
            .map(keys::read)
            .transpose()?
            .map(Secret::new),
    };
    let recovered = bootstrap::recover(&config, &from, &wanted).await?;
    show(&recovered, format)
}

fn from(args: &RecoverArgs) -> anyhow::Result<From> {
    if let Some(path) = args.target.strip_prefix("local:") {
        return Ok(From {
            kind: "local".to_owned(),
            settings: Settings::default(),
            local_root: Some(PathBuf::from(path)),
        });
    }
    let Some(place) = args.target.strip_prefix("s3://") else {
        bail!(Usage(
            "--target is local:/path or s3://bucket/prefix".into()
        ));
    };
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    // From the environment alone: every user of the host can read a command line.
    let secret = |name: &str| {
        let value = std::env::var(name);
        value.map_err(|_| Usage(format!("s3 needs {name} in the environment")))
    };
    let mut settings = Settings::default();
    let plain = [
        ("bucket", bucket.to_owned()),
        ("prefix", prefix.to_owned()),
        ("endpoint", args.endpoint.clone().unwrap_or_default()),
        ("region", args.region.clone().unwrap_or_default()),
        ("access_key", secret("AWS_ACCESS_KEY_ID")?),
    ];
    settings.plain = plain.map(|(name, value)| (name.to_owned(), value)).into();
    let key = Secret::new(secret("AWS_SECRET_ACCESS_KEY")?);
    settings.secrets.insert("secret_key".to_owned(), key);
    Ok(From {
        kind: "s3".to_owned(),
        settings,
        local_root: None,
    })
}

fn show(found: &Recovered, format: Format) -> anyhow::Result<()> {
    let adopted = &found.adopted;
    let secrets = found.lost_secrets.iter().map(|lost| {
        let (config, service, name) = (lost.config, &lost.service, &lost.name);
        format!("{name} of config {config} ({service})")
    });
    let refused = adopted.refused.iter();
    let told = json!({
        "log": found.log,
        "promised": found.promised,
        "flaws": found.flaws,
        "events": found.events,
        "adopted": adopted.runs,
        "bare": adopted.bare,
        "refused": refused.map(|(key, why)| format!("{key}: {why}")).collect::<Vec<_>>(),
        "secrets_back": found.secrets,
        "secrets": secrets.collect::<Vec<_>>(),
    });
    if found.locked_secrets {
        output::note(
            "The secrets lie there too: --identity FILE, with a recovery key, brings them back.",
        );
    }
    output::one(format, &told, &RECOVERED)
}
