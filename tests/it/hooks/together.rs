//! More than one run at once, and other powers over the same service.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_starts_what_another_run_keeps_stopped() {
    let shop = Shop::new("together").await;
    let label = format!("com.docker.compose.project={}", shop.project);
    let other = Bed::run(
        bed::POSTGRES,
        &[
            "--label",
            &label,
            "--label",
            "com.docker.compose.service=db2",
            "-e",
            "POSTGRES_PASSWORD=secret",
            "-e",
            "POSTGRES_DB=shop",
        ],
        &[],
    );
    bed::until_postgres(&other);
    let first = shop.config(vec![hook("stop", "web")], vec![]).await;
    let second = |input: &mut ConfigInput| {
        input.service = Some("db2".into());
        input.pre_hooks = Some(vec![hook("stop", "web")]);
    };
    let second = shop.house.config("shop", second).await;
    let holder = shop.hold_dumps();
    let long = shop.house.request(first).await;
    holder.until_a_dump_waits();
    let short = shop.house.request(second).await;
    // Whoever asks in between: the clock, or a start for it.
    for _ in 0..3 {
        let started = shop.house.holdfast.settle_obligations().await.unwrap();
        assert_eq!((started, shop.web.is_running()), (0, false));
    }
    let waiting = shop.house.run(short).await;
    assert_eq!(
        waiting.status, "queued",
        "it waits for its turn at the service"
    );
    holder.end();
    for id in [long, short] {
        let run = shop.house.run_over(id).await;
        assert_eq!(
            (run.status.as_str(), run.warnings()),
            ("success", vec![]),
            "{run:?}"
        );
        let stopped = ("stop".to_owned(), HookOutcome::Done);
        assert_eq!(shop.outcomes(&run).await, [stopped], "it ran before each");
        shop.owes_nothing(id).await;
    }
    assert!(shop.web.is_running());
    shop.house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_somebody_else_starts_meanwhile_spoils_the_run() {
    let shop = Shop::new("spoilt").await;
    let config = shop.config(vec![hook("stop", "web")], vec![]).await;
    let holder = shop.hold_dumps();
    let id = shop.house.request(config).await;
    holder.until_a_dump_waits();
    docker(&["start", &shop.web.name]);
    holder.end();
    // It is tried again, and then nobody interferes.
    let run = shop.house.run_over(id).await;
    assert_eq!(
        (run.status.as_str(), run.attempt),
        ("success", 2),
        "{run:?}"
    );
    let stream = StreamId {
        kind: StreamKind::Run,
        id: id.0,
    };
    let events = shop.house.holdfast.history(stream).await.unwrap();
    let retried = events.iter().find_map(|event| match &event.event {
        Event::Run(RunEvent::RetryScheduled { failure, .. }) => Some(failure.message.clone()),
        _ => None,
    });
    let retried = retried.expect("the first attempt failed");
    assert!(
        retried.contains("was started by something else"),
        "{retried}"
    );
    assert!(shop.web.is_running());
    shop.owes_nothing(id).await;
    shop.house.close().await;
}
