//! The way to the engine, made at the first call and anew when the engine did not answer; and the engine's
//! errors in our words.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bollard::{Docker, errors::Error};

use crate::docker::DockerError;

/// Oldest engine API spoken: Docker 19.03, podman 3.
const OLDEST: (usize, usize) = (1, 40);
/// How long the engine may take to begin an answer.
pub const ANSWER: Duration = Duration::from_mins(1);

/// The way to the engine: its address, and a client once it has answered.
pub struct Link {
    pub host: String,
    client: Mutex<Option<Docker>>,
}

impl Link {
    pub fn to(host: String) -> Self {
        Self {
            host,
            client: Mutex::new(None),
        }
    }

    pub async fn docker(&self) -> Result<Docker, DockerError> {
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
    pub async fn at(self: &Arc<Self>, container: &str) -> Result<(Docker, At), DockerError> {
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

    fn client(&self) -> MutexGuard<'_, Option<Docker>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn forget(&self) {
        *self.client() = None;
    }

    /// Puts an error into our words, and forgets the client when the engine did not answer.
    pub fn lost(&self, error: Error) -> DockerError {
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
pub struct At {
    link: Arc<Link>,
    container: String,
}

impl At {
    pub fn failed(&self, error: Error) -> DockerError {
        self.about(self.link.lost(error))
    }

    pub fn about(&self, error: DockerError) -> DockerError {
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

    pub fn no_exit_code(&self, program: &str) -> DockerError {
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
