//! A database in WAL mode with a writer on it, with and without `sqlite3` in the image.

use super::{paths, site_with_tool, sqlite};
use crate::{
    bed::{Bed, LABEL, SCRATCH_APP, SQLITE_APP, docker, until},
    workbench::{self, Notes, Trouble},
};

/// Asks the database of a container that may have no `sqlite3`; 0 while it cannot be asked.
fn ask(bed: &Bed, query: &str) -> u64 {
    let run = [
        "run",
        "--rm",
        "--label",
        LABEL,
        "--network",
        "none",
        "--volumes-from",
        &bed.name,
    ];
    let script =
        "[ -s /data/app.db ] && sqlite3 -cmd '.timeout 10000' /data/app.db \"$1\" || echo 0";
    let ask = [SQLITE_APP, "sh", "-c", script, "sh", query];
    docker(&[&run[..], &ask].concat()).parse().unwrap()
}

const ROWS: &str = "SELECT count(*) FROM t";

/// What was not there at the backup. No number of rows tells: the writer goes on meanwhile.
const MARK: &str = "CREATE TABLE later(i); SELECT 1";
const MARKS: &str = "SELECT count(*) FROM sqlite_schema WHERE name = 'later'";

/// Each row has the next id: a copy in between would have a hole, or an index without its row.
const WHOLE: &str = "SELECT count(*) = max(id) AND (SELECT integrity_check FROM pragma_integrity_check) = 'ok' FROM t";

async fn under_a_writer(image: &str) {
    let bed = Bed::run(image, &["-e", "ROWS=20000"], &[]);
    until("the database is filled", || ask(&bed, ROWS) > 20_000).await;
    let site = site_with_tool(&bed, paths(&["/data/app.db"])).await;
    let before = ask(&bed, ROWS);
    let backup = workbench::back_up(sqlite(), &site).await.unwrap();
    let after = ask(&bed, ROWS);
    assert!(after > before, "the writer went on");
    assert_eq!(backup.bytes.len() as u64, backup.fingerprint.total() * 4096);

    until("the writer goes on", || ask(&bed, ROWS) > after + 3).await;
    assert_eq!(ask(&bed, MARK), 1);
    let now = ask(&bed, ROWS);
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_eq!(ask(&bed, WHOLE), 1, "a copy in between");
    let rows = ask(&bed, ROWS);
    assert!(rows >= before, "{before} {rows}");
    assert_eq!(ask(&bed, MARKS), 0, "what came after the backup is gone");
    // It writes on, into the restored one.
    until("it writes on", || ask(&bed, ROWS) > rows + 1).await;

    let kept = sqlite()
        .undo(&site, &restored.kept.unwrap(), &Notes::default())
        .await
        .unwrap();
    assert!(
        ask(&bed, ROWS) >= now,
        "an undo brings back what was written since the backup"
    );
    assert_eq!(ask(&bed, MARKS), 1, "and what was made since");
    assert_eq!(ask(&bed, WHOLE), 1);
    sqlite().forget(&site, &kept).await.unwrap();
    println!(
        "figure: sqlite: {image}: {before} to {after} rows under a writer, whole, restored and undone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_images_own_sqlite3() {
    under_a_writer(SQLITE_APP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_that_of_the_helper_image() {
    under_a_writer(SCRATCH_APP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_it_is_refused_with_what_to_do() {
    let bed = Bed::run(SCRATCH_APP, &[], &[]);
    let site = workbench::site(&bed, paths(&["/data/app.db"])).await;
    let Err(Trouble::Strategy(error)) = workbench::back_up(sqlite(), &site).await else {
        panic!("green without sqlite3");
    };
    let failure = holdfast::domain::failure::Failure::from(error);
    assert!(
        failure.message.contains("sqlite3") && failure.hint.contains("--helper-image"),
        "{failure:?}"
    );
}
