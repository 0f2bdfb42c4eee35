//! What can be done to a service of an app around a backup: stop it, flush it, lock it, run a
//! command in it. One file a type, its name in `ALL`; the check of a config, the form and the run
//! learn no type by its name.
//!
//! A hook knows the engine and the containers of one service. What has to happen even when this
//! process dies, it tells the `Ledger` before it acts; what lasts until the data is out (a stopped
//! service, a held lock), it hands back as `Held`.

mod exec;
mod flush_mysql;
mod flush_redis;
mod start;
mod stop;

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    docker::{Command, Container, DockerError, Engine, command},
    domain::{
        failure::Failure,
        hook::{Hook, HookOutcome, Phase},
        secret::Secret,
    },
    strategy::{
        Options,
        service::Found,
        stderr::{self, Mask},
    },
};

/// Every type there is, in the order the form shows them.
pub const ALL: &[&dyn Kind] = &[
    &stop::Stop,
    &start::Start,
    &flush_mysql::FlushMysql,
    &flush_redis::FlushRedis,
    &exec::Exec,
];

/// By its name, or a name that is taken for it.
pub fn find(name: &str) -> Option<&'static dyn Kind> {
    let bears = |kind: &&dyn Kind| kind.name() == name || kind.aliases().contains(&name);
    ALL.iter().copied().find(bears)
}

/// A type of hook.
///
/// Contract: what `run` did is undone before it returns an `Err`; what outlives it is in `Ran::held`.
/// It takes no longer than `Place::limit`, give or take what the engine needs.
#[async_trait]
pub trait Kind: Send + Sync {
    /// Stable name, as stored in configs and events: `stop`.
    fn name(&self) -> &'static str;

    /// Other names that are taken for it on input.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    fn label(&self) -> &'static str;

    /// Whether `Hook::command` is needed; it is refused otherwise.
    fn takes_command(&self) -> bool {
        false
    }

    /// Why it has no place in this phase, when it has none.
    fn refuses(&self, _phase: Phase) -> Option<&'static str> {
        None
    }

    /// Whether its service runs after it.
    fn starts_service(&self) -> bool {
        false
    }

    /// Whether its service does not run while the data is read.
    fn stops_service(&self) -> bool {
        false
    }

    /// Whether it needs its service running.
    fn needs_running(&self) -> bool {
        false
    }

    async fn run(&self, place: &Place<'_>) -> Result<Ran, Failure>;
}

/// Where a hook works.
pub struct Place<'a> {
    pub engine: &'a Arc<dyn Engine>,
    pub hook: &'a Hook,
    /// Of the service, looked at just now: the running ones first, at least one.
    pub containers: &'a [Container],
    /// What the config says of the service, when it is the one that is backed up.
    pub options: Option<&'a Options>,
    pub ledger: &'a Arc<dyn Ledger>,
    pub cancel: &'a CancellationToken,
}

/// What a hook did.
pub struct Ran {
    pub outcome: HookOutcome,
    /// In words, or what its program said; secrets masked.
    pub said: String,
    /// What a person should know although it succeeded.
    pub warning: Option<String>,
    /// What lasts until the data is out.
    pub held: Option<Box<dyn Held>>,
}

impl Ran {
    pub fn done(said: impl Into<String>) -> Self {
        Self {
            outcome: HookOutcome::Done,
            said: said.into(),
            warning: None,
            held: None,
        }
    }

    pub fn skipped(why: impl Into<String>) -> Self {
        Self {
            outcome: HookOutcome::Skipped,
            ..Self::done(why)
        }
    }

    fn holding(self, held: impl Held + 'static) -> Self {
        Self {
            held: Some(Box::new(held)),
            ..self
        }
    }
}

/// Something that must last as long as the data is read.
#[async_trait]
pub trait Held: Send {
    /// Resolves when it was lost. May be dropped half-way and asked again.
    async fn lost(&mut self) {
        std::future::pending::<()>().await;
    }

    /// Ends it, and says whether it had lasted until now.
    async fn release(self: Box<Self>) -> Released;
}

#[derive(Debug, Default)]
pub struct Released {
    /// What is left to be done, by whom.
    pub warnings: Vec<String>,
    /// It had not lasted: what was read meanwhile proves nothing.
    pub broken: Option<Failure>,
}

/// What is owed to services, kept in the log.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Durable when it returns: whatever happens from now on, this container is started again. The
    /// engine may need `grace` to end it. False when this attempt owes it already.
    async fn owe_start(&self, container: &Container, grace: Duration) -> Result<bool, Failure>;

    /// Whether any run owes this container a start: it would run, had no hook stopped it.
    async fn is_owed_start(&self, container: &str) -> Result<bool, Failure>;

    /// Starts it and crosses it off. `ended`: it was seen to have stopped. On `Err` it stays owed, and
    /// is tried again until it is done.
    async fn start_again(&self, container: &str, ended: bool) -> Result<Found, Failure>;
}

impl Place<'_> {
    /// How long the hook may take.
    fn limit(&self) -> Duration {
        Duration::from_secs(self.hook.timeout().into())
    }

    /// The container that programs are run in.
    fn running(&self) -> Result<&Container, Failure> {
        let (Some(first), service) = (self.containers.first(), &self.hook.service) else {
            return Err(DockerError::NoSuchContainer(self.hook.service.clone()).into());
        };
        if first.running {
            return Ok(first);
        }
        Err(Failure::permanent(
            format!("the service {service} does not run"),
            "Start it, or take the hook out of the config.",
        ))
    }

    /// Runs `work` for as long as the hook may take and nobody cancels. Dropping `work` half-way
    /// must be safe.
    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let bounded = timeout(self.limit(), work);
        match self.cancel.run_until_cancelled(bounded).await {
            Some(Ok(done)) => done,
            Some(Err(_)) => Err(Failure::permanent(
                format!("it was not done within {} s", self.hook.timeout()),
                "Look what holds it up, or raise the hook's timeout.",
            )),
            None => Err(Failure::permanent("cancelled", "")),
        }
    }

    /// Runs a short program in a container; bounded by `within` around it.
    async fn output(
        &self,
        container: &Container,
        command: Command,
    ) -> Result<command::Output, DockerError> {
        let limit = self.limit() + Duration::from_secs(5);
        command::run(&**self.engine, &container.id, command, None, limit).await
    }

    /// The first of these programs that the image has.
    async fn program(
        &self,
        container: &Container,
        names: &[&'static str],
    ) -> Result<&'static str, Failure> {
        let mut missing = None;
        for &name in names {
            match self
                .output(container, Command::new([name, "--version"]))
                .await
            {
                Ok(_) => return Ok(name),
                Err(error @ DockerError::NoSuchProgram { .. }) => missing = missing.or(Some(error)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(missing.map_or_else(|| Failure::permanent("no program", ""), Into::into))
    }

    /// A credential of the config, else the first of these variables in the container's own
    /// environment, their `*_FILE` forms included. Empty is none.
    async fn password(
        &self,
        container: &Container,
        variables: &[&str],
    ) -> Result<Option<Secret>, Failure> {
        let known = self
            .options
            .and_then(|options| options.credentials.get("password"));
        if let Some(password) = known.filter(|password| !password.expose().is_empty()) {
            return Ok(Some(password.clone()));
        }
        for variable in variables {
            let set = |name: &str| container.env(name).filter(|value| !value.is_empty());
            if let Some(value) = set(variable) {
                return Ok(Some(value.into()));
            }
            if let Some(path) = set(&format!("{variable}_FILE")) {
                let read = self
                    .output(container, Command::new(["cat", "--", path]))
                    .await?;
                if !read.ok() {
                    return Err(Failure::permanent(
                        format!(
                            "the file {path} of {variable}_FILE cannot be read in the container"
                        ),
                        "Check the secret's mount.",
                    ));
                }
                return Ok(Some(read.stdout.trim_end_matches('\n').into()));
            }
        }
        Ok(None)
    }

    /// Hides what the config and the container's environment keep secret.
    fn mask(&self, container: &Container) -> Mask {
        let secrets = secrets_of(container.env.expose());
        let known = self
            .options
            .into_iter()
            .flat_map(|o| o.credentials.values());
        Mask::new(known.chain(&secrets), &[])
    }
}

/// Values of variables whose names say that they are secret.
fn secrets_of(env: &BTreeMap<String, String>) -> Vec<Secret> {
    let secret = |name: &str| {
        let name = name.to_ascii_uppercase();
        let words = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH"];
        !name.ends_with("_FILE") && words.iter().any(|word| name.contains(word))
    };
    let values = env
        .iter()
        .filter(|(name, value)| secret(name) && value.len() > 3);
    values
        .map(|(_, value)| Secret::new(value.clone()))
        .collect()
}

/// The end of what a program said, masked, for events and warnings.
fn said(output: &command::Output, mask: &Mask) -> String {
    const SAY: usize = 2 * 1024;
    let both = [output.stdout.trim(), output.stderr.trim()];
    let both: Vec<&str> = both.into_iter().filter(|text| !text.is_empty()).collect();
    let text = stderr::clean(&mask.apply(&both.join("\n")));
    stderr::end_of(&text, SAY).to_owned()
}

#[cfg(test)]
mod tests;
