//! The API as its clients see it: the real web server of this process on a port of its own.

mod contract;
mod detect;
mod document;
mod fuzz;
mod grants;
mod input;
mod metrics;
mod reference;
mod roles;
mod run_log;
mod second_factor;
mod sessions;
mod targets;
mod uploads;
mod whole;

use std::{net::Ipv4Addr, path::PathBuf, sync::Arc, time::Duration};

use holdfast::{
    app::{Caller, Holdfast},
    bootstrap::{self, Opened},
    config::{Config, DataArgs, EngineArgs},
    docker::{Container, Engine, fake::FakeEngine},
    domain::{
        access::{Role, TokenSpec},
        app::AppSpec,
        config::{Config as Backup, ConfigCommand},
        ids::{AppId, ConfigId},
        run::MAX_FAILURES,
        secret::Secret,
    },
    log::Cause,
    web::{self, Web},
    work::Work,
};
use poem::listener::{Acceptor, Listener, TcpListener};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::house::engine_args;

pub const PASSWORD: &str = "correct horse battery";

pub struct Api {
    pub holdfast: Holdfast,
    pub url: String,
    pub client: reqwest::Client,
    /// By role, of a user of the same name.
    tokens: [(Role, String); 3],
    work: Option<Work>,
    stop: CancellationToken,
    _opened: Opened,
    data: TempDir,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// `Null` when the body was no JSON.
    pub body: Value,
    pub text: String,
}

impl Api {
    /// Without background work.
    pub async fn new(engine: Arc<dyn Engine>) -> Self {
        Self::start(engine, false, 1).await
    }

    pub async fn working(engine: Arc<dyn Engine>) -> Self {
        Self::start(engine, true, 1).await
    }

    /// As `working`, but what failed stays so until somebody asks.
    pub async fn unhurried(engine: Arc<dyn Engine>) -> Self {
        Self::start(engine, true, 3600).await
    }

    async fn start(engine: Arc<dyn Engine>, works: bool, retry: u64) -> Self {
        let data = TempDir::new().unwrap();
        let args = DataArgs {
            data_dir: data.path().to_owned(),
        };
        let engine_args = EngineArgs {
            exec_hooks: true,
            attempts: MAX_FAILURES,
            private_webhooks: false,
            retry,
            ..engine_args()
        };
        let config = Config::new(&args, &engine_args).unwrap();
        let opened = bootstrap::open_with(&config, engine, None).await.unwrap();
        let holdfast = opened.holdfast.clone();
        let mut work = None;
        if works {
            work = Some(Work::start(holdfast.clone(), "test").await.unwrap());
        }
        let stop = CancellationToken::new();
        let web = Web {
            holdfast: holdfast.clone(),
            work: work.as_ref().map(|work| work.health.clone()),
            stop: stop.clone(),
            https: false,
        };
        let acceptor = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .into_acceptor()
            .await
            .unwrap();
        let address = *acceptor.local_addr()[0].as_socket_addr().unwrap();
        let endpoint = web::endpoint(web.clone(), web::api::endpoint());
        tokio::spawn(web::serve(acceptor, endpoint, web));
        Self {
            tokens: tokens(&holdfast).await,
            url: format!("http://{address}"),
            client: reqwest::Client::builder()
                .timeout(Duration::from_mins(1))
                .build()
                .unwrap(),
            holdfast,
            work,
            stop,
            _opened: opened,
            data,
        }
    }

    /// With a fake engine: an app `shop` with a service `db` that runs and one `old` that is
    /// stopped.
    pub async fn fake() -> Self {
        let engine = Arc::new(FakeEngine::default());
        for (service, running) in [("db", true), ("old", false)] {
            engine.add(container("shop", service, running));
        }
        let api = Self::new(engine).await;
        api.add_app("shop").await;
        api
    }

    pub async fn add_app(&self, project: &str) {
        let spec = AppSpec {
            project: project.to_owned(),
            ..AppSpec::default()
        };
        self.holdfast
            .register_app(&Caller::cli("test"), "shop", spec)
            .await
            .unwrap();
    }

    pub fn token(&self, role: Role) -> &str {
        let (_, token) = self.tokens.iter().find(|(own, _)| *own == role).unwrap();
        token
    }

    /// As an admin, unless `by` says otherwise.
    pub async fn call(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let request = self
            .request(method, path)
            .bearer_auth(self.token(Role::Admin));
        send(request, body).await
    }

    pub async fn call_as(
        &self,
        role: Option<Role>,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Answer {
        let mut request = self.request(method, path);
        if let Some(role) = role {
            request = request.bearer_auth(self.token(role));
        }
        send(request, body).await
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method: Method = method.parse().unwrap();
        self.client
            .request(method, format!("{}/api{path}", self.url))
    }

    /// Outside the API.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// A config that no engine was asked about.
    pub async fn config(&self) -> i64 {
        let command = ConfigCommand::Create {
            config: ConfigId(1),
            app: AppId(1),
            spec: crate::samples::config_spec(),
        };
        let log = self.holdfast.log();
        log.execute::<Backup>(Cause::system("test"), 1, command)
            .await
            .unwrap();
        1
    }

    /// All that the log holds, as it is stored.
    pub async fn events(&self) -> Vec<String> {
        let events = self.holdfast.log().read_from(0, 10_000).await.unwrap();
        events.into_iter().map(|event| event.data).collect()
    }

    /// Events but refusals: those are meant to be noted.
    pub async fn changes(&self) -> usize {
        let events = self.holdfast.log().read_from(0, 10_000).await.unwrap();
        let told = events.iter().filter(|event| event.name != "audit.refused");
        told.count()
    }

    pub fn head(&self) -> i64 {
        self.holdfast.log().head()
    }

    /// The file of the database.
    pub fn database(&self) -> PathBuf {
        self.data.path().join("holdfast.db")
    }

    /// Where the local target keeps what it stores.
    pub fn backups(&self) -> PathBuf {
        self.data.path().join("backups")
    }

    /// Goes on to answer; what is asked for waits.
    pub async fn rest(&mut self) {
        if let Some(work) = self.work.take() {
            work.stop(Duration::from_secs(10)).await;
        }
    }

    pub async fn close(mut self) {
        if let Some(work) = self.work.take() {
            work.stop(Duration::from_secs(10)).await;
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub async fn send(request: reqwest::RequestBuilder, body: Option<&str>) -> Answer {
    let request = match body {
        Some(body) => request
            .header("content-type", "application/json")
            .body(body.to_owned()),
        None => request,
    };
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let route = contract::route(request.method().as_str(), request.url().path());
    let answer = client.execute(request).await.unwrap();
    if let Some(route) = route {
        let told = contract::PROMISED[&route].contains_key(&answer.status().as_u16());
        assert!(
            told,
            "the document does not name it: {route:?} {}",
            answer.status()
        );
    }
    let (status, headers) = (answer.status(), answer.headers().clone());
    let bytes = answer.bytes().await.unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Answer {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or_default(),
        text,
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

async fn tokens(holdfast: &Holdfast) -> [(Role, String); 3] {
    let cli = Caller::cli("test");
    let password = Secret::from(PASSWORD);
    let mut tokens = Role::ALL.map(|role| (role, String::new()));
    for (role, token) in &mut tokens {
        let user = holdfast
            .add_user(&cli, role.name(), *role, &password)
            .await
            .unwrap();
        let spec = TokenSpec {
            name: "test".to_owned(),
            role: *role,
            expires_at: None,
            scopes: None,
        };
        let new = holdfast.issue_token(&cli, user, spec).await.unwrap();
        token.clone_from(new.token.expose());
    }
    tokens
}

fn container(project: &str, service: &str, running: bool) -> Container {
    let name = format!("{project}-{service}-1");
    let label = |key: &str, value: &str| (format!("com.docker.compose.{key}"), value.to_owned());
    Container {
        id: format!("{name}-id"),
        image: "postgres:16".to_owned(),
        running,
        labels: [label("project", project), label("service", service)].into(),
        name,
        ..Container::default()
    }
}
