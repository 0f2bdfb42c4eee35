//! `flush_redis`: all that a Redis (or Valkey, or KeyDB) holds lies on its disk.
//!
//! In the background, so that its clients are served meanwhile. A save that was going on already
//! may lack what came last, so only one that began on our word counts; when it is over and the last
//! one went well, everything up to that word is on disk.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::{Kind, Place, Ran};
use crate::{
    docker::{Command, Container},
    domain::{failure::Failure, secret::Secret},
};

pub(super) struct FlushRedis;

const CLIENTS: [&str; 3] = ["redis-cli", "valkey-cli", "keydb-cli"];
const PASSWORDS: [&str; 4] = [
    "REDISCLI_AUTH",
    "REDIS_PASSWORD",
    "VALKEY_PASSWORD",
    "KEYDB_PASSWORD",
];
const LOOK: Duration = Duration::from_millis(100);

#[async_trait]
impl Kind for FlushRedis {
    fn name(&self) -> &'static str {
        "flush_redis"
    }

    fn label(&self) -> &'static str {
        "Flush Redis / Valkey to disk"
    }

    fn needs_running(&self) -> bool {
        true
    }

    async fn run(&self, place: &Place<'_>) -> Result<Ran, Failure> {
        let container = place.running()?;
        let saved = place.within(async {
            let client = Client {
                place,
                container,
                program: place.program(container, &CLIENTS).await?,
                password: place.password(container, &PASSWORDS).await?,
            };
            client.save().await
        });
        saved.await?;
        Ok(Ran::done(format!(
            "{} is saved to its disk",
            container.name
        )))
    }
}

struct Client<'a> {
    place: &'a Place<'a>,
    container: &'a Container,
    program: &'static str,
    password: Option<Secret>,
}

impl Client<'_> {
    async fn save(&self) -> Result<(), Failure> {
        loop {
            let answer = self.ask(&["BGSAVE"]).await?;
            if answer.starts_with("Background saving started") {
                break;
            }
            // One is going on, or the append-only file is being rewritten: ours comes after it.
            let busy = ["in progress", "child process is active"];
            if !busy.iter().any(|words| answer.contains(words)) {
                return Err(self.refused(&answer));
            }
            sleep(LOOK).await;
        }
        loop {
            let info = self.ask(&["INFO", "persistence"]).await?;
            let fact = |name: &str| {
                let mut lines = info.lines();
                lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
            };
            match (
                fact("rdb_bgsave_in_progress"),
                fact("rdb_last_bgsave_status"),
            ) {
                (Some("1"), _) => sleep(LOOK).await,
                (Some("0"), Some("ok")) => return Ok(()),
                (Some("0"), Some(status)) => {
                    return Err(Failure::permanent(
                        format!("{} could not save: {status}", self.container.name),
                        "Its own log says why; often its disk is full.",
                    ));
                }
                _ => return Err(self.refused(&info)),
            }
        }
    }

    async fn ask(&self, words: &[&str]) -> Result<String, Failure> {
        let argv = std::iter::once(self.program).chain(words.iter().copied());
        let mut command = Command::new(argv);
        // An empty one would be sent, and refused.
        if let Some(password) = &self.password {
            command = command.env("REDISCLI_AUTH", password.clone());
        }
        let output = self.place.output(self.container, command).await?;
        if output.ok() {
            return Ok(output.stdout);
        }
        Err(self.refused(&format!("{}{}", output.stdout, output.stderr)))
    }

    /// It answers refusals like anything else, with status 0.
    fn refused(&self, answer: &str) -> Failure {
        let mut mask = self.place.mask(self.container);
        if let Some(password) = &self.password {
            mask = mask.and(password);
        }
        let answer = mask.apply(&crate::strategy::stderr::clean(answer));
        let line = answer.lines().find(|line| !line.trim().is_empty());
        let line = line.unwrap_or("it gave no answer").trim().to_owned();
        let hint = if line.contains("NOAUTH") || line.contains("WRONGPASS") {
            "Set REDIS_PASSWORD (or REDIS_PASSWORD_FILE) in the service's environment to its password."
        } else {
            "Its own log says more."
        };
        Failure::permanent(
            format!("{} did not save: {line}", self.container.name),
            hint,
        )
    }
}
