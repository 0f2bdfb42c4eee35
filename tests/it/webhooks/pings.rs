//! A dead man's switch hears of each run, and never in the wrong order.

use holdfast::{
    app::{MasterKey, Vault},
    domain::{
        config::{Config, ConfigCommand, PingSpec, SecretRef},
        event::StreamKind,
        failure::Failure,
        ids::{AppId, ConfigId, RunId},
        run::{Run, RunCommand, Trigger},
    },
    log::Cause,
    work::notify,
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Receiver, Scene, TOKEN};
use crate::samples;

/// Who tells, without the clock: that would take a run that no worker is at for a forsaken one.
struct Teller {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Teller {
    async fn of(scene: &mut Scene) -> Self {
        scene.stop().await;
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(notify::listen(scene.holdfast.clone(), stop.clone()));
        tasks.spawn(notify::deliver(scene.holdfast.clone(), stop.clone()));
        Self { tasks, stop }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Scene {
    /// A config whose switch is at `receiver`.
    async fn watched(&self, receiver: &Receiver) {
        let url = receiver.url().unwrap();
        let key = MasterKey::from_file(&self.data.path().join("master.key"));
        let vault = Vault::new(key.unwrap());
        let command = self.holdfast.log().write(Cause::system("test"), |unit| {
            Box::pin(async move {
                let url: SecretRef = vault.seal(unit, &url).await?;
                let ping = PingSpec {
                    origin: "http://127.0.0.1".into(),
                    url,
                };
                let mut spec = samples::config_spec();
                spec.ping = Some(Box::new(ping));
                let (config, app) = (ConfigId(1), AppId(1));
                unit.execute::<Config>(1, ConfigCommand::Create { config, app, spec })
                    .await?;
                Ok(())
            })
        });
        command.await.unwrap();
    }

    /// A run that starts.
    async fn started_run(&self) -> RunId {
        let started = self.holdfast.log().write(Cause::system("test"), |unit| {
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
                let start = RunCommand::Start {
                    attempt: 1,
                    pin: samples::pin(),
                };
                unit.execute::<Run>(run.0, start).await?;
                Ok(run)
            })
        });
        started.await.unwrap()
    }

    async fn fail(&self, run: RunId) {
        let fail = RunCommand::Fail {
            attempt: 1,
            failure: Failure::permanent("the password is wrong", "set it"),
            retry_at: None,
        };
        let log = self.holdfast.log();
        log.execute::<Run>(Cause::system("test"), run.0, fail)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_hears_of_each_run_until_it_answers_and_no_start_after_its_end() {
    let mut scene = Scene::new(true).await;
    let mut receiver = Receiver::answering(&[204, 503]).await;
    let teller = Teller::of(&mut scene).await;
    scene.watched(&receiver).await;
    let run = scene.started_run().await;
    assert_eq!(receiver.next().await.path, format!("/hook/{TOKEN}/start"));
    scene.fail(run).await;
    for _ in ["refused", "taken"] {
        let told = receiver.next().await;
        assert_eq!(told.path, format!("/hook/{TOKEN}/fail"));
        assert!(told.body.contains("the password is wrong"), "{}", told.body);
    }

    // While nobody could send, a whole run went by: only its end is news.
    teller.stop().await;
    let run = scene.started_run().await;
    scene.fail(run).await;
    scene.restart().await;
    assert_eq!(receiver.next().await.path, format!("/hook/{TOKEN}/fail"));
    for event in scene.events().await {
        assert!(!event.contains(TOKEN), "{event}");
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_switch_was_told_is_listed_and_only_the_newest_is_sent_again() {
    let mut scene = Scene::new(true).await;
    let mut receiver = Receiver::answering(&[204, 410]).await;
    let teller = Teller::of(&mut scene).await;
    scene.watched(&receiver).await;
    let (holdfast, caller) = (scene.holdfast.clone(), scene.caller.clone());
    let config = ConfigId(1);
    let nothing = holdfast.ping_again(&caller, config).await.unwrap_err();
    assert!(nothing.to_string().contains("the next run"), "{nothing}");

    let run = scene.started_run().await;
    receiver.next().await;
    scene.fail(run).await;
    receiver.next().await;
    let told = loop {
        let told = holdfast.pings(&caller, config, 10).await.unwrap();
        if told.iter().all(|it| it.status != "pending") {
            break told;
        }
        tokio::task::yield_now().await;
    };
    let shown: Vec<_> = told
        .iter()
        .map(|it| (it.ping.as_deref().unwrap(), it.status.as_str()))
        .collect();
    assert_eq!(shown, [("fail", "failed"), ("start", "delivered")]);
    let problem = told[0].last_error.as_deref().unwrap();
    assert!(problem.contains("410"), "{problem}");

    let again = holdfast.ping_again(&caller, config).await.unwrap();
    assert_eq!(again.id, told[0].id);
    assert_eq!(receiver.next().await.path, format!("/hook/{TOKEN}/fail"));
    teller.stop().await;
}
