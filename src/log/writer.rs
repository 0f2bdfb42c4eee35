//! The one writer. Units of work wait in a channel; the writer takes all that wait, runs each under
//! a savepoint of one immediate transaction, commits once, and only then answers. So a command sees
//! the state it decides on, two commands can never contradict each other, and under load one fsync
//! carries many commands.

use std::{panic::AssertUnwindSafe, sync::Arc};

use chrono::SubsecRound;
use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr,
    EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, SqlErr,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{
    Cause, Clock, Log, LogError, Projection, Recorded, StreamId, chain, codec, entity, projection,
};
use crate::{
    domain::{
        aggregate::Aggregate,
        event::{Event, Scope, StreamKind},
    },
    failpoint,
};

/// How many units one transaction takes at most.
const GROUP: usize = 64;
/// Events a statement: SQLite takes at most 32,766 values in one.
const ROWS: usize = 2000;

type Answer = Box<dyn FnOnce(Result<(), DbErr>) + Send>;
type Work = Box<dyn for<'u> FnOnce(&'u mut Unit) -> BoxFuture<'u, Verdict> + Send>;

pub struct Job {
    cause: Cause,
    work: Work,
}

/// What became of a unit; `answer` is called after the commit.
struct Verdict {
    keep: bool,
    answer: Answer,
}

pub struct Outlets {
    pub committed: broadcast::Sender<Arc<Recorded>>,
    pub head: watch::Sender<i64>,
}

/// Where the next event goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    position: i64,
    hash: Vec<u8>,
}

/// A unit of work inside the writer's transaction. Dropped without success, it never happened.
pub struct Unit {
    tx: DatabaseTransaction,
    cause: Cause,
    clock: Clock,
    head: Head,
    recorded: Vec<Recorded>,
    projections: Arc<[Box<dyn Projection>]>,
}

impl Log {
    /// Runs `work` as one unit: all of it is durable when this returns `Ok`, none of it otherwise.
    pub async fn write<T, F>(&self, cause: Cause, work: F) -> Result<T, LogError>
    where
        T: Send + 'static,
        F: for<'u> FnOnce(&'u mut Unit) -> BoxFuture<'u, Result<T, LogError>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |unit| {
            Box::pin(async move {
                match work(unit).await {
                    Ok(value) => Verdict {
                        keep: true,
                        answer: Box::new(move |committed| {
                            let _ = reply.send(committed.map(|()| value).map_err(LogError::from));
                        }),
                    },
                    Err(error) => Verdict {
                        keep: false,
                        answer: Box::new(move |_| {
                            let _ = reply.send(Err(error));
                        }),
                    },
                }
            })
        });
        self.jobs
            .send(Job { cause, work })
            .await
            .map_err(|_| LogError::Closed)?;
        answer.await.map_err(|_| LogError::Closed)?
    }

    /// One command on one aggregate; answers the state after it.
    pub async fn execute<A>(
        &self,
        cause: Cause,
        id: i64,
        command: A::Command,
    ) -> Result<A, LogError>
    where
        A: Aggregate + 'static,
        A::Command: Send + 'static,
        A::Event: TryFrom<Event> + Into<Event> + Clone + Send,
    {
        self.write(cause, move |unit| {
            Box::pin(async move { unit.execute::<A>(id, command).await })
        })
        .await
    }
}

impl Unit {
    /// For looking something up, or writing rows that belong to the command (vault, sessions, jobs)
    /// in the same transaction.
    pub fn tx(&self) -> &DatabaseTransaction {
        &self.tx
    }

    /// The present time, one for the whole unit to the millisecond.
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        (self.clock)().trunc_subsecs(3)
    }

    /// The next free id of that kind. Ids are never reused: events stay.
    pub async fn next_id(&self, kind: StreamKind) -> Result<i64, LogError> {
        let newest: Option<i64> = entity::Entity::find()
            .select_only()
            .column(entity::Column::StreamId)
            .filter(entity::Column::StreamKind.eq(kind.name()))
            .order_by_desc(entity::Column::StreamId)
            .limit(1)
            .into_tuple()
            .one(&self.tx)
            .await?;
        Ok(newest.unwrap_or(0) + 1)
    }

    pub async fn load<A>(&self, id: i64) -> Result<(A, i64), LogError>
    where
        A: Aggregate,
        A::Event: TryFrom<Event>,
    {
        load(&self.tx, id).await
    }

    /// The stream's last version; 0 when it has no events.
    pub async fn version(&self, stream: StreamId) -> Result<i64, LogError> {
        Ok(last_version(&self.tx, stream).await?)
    }

    /// Loads, decides, appends; answers the state after it.
    pub async fn execute<A>(&mut self, id: i64, command: A::Command) -> Result<A, LogError>
    where
        A: Aggregate,
        A::Event: TryFrom<Event> + Into<Event> + Clone,
    {
        let (mut state, version) = self.load::<A>(id).await?;
        let events = state.decide(command)?;
        for event in &events {
            state.evolve(event);
        }
        let stream = StreamId { kind: A::KIND, id };
        let events = events.into_iter().map(Into::into).collect();
        self.append(stream, version, state.scope(), events).await?;
        Ok(state)
    }

    /// The first command of each of many aggregates, written together: what a statement costs is paid once
    /// for all of them.
    pub async fn begin_all<A>(&mut self, commands: Vec<(i64, A::Command)>) -> Result<(), LogError>
    where
        A: Aggregate,
        A::Event: TryFrom<Event> + Into<Event> + Clone,
    {
        let at = self.now();
        let (mut rows, mut added) = (Vec::new(), Vec::new());
        for (id, command) in commands {
            let mut state = A::default();
            let events = state.decide(command)?;
            for event in &events {
                state.evolve(event);
            }
            let stream = StreamId { kind: A::KIND, id };
            for (event, version) in events.into_iter().zip(1..) {
                let (row, recorded) =
                    self.chained(stream, version, state.scope(), at, event.into())?;
                rows.push(row);
                added.push(recorded);
            }
        }
        self.store(rows).await?;
        self.project(added).await
    }

    /// Appends to a stream that is at `version`, and brings the read models along.
    pub async fn append(
        &mut self,
        stream: StreamId,
        version: i64,
        scope: Scope,
        events: Vec<Event>,
    ) -> Result<(), LogError> {
        if events.is_empty() {
            return Ok(());
        }
        let at = self.now();
        let (mut rows, mut added) = (Vec::new(), Vec::new());
        for (event, version) in events.into_iter().zip(version + 1..) {
            let (row, recorded) = self.chained(stream, version, scope, at, event)?;
            rows.push(row);
            added.push(recorded);
        }
        self.store(rows).await?;
        self.project(added).await
    }

    /// Brings the read models along.
    async fn project(&mut self, added: Vec<Recorded>) -> Result<(), LogError> {
        for projection in self.projections.iter() {
            projection.apply(&self.tx, &added).await?;
        }
        self.recorded.extend(added);
        Ok(())
    }

    /// Appends to a stream that decides nothing (the audit stream), whatever its version.
    pub async fn note(&mut self, event: impl Into<Event>, scope: Scope) -> Result<(), LogError> {
        let stream = StreamId {
            kind: StreamKind::Audit,
            id: 1,
        };
        let version = self.version(stream).await?;
        self.append(stream, version, scope, vec![event.into()])
            .await
    }

    /// The next link of the chain, not stored yet.
    fn chained(
        &mut self,
        stream: StreamId,
        version: i64,
        scope: Scope,
        at: chrono::DateTime<chrono::Utc>,
        event: Event,
    ) -> Result<(entity::Model, Recorded), LogError> {
        let (name, schema, data) = codec::encode(&event)?;
        let actor = serde_json::to_string(&self.cause.actor).unwrap_or_default();
        let mut row = entity::Model {
            position: self.head.position + 1,
            stream_kind: stream.kind.name().to_owned(),
            stream_id: stream.id,
            version,
            name,
            schema,
            data,
            actor,
            correlation: self.cause.correlation.clone(),
            causation: self.cause.causation,
            app_id: scope.app.map(|id| id.0),
            config_id: scope.config.map(|id| id.0),
            at: at.timestamp_millis(),
            prev_hash: std::mem::take(&mut self.head.hash),
            hash: Vec::new(),
        };
        row.hash = chain::hash(&row);
        self.head = Head {
            position: row.position,
            hash: row.hash.clone(),
        };
        let recorded = Recorded {
            position: row.position,
            stream,
            version,
            name: row.name.clone(),
            schema,
            event,
            data: row.data.clone(),
            actor: self.cause.actor.clone(),
            correlation: row.correlation.clone(),
            causation: row.causation,
            scope,
            at,
            hash: hex::encode(&row.hash),
        };
        Ok((row, recorded))
    }

    async fn store(&self, rows: Vec<entity::Model>) -> Result<(), LogError> {
        for rows in rows.chunks(ROWS) {
            let models = rows
                .iter()
                .map(|row| row.clone().into_active_model().reset_all());
            let inserted = entity::Entity::insert_many(models)
                .exec_without_returning(&self.tx)
                .await;
            match inserted {
                Ok(_) => {}
                Err(error) if is_unique_violation(&error) => {
                    let row = &rows[0];
                    let kind = StreamKind::parse(&row.stream_kind).map_or("", StreamKind::name);
                    return Err(LogError::Conflict(kind, row.stream_id));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Folds a stream.
pub async fn load<A>(db: &impl ConnectionTrait, id: i64) -> Result<(A, i64), LogError>
where
    A: Aggregate,
    A::Event: TryFrom<Event>,
{
    let rows = entity::Entity::find()
        .filter(entity::Column::StreamKind.eq(A::KIND.name()))
        .filter(entity::Column::StreamId.eq(id))
        .order_by_asc(entity::Column::Version)
        .all(db)
        .await?;
    let mut state = A::default();
    let mut version = 0;
    for row in rows {
        version = row.version;
        if let Ok(event) = A::Event::try_from(row.recorded()?.event) {
            state.evolve(&event);
        }
    }
    Ok((state, version))
}

async fn last_version(db: &impl ConnectionTrait, stream: StreamId) -> Result<i64, DbErr> {
    let version: Option<i64> = entity::Entity::find()
        .select_only()
        .column(entity::Column::Version)
        .filter(entity::Column::StreamKind.eq(stream.kind.name()))
        .filter(entity::Column::StreamId.eq(stream.id))
        .order_by_desc(entity::Column::Version)
        .limit(1)
        .into_tuple()
        .one(db)
        .await?;
    Ok(version.unwrap_or(0))
}

pub async fn head_position(db: &impl ConnectionTrait) -> Result<i64, DbErr> {
    head(db).await.map(|head| head.position)
}

async fn head(db: &impl ConnectionTrait) -> Result<Head, DbErr> {
    let (position, hash) = head_of(db).await?;
    Ok(Head { position, hash })
}

/// Position and hash of the last event.
pub async fn head_of(db: &impl ConnectionTrait) -> Result<(i64, Vec<u8>), DbErr> {
    let last: Option<(i64, Vec<u8>)> = entity::Entity::find()
        .select_only()
        .column(entity::Column::Position)
        .column(entity::Column::Hash)
        .order_by_desc(entity::Column::Position)
        .limit(1)
        .into_tuple()
        .one(db)
        .await?;
    Ok(last.unwrap_or((0, chain::GENESIS.to_vec())))
}

/// Runs until every `Log` handle is gone.
pub async fn run(
    db: DatabaseConnection,
    mut queue: mpsc::Receiver<Job>,
    outlets: Outlets,
    projections: Arc<[Box<dyn Projection>]>,
    clock: Clock,
) {
    let mut group = Vec::with_capacity(GROUP);
    while queue.recv_many(&mut group, GROUP).await > 0 {
        let mut answers = Vec::with_capacity(group.len());
        let jobs = std::mem::take(&mut group);
        let result = commit_group(&db, jobs, &projections, &clock, &mut answers).await;
        if let Ok(recorded) = &result
            && let Some(last) = recorded.last()
        {
            outlets.head.send_replace(last.position);
        }
        if let Err(error) = &result {
            tracing::error!(%error, "a group of commands could not be committed");
        }
        let outcome = result.as_ref().map(|_| ()).map_err(ToString::to_string);
        for answer in answers {
            answer(outcome.clone().map_err(DbErr::Custom));
        }
        for event in result.into_iter().flatten() {
            let _ = outlets.committed.send(Arc::new(event));
        }
    }
}

async fn commit_group(
    db: &DatabaseConnection,
    jobs: Vec<Job>,
    projections: &Arc<[Box<dyn Projection>]>,
    clock: &Clock,
    answers: &mut Vec<Answer>,
) -> Result<Vec<Recorded>, DbErr> {
    let tx = begin_immediate(db).await?;
    let before = head(&tx).await?;
    let mut head = before.clone();
    let mut recorded = Vec::new();
    for job in jobs {
        let mut unit = Unit {
            tx: tx.begin().await?,
            cause: job.cause,
            clock: clock.clone(),
            head: head.clone(),
            recorded: Vec::new(),
            projections: projections.clone(),
        };
        // A panic in one command must not end the writer for all others.
        let verdict = AssertUnwindSafe((job.work)(&mut unit)).catch_unwind().await;
        match verdict {
            Ok(Verdict { keep: true, answer }) => {
                unit.tx.commit().await?;
                head = unit.head;
                recorded.extend(unit.recorded);
                answers.push(answer);
            }
            Ok(Verdict {
                keep: false,
                answer,
            }) => {
                unit.tx.rollback().await?;
                answers.push(answer);
            }
            Err(_) => {
                tracing::error!("a command panicked; it was rolled back");
                unit.tx.rollback().await?;
            }
        }
    }
    if head != before {
        projection::checkpoint_all(&tx, projections, head.position).await?;
    }
    if !recorded.is_empty() {
        failpoint::hit("log.before_commit");
    }
    tx.commit().await?;
    if !recorded.is_empty() {
        failpoint::hit("log.after_commit");
    }
    Ok(recorded)
}

/// A deferred transaction that reads first and writes later fails under contention, whatever the
/// busy timeout; so every writing transaction takes the write lock at once.
pub async fn begin_immediate(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    db.begin_with_options(TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    })
    .await
}
