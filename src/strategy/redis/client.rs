//! A server, asked through its own client program: no driver, no port to the outside, no version skew.
//!
//! The client ends with status 0 whatever the server answers, in most versions. So every question here
//! knows what an answer looks like, and takes everything else for a complaint.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use tokio::time::{self, Instant};

use super::{
    errors,
    settings::{self, Login},
};
use crate::{
    docker::{Command, DockerError, command},
    strategy::{Site, StrategyError},
};

/// For what a server answers from memory.
const SHORT: Duration = Duration::from_mins(1);
/// Between two looks at a server that is at work.
const PAUSE: Duration = Duration::from_millis(50);
/// At most, when it takes long.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a server that does not listen yet may take to do so.
const COMING_UP: Duration = Duration::from_mins(1);

/// The client programs that there are; the server's is named alike.
pub const CLIENTS: [&str; 3] = ["redis-cli", "valkey-cli", "keydb-cli"];

#[derive(Clone)]
pub struct Client {
    pub site: Site,
    pub program: &'static str,
    /// Version of the program: `redis-cli 7.0.15`.
    pub version: String,
    pub address: Address,
    pub login: Login,
}

#[derive(Clone)]
pub enum Address {
    Port(u16),
    Socket(String),
}

impl Client {
    /// Finds the program and the login, and what the server says of itself.
    pub async fn of(site: &Site) -> Result<(Self, Info), StrategyError> {
        let (program, version) = program(site).await?;
        let mut logins = settings::logins(site).await?.into_iter().peekable();
        loop {
            let client = Self {
                site: site.clone(),
                program,
                version: version.clone(),
                address: Address::Port(settings::port(&site.options)),
                login: logins.next().unwrap_or_default(),
            };
            match client.info().await {
                // Another login may do.
                Err(StrategyError::Option { .. }) if logins.peek().is_some() => {}
                Err(error) => return Err(error),
                Ok(info) => return Ok((client, info)),
            }
        }
    }

    /// For a service that was just started: waits until its server has loaded its data.
    pub async fn up(site: &Site) -> Result<Info, StrategyError> {
        let deadline = Instant::now() + COMING_UP;
        let mut waiting = Waiting::new();
        loop {
            match Self::loaded(site).await {
                Ok((_, info)) => return Ok(info),
                Err(StrategyError::Tool {
                    temporary: true, ..
                }) if Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
            waiting.pause(site).await?;
        }
    }

    /// The same, for tidying up after a cancel.
    #[must_use]
    pub fn uncancelled(&self) -> Self {
        Self {
            site: self.site.uncancelled(),
            ..self.clone()
        }
    }

    pub fn command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let mut argv = vec![self.program.to_owned()];
        match &self.address {
            Address::Port(port) => argv.extend(["-p".to_owned(), port.to_string()]),
            Address::Socket(path) => argv.extend(["-s".to_owned(), path.clone()]),
        }
        if let Some(user) = &self.login.user {
            argv.extend(["--user".to_owned(), user.clone()]);
        }
        argv.extend(words.into_iter().map(str::to_owned));
        let command = Command::new(argv);
        // Set to nothing, it would log in with nothing.
        match &self.login.password {
            Some(password) => command.env("REDISCLI_AUTH", password.clone()),
            None => command,
        }
    }

    /// One question, and its answer as it comes. `what` says what for, should it fail.
    pub async fn ask(&self, words: &[&str], what: &str) -> Result<String, StrategyError> {
        self.talk(words, None, what).await
    }

    async fn talk(
        &self,
        words: &[&str],
        script: Option<Bytes>,
        what: &str,
    ) -> Result<String, StrategyError> {
        let command = self.command(words.iter().copied());
        let (engine, container) = (self.site.engine.as_ref(), &self.site.container.id);
        let run = async { Ok(command::run(engine, container, command, script, SHORT).await?) };
        let output = self.site.watch(run).await?;
        let mask = self.login.mask();
        let said = mask.apply(&output.stderr);
        if !output.ok() || errors::login(&said).is_some() {
            let said = format!("{}\n{said}", mask.apply(&output.stdout));
            return Err(errors::complaint(what, self.program, output.code, &said));
        }
        Ok(output.stdout)
    }

    /// What is not an answer is a complaint.
    pub fn complaint(&self, what: &str, answer: &str) -> StrategyError {
        errors::complaint(what, self.program, 0, &self.login.mask().apply(answer))
    }

    pub async fn info(&self) -> Result<Info, StrategyError> {
        let what = "asking the server";
        let answer = self.ask(&["INFO"], what).await?;
        if !answer.starts_with('#') {
            return Err(self.complaint(what, &answer));
        }
        Ok(Info::parse(&answer))
    }

    /// Those of the server's settings that it has, by name; fails when it does not tell any.
    pub async fn settings(
        &self,
        names: &[&str],
    ) -> Result<BTreeMap<String, String>, StrategyError> {
        let what = "reading the server's settings";
        let script = names.iter().map(|name| format!("CONFIG GET {name}\n"));
        let script = script.collect::<Vec<_>>().concat();
        let answer = self.talk(&[], Some(script.into()), what).await?;
        let found = pairs(&answer, names);
        if found.is_empty() {
            return Err(self.complaint(what, &answer));
        }
        Ok(found)
    }

    /// Finds them, and waits until the server has loaded its data.
    pub async fn loaded(site: &Site) -> Result<(Self, Info), StrategyError> {
        let (client, info) = Self::of(site).await?;
        if info.number("loading") == Some(0) {
            return Ok((client, info));
        }
        let info = client.ready().await?;
        Ok((client, info))
    }

    /// Waits until the server listens and has loaded its data.
    pub async fn ready(&self) -> Result<Info, StrategyError> {
        let mut waiting = Waiting::new();
        let mut deadline = Instant::now() + COMING_UP;
        loop {
            match self.info().await {
                Ok(info) if info.number("loading") == Some(0) => return Ok(info),
                Ok(_) => deadline = Instant::now() + COMING_UP,
                Err(StrategyError::Tool {
                    temporary: true,
                    message,
                    ..
                }) => {
                    if message.contains("LOADING ") {
                        deadline = Instant::now() + COMING_UP;
                    }
                }
                Err(error) => return Err(error),
            }
            if Instant::now() > deadline {
                return Err(DockerError::Stalled {
                    container: self.site.container.name.clone(),
                    program: "the server".to_owned(),
                    after: COMING_UP,
                }
                .into());
            }
            waiting.pause(&self.site).await?;
        }
    }
}

/// A pause that grows: what is quick is seen at once, what is slow is not asked all the time.
pub struct Waiting(Duration);

impl Waiting {
    pub fn new() -> Self {
        Self(PAUSE)
    }

    pub async fn pause(&mut self, site: &Site) -> Result<(), StrategyError> {
        let pause = time::sleep(self.0);
        self.0 = (self.0 * 3 / 2).min(LONGEST_PAUSE);
        let done = site.cancel.run_until_cancelled(pause).await;
        done.ok_or(StrategyError::Cancelled)
    }
}

/// The first client program that the image has, and its version.
async fn program(site: &Site) -> Result<(&'static str, String), StrategyError> {
    let mut missing = None;
    for program in CLIENTS {
        let version = Command::new([program, "--version"]);
        let (engine, container) = (site.engine.as_ref(), &site.container.id);
        let run = async { Ok(command::run(engine, container, version, None, SHORT).await?) };
        match site.watch(run).await {
            Err(StrategyError::Docker(error @ DockerError::NoSuchProgram { .. })) => {
                missing.get_or_insert(error);
            }
            Err(error) => return Err(error),
            Ok(output) if output.ok() => return Ok((program, output.stdout.trim().to_owned())),
            Ok(output) => {
                let what = format!("{program} --version");
                return Err(errors::complaint(
                    &what,
                    program,
                    output.code,
                    &output.stderr,
                ));
            }
        }
    }
    let program = CLIENTS[0].to_owned();
    let container = site.container.name.clone();
    let nothing = DockerError::NoSuchProgram { container, program };
    Err(missing.unwrap_or(nothing).into())
}

/// What a server says of itself.
#[derive(Debug, Clone, Default)]
pub struct Info(BTreeMap<String, String>);

impl Info {
    fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'));
        Self(
            lines
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }

    /// `valkey 8.1.1` or `7.0.15`.
    pub fn version(&self) -> String {
        match self.text("valkey_version") {
            "" => self.text("redis_version").to_owned(),
            version => format!("Valkey {version}"),
        }
    }

    /// Databases that hold something → keys.
    pub fn keys(&self) -> BTreeMap<String, u64> {
        let databases = self.0.iter().filter_map(|(name, value)| {
            let number = name.strip_prefix("db")?;
            number.parse::<u64>().ok()?;
            let keys = value
                .split(',')
                .find_map(|part| part.strip_prefix("keys="))?;
            Some((name.clone(), keys.parse().ok()?))
        });
        databases.collect()
    }
}

/// A name that was asked for, and in the next line its value. Complaints between are left out.
fn pairs(answer: &str, names: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut lines = answer.lines();
    while let Some(line) = lines.next() {
        if names.contains(&line)
            && let Some(value) = lines.next()
        {
            found.insert(line.to_owned(), value.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let info = Info::parse(
            "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.1.1\r\n\r\n# Keyspace\r\n\
            db0:keys=5,expires=1,avg_ttl=0\r\ndb11:keys=2,expires=0,avg_ttl=0\r\ndbx:keys=1\r\nloading:0\r\n",
        );
        assert_eq!(info.version(), "Valkey 8.1.1");
        assert_eq!(
            info.keys(),
            BTreeMap::from([("db0".into(), 5), ("db11".into(), 2)])
        );
        assert_eq!(
            (info.number("loading"), info.number("nope")),
            (Some(0), None)
        );

        let answer = "dir\n/data\nERR unknown\n\nsave\n\nappendonly\nno\n";
        let names = ["dir", "save", "nope", "appendonly"];
        let expected = [("dir", "/data"), ("save", ""), ("appendonly", "no")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs(answer, &names), BTreeMap::from(expected));
    }
}
