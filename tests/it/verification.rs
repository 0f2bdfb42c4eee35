//! Artifacts that are read again: what is damaged is red wherever somebody could count on it, and what
//! could not be read is not called damaged.

use std::{fs, time::Duration};

use holdfast::{
    app::{AppError, RestoreInput},
    domain::{
        aggregate::{Aggregate, Refusal},
        event::Event,
        failure::Failure,
        ids::{ConfigId, RunId},
        retention::Brake,
        run::{Run, RunCommand, RunEvent},
        verification::{Damage, VerificationCommand},
    },
    readmodel::{
        overview,
        runs::{Found, Verified},
    },
};
use rustix::fs::{CWD, RenameFlags};

use crate::{
    samples,
    shelf::{Shelf, dump},
};

/// After a success.
fn stored() -> Run {
    let events = samples::all().into_iter();
    let mut run = Run::default();
    for event in events {
        if let Ok(
            event @ (RunEvent::Requested { .. }
            | RunEvent::Started { .. }
            | RunEvent::Succeeded { .. }),
        ) = RunEvent::try_from(event)
        {
            run.evolve(&event);
        }
    }
    run
}

fn tell(run: &mut Run, command: VerificationCommand) -> Result<Vec<RunEvent>, Refusal> {
    let events = run.decide(RunCommand::Verify(command))?;
    for event in &events {
        run.evolve(event);
    }
    Ok(events)
}

fn pass(verification: u32) -> VerificationCommand {
    VerificationCommand::Pass {
        verification,
        copies: vec![],
    }
}

#[test]
fn a_try_that_is_not_the_present_one_has_no_say() {
    let mut run = stored();
    assert_eq!(
        tell(&mut run, VerificationCommand::Request).unwrap().len(),
        1
    );
    assert_eq!(tell(&mut run, VerificationCommand::Request).unwrap(), []);
    let put_off = |verification, retry_at| VerificationCommand::PutOff {
        verification,
        failure: samples::failure(),
        retry_at,
        copies: vec![],
    };
    tell(&mut run, put_off(1, Some(samples::time()))).unwrap();
    assert_eq!(
        (run.verification.due(), run.verification.unanswered()),
        (Some(2), 1)
    );
    let late = tell(&mut run, pass(1));
    assert!(matches!(late, Err(Refusal::Stale { .. })), "{late:?}");
    let unreadable = tell(&mut run, put_off(2, None)).unwrap();
    assert!(matches!(
        unreadable[..],
        [RunEvent::ArtifactUnreadable { .. }]
    ));
    assert_eq!(
        (run.verification.due(), run.verification.damage),
        (None, None)
    );

    tell(&mut run, VerificationCommand::Request).unwrap();
    let fail = VerificationCommand::Fail {
        verification: 3,
        damage: Damage::Altered,
        failure: samples::failure(),
        copies: vec![],
    };
    tell(&mut run, fail).unwrap();
    assert_eq!(run.verification.damage, Some(Damage::Altered));
    tell(&mut run, VerificationCommand::Request).unwrap();
    tell(&mut run, pass(4)).unwrap();
    assert_eq!(run.verification.damage, None);

    // Let go while it is read: whatever that found, nobody counts on it any more.
    tell(&mut run, VerificationCommand::Request).unwrap();
    run.evolve(&RunEvent::Expired {
        rule: crate::shelf::spec().retention,
    });
    let late = tell(&mut run, pass(5));
    assert!(matches!(late, Err(Refusal::Stale { .. })), "{late:?}");
    let none = tell(&mut run, VerificationCommand::Request);
    assert!(matches!(none, Err(Refusal::Conflict(_))), "{none:?}");
}

#[test]
fn a_permanent_refusal_is_not_asked_again() {
    let mut run = stored();
    tell(&mut run, VerificationCommand::Request).unwrap();
    let put_off = VerificationCommand::PutOff {
        verification: 1,
        failure: Failure::permanent("the key was refused", "enter it again"),
        retry_at: Some(samples::time()),
        copies: vec![],
    };
    let events = tell(&mut run, put_off).unwrap();
    assert!(matches!(events[..], [RunEvent::ArtifactUnreadable { .. }]));
}

async fn newest_point(shelf: &Shelf) -> Option<i64> {
    let points = overview::newest_successes(shelf.holdfast.log().db()).await;
    points.unwrap().first().map(|beat| beat.id)
}

async fn refused(shelf: &Shelf, run: RunId) -> String {
    let restore = shelf
        .holdfast
        .request_restore(&shelf.caller, run, RestoreInput::default())
        .await;
    let error = restore.unwrap_err();
    assert!(matches!(error, AppError::Conflict(_)), "{error:?}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_no_restore_point_until_it_is_whole_again() {
    let mut shelf = Shelf::new().await;
    let first = shelf.store(dump(1_000)).await;
    let second = shelf.store(dump(1_000)).await;
    let verified = shelf.run(second).await.verified_at;
    let found = shelf.verify(second).await;
    assert_eq!((found.found, &found.failure), (Found::Whole, &None));
    assert!(
        shelf.run(second).await.verified_at > verified,
        "it moves on"
    );
    assert_eq!(newest_point(&shelf).await, Some(second.0));

    let path = shelf.artifact(second).await;
    let whole = fs::read(&path).unwrap();
    let mut bad = whole.clone();
    bad[whole.len() / 2] ^= 1;
    fs::write(&path, &bad).unwrap();
    let found = shelf.verify(second).await;
    assert_eq!(found.found, Found::Damaged);
    let run = shelf.run(second).await;
    assert_eq!(run.status, "damaged");
    assert_eq!(newest_point(&shelf).await, Some(first.0));
    let why = refused(&shelf, second).await;
    assert!(
        why.contains("run 2 is damaged") && why.contains("; run 1 of"),
        "{why}"
    );
    // What is left of it may be all there is.
    let download = shelf.holdfast.download(&shelf.caller, second, None).await;
    download.map(|_| ()).unwrap();

    // Retention: nothing goes while the newest is damaged, and the newest good one never does.
    let preview = shelf
        .holdfast
        .retention_preview(&shelf.caller, ConfigId(1))
        .await
        .unwrap();
    assert_eq!(preview.plan.brake, Some(Brake::LastRunFailed));
    assert_eq!(preview.runs.len(), 1);

    // Two newer ones than it: the older good one goes, and then so does it.
    shelf.store(dump(1_000)).await;
    shelf.store(dump(1_000)).await;
    shelf.until(first, |run| run.pruned_at.is_some()).await;
    shelf.until(second, |run| run.pruned_at.is_some()).await;
    assert!(!path.exists());

    let fifth = shelf.store(dump(1_000)).await;
    let path = shelf.artifact(fifth).await;
    fs::rename(&path, path.with_extension("away")).unwrap();
    let found = shelf.verify(fifth).await;
    assert_eq!(found.found, Found::Missing);
    assert_eq!(shelf.run(fifth).await.status, "missing");
    fs::rename(path.with_extension("away"), &path).unwrap();
    assert_eq!(shelf.verify(fifth).await.found, Found::Whole);
    assert_eq!(shelf.run(fifth).await.status, "success");
    assert_eq!(newest_point(&shelf).await, Some(fifth.0));

    let rebuilt = shelf.holdfast.rebuild().await.unwrap();
    assert!(rebuilt.differed.is_empty(), "{rebuilt:?}");
    shelf.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_not_called_damaged() {
    let mut shelf = Shelf::new().await;
    let run = shelf.store(dump(1_000)).await;
    let (root, away) = (
        shelf.data.path().join("backups"),
        shelf.data.path().join("away"),
    );
    // As where a disk should be mounted and is not: nothing can be kept there at all. In one step, or the log
    // on its way there would make the folder anew.
    fs::write(&away, "").unwrap();
    let exchange =
        || rustix::fs::renameat_with(CWD, &root, CWD, &away, RenameFlags::EXCHANGE).unwrap();
    exchange();
    let Verified { found, failure, .. } = shelf.verify(run).await;
    assert_eq!(found, Found::Unreadable, "{failure:?}");
    let row = shelf.run(run).await;
    assert_eq!(
        (row.status.as_str(), row.lacks_artifact()),
        ("success", None)
    );
    exchange();
    assert_eq!(shelf.verify(run).await.found, Found::Whole);
    shelf.stop().await;
}

/// A kill between the wish and the outcome costs nothing but the reading.
#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_a_kill_cut_off_is_done_after_the_next_start() {
    let mut shelf = Shelf::new().await;
    let run = shelf.store(dump(1_000)).await;
    shelf.stop().await;
    let asked = shelf
        .holdfast
        .request_verification(&shelf.caller, run)
        .await;
    asked.unwrap();
    let mut shelf = shelf.restart(Duration::ZERO).await;
    let row = shelf.until(run, |run| run.verifying.is_none()).await;
    assert_eq!(row.verification().unwrap().found, Found::Whole);
    shelf.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_read_for_long_is_read_again_one_after_the_other() {
    let mut shelf = Shelf::new().await;
    let mut stored = Vec::new();
    for _ in 0..2 {
        stored.push(shelf.store(dump(100)).await);
    }
    shelf.stop().await;
    let mut shelf = shelf.restart(Duration::from_millis(400)).await;
    for &run in &stored {
        shelf.until(run, |run| run.verification.is_some()).await;
    }
    shelf.stop().await;
    let mut open = 0;
    let mut order = Vec::new();
    for event in shelf.holdfast.log().read_from(0, 1_000).await.unwrap() {
        match event.event {
            Event::Run(RunEvent::VerificationRequested { .. }) => {
                open += 1;
                order.push(event.stream.id);
            }
            Event::Run(RunEvent::VerificationPassed { .. }) => open -= 1,
            _ => {}
        }
        assert!(open <= 1, "two at a time");
    }
    assert_eq!(order[..2], [stored[0].0, stored[1].0], "the oldest first");
}
