//! The adapter to a real engine (Docker, podman) over bollard, which appears nowhere else.
//!
//! The client is made at the first call and thrown away when the engine does not answer, so that
//! Holdfast starts before its engine, and speaks the right API version to an engine that comes
//! back upgraded.

mod link;
mod shapes;
mod volumes_from;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bollard::{
    errors::Error,
    query_parameters::{ListContainersOptionsBuilder, StopContainerOptionsBuilder},
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use tokio::time::{Instant, sleep};

use self::{
    link::{ANSWER, At, Link},
    shapes::{config, inspected, listed},
};
use super::{
    Command, Container, DockerError, Engine, EngineInfo, HelperOrder, Session, hijack, host,
    output, reap, refusal,
};

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
        Ok(Self {
            link: Arc::new(Link::to(host)),
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
