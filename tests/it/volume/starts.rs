//! Services that do not start with what lies in their place.

use crate::{
    bed::{BUSYBOX, Bed},
    house::House,
};

/// It ends, with the restored files still in use, and the service is free for what is asked of it next.
#[tokio::test(flavor = "multi_thread")]
async fn an_undo_to_files_that_do_not_let_the_service_start_is_taken_back() {
    let project = format!("starts-{}", std::process::id());
    let bed = Bed::service(BUSYBOX, &project, &["-v", "/data"], &["sleep", "3600"]);
    bed.sh("echo good > /data/config");
    let house = House::new().await;
    house.app("shop", &project).await;
    let files = |input: &mut holdfast::app::ConfigInput| {
        input.strategy = Some("volume".to_owned());
        input.paths = Some(vec!["/data".to_owned()]);
    };
    let config = house.config("shop", files).await;
    let run = house.back_up(config).await.run_id();
    bed.sh("echo broken > /data/config");
    let restore = house.restore(run).await;
    assert_eq!(restore.status, "success", "{restore:?}");

    // With the files from before, and once more with those of now.
    house
        .faults
        .starts
        .store(2, std::sync::atomic::Ordering::SeqCst);
    let id = restore.restore_id();
    house
        .holdfast
        .undo_restore(&house.caller, id)
        .await
        .unwrap();
    let undo = house.restore_over(id).await;
    assert_eq!(undo.status, "success", "{undo:?}");
    assert!(undo.kept.is_some(), "{undo:?}");
    assert_eq!(bed.sh("cat /data/config"), "good");
    let again = house.restore(run).await;
    assert_eq!(again.status, "success", "{again:?}");
    house.close().await;
}
