//! Back up, destroy, restore: the same content. And over live, changed content, with an undo.

use std::time::Instant;

use super::{Kind, Scene};

pub async fn round_trip<K: Kind>() {
    let Scene {
        house, bed, config, ..
    } = Scene::<K>::set("trip").await;
    let original = K::digest(&bed);
    let started = Instant::now();
    let run = house.back_up(config).await;
    let took = started.elapsed();
    assert_eq!(run.status, "success", "{run:?}");
    assert_eq!(K::digest(&bed), original, "a backup changed something");
    let fingerprint = run.fingerprint().unwrap();
    assert!(fingerprint.total() > 0, "{fingerprint:?}");

    K::destroy(&bed);
    assert_ne!(K::digest(&bed), original);
    let started = Instant::now();
    let restore = house.restore(run.run_id()).await;
    let restored_in = started.elapsed();
    assert_eq!(restore.status, "success", "{restore:?}");
    assert_eq!(K::digest(&bed), original, "over nothing");

    K::change(&bed);
    let changed = K::digest(&bed);
    assert_ne!(changed, original);
    let restore = house.restore(run.run_id()).await;
    assert_eq!(restore.status, "success", "{restore:?}");
    assert_eq!(K::digest(&bed), original, "over live, changed content");

    let id = restore.restore_id();
    let undo = house.holdfast.undo_restore(&house.caller, id).await;
    undo.unwrap();
    let undone = house.restore_over(id).await;
    assert_eq!(undone.status, "undone", "{undone:?}");
    assert_eq!(K::digest(&bed), changed, "an undo");

    let restore = house.restore(run.run_id()).await;
    assert_eq!(restore.status, "success", "{restore:?}");
    assert_eq!(K::digest(&bed), original, "after an undo");

    // What was restored can be backed up, and is the same again.
    let again = house.back_up(config).await;
    assert_eq!(again.status, "success", "{again:?}");
    assert_eq!(again.fingerprint().unwrap(), fingerprint);
    println!(
        "figure: {}: {} {}, {} kB backed up in {:.1} s, restored in {:.1} s, digests equal",
        K::NAME,
        fingerprint.total(),
        fingerprint.unit,
        run.raw_bytes.unwrap_or_default() / 1000,
        took.as_secs_f64(),
        restored_in.as_secs_f64(),
    );
    house.close().await;
}
