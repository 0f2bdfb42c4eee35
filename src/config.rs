//! What the process was told: flags, environment and defaults, checked once, so that nothing below
//! reads the environment.

mod sso;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

pub use self::sso::SsoArgs;
use crate::{
    app::{MasterKey, Settings, recovery_keys},
    docker::HELPER_IMAGE,
    domain::{run::MAX_FAILURES, secret::Secret},
};

/// Shared by every command that opens the data folder.
#[derive(Debug, Clone, Args)]
pub struct DataArgs {
    /// Folder of the database, the keys and the local target
    #[arg(
        long,
        global = true,
        env = "HOLDFAST_DATA_DIR",
        default_value = "/var/lib/holdfast",
        help_heading = "Everywhere"
    )]
    pub data_dir: PathBuf,
}

/// How the server runs.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Address to listen on; loopback until the set-up is done
    #[arg(long, env = "HOLDFAST_LISTEN", default_value = "127.0.0.1:7700")]
    pub listen: SocketAddr,

    /// People reach the server by https, at a proxy in front of it
    #[arg(long, env = "HOLDFAST_HTTPS")]
    pub https: bool,

    /// How the log is written
    #[arg(
        long,
        env = "HOLDFAST_LOG_FORMAT",
        default_value = "human",
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,

    /// Where people reach the pages, as in `https://backup.example.org`: links in messages begin with it
    #[arg(long, env = "HOLDFAST_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,

    /// A backup that nobody has read for this long is verified again, one after the other; `30d`, `12h`,
    /// never when 0
    #[arg(
        long,
        env = "HOLDFAST_VERIFY_EVERY",
        default_value = "30d",
        value_name = "TIME",
        value_parser = days_or_hours
    )]
    pub verify_every: Duration,

    /// Log-ins, refusals, downloads and exports older than this many days lose their detail here, once a sealed
    /// segment of the log in a target holds it; it stays for ever when not given
    #[arg(
        long,
        env = "HOLDFAST_AUDIT_DETAIL_DAYS",
        value_name = "DAYS",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub audit_detail_days: Option<u32>,

    #[command(flatten)]
    pub engine: EngineArgs,

    #[command(flatten)]
    pub sso: SsoArgs,

    /// After SIGTERM, how long running backups may go on before they are interrupted (seconds)
    #[arg(
        long,
        env = "HOLDFAST_GRACE",
        default_value_t = 30,
        value_name = "SECONDS"
    )]
    pub grace: u64,
}

fn days_or_hours(text: &str) -> Result<Duration, String> {
    let wrong = || "use days or hours, as in 30d or 12h; 0 for never".to_owned();
    let (number, hours) = match text.strip_suffix('d') {
        Some(days) => (days, 24),
        None => (text.strip_suffix('h').unwrap_or("0"), 1),
    };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let time = Duration::from_secs(u64::from(number) * hours * 3_600);
    if time.is_zero() {
        Err(wrong())
    } else {
        Ok(time)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for a terminal
    Human,
    /// One JSON object a line
    Json,
}

/// What work needs to know, in the server and in a command that works without one.
#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// Container engine, as in `unix:///var/run/docker.sock`; found by itself when not given
    #[arg(long, env = "DOCKER_HOST", value_name = "URL")]
    pub docker_host: Option<String>,

    /// Image with a shell and tar, for services whose own image has none; pulled when it is needed
    #[arg(
        long,
        env = "HOLDFAST_HELPER_IMAGE",
        default_value = HELPER_IMAGE,
        value_name = "IMAGE"
    )]
    pub helper_image: String,

    /// A dump that moves no byte for this long has failed (seconds)
    #[arg(
        long,
        env = "HOLDFAST_STALL",
        default_value_t = 300,
        value_name = "SECONDS"
    )]
    pub stall: u64,

    /// A connection to a target that moves no byte for this long has failed (seconds)
    #[arg(
        long,
        env = "HOLDFAST_TARGET_STALL",
        default_value_t = 60,
        value_name = "SECONDS"
    )]
    pub target_stall: u64,

    /// Backups at work at the same time; the others wait in line
    #[arg(
        long,
        env = "HOLDFAST_BACKUPS",
        default_value_t = 4,
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    pub backups: u16,

    /// Backups that write to the same target at the same time; as many as there are when not given
    #[arg(
        long,
        env = "HOLDFAST_BACKUPS_PER_TARGET",
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    pub backups_per_target: Option<u16>,

    /// How long the undo of a restore is kept (seconds)
    #[arg(
        long,
        env = "HOLDFAST_KEEP_UNDO",
        default_value_t = 86_400,
        value_name = "SECONDS"
    )]
    pub keep_undo: u64,

    /// How often a backup is tried before it has failed
    #[arg(
        long,
        env = "HOLDFAST_ATTEMPTS",
        default_value_t = MAX_FAILURES,
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_FAILURES))
    )]
    pub attempts: u32,

    /// Pause before the first retry of a backup; it doubles with each (seconds)
    #[arg(
        long,
        env = "HOLDFAST_RETRY",
        default_value_t = 10,
        value_name = "SECONDS"
    )]
    pub retry: u64,

    /// Configs may have hooks that run commands inside the containers of their app
    #[arg(long, env = "HOLDFAST_EXEC_HOOKS")]
    pub exec_hooks: bool,

    /// Targets may lie at private addresses, as an S3 server in your own network does
    #[arg(long, env = "HOLDFAST_PRIVATE_TARGETS")]
    pub private_targets: bool,

    /// Webhooks may go to addresses of private networks, this host's own among them
    #[arg(long, env = "HOLDFAST_PRIVATE_WEBHOOKS")]
    pub private_webhooks: bool,

    /// Public key of age (`age1…`) whose private half you keep elsewhere: the server's secrets are stored beside its
    /// log in every target, encrypted to it, and `recover --identity` brings them back. May be given several times
    #[arg(
        long = "recovery-key",
        env = "HOLDFAST_RECOVERY_KEYS",
        value_name = "AGE1…",
        value_delimiter = ','
    )]
    pub recovery_keys: Vec<String>,

    /// File that holds the master key of the vault, 64 hexadecimal digits; else HOLDFAST_MASTER_KEY in the
    /// environment, else the file `master.key` in the data folder
    #[arg(long, env = "HOLDFAST_MASTER_KEY_FILE", value_name = "PATH")]
    pub master_key_file: Option<PathBuf>,
}

/// All of it, ready for use.
#[derive(Clone)]
pub struct Config {
    pub data_dir: PathBuf,
    pub docker_host: Option<String>,
    pub helper_image: String,
    pub settings: Settings,
    master_key: Option<Secret>,
    master_key_file: Option<PathBuf>,
    own_key_file: PathBuf,
}

impl Config {
    pub fn new(data: &DataArgs, engine: &EngineArgs) -> anyhow::Result<Self> {
        let data_dir = std::path::absolute(&data.data_dir)?;
        let mut settings = Settings::new(data_dir.clone());
        settings.stall = Duration::from_secs(engine.stall.max(1));
        settings.target_stall = Duration::from_secs(engine.target_stall.max(1));
        settings.backups = engine.backups.into();
        settings.backups_per_target = engine.backups_per_target.map(Into::into);
        settings.keep_undo = Duration::from_secs(engine.keep_undo);
        settings.exec_hooks = engine.exec_hooks;
        settings.attempts = engine.attempts;
        settings.private_targets = engine.private_targets;
        settings.private_webhooks = engine.private_webhooks;
        settings.retry_base = Duration::from_secs(engine.retry.max(1));
        settings.recovery_keys = recovery_keys(&engine.recovery_keys)
            .map_err(|problem| anyhow::anyhow!("--recovery-key: {problem}"))?;
        Ok(Self {
            settings,
            docker_host: engine.docker_host.clone(),
            helper_image: engine.helper_image.clone(),
            // From the environment alone: every user of the host can read a command line.
            master_key: std::env::var("HOLDFAST_MASTER_KEY").ok().map(Secret::new),
            master_key_file: engine.master_key_file.clone(),
            own_key_file: data_dir.join("master.key"),
            data_dir,
        })
    }

    /// As `master_key`, but none is made: `None` when there is none.
    pub fn present_master_key(&self) -> anyhow::Result<Option<MasterKey>> {
        let named = self.master_key_file.as_ref().unwrap_or(&self.own_key_file);
        let in_file = self.master_key_file.is_some() || self.master_key.is_none();
        if in_file && !named.exists() {
            return Ok(None);
        }
        self.master_key().map(Some)
    }

    /// Where the master key lies, unless the environment holds it.
    pub fn master_key_in_file(&self) -> Option<PathBuf> {
        match (&self.master_key_file, &self.master_key) {
            (Some(file), _) => Some(file.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(self.own_key_file.clone()),
        }
    }

    /// From the file that was named, the environment, or the data folder's own file, which is made when
    /// it is missing.
    pub fn master_key(&self) -> anyhow::Result<MasterKey> {
        Ok(match (&self.master_key_file, &self.master_key) {
            (Some(file), _) => MasterKey::from_file(file)?,
            (None, Some(hex)) => MasterKey::from_hex(hex.expose())?,
            (None, None) => MasterKey::from_file(&self.own_key_file)?,
        })
    }
}
