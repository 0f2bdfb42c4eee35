//! The adapter to a real engine (Docker, podman) over bollard, which appears in no other file.
//!
//! The client is made at the first call and thrown away when the engine does not answer, so that
//! Holdfast starts before its engine, and speaks the right API version to an engine that comes
//! back upgraded.

mod volumes_from;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bollard::{
    Docker,
    errors::Error,
    models::{
        ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, ExecConfig,
        MountPoint,
    },
    query_parameters::{ListContainersOptionsBuilder, StopContainerOptionsBuilder},
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use tokio::time::{Instant, sleep};

use super::{
    Command, Container, DockerError, Engine, EngineInfo, HelperOrder, Mount, Session, hijack, host,
    output, reap, refusal,
};
use crate::domain::secret::Secret;

/// Oldest engine API spoken: Docker 19.03, podman 3.
const OLDEST: (usize, usize) = (1, 40);
/// How long the engine may take to begin an answer.
const ANSWER: Duration = Duration::from_mins(1);
/// How long an exit status may take after the output ended.
const EXIT: Duration = Duration::from_secs(30);

/// Image of helpers for services whose own image has no shell.
pub const HELPER_IMAGE: &str = "busybox:stable";

pub struct DockerEngine {
    link: Arc<Link>,
    helper_image: String,
}

impl DockerEngine {
    /// Does not talk to the engine yet. `host` is `unix://…`, `tcp://…`, `http://…` or the path of
    /// a socket; `None` looks where Docker's own command line would. Fails on an address of a kind
    /// that is not spoken (`ssh://`, TLS).
    pub fn connect(host: Option<&str>) -> Result<Self, DockerError> {
        let host = host::find(host, |name| std::env::var_os(name));
        if !["unix://", "tcp://", "http://"]
            .iter()
            .any(|scheme| host.starts_with(scheme))
        {
            return Err(DockerError::Unreachable {
                reason: "only unix://, tcp:// and http:// addresses are spoken".into(),
                host,
            });
        }
        let client = Mutex::new(None);
        Ok(Self {
            link: Arc::new(Link { host, client }),
            helper_image: HELPER_IMAGE.to_owned(),
        })
    }

    /// Takes helpers for images without a shell from this image.
    #[must_use]
    pub fn with_helper_image(mut self, image: &str) -> Self {
        image.clone_into(&mut self.helper_image);
        self
    }

    /// The address in use.
    pub fn host(&self) -> &str {
        &self.link.host
    }
}

#[async_trait]
impl Engine for DockerEngine {
    async fn info(&self) -> Result<EngineInfo, DockerError> {
        let docker = self.link.docker().await?;
        let version = docker.version().await.map_err(|e| self.link.lost(e))?;
        Ok(EngineInfo {
            version: version.version.unwrap_or_default(),
            api_version: version.api_version.unwrap_or_default(),
            os: version.os.unwrap_or_default(),
        })
    }

    async fn containers(&self) -> Result<Vec<Container>, DockerError> {
        let docker = self.link.docker().await?;
        let all = ListContainersOptionsBuilder::default().all(true).build();
        let list = docker
            .list_containers(Some(all))
            .await
            .map_err(|e| self.link.lost(e))?;
        Ok(list.into_iter().map(listed).collect())
    }

    async fn container(&self, id_or_name: &str) -> Result<Container, DockerError> {
        let (docker, of) = self.link.at(id_or_name).await?;
        docker
            .inspect_container(id_or_name, None)
            .await
            .map(inspected)
            .map_err(|e| of.failed(e))
    }

    async fn exec(&self, container: &str, command: Command) -> Result<Session, DockerError> {
        let mark = ulid::Ulid::generate().to_string();
        self.open(container.to_owned(), command, Some(mark)).await
    }

    async fn sweep(&self, container: &str, user: Option<&str>) -> Result<(), DockerError> {
        let user = user.map(str::to_owned);
        self.end(container.to_owned(), None, user).await
    }

    async fn stopped(&self, container: &str) -> Result<(), DockerError> {
        loop {
            let (docker, of) = self.link.at(container).await?;
            let mut wait = docker.wait_container(container, None).boxed();
            match wait.next().await {
                // bollard makes an error of every exit status but 0.
                Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => return Ok(()),
                Some(Err(error)) => match of.failed(error) {
                    DockerError::NoSuchContainer(_) => return Ok(()),
                    DockerError::Unreachable { .. } => {}
                    error => return Err(error),
                },
                None => {}
            }
            // A proxy between may cut a quiet connection; that says nothing of the container.
            match self.container(container).await {
                Ok(found) if found.running => sleep(Duration::from_millis(500)).await,
                Ok(_) | Err(DockerError::NoSuchContainer(_)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    async fn start(&self, container: &str) -> Result<(), DockerError> {
        let (docker, of) = self.link.at(container).await?;
        docker
            .start_container(container, None)
            .await
            .map_err(|e| of.failed(e))
    }

    async fn stop(&self, container: &str, grace: Duration) -> Result<(), DockerError> {
        let (docker, of) = self.link.at(container).await?;
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        docker
            .with_timeout(ANSWER + grace)
            .stop_container(container, Some(options))
            .await
            .map_err(|e| of.failed(e))
    }

    async fn helper(&self, order: HelperOrder<'_>) -> Result<Container, DockerError> {
        volumes_from::start(self, order).await
    }

    async fn remove_helper(&self, helper: &str) -> Result<(), DockerError> {
        volumes_from::remove(self, helper).await
    }

    async fn sweep_helpers(&self, container: &str) -> Result<usize, DockerError> {
        volumes_from::sweep(self, container).await
    }
}

impl DockerEngine {
    /// Starts a program; one with a mark is ended when its session is dropped early.
    fn open(
        &self,
        container: String,
        mut command: Command,
        mark: Option<String>,
    ) -> BoxFuture<'_, Result<Session, DockerError>> {
        async move {
            let (docker, of) = self.link.at(&container).await?;
            let program = command.program().to_owned();
            let (wants_stdin, user) = (command.stdin, command.user.clone());
            if let Some(mark) = &mark {
                command = command.env(reap::MARK, mark.as_str().into());
            }
            let exec = docker
                .create_exec(&container, config(command))
                .await
                .map_err(|e| of.failed(e))?
                .id;
            let start = format!("/v{}/exec/{exec}/start", docker.client_version());
            let (wire, read) = match hijack::start(&self.link.host, &start, ANSWER).await {
                Ok(hijacked) => hijacked,
                // Podman tries before it answers.
                Err(DockerError::Refused { message, .. }) if message.contains("OCI runtime") => {
                    return Err(refusal::error(message, &container, &program));
                }
                Err(error) => {
                    self.link.forget();
                    return Err(of.about(error));
                }
            };
            let mut guard = reap::Guard {
                wire: wire.clone(),
                end: mark.map(|mark| self.ending(container.clone(), mark, user)),
            };
            let chunks = output::chunks(wire.clone(), &read, container.clone());
            let output = refusal::told_apart(chunks, container, program.clone());
            let link = self.link.clone();
            let exit = async move {
                let code = exit(link, of, exec, program).await?;
                guard.disarm();
                Ok(code)
            };
            Ok(Session {
                stdin: wants_stdin.then(|| Box::new(wire) as _),
                output,
                exit: exit.boxed(),
            })
        }
        .boxed()
    }

    /// Ends a program, later and without `self`.
    fn ending(
        &self,
        container: String,
        mark: String,
        user: Option<String>,
    ) -> BoxFuture<'static, ()> {
        let this = Self {
            link: self.link.clone(),
            helper_image: String::new(),
        };
        async move {
            let ended = this.end(container, Some(mark), user).await;
            if let Err(error) = ended {
                tracing::debug!(%error, "a program that nobody waits for was not ended");
            }
        }
        .boxed()
    }

    async fn end(
        &self,
        container: String,
        mark: Option<String>,
        user: Option<String>,
    ) -> Result<(), DockerError> {
        let command = reap::command(mark.as_deref(), user);
        let mut session = self.open(container, command, None).await?;
        while let Some(chunk) = session.output.next().await {
            chunk?;
        }
        session.exit.await.map(|_| ())
    }
}

/// Asks until the engine says that the program ended, and how. An engine that restarts meanwhile
/// has forgotten the program.
async fn exit(link: Arc<Link>, of: At, exec: String, program: String) -> Result<i64, DockerError> {
    let deadline = Instant::now() + EXIT;
    let mut pause = Duration::from_millis(5);
    loop {
        let state = match link.docker().await {
            Ok(docker) => docker.inspect_exec(&exec).await.map_err(|e| link.lost(e)),
            Err(error) => Err(error),
        };
        let late = Instant::now() >= deadline;
        match state {
            Ok(state) if state.running == Some(false) => {
                if let Some(code) = state.exit_code {
                    return Ok(code);
                }
            }
            Err(DockerError::Refused { status: 404, .. }) => return Err(of.no_exit_code(&program)),
            Err(error) if late => return Err(error),
            Ok(_) | Err(_) => {}
        }
        if late {
            return Err(of.no_exit_code(&program));
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// The way to the engine: its address, and a client once it has answered.
struct Link {
    host: String,
    client: Mutex<Option<Docker>>,
}

impl Link {
    async fn docker(&self) -> Result<Docker, DockerError> {
        let known = self.client().clone();
        if let Some(docker) = known {
            return Ok(docker);
        }
        let docker = self.negotiate().await?;
        *self.client() = Some(docker.clone());
        Ok(docker)
    }

    /// bollard asks without a version, which means "whatever you speak best": a newer engine may
    /// then answer what this build does not understand. So the version is put in by hand.
    async fn negotiate(&self) -> Result<Docker, DockerError> {
        let docker = Docker::connect_with_host(&self.host)
            .map_err(|e| self.lost(e))?
            .with_timeout(ANSWER)
            .negotiate_version()
            .await
            .map_err(|e| self.lost(e))?;
        let api = docker.client_version();
        if (api.major_version, api.minor_version) < OLDEST {
            return Err(DockerError::Refused {
                status: 400,
                message: format!("the engine speaks API {api}, at least 1.40 is needed"),
            });
        }
        Ok(docker.with_request_modifier(move |mut request| {
            let uri = request.uri();
            let versioned = format!(
                "{}://{}/v{api}{}",
                uri.scheme_str().unwrap_or_default(),
                uri.authority().map_or("", |host| host.as_str()),
                uri.path_and_query().map_or("/", |path| path.as_str()),
            );
            if let Ok(uri) = versioned.parse() {
                *request.uri_mut() = uri;
            }
            request
        }))
    }

    /// The client, for calls about one container. Its name goes into a path, so it must be one.
    async fn at(self: &Arc<Self>, container: &str) -> Result<(Docker, At), DockerError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !container.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !container.chars().all(plain)
        {
            return Err(DockerError::NoSuchContainer(container.to_owned()));
        }
        let at = At {
            link: self.clone(),
            container: container.to_owned(),
        };
        Ok((self.docker().await?, at))
    }

    fn client(&self) -> std::sync::MutexGuard<'_, Option<Docker>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self) {
        *self.client() = None;
    }

    /// Puts an error into our words, and forgets the client when the engine did not answer.
    fn lost(&self, error: Error) -> DockerError {
        match error {
            Error::DockerResponseServerError {
                status_code: status,
                message,
            } => DockerError::Refused { status, message },
            Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => DockerError::Refused {
                status: 502,
                message: format!("its answer is not understood: {error}"),
            },
            error => {
                self.forget();
                DockerError::Unreachable {
                    host: self.host.clone(),
                    reason: root(&error),
                }
            }
        }
    }
}

/// A container that calls are about, to put their errors into words.
struct At {
    link: Arc<Link>,
    container: String,
}

impl At {
    fn failed(&self, error: Error) -> DockerError {
        self.about(self.link.lost(error))
    }

    fn about(&self, error: DockerError) -> DockerError {
        match error {
            DockerError::Refused { status: 404, .. } => {
                DockerError::NoSuchContainer(self.container.clone())
            }
            // Docker's words, then podman's.
            DockerError::Refused { message, .. }
                if message.contains("is not running")
                    || message.contains("is restarting")
                    || message.contains("is paused")
                    || message.contains("container state improper") =>
            {
                DockerError::NotRunning(self.container.clone())
            }
            error => error,
        }
    }

    fn no_exit_code(&self, program: &str) -> DockerError {
        DockerError::NoExitCode {
            container: self.container.clone(),
            program: program.to_owned(),
        }
    }
}

/// The innermost reason: the outer ones only say that there was one.
fn root(error: &Error) -> String {
    if matches!(error, Error::RequestTimeoutError) {
        return format!("no answer within {} s", ANSWER.as_secs());
    }
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    reason.to_string()
}

fn config(command: Command) -> ExecConfig {
    let env = |(key, value): &(String, Secret)| format!("{key}={}", value.expose());
    ExecConfig {
        attach_stdin: Some(command.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        env: Some(command.env.iter().map(env).collect()),
        cmd: Some(command.argv),
        user: command.user,
        ..Default::default()
    }
}

fn listed(from: ContainerSummary) -> Container {
    Container {
        id: from.id.unwrap_or_default(),
        name: from
            .names
            .unwrap_or_default()
            .first()
            .map_or_else(String::new, |n| bare(n)),
        image: from.image.unwrap_or_default(),
        image_id: from.image_id.unwrap_or_default(),
        running: matches!(
            from.state,
            Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED)
        ),
        labels: from.labels.unwrap_or_default().into_iter().collect(),
        env: Secret::default(),
        mounts: mounts(from.mounts),
    }
}

fn inspected(from: ContainerInspectResponse) -> Container {
    let config = from.config.unwrap_or_default();
    let env = config.env.unwrap_or_default();
    let env = env.iter().filter_map(|line| line.split_once('='));
    Container {
        id: from.id.unwrap_or_default(),
        name: bare(&from.name.unwrap_or_default()),
        image: config.image.unwrap_or_default(),
        image_id: from.image.unwrap_or_default(),
        running: from.state.and_then(|state| state.running).unwrap_or(false),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        env: Secret::new(env.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()),
        mounts: mounts(from.mounts),
    }
}

fn bare(name: &str) -> String {
    name.trim_start_matches('/').to_owned()
}

fn mounts(from: Option<Vec<MountPoint>>) -> Vec<Mount> {
    let mount = |from: MountPoint| Mount {
        kind: from.typ.unwrap_or_default(),
        source: from.name.or(from.source).unwrap_or_default(),
        destination: from.destination.unwrap_or_default(),
        read_only: from.rw == Some(false),
    };
    from.unwrap_or_default().into_iter().map(mount).collect()
}
