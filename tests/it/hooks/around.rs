//! One run and its hooks: the order, the first failure, the time limits, the warnings.

use std::time::{Duration, Instant};

use holdfast::target::memory::{Fault, Scope};
use tokio_util::sync::CancellationToken;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_when_the_data_is_out_not_when_it_is_stored() {
    let shop = Shop::new("out").await;
    let config = shop
        .config(vec![hook("stop", "web")], vec![hook("start", "web")])
        .await;
    let before = started_at(&shop.web);
    let (reached, release) = (CancellationToken::new(), CancellationToken::new());
    let stall = Fault::Stall {
        after: 1,
        reached: reached.clone(),
        release: release.clone(),
    };
    *shop.house.faults.target.lock().unwrap() = Some((stall, Scope::Artifacts));
    let begun = Instant::now();
    let id = shop.house.request(config).await;
    bed::until("the service was stopped and runs again", || {
        shop.web.is_running() && started_at(&shop.web) != before
    })
    .await;
    let down = begun.elapsed();
    let run = shop.house.run(id).await;
    assert_eq!(
        (run.status.as_str(), run.phase.as_str()),
        ("running", "dump")
    );
    let again = started_at(&shop.web);

    release.cancel();
    let run = shop.house.run_over(id).await;
    assert_eq!(
        (run.status.as_str(), run.warnings()),
        ("success", vec![]),
        "{run:?}"
    );
    assert_eq!(started_at(&shop.web), again, "started once");
    let outcomes = shop.outcomes(&run).await;
    let done = |kind: &str| (kind.to_owned(), HookOutcome::Done);
    assert_eq!(outcomes, [done("stop"), done("start")]);
    shop.owes_nothing(id).await;
    println!(
        "figure: hooks: a stopped service runs again {:.1} s after the wish, while the target still stalls",
        down.as_secs_f64()
    );
    shop.house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_second_hook_undoes_the_first() {
    let shop = Shop::new("second").await;
    let pre = vec![
        hook("stop_container", "web"),
        exec("db", "echo all is lost >&2; exit 3"),
        exec("db", "touch /tmp/third"),
    ];
    let post = vec![exec("db", "touch /tmp/after")];
    let config = shop.config(pre, post).await;
    let before = started_at(&shop.web);
    let run = shop.house.back_up(config).await;
    assert_eq!(run.status, "failed", "{run:?}");
    let message = run.error_msg.clone().unwrap();
    assert!(message.contains("pre_hooks[1] (exec of db)"), "{message}");
    assert!(message.contains("status 3: all is lost"), "{message}");
    assert!(run.hint.is_some(), "{run:?}");
    assert!(shop.web.is_running(), "the first hook is undone");
    assert_ne!(started_at(&shop.web), before, "it had been stopped");
    shop.owes_nothing(run.run_id()).await;
    assert_eq!(
        shop.db.sh("ls /tmp/third /tmp/after 2>/dev/null || true"),
        "/tmp/after"
    );
    let outcomes = shop.outcomes(&run).await;
    let of = |kind: &str, outcome| (kind.to_owned(), outcome);
    assert_eq!(
        outcomes,
        [
            of("stop", HookOutcome::Done),
            of("exec", HookOutcome::Failed),
            of("exec", HookOutcome::Done)
        ]
    );
    shop.house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_afterwards_is_a_warning() {
    let shop = Shop::new("warning").await;
    let gone = service(BUSYBOX, &shop.project, "gone", &[], &["sleep", "3600"]);
    let slow = Hook {
        timeout: Some(1),
        ..exec("web", "echo begun; exec sleep 77")
    };
    let post = vec![
        exec("web", "echo $0 is no argument; exit 7"),
        slow,
        hook("start", "gone"),
        exec("web", "echo the password is hunter2hunter2"),
    ];
    let config = shop
        .config(vec![exec("web", "echo x >> /tmp/count")], post)
        .await;
    drop(gone);
    let run = shop.house.back_up(config).await;
    assert_eq!(run.status, "success", "{run:?}");
    let warnings = run.warnings();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    for (warning, says) in warnings.iter().zip([
        "post_hooks[0] (exec of web): the command ended with status 7: sh is no argument",
        "post_hooks[1] (exec of web): it was not done within 1 s",
        "post_hooks[2] (start of gone): there is no service gone",
    ]) {
        assert!(warning.contains(says), "{warning}");
    }
    bed::until("what took too long has ended", || {
        !shop.web.sh("ps").contains("sleep 77")
    })
    .await;
    let reports = shop.reports(run.run_id()).await;
    assert_eq!(reports.len(), 5, "{reports:?}");
    assert!(
        reports[2].took_ms >= 1000 && reports[2].took_ms < 30_000,
        "{reports:?}"
    );
    assert_eq!(reports[4].outcome, HookOutcome::Done);

    // The way back has a plan of its own.
    let restored = shop.house.restore(run.run_id()).await;
    assert_eq!(restored.status, "success", "{restored:?}");
    assert_eq!(
        shop.web.sh("cat /tmp/count"),
        "x",
        "a restore replays no hook"
    );
    shop.house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_limit_and_a_missing_service_end_the_run_before_it_reads() {
    let shop = Shop::new("limit").await;
    let slow = Hook {
        timeout: Some(1),
        ..exec("web", "exec sleep 88")
    };
    let gone = service(BUSYBOX, &shop.project, "gone", &[], &["sleep", "3600"]);
    let late = shop.config(vec![hook("stop", "gone"), slow], vec![]).await;
    let begun = Instant::now();
    let run = shop.house.back_up(late).await;
    assert_eq!(run.status, "failed");
    let message = run.error_msg.unwrap();
    assert!(
        message.contains("pre_hooks[1] (exec of web): it was not done within 1 s"),
        "{message}"
    );
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert!(gone.is_running(), "what was stopped before runs again");
    drop(gone);
    let run = shop.house.back_up(late).await;
    let message = run.error_msg.unwrap();
    assert!(message.contains("pre_hooks[0] (stop of gone)"), "{message}");
    assert!(message.contains("has no service gone"), "{message}");
    shop.house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_run_is_not_started() {
    let shop = Shop::new("still").await;
    let config = shop
        .config(vec![hook("stop", "web")], vec![hook("start", "web")])
        .await;
    docker(&["stop", "-t", "1", &shop.web.name]);
    let run = shop.house.back_up(config).await;
    assert_eq!((run.status.as_str(), run.warnings()), ("success", vec![]));
    assert!(!shop.web.is_running());
    let skipped = |kind: &str| (kind.to_owned(), HookOutcome::Skipped);
    assert_eq!(
        shop.outcomes(&run).await,
        [skipped("stop"), skipped("start")]
    );

    // Without a stop before, a start is one.
    let config = shop.config(vec![], vec![hook("start", "web")]).await;
    let run = shop.house.back_up(config).await;
    assert_eq!(
        shop.outcomes(&run).await,
        [("start".to_owned(), HookOutcome::Done)]
    );
    assert!(shop.web.is_running());
    shop.house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_late_is_killed_and_told_of() {
    let shop = Shop::new("late").await;
    let deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"];
    let deaf = service(BUSYBOX, &shop.project, "deaf", &[], &deaf);
    let stop = Hook {
        timeout: Some(1),
        ..hook("stop", "deaf")
    };
    let config = shop.config(vec![stop], vec![]).await;
    let run = shop.house.back_up(config).await;
    assert_eq!(run.status, "success", "{run:?}");
    let warnings = run.warnings();
    assert!(
        warnings[0].contains("did not end within 1 s of being asked and was killed"),
        "{warnings:?}"
    );
    assert!(deaf.is_running());
    shop.house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_leaves_nothing_stopped() {
    let shop = Shop::new("cancel").await;
    let config = shop
        .config(
            vec![hook("stop", "web")],
            vec![exec("db", "touch /tmp/after")],
        )
        .await;
    let holder = shop.hold_dumps();
    let id = shop.house.request(config).await;
    holder.until_a_dump_waits();
    assert!(!shop.web.is_running());
    shop.house
        .holdfast
        .cancel_run(&shop.house.caller, id)
        .await
        .unwrap();
    let run = shop.house.run_over(id).await;
    assert_eq!(run.status, "cancelled", "{run:?}");
    assert!(shop.web.is_running());
    shop.owes_nothing(id).await;
    shop.db.sh("test -e /tmp/after");
    holder.end();
    shop.house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_the_engine_refuses_is_done_by_the_clock() {
    let shop = Shop::new("refused").await;
    let config = shop.config(vec![hook("stop", "web")], vec![]).await;
    shop.house
        .faults
        .starts
        .store(2, std::sync::atomic::Ordering::SeqCst);
    let run = shop.house.back_up(config).await;
    assert_eq!(run.status, "success", "the data is good: {run:?}");
    let warnings = run.warnings();
    assert!(
        warnings[0].contains("could not be started again yet"),
        "{warnings:?}"
    );
    let stopped_for = Instant::now();
    bed::until("the clock has started it", || shop.web.is_running()).await;
    println!(
        "figure: hooks: refused twice, the service runs again {:.1} s after its run",
        stopped_for.elapsed().as_secs_f64()
    );
    let settled = |run: &runs::Model| run.obligations().is_empty();
    shop.house.run_when(run.run_id(), settled).await;
    shop.house.close().await;
}
