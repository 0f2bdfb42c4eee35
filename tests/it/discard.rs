//! A config that goes with its artifacts: each is let go by an event, deleted by the prune job, and offered
//! to nobody in between; and one that goes alone leaves them where they are.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicI64},
};

use holdfast::{
    app::{AppError, Artifacts, Caller, Holdfast},
    domain::{
        ids::{AppId, ConfigId, RunId},
        manifest::{Artifact, Fingerprint},
        restore::{Restore, RestoreCommand, RestoreSource},
        run::{Run, RunCommand},
        verification::{Damage, VerificationCommand},
    },
    log::Cause,
    readmodel::runs,
};
use tempfile::TempDir;

use crate::{samples, slots};

#[tokio::test(flavor = "multi_thread")]
async fn a_config_goes_with_its_artifacts_when_it_is_asked_to_and_only_then() {
    let folder = TempDir::new().unwrap();
    let clock = Arc::new(AtomicI64::new(samples::time().timestamp_millis()));
    let holdfast = slots::open(&folder, &clock).await;
    let (log, caller) = (holdfast.log(), Caller::system("test"));
    slots::app_and_configs(&holdfast, 2).await;
    let file = |run: i64| folder.path().join(format!("backups/shop/{run}/db.sql.zst"));
    for run in 1..=3_i64 {
        // The third is of the other config.
        requested(&holdfast, run, ConfigId(1 + run / 3)).await;
        succeeded(&holdfast, run, &file(run)).await;
    }
    // Of what was found damaged there may be a good copy.
    for command in [
        VerificationCommand::Request,
        VerificationCommand::Fail {
            verification: 1,
            damage: Damage::Altered,
            failure: samples::failure(),
            copies: vec![],
        },
    ] {
        tell(&holdfast, 1, RunCommand::Verify(command)).await;
    }
    // One that comes to its end although it is cancelled because its config goes.
    requested(&holdfast, 4, ConfigId(1)).await;

    let restore = RestoreCommand::Request {
        restore: holdfast::domain::ids::RestoreId(1),
        app: AppId(1),
        source: RestoreSource::Run {
            run: RunId(2),
            from: None,
            safety: None,
        },
        service: "db".into(),
        identity: None,
    };
    let cause = Cause::system("test");
    log.execute::<Restore>(cause.clone(), 1, restore)
        .await
        .unwrap();
    let refused = holdfast.remove_config(&caller, ConfigId(1), Artifacts::Delete);
    let refused = refused.await.unwrap_err();
    assert!(
        matches!(&refused, AppError::Conflict(why) if why.contains("restore 1")),
        "{refused}"
    );
    assert!(
        holdfast
            .config(&caller, ConfigId(1))
            .await
            .unwrap()
            .removed_at
            .is_none()
    );
    log.execute::<Restore>(cause, 1, RestoreCommand::Cancel)
        .await
        .unwrap();

    let asked = holdfast.remove_config(&caller, ConfigId(1), Artifacts::Delete);
    asked.await.unwrap();
    succeeded(&holdfast, 4, &file(4)).await;
    holdfast.retain(RunId(4)).await.unwrap();
    for run in [1, 2, 4] {
        let row = holdfast.run(&caller, RunId(run)).await.unwrap();
        assert!(row.lacks_artifact().is_some(), "offered still: {run}");
        assert!(file(run).exists(), "the job deletes it, not the answer");
    }
    let due = runs::to_prune(log.db()).await.unwrap();
    assert_eq!(due.iter().map(|run| run.id).collect::<Vec<_>>(), [1, 2, 4]);
    for run in due {
        holdfast.prune(run.run_id()).await.unwrap();
        holdfast.prune(run.run_id()).await.unwrap();
        assert!(!file(run.id).exists());
    }
    assert!(runs::to_prune(log.db()).await.unwrap().is_empty());

    let kept = holdfast.remove_config(&caller, ConfigId(2), Artifacts::Keep);
    kept.await.unwrap();
    assert!(file(3).exists());
    let third = holdfast.run(&caller, RunId(3)).await.unwrap();
    assert_eq!(third.lacks_artifact(), None);
    assert!(holdfast.rebuild().await.unwrap().differed.is_empty());
}

async fn tell(holdfast: &Holdfast, run: i64, command: RunCommand) {
    let cause = Cause::system("test");
    holdfast
        .log()
        .execute::<Run>(cause, run, command)
        .await
        .unwrap();
}

fn key(run: i64) -> String {
    format!("shop/{run}/db.sql.zst")
}

/// At work.
async fn requested(holdfast: &Holdfast, run: i64, config: ConfigId) {
    for command in samples::beginning(run, config, samples::local_pin(&key(run))) {
        tell(holdfast, run, command).await;
    }
}

async fn succeeded(holdfast: &Holdfast, run: i64, file: &Path) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, "dump").unwrap();
    let command = RunCommand::Succeed {
        attempt: 1,
        artifact: Artifact {
            key: key(run),
            ..samples::artifact()
        },
        fingerprint: Fingerprint::default(),
        warnings: vec![],
    };
    tell(holdfast, run, command).await;
}
