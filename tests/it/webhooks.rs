//! What happens is told outside: signed, until it has arrived, under an id that stays; and only where the
//! server may go.

mod channels;
mod encrypted;
mod kills;
mod mail;
mod pings;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use holdfast::{
    app::{AppError, Caller, Delivery, Holdfast, WebhookInput},
    bootstrap::{self, Opened},
    config::{Config, DataArgs, EngineArgs},
    docker::fake::FakeEngine,
    domain::{
        app::{App, AppCommand},
        event::StreamKind,
        failure::Failure,
        ids::{AppId, ConfigId, RunId, WebhookId},
        run::{MAX_FAILURES, Run, RunCommand, Trigger},
        secret::Secret,
    },
    log::Cause,
    work::Work,
};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::{house::engine_args, samples};

const TOKEN: &str = "T0ken-in-the-path";

/// A request as it came in.
#[derive(Debug, Clone)]
struct Received {
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Listens, answers with these statuses one after the other, then with 204.
struct Receiver {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Received>,
}

impl Receiver {
    async fn answering(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let statuses = Arc::new(Mutex::new(VecDeque::from(statuses.to_vec())));
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, sender.clone(), statuses.clone()));
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> Option<Secret> {
        Some(Secret::new(format!("http://{}/hook/{TOKEN}", self.address)))
    }

    async fn next(&mut self) -> Received {
        let next = tokio::time::timeout(Duration::from_secs(30), self.requests.recv());
        next.await.expect("nothing was told").unwrap()
    }
}

async fn answer(
    stream: TcpStream,
    sender: mpsc::UnboundedSender<Received>,
    statuses: Arc<Mutex<VecDeque<u16>>>,
) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap() == 0 {
            return; // the sender ended in the middle
        }
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or("0", String::as_str);
    let mut body = vec![0; length.parse().unwrap()];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    let status = statuses.lock().unwrap().pop_front().unwrap_or(204);
    sender
        .send(Received {
            path,
            headers,
            body: String::from_utf8(body).unwrap(),
        })
        .ok();
    let reply = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(reply.as_bytes()).await.ok();
}

/// A server with one app, whose runs end as the test says.
struct Scene {
    data: TempDir,
    private: bool,
    caller: Caller,
    holdfast: Holdfast,
    opened: Option<Opened>,
    work: Option<Work>,
}

async fn open(data: &TempDir, private_webhooks: bool) -> Opened {
    let args = DataArgs {
        data_dir: data.path().to_owned(),
    };
    let engine_args = EngineArgs {
        private_targets: false,
        private_webhooks,
        attempts: MAX_FAILURES,
        ..engine_args()
    };
    let mut config = Config::new(&args, &engine_args).unwrap();
    config.settings.public_url = Some("https://backup.example.org/".to_owned());
    let engine = FakeEngine::with("shop-db");
    bootstrap::open_with(&config, engine, None).await.unwrap()
}

impl Scene {
    async fn new(private: bool) -> Self {
        let data = TempDir::new().unwrap();
        let opened = open(&data, private).await;
        let holdfast = opened.holdfast.clone();
        let work = Work::start(holdfast.clone(), "test").await.unwrap();
        let command = AppCommand::Register {
            app: AppId(1),
            slug: "shop".into(),
            spec: samples::app_spec(),
        };
        let log = holdfast.log();
        log.execute::<App>(Cause::system("test"), 1, command)
            .await
            .unwrap();
        Self {
            data,
            private,
            caller: Caller::system("test"),
            holdfast,
            opened: Some(opened),
            work: Some(work),
        }
    }

    /// All that the log holds, as it is stored.
    async fn events(&self) -> Vec<String> {
        let events = self.holdfast.log().read_from(0, 10_000).await.unwrap();
        events.into_iter().map(|event| event.data).collect()
    }

    /// The one delivery of the webhook, once it has arrived.
    async fn delivered(&self, webhook: WebhookId) -> Delivery {
        loop {
            let found = self.holdfast.deliveries(&self.caller, webhook, 10).await;
            let mut found = found.unwrap();
            assert_eq!(found.len(), 1);
            if found[0].status == "delivered" {
                break found.remove(0);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn stop(&mut self) {
        if let Some(work) = self.work.take() {
            work.stop(Duration::from_secs(5)).await;
        }
    }

    async fn reopen(&mut self) {
        self.stop().await;
        self.opened = None; // the data folder is free again
        let opened = open(&self.data, self.private).await;
        self.holdfast = opened.holdfast.clone();
        self.opened = Some(opened);
    }

    async fn restart(&mut self) {
        self.reopen().await;
        let work = Work::start(self.holdfast.clone(), "test").await.unwrap();
        self.work = Some(work);
    }

    /// A run that fails at once; the position of the event that says so.
    async fn failed_run(&self) -> i64 {
        let failed = self.holdfast.log().write(Cause::system("test"), |unit| {
            Box::pin(async move {
                let run = RunId(unit.next_id(StreamKind::Run).await?);
                let request = RunCommand::Request {
                    run,
                    app: AppId(1),
                    config: ConfigId(1),
                    trigger: Trigger::Manual,
                    key: None,
                    slot: None,
                };
                unit.execute::<Run>(run.0, request).await?;
                let failure = Failure::permanent("the password is wrong", "set it");
                let fail = RunCommand::Fail {
                    attempt: 1,
                    failure,
                    retry_at: Some(samples::time()),
                };
                unit.execute::<Run>(run.0, fail).await?;
                Ok(())
            })
        });
        failed.await.unwrap();
        self.holdfast.log().head()
    }
}

fn signature(secret: &Secret, request: &Received) -> String {
    let key = secret.expose().trim_start_matches("whsec_");
    let key = BASE64_STANDARD.decode(key).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    let (id, at) = (
        &request.headers["webhook-id"],
        &request.headers["webhook-timestamp"],
    );
    mac.update(format!("{id}.{at}.{}", request.body).as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_signed_and_again_until_it_arrives() {
    let mut scene = Scene::new(true).await;
    let mut receiver = Receiver::answering(&[500]).await;
    let input = WebhookInput {
        url: receiver.url(),
        events: Some(vec!["backup_failed".into()]),
        ..WebhookInput::default()
    };
    let saved = scene
        .holdfast
        .add_webhook(&scene.caller, input)
        .await
        .unwrap();
    let secret = saved.made.unwrap();
    let position = scene.failed_run().await;

    let first = receiver.next().await;
    assert_eq!(first.path, format!("/hook/{TOKEN}"));
    assert_eq!(first.headers["webhook-id"], format!("evt_{position}"));
    assert_eq!(
        first.headers["webhook-signature"],
        signature(&secret, &first)
    );
    let told: serde_json::Value = serde_json::from_str(&first.body).unwrap();
    assert_eq!(told["type"], "backup_failed");
    assert_eq!(told["data"]["app"], "shop");
    assert_eq!(told["data"]["error"], "the password is wrong");

    let second = receiver.next().await;
    assert_eq!(second.headers["webhook-id"], first.headers["webhook-id"]);
    assert_eq!(second.body, first.body);
    assert_eq!(
        second.headers["webhook-signature"],
        signature(&secret, &second)
    );
    let webhook = saved.row.webhook_id();
    let delivered = scene.delivered(webhook).await;
    assert_eq!(delivered.attempts, 2);

    scene
        .holdfast
        .redeliver(&scene.caller, delivered.id)
        .await
        .unwrap();
    let third = receiver.next().await;
    assert_eq!(third.headers["webhook-id"], first.headers["webhook-id"]);
    assert_eq!(third.body, first.body);

    // Nothing that must stay secret stands in the log.
    let key = secret.expose().trim_start_matches("whsec_");
    for event in scene.events().await {
        assert!(!event.contains(TOKEN) && !event.contains(key), "{event}");
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_to_be_told_is_lost_over_restarts() {
    const ROUNDS: usize = 12;
    let mut scene = Scene::new(true).await;
    let mut receiver = Receiver::answering(&[]).await;
    let input = WebhookInput {
        url: receiver.url(),
        kind: Some("slack".into()),
        ..WebhookInput::default()
    };
    scene
        .holdfast
        .add_webhook(&scene.caller, input)
        .await
        .unwrap();
    let mut expected = 0;
    for round in 0..ROUNDS {
        if round % 3 == 1 {
            scene.stop().await; // told only after the next start
        }
        for _ in 0..=round % 4 {
            scene.failed_run().await;
            expected += 1;
        }
        scene.restart().await;
    }
    let mut told = 0;
    while told < expected {
        let request = receiver.next().await;
        assert!(request.body.contains("Backup failed"), "{}", request.body);
        told += 1;
    }
    println!("figure: webhooks: {expected} events over {ROUNDS} restarts, lost 0");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_server_must_not_go_is_refused_and_nothing_is_stored() {
    let mut scene = Scene::new(false).await;
    let receiver = Receiver::answering(&[]).await;
    let secret = |text: &str| Some(Secret::new(text.to_owned()));
    let head = scene.holdfast.log().head();
    let public = || secret("http://93.184.216.34/");
    for (field, input) in [
        (
            "url",
            WebhookInput {
                url: receiver.url(),
                ..WebhookInput::default()
            },
        ),
        (
            "url",
            WebhookInput {
                url: secret("http://169.254.169.254/latest/meta-data"),
                ..WebhookInput::default()
            },
        ),
        ("url", WebhookInput::default()),
        (
            "kind",
            WebhookInput {
                url: public(),
                kind: Some("pigeon".into()),
                ..WebhookInput::default()
            },
        ),
        (
            "events",
            WebhookInput {
                url: public(),
                events: Some(vec!["backup_failed".into(), "moon".into()]),
                ..WebhookInput::default()
            },
        ),
        (
            "secret",
            WebhookInput {
                url: public(),
                secret: secret("whsec_short"),
                ..WebhookInput::default()
            },
        ),
    ] {
        let refused = scene.holdfast.add_webhook(&scene.caller, input).await;
        match refused.unwrap_err() {
            AppError::Invalid(errors) => assert!(errors.0.contains_key(field), "{errors:?}"),
            other => panic!("{field}: {other:?}"),
        }
    }
    assert_eq!(scene.holdfast.log().head(), head);
    scene.stop().await;
}
