//! What was there comes back, and nothing else, over live, changed data, on each vendor and version;
//! and an undo brings back what was there before.

use std::time::Instant;

use super::place::{
    MARIADB, MARIADB_NAMES, MARIADB_NEW, MYSQL, MYSQL_NAMES, Place, assert_same, leftovers, mysql,
};
use crate::workbench::Notes;

/// Changes a little of everything that a restore has to bring back.
const DAMAGE: &str = "
USE shop;
SET foreign_key_checks = 0;
DELETE FROM events WHERE id % 3 = 0;
UPDATE texts SET body = 'overwritten';
ALTER TABLE made DROP COLUMN doc, ADD COLUMN later INT;
CREATE TABLE added_later AS SELECT * FROM digits;
CREATE TABLE `odd ``name.1; $(id) --`.added_later (x INT);
DROP TABLE zeros;
CREATE VIEW zeros AS SELECT 1 AS id;
DROP VIEW a_seen;
CREATE TABLE a_seen (x INT);
DROP TRIGGER first;
CREATE TRIGGER newer AFTER INSERT ON children FOR EACH ROW SET @later = 1;
DROP PROCEDURE `odd ``proc`;
CREATE PROCEDURE later() SELECT 1;
DROP EVENT nightly;
CREATE EVENT later ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1;
ALTER DATABASE shop CHARACTER SET latin1;
DROP DATABASE `Empty`;
";

async fn everything_comes_back(image: &str) {
    let place = Place::start_image(image, &[]);
    place.sql(include_str!("sample.sql"));
    // What is kept has the size that the server estimates, and by itself it does so some 10 s later.
    place.sql("ANALYZE TABLE shop.events");
    let original = place.digest();

    let started = Instant::now();
    let backup = place.back_up().await;
    let backed_up = started.elapsed();
    assert_same(&place.digest(), &original, "after a backup");
    let rows = place.sql("SELECT COUNT(*) FROM shop.events");
    assert_eq!(backup.fingerprint.counts["shop.events"].to_string(), rows);
    assert!(backup.fingerprint.total() > 50_000);
    let warnings = &backup.dumped.warnings;
    assert!(
        warnings.len() == 1 && warnings[0].contains("shop.flat (MyISAM)"),
        "{warnings:?}"
    );

    place.sql(DAMAGE);
    let damaged = place.digest();
    assert!(damaged != original);
    let site = place.site().await;
    let notes = Notes::default();
    let started = Instant::now();
    let restored = backup.restore(&site, &notes).await.unwrap();
    let took = started.elapsed();
    assert_same(&place.digest(), &original, "after the restore");
    assert_eq!(restored.fingerprint, backup.fingerprint);
    assert_eq!(restored.warnings, Vec::<String>::new());
    assert_eq!(notes.names(), ["load", "check", "note", "swap", "done"]);
    let touching: Vec<bool> = notes.steps().iter().map(|step| step.touches).collect();
    assert_eq!(touching, [false, false, false, true, true]);
    // What is ours is no app's: the next backup is the same.
    assert_eq!(place.back_up().await.fingerprint, backup.fingerprint);
    let kept = restored.kept.unwrap();
    assert!(kept.size.unwrap() > 1_000_000);

    let undone = mysql().undo(&site, &kept, &Notes::default()).await.unwrap();
    assert_same(&place.digest(), &damaged, "after the undo");
    let again = mysql().undo(&site, &kept, &Notes::default()).await.unwrap();
    assert_eq!(again.data, undone.data, "an undo asked for again");
    let redone = mysql()
        .undo(&site, &undone, &Notes::default())
        .await
        .unwrap();
    assert_same(&place.digest(), &original, "after the undo of the undo");
    mysql().forget(&site, &redone).await.unwrap();
    mysql().forget(&site, &redone).await.unwrap();
    assert_eq!(leftovers(&place.bed), Vec::<String>::new());
    println!(
        "figure: mysql: {}: {} rows, {} MB dumped in {:.2} s, restored in {:.2} s",
        backup.probe.server,
        backup.fingerprint.total(),
        backup.bytes.len() / 1_000_000,
        backed_up.as_secs_f64(),
        took.as_secs_f64(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_on_mariadb_10_11() {
    everything_comes_back(MARIADB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_where_no_tool_is_called_mysql() {
    everything_comes_back(MARIADB_NAMES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_where_all_tools_are_called_mysql() {
    everything_comes_back(MYSQL_NAMES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_on_the_newest() {
    everything_comes_back(MARIADB_NEW).await;
    // Its image takes minutes to build: whoever builds it tests it.
    if std::env::var_os("HOLDFAST_TEST_MYSQL9").is_some() {
        everything_comes_back(MYSQL).await;
    }
}
