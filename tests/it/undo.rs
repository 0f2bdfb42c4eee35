//! Taking a restore back while others have to do with its service.

use holdfast::{
    app::{AppError, RestoreInput},
    domain::{
        event::Event,
        hook::Hook,
        ids::{ConfigId, RestoreId, RunId},
        restore::RestoreEvent,
    },
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    bed::Bed,
    house::{EngineFault, House},
    note,
    strategies::sqlite::is_read,
};

/// A restore that can be undone, and the config of a service that stands still while it is read.
async fn restored(test: &str) -> (House, Bed, ConfigId, RestoreId) {
    let (project, bed) = note::service(test);
    let house = House::at(TempDir::new().unwrap(), is_read, 60, |_| {}).await;
    house.app("shop", &project).await;
    let hook = |kind: &str| Hook {
        kind: kind.into(),
        service: "db".into(),
        command: None,
        timeout: None,
    };
    let config = house
        .config("shop", |input| {
            input.strategy = Some("sqlite".into());
            input.paths = Some(vec![note::FILE.into()]);
            input.pre_hooks = Some(vec![hook("stop")]);
            input.post_hooks = Some(vec![hook("start")]);
        })
        .await;
    let run = house.back_up(config).await;
    assert_eq!(run.status, "success", "{run:?}");
    note::write(&bed, "later");
    let restore = house.restore(run.run_id()).await;
    assert_eq!(restore.status, "success", "{restore:?}");
    assert_eq!(note::read(&bed), note::FIRST);
    (house, bed, config, restore.restore_id())
}

/// Every dump stands still from now on; what lets them go on.
fn held(house: &House) -> (CancellationToken, CancellationToken) {
    let (reached, release) = (CancellationToken::new(), CancellationToken::new());
    *house.faults.engine.lock().unwrap() = Some(EngineFault::Hold {
        after: 1,
        reached: reached.clone(),
        release: release.clone(),
    });
    (reached, release)
}

/// The service that it found stopped runs again when its turn comes, and has to do so after it.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_for_a_backup_leaves_the_service_as_the_backup_does() {
    let (house, bed, config, restore) = restored("undo-waits").await;
    let (reached, release) = held(&house);
    let backup = house.request(config).await;
    reached.cancelled().await;
    assert!(!bed.is_running(), "it is stopped while it is read");

    let mut live = house.holdfast.log().live();
    let undo = house.holdfast.undo_restore(&house.caller, restore);
    undo.await.unwrap();
    let begun = |event: &Event| matches!(event, Event::Restore(RestoreEvent::UndoStarted { .. }));
    while !begun(&live.recv().await.unwrap().event) {}
    // As long as it takes the engine to answer, the undo has to look at the container.
    assert!(!bed.is_running(), "the backup goes on");
    release.cancel();

    assert_eq!(house.run_over(backup).await.status, "success");
    let undone = house.restore_over(restore).await;
    assert_eq!(undone.status, "undone", "{undone:?}");
    assert!(bed.is_running(), "nobody starts it any more");
    assert_eq!(note::read(&bed), "later");
    house.close().await;
}

/// Each of the two would put back what the other one has just brought.
#[tokio::test(flavor = "multi_thread")]
async fn none_begins_while_another_restore_of_the_service_is_not_over() {
    let (house, bed, _, first) = restored("undo-second").await;
    let restore = house.holdfast.restore(&house.caller, first).await.unwrap();
    let run = RunId(restore.run_id.unwrap());
    let (reached, release) = held(&house);
    let with_safety = RestoreInput {
        safety_backup: true,
        ..RestoreInput::default()
    };
    let asked = house
        .holdfast
        .request_restore(&house.caller, run, with_safety);
    let second = asked.await.unwrap();
    reached.cancelled().await;

    let refused = house.holdfast.undo_restore(&house.caller, first).await;
    let refused = refused.expect_err("another one is not over");
    assert!(matches!(refused, AppError::Conflict(_)), "{refused:?}");
    assert!(
        refused.to_string().contains(&format!("restore {second}")),
        "{refused}"
    );

    release.cancel();
    house.heal();
    assert_eq!(house.restore_over(second).await.status, "success");
    for restore in [second, first] {
        house
            .holdfast
            .undo_restore(&house.caller, restore)
            .await
            .unwrap();
        assert_eq!(house.restore_over(restore).await.status, "undone");
    }
    assert_eq!(note::read(&bed), "later");
    house.close().await;
}
