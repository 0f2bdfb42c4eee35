//! A restore that the server itself makes fail, at each thing that it is asked to do: what was in use
//! is in use, nothing is left behind, and the undo is as careful.

use holdfast::strategy::{Settled, StrategyError};

use super::{CHANGE, SEED, back_up, digest, leftovers, mongo, python, site, start};
use crate::{
    bed::Bed,
    workbench::{Backup, Notes},
};

fn fail(bed: &Bed, command: &str, mode: &str) {
    python(
        bed,
        &format!("fail(mode={mode}, failCommands=['{command}'], errorCode=8)"),
    );
}

fn mend(bed: &Bed) {
    fail(bed, "ping", "'off'");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_the_server_makes_fail_changes_nothing() {
    let bed = start(&[], &[]);
    python(&bed, SEED);
    let site = site(&bed, &[("database", "shop")], None).await;
    let backup = back_up(&site).await.unwrap();
    let original = digest(&bed);
    python(&bed, CHANGE);
    let changed = digest(&bed);

    // The third rename is in the middle of setting aside; the commands `create` are those of the load, of
    // the view that goes, and of the mark.
    let mut failed = 0;
    for (command, mode) in [
        ("insert", "SON(skip=1, times=1)"),
        ("createIndexes", "SON(times=1)"),
        ("create", "SON(times=1)"),
        ("aggregate", "SON(skip=1, times=1)"),
        ("renameCollection", "SON(times=1)"),
        ("renameCollection", "SON(skip=1, times=1)"),
        ("create", "SON(skip=3, times=1)"),
        ("create", "SON(skip=4, times=1)"),
    ] {
        fail(&bed, command, mode);
        let result = backup.restore(&site, &Notes::default()).await;
        mend(&bed);
        let error = result.expect_err(command);
        let told = matches!(&error, StrategyError::Tool { message, .. } if message.contains("ailing command"));
        assert!(told, "{command} {mode}: {error:?}");
        assert_eq!(digest(&bed), changed, "{command} {mode}");
        assert_eq!(leftovers(&bed), Vec::<String>::new(), "{command} {mode}");
        failed += 1;
    }

    // After the mark there is only one way: on.
    fail(&bed, "renameCollection", "SON(skip=3, times=1)");
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    mend(&bed);
    assert_eq!(digest(&bed), original, "a restore that was settled forward");
    let kept = restored.kept.unwrap();

    // The undo, the same.
    fail(&bed, "renameCollection", "SON(skip=1, times=1)");
    mongo()
        .undo(&site, &kept, &Notes::default())
        .await
        .unwrap_err();
    mend(&bed);
    assert_eq!(digest(&bed), original, "an undo that failed");
    fail(&bed, "renameCollection", "SON(skip=3, times=1)");
    let undone = mongo().undo(&site, &kept, &Notes::default()).await.unwrap();
    mend(&bed);
    assert_eq!(digest(&bed), changed, "an undo that was settled forward");
    mongo().forget(&site, &undone).await.unwrap();
    assert_eq!(leftovers(&bed), Vec::<String>::new());

    half_gone(&bed, &backup, &changed).await;
    println!(
        "figure: mongo: {failed} commands refused during a restore, the original intact each time"
    );
}

/// Somebody dropped some of what was set aside: half an undo would lose the rest.
async fn half_gone(bed: &Bed, backup: &Backup, changed: &str) {
    let site = site(bed, &[("database", "shop")], None).await;
    let kept = backup
        .restore(&site, &Notes::default())
        .await
        .unwrap()
        .kept
        .unwrap();
    let original = digest(bed);
    assert_ne!(original, changed);
    python(
        bed,
        "names = [c['name'] for c in client.collections('shop') if c['name'].endswith('.later')]
client.run('shop', SON(drop=names[0]))",
    );
    let notes = Notes::default();
    let error = mongo().undo(&site, &kept, &notes).await.unwrap_err();
    assert!(error.to_string().contains("2 of 3 collections"), "{error}");
    assert_eq!(
        mongo().settle(&site, &notes.steps()).await.unwrap(),
        Settled::AsBefore
    );
    assert_eq!(digest(bed), original, "an undo of what is half gone");
    mongo().forget(&site, &kept).await.unwrap();
    assert_eq!(leftovers(bed), Vec::<String>::new());
}

/// The app does not stop for a restore. What it writes into a collection that is away for a moment
/// must not be in the way.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_writes_all_the_time_is_not_in_the_way() {
    let bed = start(&[], &[]);
    python(&bed, SEED);
    let site = site(&bed, &[("database", "shop")], None).await;
    let backup = back_up(&site).await.unwrap();
    let writer = "number = 10**6
import time
end = time.monotonic() + 600
while time.monotonic() < end and not os.path.exists('/tmp/enough'):
    number += 1
    for name in ('things', 'empty'):
        client.insert('shop', name, [SON(_id=number, stock=bson.Int64(number))])";
    let container = Bed {
        name: bed.name.clone(),
    };
    let app = std::thread::spawn(move || {
        let container = std::mem::ManuallyDrop::new(container);
        python(&container, writer);
    });
    let mut times = 0;
    for _ in 0..3 {
        let restored = backup.restore(&site, &Notes::default()).await.unwrap();
        let kept = mongo()
            .undo(&site, &restored.kept.unwrap(), &Notes::default())
            .await
            .unwrap();
        mongo().forget(&site, &kept).await.unwrap();
        times += 2;
    }
    bed.sh("touch /tmp/enough");
    app.join().unwrap();
    assert_eq!(leftovers(&bed), Vec::<String>::new());
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_eq!(restored.fingerprint, backup.fingerprint);
    println!("figure: mongo: {times} exchanges under an app that writes without a pause");
}
