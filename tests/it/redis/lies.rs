//! What cannot be restored is refused before anything is touched; what goes wrong later is taken back.

use holdfast::strategy::{Settled, StrategyError};

use super::place::{Place, REDIS_7, REDIS_8, VALKEY, redis};
use crate::{
    bed::docker,
    workbench::{Backup, Notes, back_up},
};

/// A restore that is refused, with this in its message or hint; then everything is as before.
async fn refused(place: &Place, backup: &Backup, words: &str) -> StrategyError {
    let before = place.digest();
    let notes = Notes::default();
    let error = backup
        .restore(&place.site().await, &notes)
        .await
        .expect_err(words);
    let failure: holdfast::domain::failure::Failure = match &error {
        StrategyError::Tool { message, hint, .. } => {
            holdfast::domain::failure::Failure::permanent(message.clone(), hint.clone())
        }
        other => panic!("{words}: {other:?}"),
    };
    let said = format!("{} {}", failure.message, failure.hint);
    assert!(said.contains(words), "{said}");
    assert!(!failure.hint.is_empty(), "{said}");
    assert_eq!(place.digest(), before, "{words}");
    assert_eq!(place.leftovers(), Vec::<String>::new(), "{words}");
    println!("refused: {said}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_is_refused_before_anything_is_touched() {
    let place = Place::start(REDIS_7, &[], &["--enable-protected-configs", "yes"]);
    place.fill(1000);
    let backup = back_up(redis(), &place.site().await).await.unwrap();
    let newer = Place::start(REDIS_8, &[], &["--databases", "200"]);
    newer.fill(1000);
    let from_newer = back_up(redis(), &newer.site().await).await.unwrap();

    refused(&place, &from_newer, "made by a newer server").await;
    // The same from a server with more databases, of a kind that is not newer.
    let many = Place::start(VALKEY, &[], &["--databases", "200"]);
    many.cli(&["-n", "150", "SET", "far", "out"]);
    let from_many = back_up(redis(), &many.site().await).await.unwrap();
    let few = Place::start(VALKEY, &[], &[]);
    few.fill(1000);
    refused(&few, &from_many, "Raise `databases`").await;

    few.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    refused(&few, &backup, "is a replica").await;
    few.cli(&["REPLICAOF", "NO", "ONE"]);

    // It fails to save: what is in its memory would be lost.
    place.bed.sh("chown root /data && chmod 755 /data");
    refused(&place, &backup, "could not save its data").await;
    place.bed.sh("chown redis /data");

    let own_layer = Place::start(REDIS_7, &[], &["--dir", "/tmp"]);
    own_layer.fill(1000);
    refused(&own_layer, &backup, "not on a volume").await;
    let warned = back_up(redis(), &own_layer.site().await).await.unwrap();
    assert!(
        warned.dumped.warnings[0].contains("would be refused"),
        "{warned:?}"
    );

    let no_config = Place::start(REDIS_7, &[], &["--rename-command", "CONFIG", ""]);
    no_config.fill(1000);
    refused(&no_config, &backup, "unknown command 'CONFIG'").await;
    back_up(redis(), &no_config.site().await).await.unwrap();

    let small = "type=volume,dst=/data,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=12m";
    let small = Place::start(REDIS_7, &["--mount", small], &[]);
    small.fill(1000);
    refused(&small, &backup, "MiB on the disk").await;

    let cluster = Place::start(REDIS_7, &[], &["--cluster-enabled", "yes"]);
    let error = redis().probe(&cluster.site().await).await.unwrap_err();
    assert!(error.to_string().contains("node of a cluster"), "{error}");
    let mut sink = crate::workbench::Heap::default();
    assert!(
        redis()
            .backup(&cluster.site().await, &mut sink)
            .await
            .is_err()
    );
}

/// Settings that will not be the same after a start: what comes up is not what was restored.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_starts_from_something_else_is_put_back() {
    let place = Place::start(REDIS_7, &[], &["--enable-protected-configs", "yes"]);
    place.fill(1000);
    let backup = back_up(redis(), &place.site().await).await.unwrap();
    place.change();
    place.cli(&["SAVE"]);
    place.cli(&["CONFIG", "SET", "dbfilename", "other.rdb"]);
    let before = place.digest();
    let error = backup
        .restore(&place.site().await, &Notes::default())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("when it started, instead of 1000"),
        "{error}"
    );
    assert_eq!(place.digest(), before);
    assert_eq!(place.leftovers(), ["other.rdb"]);

    // A log that is only switched off for now is replaced with the rest.
    let place = Place::start(REDIS_7, &[], &["--appendonly", "yes"]);
    place.fill(1000);
    let original = place.digest();
    let backup = back_up(redis(), &place.site().await).await.unwrap();
    place.change();
    place.cli(&["CONFIG", "SET", "appendonly", "no"]);
    let restored = backup
        .restore(&place.site().await, &Notes::default())
        .await
        .unwrap();
    assert_eq!(place.digest(), original);
    // It starts with the log again: the data that were kept are no use to it.
    let kept = restored.kept.unwrap();
    let error = redis()
        .undo(&place.site().await, &kept, &Notes::default())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("keeps its data elsewhere now"),
        "{error}"
    );
    assert_eq!(place.digest(), original);
    redis().forget(&place.site().await, &kept).await.unwrap();
}

/// On the worst day it does not even start.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_start_is_restored() {
    for server in [&[][..], &["--appendonly", "yes"]] {
        let place = Place::start(REDIS_7, &[], server);
        place.fill(1000);
        let original = place.digest();
        let backup = back_up(redis(), &place.site().await).await.unwrap();
        docker(&["stop", &place.bed.name]);
        let damage = "for f in /data/dump.rdb /data/appendonlydir/*.rdb; do if [ -e $f ]; then echo REDISjunk > $f; fi; done";
        let on_volume = [
            "run",
            "--rm",
            "--volumes-from",
            &place.bed.name,
            "--entrypoint",
            "sh",
            REDIS_7,
            "-c",
            damage,
        ];
        docker(&on_volume);
        docker(&["start", &place.bed.name]);
        docker(&["wait", &place.bed.name]);
        let restored = backup
            .restore(&place.site().await, &Notes::default())
            .await
            .unwrap();
        assert_eq!(place.digest(), original, "{server:?}");
        let again = redis().settle(&place.site().await, &[]).await.unwrap();
        assert_eq!(again, Settled::AsBefore);
        redis()
            .forget(&place.site().await, &restored.kept.unwrap())
            .await
            .unwrap();
        assert_eq!(place.leftovers(), Vec::<String>::new());
    }
}

/// Keys that have outlived their time are not missed.
#[tokio::test(flavor = "multi_thread")]
async fn keys_may_outlive_their_time_on_the_way() {
    for server in [&[][..], &["--appendonly", "yes"]] {
        let place = Place::start(REDIS_7, &[], server);
        // The server does not look for them by itself.
        place.cli(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
        let fill = "for i = 1, 500 do redis.call('set', 'k' .. i, i) end \
            for i = 1, 30 do redis.call('set', 'mortal' .. i, i, 'px', 1) end";
        place.cli(&["EVAL", fill, "0"]);
        let backup = back_up(redis(), &place.site().await).await.unwrap();
        assert_eq!(backup.fingerprint.total(), 530);
        place.cli(&["FLUSHALL"]);
        let restored = backup
            .restore(&place.site().await, &Notes::default())
            .await
            .unwrap();
        assert_eq!(place.cli(&["DBSIZE"]), "500");
        assert_eq!(restored.fingerprint.total(), 500);
        let warning = &restored.warnings[0];
        assert!(warning.ends_with(": 30"), "{warning}");
    }
}
