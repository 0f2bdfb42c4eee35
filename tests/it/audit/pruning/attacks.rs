//! What somebody does to a pruned log who can write its database and knows the recipes, but has not the server's
//! key: all of it is found against a checkpoint that was kept before the pruning, or the public key.

use std::{path::Path, sync::Arc};

use chrono::{TimeDelta, Utc};
use holdfast::{
    domain::audit::{AuditEvent, Pruning},
    log::{
        Cause, Log, LogKey, Proven, Stretch,
        offline::{self, Known},
        open_sqlite,
    },
    readmodel,
};
use sea_orm::{ConnectionTrait, Database};

use super::years::{Years, is_emptied};
use crate::bucket::Bucket;

const UNLOCK: &str = "DROP TRIGGER events_no_update; DROP TRIGGER events_no_delete;";

async fn edited(copy: &Path, sql: &str) {
    let db = Database::connect(format!("sqlite://{}", copy.display()));
    let db = db.await.unwrap();
    db.execute_unprepared(&format!("{UNLOCK} {sql}"))
        .await
        .unwrap();
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_12_what_was_done_to_a_pruned_log_is_found() {
    let bucket = Bucket::serve();
    let years = Years::stored_in(&bucket).await;
    years.fill(2_300).await;
    years.ship().await;
    let kept = years.checkpoint().await;
    years.advance(TimeDelta::days(400));
    years.prune(365, false).await;
    years.fill(3).await;
    let known = Known::new(Some(kept.clone()), None).unwrap();
    let by_key = Known::new(None, Some(kept.public_key)).unwrap();
    let unedited = years.copy().await;
    for known in [&known, &by_key, &Known::default()] {
        let good = offline::database(&unedited, known).await.unwrap();
        assert_eq!(good.findings, vec![]);
    }

    let rows = years.rows().await;
    let of = |wanted: &dyn Fn(&super::years::Row) -> bool| {
        rows.iter().find(|row| wanted(row)).unwrap().position
    };
    let pruned = of(&|row| is_emptied(row) && row.position > 500);
    let next = of(&|row| is_emptied(row) && row.position > pruned);
    let whole = of(&|row| !is_emptied(row) && row.name == "audit.stray_deleted");
    let later = of(&|row| row.position > 2_000 && row.name == "audit.logged_in");
    let told = of(&|row| row.name == "log.pruned");
    let set = |what: &str| format!("UPDATE events SET {what} WHERE position = {pruned}");
    let tell = |what: &str| format!("UPDATE events SET data = {what} WHERE position = {told}");
    let attacks = [
        set("at = at + 1"),
        set("name = 'audit.exported'"),
        set("name = 'audit.recovered'"),
        set("actor = '{\"kind\":\"user\",\"id\":2,\"name\":\"\"}'"),
        set("actor = '{\"kind\":\"user\",\"name\":\"\"}'"),
        set("correlation = 'x'"),
        set("causation = 3"),
        set("app_id = 3"),
        set("config_id = 3"),
        set("version = version + 9000"),
        set("schema = 7"),
        set("stream_kind = 'run', version = 1"),
        set("hash = zeroblob(32)"),
        set("prev_hash = zeroblob(32)"),
        set("data = '{\"user\":7}'"),
        set("data = '{}'"),
        set("data = 'null'"),
        format!("DELETE FROM events WHERE position = {pruned}"),
        format!("DELETE FROM events WHERE position <= {pruned}"),
        format!("DELETE FROM events WHERE position > {pruned}"),
        format!("DELETE FROM events WHERE position >= {told}"),
        format!("DELETE FROM events WHERE position = {told}"),
        format!(
            "INSERT INTO events SELECT 100000, stream_kind, stream_id, 100000, name, schema, data, actor, \
             correlation, causation, app_id, config_id, at, prev_hash, hash FROM events WHERE position = {pruned}"
        ),
        format!(
            "UPDATE events SET position = CASE position WHEN {pruned} THEN -{next} ELSE -{pruned} END WHERE \
             position IN ({pruned}, {next}); UPDATE events SET position = -position WHERE position < 0"
        ),
        // One that nothing says was pruned.
        format!("UPDATE events SET data = '' WHERE position = {whole}"),
        format!("UPDATE events SET data = '' WHERE position = {later}"),
        "UPDATE events SET data = '' WHERE position = 1".to_owned(),
        // Of the event that says so.
        tell("''"),
        tell("replace(data, '\"events\":', '\"events\":1')"),
        tell("replace(data, '\"first\":1', '\"first\":2')"),
        tell("replace(data, 'audit.logged_in', 'audit.stray_deleted')"),
        tell("replace(data, '\"skeletons\":\"', '\"skeletons\":\"0')"),
        tell("replace(data, '.jsonl.gz', '.jsonl.xz')"),
    ];
    let mut found = 0;
    for sql in &attacks {
        let copy = years.copy().await;
        edited(&copy, sql).await;
        let checked = offline::database(&copy, &known).await.unwrap();
        assert!(!checked.holds(), "not found: {sql}");
        found += 1;
    }

    // Done well: a pruning of their own, in the chain, its digest right.
    for forge in [forged_with_a_key, forged_with_a_copy] {
        let copy = years.copy().await;
        forge(&copy).await;
        for known in [&known, &by_key] {
            let checked = offline::database(&copy, known).await.unwrap();
            assert!(!checked.holds(), "a pruning by another was not found");
        }
        found += 1;
    }
    println!("figure: audit: a pruned log altered in {found} ways, found {found}, false alarms 0");

    // The database itself lets nothing pass but what pruning does.
    for sql in [
        set("data = '{}'"),
        format!("UPDATE events SET data = '' WHERE position = {told}"),
        format!("UPDATE events SET data = '', at = 1 WHERE position = {later}"),
        "UPDATE events SET data = '' WHERE position = 1".to_owned(),
    ] {
        let refused = years.holdfast.log().db().execute_unprepared(&sql).await;
        assert!(refused.is_err(), "{sql}");
    }
}

type Forging = std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// Events 2,001 to 2,200, as if a segment held them; signed by the forger.
fn forged_with_a_key(copy: &Path) -> Forging {
    let copy = copy.to_owned();
    Box::pin(async move {
        let log = log_of(&copy).await;
        let forger = LogKey::from_seed(&[9; 32]).unwrap();
        let proven = Proven {
            stretch: Stretch {
                first: 2_001,
                last: 2_200,
                events: 1,
            },
            place: "S3 bucket backups".into(),
            key: "holdfast-log/x".into(),
            sha256: "00".repeat(32),
        };
        let cause = Cause::system("audit-detail");
        let pruned = log.prune(cause, forger, Utc::now(), vec![proven]).await;
        assert!(pruned.unwrap() > 100);
        let alone = log.verify(|_| {}).await.unwrap();
        assert_eq!(alone.findings, vec![], "without a key nobody can tell");
    })
}

/// The server's own words and signature, about other events.
fn forged_with_a_copy(copy: &Path) -> Forging {
    let copy = copy.to_owned();
    Box::pin(async move {
        let log = log_of(&copy).await;
        let (_, genuine) = log.prunings().await.unwrap().remove(0);
        let mut piece = genuine.pieces[0].clone();
        (piece.first, piece.last) = (2_001, 2_200);
        let forged = Pruning {
            pieces: vec![piece],
            ..genuine
        };
        log.db()
            .execute_unprepared(
                "UPDATE events SET data = '' WHERE position = (SELECT min(position) FROM events WHERE \
                 position > 2000 AND name = 'audit.logged_in')",
            )
            .await
            .unwrap();
        let event = AuditEvent::LogPruned(forged);
        let noted = log.write(Cause::system("audit-detail"), |unit| {
            Box::pin(async move {
                unit.note(event, holdfast::domain::event::Scope::default())
                    .await
            })
        });
        noted.await.unwrap();
    })
}

async fn log_of(copy: &Path) -> Log {
    let db = open_sqlite(copy).await.unwrap();
    Log::open(db, readmodel::all(), Arc::new(Utc::now))
        .await
        .unwrap()
}
