//! Given events, when a command, then events; and state machines driven at random against what must
//! always hold.

use chrono::TimeDelta;
use holdfast::domain::{
    aggregate::{Aggregate, Refusal},
    failure::Failure,
    ids::{AppId, ConfigId, RestoreId, RunId},
    restore::{Destination, Restore, RestoreCommand, RestoreEvent, RestoreSource, RestoreStatus},
    run::{MAX_FAILURES, Obligation, Run, RunCommand, RunEvent, RunStatus, Stage, Trigger},
};
use proptest::prelude::*;

use crate::samples;

fn request() -> RunCommand {
    RunCommand::Request {
        run: RunId(1),
        app: AppId(1),
        config: ConfigId(1),
        trigger: Trigger::Manual,
        key: None,
        slot: None,
    }
}

fn start(attempt: u32) -> RunCommand {
    RunCommand::Start {
        attempt,
        pin: samples::pin(),
    }
}

fn succeed(attempt: u32) -> RunCommand {
    RunCommand::Succeed {
        attempt,
        artifact: samples::artifact(),
        fingerprint: samples::fingerprint(),
        warnings: vec![],
    }
}

fn fail(attempt: u32, failure: Failure) -> RunCommand {
    RunCommand::Fail {
        attempt,
        failure,
        retry_at: Some(samples::time() + TimeDelta::seconds(10)),
    }
}

/// Applies a command; the events it gave.
fn tell<A: Aggregate>(state: &mut A, command: A::Command) -> Result<Vec<A::Event>, Refusal> {
    let events = state.decide(command)?;
    for event in &events {
        state.evolve(event);
    }
    Ok(events)
}

fn run_after(commands: impl IntoIterator<Item = RunCommand>) -> Run {
    let mut run = Run::default();
    for command in commands {
        tell(&mut run, command).unwrap();
    }
    run
}

#[test]
fn a_run_succeeds_only_in_its_present_attempt() {
    let mut run = run_after([request(), start(1)]);
    assert!(matches!(
        tell(&mut run, succeed(2)),
        Err(Refusal::Stale {
            attempt: 2,
            present: 1
        })
    ));
    tell(&mut run, succeed(1)).unwrap();
    assert_eq!(run.status, RunStatus::Success);
    assert!(tell(&mut run, succeed(1)).is_err(), "a second success");
}

#[test]
fn promise_02_a_job_that_runs_twice_starts_once() {
    let mut run = run_after([request(), start(1)]);
    assert!(matches!(
        tell(&mut run, start(1)),
        Err(Refusal::Stale { .. })
    ));
    assert_eq!(run.attempt, 1);
}

#[test]
fn promise_05_only_temporary_failures_are_tried_again_and_not_for_ever() {
    let permanent = Failure::permanent("wrong password", "set it");
    let run = run_after([request(), start(1), fail(1, permanent)]);
    assert_eq!(run.status, RunStatus::Failed);

    let mut run = run_after([request()]);
    for attempt in 1..=MAX_FAILURES {
        tell(&mut run, start(attempt)).unwrap();
        tell(&mut run, fail(attempt, samples::failure())).unwrap();
    }
    assert_eq!(run.status, RunStatus::Failed);
    assert_eq!(run.attempt, MAX_FAILURES);

    let mut run = run_after([request(), start(1)]);
    let last = RunCommand::Fail {
        attempt: 1,
        failure: samples::failure(),
        retry_at: None,
    };
    tell(&mut run, last).unwrap();
    assert_eq!(run.status, RunStatus::Failed);
}

#[test]
fn a_failure_before_the_start_uses_the_attempt_up() {
    let mut run = run_after([request(), fail(1, samples::failure())]);
    assert_eq!(run.status, RunStatus::Waiting);
    assert_eq!(run.next_attempt(), 2);
    tell(&mut run, start(2)).unwrap();
}

#[test]
fn a_graceful_stop_is_no_failure_and_a_crash_loop_ends() {
    let stop = |attempt, counts| RunCommand::Interrupt {
        attempt,
        counts,
        why: "stopped".into(),
    };
    let mut run = run_after([request()]);
    for attempt in 1..=20 {
        tell(&mut run, start(attempt)).unwrap();
        tell(&mut run, stop(attempt, false)).unwrap();
    }
    assert_eq!(run.status, RunStatus::Waiting);

    let mut run = run_after([request()]);
    for attempt in 1..=MAX_FAILURES {
        tell(&mut run, start(attempt)).unwrap();
        tell(&mut run, stop(attempt, true)).unwrap();
    }
    assert_eq!(run.status, RunStatus::Failed);
}

#[test]
fn promise_07_cancel_is_taken_at_once_and_confirmed_by_the_worker() {
    let run = run_after([request(), RunCommand::Cancel]);
    assert_eq!(run.status, RunStatus::Cancelled);

    let mut run = run_after([request(), start(1), RunCommand::Cancel]);
    assert_eq!(run.status, RunStatus::Running);
    assert!(run.cancel_requested);
    tell(&mut run, RunCommand::ConfirmCancelled { attempt: 1 }).unwrap();
    assert_eq!(run.status, RunStatus::Cancelled);
    assert_eq!(run.abandoned.len(), 1, "what it left is known");

    // A failure at the same moment changes nothing: no attempt follows.
    let mut run = run_after([request(), start(1), RunCommand::Cancel]);
    tell(&mut run, fail(1, samples::failure())).unwrap();
    assert_eq!(run.status, RunStatus::Cancelled);
}

#[test]
fn leftovers_outlive_the_run_until_they_are_removed() {
    let cancelled = || RunCommand::ConfirmCancelled { attempt: 1 };
    let permanent = || fail(1, Failure::permanent("x", ""));
    let interrupt = |attempt| RunCommand::Interrupt {
        attempt,
        counts: true,
        why: "x".into(),
    };
    let mut died = vec![request()];
    died.extend((1..=MAX_FAILURES).flat_map(|attempt| [start(attempt), interrupt(attempt)]));
    for (commands, left) in [
        (vec![request(), start(1), permanent()], 1),
        (
            vec![request(), start(1), RunCommand::Cancel, cancelled()],
            1,
        ),
        (
            vec![request(), start(1), RunCommand::Cancel, interrupt(1)],
            1,
        ),
        // Between two attempts.
        (
            vec![request(), start(1), interrupt(1), RunCommand::Cancel],
            1,
        ),
        (died, MAX_FAILURES as usize),
    ] {
        let mut run = run_after(commands);
        assert!(run.status.is_over() && run.leftovers_due, "{run:?}");
        assert_eq!(run.abandoned.len(), left);
        let confirm = || RunCommand::ConfirmLeftoversRemoved;
        assert_eq!(tell(&mut run, confirm()).unwrap().len(), 1);
        assert_eq!(
            tell(&mut run, confirm()).unwrap().len(),
            0,
            "harmless again"
        );
        assert!(!run.leftovers_due && run.abandoned.is_empty());
    }
    // Nothing was begun; or it went well in the end; or nobody knows whether it did.
    let lost = RunCommand::GiveUp {
        attempt: 1,
        failure: samples::failure(),
    };
    for commands in [
        vec![request(), permanent()],
        vec![request(), RunCommand::Cancel],
        vec![request(), start(1), interrupt(1), start(2), succeed(2)],
        vec![request(), start(1), lost],
    ] {
        let run = run_after(commands);
        assert!(run.status.is_over() && !run.leftovers_due, "{run:?}");
    }
}

#[test]
fn an_obligation_outlives_the_run_until_it_is_settled() {
    let obligation = Obligation::Start {
        ends_by: None,
        service: "db".into(),
        container: "shop-db-1".into(),
    };
    let oblige = RunCommand::Oblige {
        attempt: 1,
        obligation: obligation.clone(),
    };
    let permanent = Failure::permanent("x", "");
    let mut run = run_after([request(), start(1), oblige, fail(1, permanent)]);
    assert_eq!(run.obligations, vec![obligation.clone()]);
    let settle = || RunCommand::Settle {
        obligation: obligation.clone(),
    };
    assert_eq!(tell(&mut run, settle()).unwrap().len(), 1);
    assert_eq!(tell(&mut run, settle()).unwrap().len(), 0, "harmless again");
    assert!(run.obligations.is_empty());
}

fn restore_request() -> RestoreCommand {
    RestoreCommand::Request {
        restore: RestoreId(1),
        source: RestoreSource::Run {
            run: RunId(1),
            from: None,
            safety: None,
        },
        app: AppId(1),
        service: "db".into(),
        identity: None,
    }
}

fn restore_start(attempt: u32) -> RestoreCommand {
    RestoreCommand::Start {
        attempt,
        destination: Destination {
            service: "db".into(),
            container: "shop-db-1".into(),
            container_id: "c0ffee".into(),
        },
    }
}

fn restored(attempt: u32) -> RestoreCommand {
    RestoreCommand::Succeed {
        attempt,
        fingerprint: samples::fingerprint(),
        kept: samples::kept(),
        keep_until: samples::time(),
        warnings: vec![],
    }
}

fn restore_after(commands: impl IntoIterator<Item = RestoreCommand>) -> Restore {
    let mut restore = Restore::default();
    for command in commands {
        tell(&mut restore, command).unwrap();
    }
    restore
}

#[test]
fn a_crashed_restore_is_settled_never_repeated() {
    let why = || "the server died".to_owned();
    let mut restore = restore_after([
        restore_request(),
        restore_start(1),
        RestoreCommand::Interrupt {
            attempt: 1,
            why: why(),
        },
    ]);
    assert_eq!(restore.status, RestoreStatus::Settling);
    assert!(
        tell(&mut restore, restored(1)).is_err(),
        "the dead worker's word"
    );
    assert!(
        tell(&mut restore, restore_start(2)).is_err(),
        "no second start"
    );
    let mut found_whole = restore.clone();
    tell(&mut found_whole, restored(2)).unwrap();
    assert_eq!(found_whole.status, RestoreStatus::Success);
    tell(&mut restore, RestoreCommand::SettleAsBefore { attempt: 2 }).unwrap();
    assert_eq!(restore.status, RestoreStatus::Failed);
}

#[test]
fn a_crash_while_settling_or_undoing_is_settled_again() {
    let restore = restore_after([
        restore_request(),
        restore_start(1),
        interrupt(1),
        interrupt(2),
    ]);
    assert_eq!(
        (restore.status, restore.attempt),
        (RestoreStatus::Settling, 3)
    );

    let mut restore = restore_after([
        restore_request(),
        restore_start(1),
        restored(1),
        undo(),
        RestoreCommand::StartUndo { attempt: 2 },
        interrupt(2),
        RestoreCommand::StartUndo { attempt: 3 },
    ]);
    let finish = |attempt| RestoreCommand::FinishUndo {
        attempt,
        kept: samples::kept(),
        keep_until: samples::time(),
    };
    assert!(tell(&mut restore, finish(2)).is_err());
    tell(&mut restore, finish(3)).unwrap();
    assert_eq!(restore.status, RestoreStatus::Undone);
}

/// Its undo is at work, as attempt 2.
fn undoing() -> Restore {
    restore_after([
        restore_request(),
        restore_start(1),
        restored(1),
        undo(),
        RestoreCommand::StartUndo { attempt: 2 },
    ])
}

fn interrupt(attempt: u32) -> RestoreCommand {
    RestoreCommand::Interrupt {
        attempt,
        why: "the server died".into(),
    }
}

/// While what was set aside is still there.
fn undo() -> RestoreCommand {
    let now = samples::time() - chrono::TimeDelta::minutes(1);
    RestoreCommand::Undo { now }
}

fn forget() -> RestoreCommand {
    let kept = samples::kept().unwrap();
    RestoreCommand::Forget { kept }
}

/// An undo puts something else aside: the removal of what was there before says nothing of it.
#[test]
fn only_what_is_kept_now_can_be_forgotten() {
    let mut restore = restore_after([restore_request(), restore_start(1), restored(1)]);
    let mut other = samples::kept().unwrap();
    other.title = "the other one".into();
    let other = RestoreCommand::Forget { kept: other };
    assert_eq!(tell(&mut restore, other).unwrap(), vec![]);
    assert!(restore.kept.is_some());
    tell(&mut restore, undo()).unwrap();
    assert_eq!(tell(&mut restore, forget()).unwrap(), vec![]);
    assert!(restore.kept.is_some(), "an undo needs it");
}

#[test]
fn an_undo_that_failed_leaves_time_for_another() {
    let mut restore = undoing();
    let later = samples::time() + chrono::TimeDelta::days(1);
    let fail = RestoreCommand::FailUndo {
        attempt: 2,
        failure: samples::failure(),
        keep_until: later,
    };
    tell(&mut restore, fail).unwrap();
    assert_eq!(restore.status, RestoreStatus::Success);
    assert_eq!(restore.keep_until, Some(later));
}

/// Cut off before it changed anything it is simply done again; after that it is settled first.
#[test]
fn an_undo_cut_off_after_a_step_is_half_done() {
    let mut restore = undoing();
    let mut early = restore.clone();
    tell(&mut early, interrupt(2)).unwrap();
    assert!(!early.undo_is_half_done());
    let step = RestoreCommand::Step {
        attempt: 2,
        step: samples::step(),
    };
    tell(&mut restore, step).unwrap();
    tell(&mut restore, interrupt(2)).unwrap();
    assert!(restore.undo_is_half_done());
    tell(&mut restore, RestoreCommand::StartUndo { attempt: 3 }).unwrap();
    assert!(!restore.undo_is_half_done(), "somebody is at it");
}

#[test]
fn only_a_success_that_kept_something_can_be_undone() {
    let mut restore = restore_after([restore_request(), restore_start(1), restored(1)]);
    let mut forgotten = restore.clone();
    tell(&mut forgotten, forget()).unwrap();
    assert!(matches!(
        tell(&mut forgotten, undo()),
        Err(Refusal::Conflict(_))
    ));
    tell(&mut restore, undo()).unwrap();
    assert_eq!(tell(&mut restore, undo()).unwrap(), vec![]);
}

/// What was set aside is removed from then on, and half of it is no original.
#[test]
fn nothing_is_undone_once_its_time_is_over() {
    let mut restore = restore_after([restore_request(), restore_start(1), restored(1)]);
    let until = restore.keep_until.unwrap();
    for now in [until, until + chrono::TimeDelta::days(1)] {
        let refused = tell(&mut restore, RestoreCommand::Undo { now });
        assert!(matches!(refused, Err(Refusal::Conflict(_))), "{refused:?}");
    }
    assert_eq!(restore.status, RestoreStatus::Success);
}

/// Names carry the second: an attempt that was cut off, and whose leftover is gone, may have had the same.
#[test]
fn what_is_to_be_discarded_is_never_what_succeeded() {
    let cut_off = RunCommand::Interrupt {
        attempt: 1,
        counts: true,
        why: "the server died".into(),
    };
    let mut run = run_after([request(), start(1), cut_off, start(2)]);
    assert!(!run.abandoned.is_empty());
    tell(&mut run, succeed(2)).unwrap();
    let artifact = run.artifact.clone().unwrap();
    assert!(run.abandoned.iter().all(|(_, key)| *key != artifact.key));
}

fn any_run_command() -> impl Strategy<Value = RunCommand> {
    let attempt = 0..6_u32;
    prop_oneof![
        Just(request()),
        attempt.clone().prop_map(start),
        attempt.clone().prop_map(|attempt| RunCommand::Reach {
            attempt,
            stage: Stage::Dump
        }),
        attempt.clone().prop_map(succeed),
        attempt.clone().prop_map(|a| fail(a, samples::failure())),
        attempt
            .clone()
            .prop_map(|a| fail(a, Failure::permanent("x", ""))),
        (attempt.clone(), any::<bool>()).prop_map(|(attempt, counts)| RunCommand::Interrupt {
            attempt,
            counts,
            why: "x".into()
        }),
        Just(RunCommand::Cancel),
        attempt.prop_map(|attempt| RunCommand::ConfirmCancelled { attempt }),
    ]
}

fn any_restore_command() -> impl Strategy<Value = RestoreCommand> {
    let attempt = 0..6_u32;
    prop_oneof![
        Just(restore_request()),
        attempt.clone().prop_map(restore_start),
        attempt.clone().prop_map(restored),
        attempt.clone().prop_map(|attempt| RestoreCommand::Step {
            attempt,
            step: samples::step()
        }),
        (attempt.clone(), any::<bool>()).prop_map(|(attempt, needs_attention)| {
            RestoreCommand::Fail {
                attempt,
                failure: samples::failure(),
                needs_attention,
            }
        }),
        attempt
            .clone()
            .prop_map(|attempt| RestoreCommand::Interrupt {
                attempt,
                why: "x".into()
            }),
        attempt
            .clone()
            .prop_map(|attempt| RestoreCommand::SettleAsBefore { attempt }),
        Just(RestoreCommand::Cancel),
        Just(undo()),
        attempt
            .clone()
            .prop_map(|attempt| RestoreCommand::StartUndo { attempt }),
        attempt.prop_map(|attempt| RestoreCommand::FinishUndo {
            attempt,
            kept: None,
            keep_until: samples::time()
        }),
        Just(forget()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Whatever is said in whatever order: at most one end, at most one success, attempts only
    /// rise, each attempt starts at most once, an outcome only from the attempt that started, and
    /// the fold of the events is the state.
    #[test]
    fn run_histories_hold(commands in prop::collection::vec(any_run_command(), 0..40)) {
        let mut run = Run::default();
        let mut history = Vec::new();
        for command in commands {
            let before = run.clone();
            if let Ok(events) = tell(&mut run, command) {
                prop_assert!(run.attempt >= before.attempt);
                if before.status.is_over() {
                    prop_assert!(events.is_empty(), "{events:?} after the end");
                }
                history.extend(events);
            } else {
                prop_assert_eq!(&before, &run);
            }
        }
        let count = |wanted: fn(&RunEvent) -> bool| history.iter().filter(|e| wanted(e)).count();
        let successes = count(|e| matches!(e, RunEvent::Succeeded { .. }));
        prop_assert!(successes <= 1);
        let ends = count(|e| matches!(
            e,
            RunEvent::Succeeded { .. } | RunEvent::Failed { .. } | RunEvent::Cancelled {}
        ));
        prop_assert!(ends <= 1);
        let mut started = std::collections::BTreeSet::new();
        for event in &history {
            match event {
                RunEvent::Started { attempt, .. } => prop_assert!(started.insert(*attempt)),
                RunEvent::Succeeded { attempt, .. } => prop_assert!(started.contains(attempt)),
                _ => {}
            }
        }
        prop_assert_eq!(Run::fold(&history), run);
    }

    /// The same for restores: one start for ever, no success without it.
    #[test]
    fn restore_histories_hold(commands in prop::collection::vec(any_restore_command(), 0..40)) {
        let mut restore = Restore::default();
        let mut history = Vec::new();
        for command in commands {
            let before = restore.clone();
            if let Ok(events) = tell(&mut restore, command) {
                prop_assert!(restore.attempt >= before.attempt);
                history.extend(events);
            } else {
                prop_assert_eq!(&before, &restore);
            }
        }
        let starts = history.iter().filter(|e| matches!(e, RestoreEvent::Started { .. })).count();
        prop_assert!(starts <= 1);
        let succeeded = history.iter().any(|e| matches!(e, RestoreEvent::Succeeded { .. }));
        prop_assert!(!succeeded || starts == 1);
        prop_assert_eq!(Restore::fold(&history), restore);
    }
}
