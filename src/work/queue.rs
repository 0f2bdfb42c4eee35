//! apalis' table, in the log's own database file. Jobs are inserted inside the log's transaction,
//! which apalis itself offers no way to; so the column list is tied to the pinned version.
//!
//! The table is no truth: every start empties it and fills it again from what the log says is
//! unfinished. Task ids are made from the job's key, so the same wish is the same row.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use apalis_sqlite::SqliteStorage;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use ulid::Ulid;

use super::{
    flow::{self, Order},
    job::QUEUES,
};
use crate::{
    log::{Cause, Log, LogError},
    readmodel::{overview, restores, runs},
};

/// A handler tells by its own state whether a job is still due; the queue never gives one up.
const MAX_ATTEMPTS: i32 = 1_000_000;

/// Wakes the workers of a queue; rung after the commit that filled it.
#[derive(Clone)]
pub struct Bells(Arc<HashMap<&'static str, Arc<Notify>>>);

impl Default for Bells {
    fn default() -> Self {
        let bells = QUEUES.iter().map(|queue| (queue.name, Arc::default()));
        Self(Arc::new(bells.collect()))
    }
}

impl Bells {
    pub fn of(&self, queue: &str) -> Arc<Notify> {
        self.0.get(queue).cloned().unwrap_or_default()
    }

    pub fn ring(&self) {
        for bell in self.0.values() {
            bell.notify_one();
        }
    }
}

/// Creates apalis' tables. Not by its own `setup`, which would set `synchronous=OFF` on one pooled
/// connection and so cost the log its durability.
pub async fn prepare(log: &Log) -> Result<(), LogError> {
    let mut migrations = SqliteStorage::<()>::migrations();
    migrations.set_ignore_missing(true);
    migrations
        .run(log.db().get_sqlite_connection_pool())
        .await
        .map_err(|error| LogError::Database(DbErr::Custom(error.to_string())))
}

/// Empties the queue and enqueues what is unfinished. Called before any worker runs.
pub async fn refill(log: &Log) -> Result<(), LogError> {
    log.write(Cause::system("queue"), |unit| {
        Box::pin(async move {
            let tx = unit.tx();
            tx.execute_unprepared("DELETE FROM Jobs").await?;
            tx.execute_unprepared("DELETE FROM Workers").await?;
            let mut orders = Vec::new();
            let runs_left = runs::unfinished(tx).await?;
            orders.extend(runs_left.iter().map(flow::resume_run));
            let mut restores_left = restores::unfinished(tx).await?;
            restores_left.retain(|it| runs_left.iter().all(|run| it.safety_run_id != Some(run.id)));
            orders.extend(restores_left.iter().map(flow::resume_restore));
            orders.extend(restores::with_kept(tx).await?.iter().map(flow::forget));
            orders.extend(runs::verifying(tx).await?.iter().map(flow::verify));
            orders.extend(runs::to_copy(tx).await?.iter().flat_map(flow::copies));
            orders.extend(runs::to_prune(tx).await?.iter().map(flow::prune));
            let left = runs::with_leftovers(tx).await?;
            orders.extend(left.iter().map(flow::remove_leftovers));
            let newest = overview::newest_successes(tx).await?;
            orders.extend(newest.iter().map(flow::retain));
            for order in orders {
                enqueue(tx, &order).await?;
            }
            Ok(())
        })
    })
    .await
}

/// Inserts a job; one with the same key is left as it is.
pub async fn enqueue(tx: &DatabaseTransaction, order: &Order) -> Result<(), DbErr> {
    let key = order.job.key();
    let args = serde_json::to_vec(&order.job).map_err(|e| DbErr::Custom(e.to_string()))?;
    let values = [
        task_id(&key).to_string().into(),
        order.job.queue().name.into(),
        args.into(),
        MAX_ATTEMPTS.into(),
        run_at(order.not_before).into(),
        key.into(),
    ];
    let insert = "INSERT INTO Jobs(id, job_type, job, status, attempts, max_attempts, run_at, \
                  priority, metadata, idempotency_key) \
                  VALUES (?, ?, ?, 'Pending', 0, ?, ?, 0, '{}', ?) ON CONFLICT DO NOTHING";
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), insert, values);
    tx.execute_raw(statement).await.map(|_| ())
}

/// Removes jobs that were done a day ago and longer: they are only marked, and would be there until the next
/// start. Answers how many it were.
pub async fn sweep(log: &Log) -> Result<u64, LogError> {
    log.write(Cause::system("queue"), |unit| {
        Box::pin(async move {
            let old = "DELETE FROM Jobs WHERE status = 'Done' AND done_at < unixepoch() - 86400";
            Ok(unit.tx().execute_unprepared(old).await?.rows_affected())
        })
    })
    .await
}

/// Jobs that are due and that no worker has taken, by queue.
pub async fn waiting(log: &Log) -> Result<BTreeMap<&'static str, i64>, DbErr> {
    let count = "SELECT job_type, COUNT(*) AS jobs FROM Jobs \
                 WHERE status IN ('Pending', 'Failed') AND run_at <= unixepoch() GROUP BY job_type";
    let db = log.db();
    let statement = Statement::from_string(db.get_database_backend(), count);
    let mut waiting: BTreeMap<_, _> = QUEUES.iter().map(|queue| (queue.name, 0)).collect();
    for row in db.query_all_raw(statement).await? {
        let (queue, jobs): (String, i64) = (row.try_get("", "job_type")?, row.try_get("", "jobs")?);
        if let Some(known) = waiting.get_mut(queue.as_str()) {
            *known = jobs;
        }
    }
    Ok(waiting)
}

/// Any id that is no ULID would end every worker of the queue at each fetch.
fn task_id(key: &str) -> Ulid {
    let digest = Sha256::digest(key.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Ulid::from_bytes(bytes)
}

/// The queue counts in whole seconds and rounds down: one more, so that nothing starts early.
fn run_at(not_before: Option<DateTime<Utc>>) -> i64 {
    not_before.map_or(0, |time| time.timestamp() + 1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::Utc;

    use super::*;
    use crate::{domain::ids::RunId, log, readmodel, work::job::Job};

    #[tokio::test]
    async fn what_was_done_a_day_ago_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let db = log::open_sqlite(&folder.path().join("holdfast.db"))
            .await
            .unwrap();
        let log = Log::open(db, readmodel::all(), Arc::new(Utc::now))
            .await
            .unwrap();
        prepare(&log).await.unwrap();
        let tx = log.db();
        for (run, said) in [
            (1, "status = 'Done', done_at = unixepoch() - 90000"),
            (2, "status = 'Done', done_at = unixepoch() - 80000"),
            (3, "status = 'Failed', done_at = unixepoch() - 90000"),
            (4, "status = 'Pending'"),
        ] {
            let job = Job::BackUp {
                run: RunId(run),
                attempt: 1,
            };
            let order = Order {
                job,
                not_before: None,
            };
            let id = task_id(&order.job.key());
            log.write(Cause::system("test"), move |unit| {
                Box::pin(async move { Ok(enqueue(unit.tx(), &order).await?) })
            })
            .await
            .unwrap();
            let said = format!("UPDATE Jobs SET {said} WHERE id = '{id}'");
            tx.execute_unprepared(&said).await.unwrap();
        }
        assert_eq!(sweep(&log).await.unwrap(), 1);
        let left = tx.execute_unprepared("DELETE FROM Jobs").await.unwrap();
        assert_eq!(left.rows_affected(), 3);
    }
}
