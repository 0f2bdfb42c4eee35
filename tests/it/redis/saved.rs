//! A save that is told to be on the disk is there, whatever happens next.

use holdfast::strategy::save_redis;

use super::place::{Place, REDIS_7};
use crate::bed::docker;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_survives_a_kill() {
    // No other way to the disk than ours, and one that is slow enough to be met at work.
    let server = ["--save", "", "--rdb-key-save-delay", "400"];
    let place = Place::start(REDIS_7, &[], &server);
    place.fill(1000);
    let site = place.site().await;
    for round in 0..3 {
        place.cli(&["BGSAVE"]);
        // After that one has begun.
        place.cli(&["SET", "late", &round.to_string()]);
        save_redis(&site).await.unwrap();
        docker(&["kill", &place.bed.name]);
        place.bed.start_again();
        place.ready();
        assert_eq!(place.cli(&["GET", "late"]), round.to_string());
    }
    place.bed.sh("chown root /data && chmod 755 /data");
    let error = save_redis(&site).await.unwrap_err();
    assert!(error.to_string().contains("could not save"), "{error}");
    place.bed.sh("chown redis /data");
    save_redis(&site).await.unwrap();
}
