//! The event log: the only place where something becomes true. Events and the read models that
//! follow from them are written in one transaction by one writer; everything else reads.
//!
//! - `writer` commits units of work in groups, `synchronous=FULL`;
//! - `codec` turns events into bytes and back under names that never change;
//! - `chain` makes any later edit visible;
//! - `projection` keeps read models in step, and rebuilds them;
//! - `copy` takes and judges copies of the whole database;
//! - `checkpoint` says signed where it stood, `entry` is an event in an export, and `offline` checks what
//!   left the host without its server;
//! - `segment` is a piece of it as it leaves the host, `import` brings one back, `seal` signs;
//! - `prune` takes old detail out once a segment elsewhere holds it, `pruned` proves what is left;
//! - `subscription` hands committed events to what reacts to them, from a checkpoint.

mod chain;
mod checkpoint;
mod codec;
mod copy;
mod entity;
mod entry;
mod import;
pub mod offline;
mod projection;
mod prune;
mod pruned;
mod seal;
mod segment;
mod subscription;
mod verify;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, Utc};
use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ColumnTrait, ConnectOptions, Database, DatabaseConnection, DbErr, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use sqlx::{
    Connection,
    sqlite::{SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{broadcast, mpsc, watch};

pub use self::{
    checkpoint::{Checkpoint, CheckpointError},
    codec::{CodecError, Upcast, decode, encode},
    copy::{
        CopyError, Examined, Origin, examine, forget_origin, has_unmerged, merge, origin, settle,
    },
    entry::Entry,
    import::{Import, ImportError},
    projection::{Projection, RebuildReport},
    prune::{Proven, Stretch},
    seal::{LogKey, Sealed, Unsealed, instance_of_key, seal, write_line},
    segment::{MAX_PACKED, SegmentError},
    subscription::{Start, Subscriber, begin, run as subscribe},
    verify::{Finding, Verification},
    writer::Unit,
};
use crate::domain::{
    aggregate::Refusal,
    event::{Actor, Event, Scope, StreamKind},
    ids::{AppId, ConfigId},
};

/// Where "now" comes from; tests set it.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// One stream: `run` 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamId {
    pub kind: StreamKind,
    pub id: i64,
}

/// Why something is written: who caused it, and what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub actor: Actor,
    /// Ties together what follows from one wish: a request's id, or `run-12`.
    pub correlation: String,
    /// Position of the event that this follows from.
    pub causation: Option<i64>,
}

impl Cause {
    pub fn new(actor: Actor, correlation: impl Into<String>) -> Self {
        Self {
            actor,
            correlation: correlation.into(),
            causation: None,
        }
    }

    pub fn system(correlation: impl Into<String>) -> Self {
        Self::new(Actor::system(), correlation)
    }
}

/// A committed event with its envelope.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Global, from 1 on, without gaps.
    pub position: i64,
    pub stream: StreamId,
    pub version: i64,
    pub name: String,
    pub schema: i32,
    pub event: Event,
    /// The stored JSON text that was hashed.
    pub data: String,
    pub actor: Actor,
    pub correlation: String,
    pub causation: Option<i64>,
    pub scope: Scope,
    pub at: DateTime<Utc>,
    /// SHA-256 of this event and all before it, lower hex.
    pub hash: String,
}

/// What to list: newest first, before a position.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub app: Option<AppId>,
    /// Of these apps only.
    pub apps: Option<Vec<AppId>>,
    pub config: Option<ConfigId>,
    pub stream: Option<StreamId>,
    pub kinds: Vec<StreamKind>,
    pub before: Option<i64>,
    pub limit: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the database failed: {0}")]
    Database(#[from] DbErr),
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Somebody else wrote to the stream; with one writer this means a defect or a second process.
    #[error("stream {0} {1} moved on meanwhile")]
    Conflict(&'static str, i64),
    #[error("the log is closed")]
    Closed,
}

/// Handle to the log; cheap to clone.
#[derive(Clone)]
pub struct Log {
    db: DatabaseConnection,
    jobs: mpsc::Sender<writer::Job>,
    committed: broadcast::Sender<Arc<Recorded>>,
    head: watch::Receiver<i64>,
    projections: Arc<[Box<dyn Projection>]>,
    clock: Clock,
}

impl Log {
    /// Opens (and creates) the database file, brings the schema and the read models up to date, and
    /// starts the writer. `url` is `sqlite://path?mode=rwc`.
    pub async fn open(
        db: DatabaseConnection,
        projections: Vec<Box<dyn Projection>>,
        clock: Clock,
    ) -> Result<Self, LogError> {
        let projections: Arc<[Box<dyn Projection>]> = projections.into();
        projection::catch_up(&db, &projections).await?;
        let (jobs, queue) = mpsc::channel(256);
        let (committed, _) = broadcast::channel(4096);
        let (head_sender, head) = watch::channel(writer::head_position(&db).await?);
        tokio::spawn(writer::run(
            db.clone(),
            queue,
            writer::Outlets {
                committed: committed.clone(),
                head: head_sender,
            },
            projections.clone(),
            clock.clone(),
        ));
        Ok(Self {
            db,
            jobs,
            committed,
            head,
            projections,
            clock,
        })
    }

    /// For reading; never write through it.
    pub fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)().trunc_subsecs(3)
    }

    /// Position of the last committed event.
    pub fn head(&self) -> i64 {
        *self.head.borrow()
    }

    /// Changes whenever something was committed.
    pub fn watch_head(&self) -> watch::Receiver<i64> {
        self.head.clone()
    }

    /// Committed events from now on. A slow receiver loses the oldest and is told so; whoever may
    /// lose nothing uses `subscribe`.
    pub fn live(&self) -> broadcast::Receiver<Arc<Recorded>> {
        self.committed.subscribe()
    }

    /// The aggregate's state as of now, and its version (0 when it has no events).
    pub async fn load<A>(&self, id: i64) -> Result<(A, i64), LogError>
    where
        A: crate::domain::aggregate::Aggregate,
        A::Event: TryFrom<Event>,
    {
        writer::load(&self.db, id).await
    }

    /// Events after `position`, oldest first.
    pub async fn read_from(&self, position: i64, limit: u64) -> Result<Vec<Recorded>, LogError> {
        read_from(&self.db, position, limit).await
    }

    /// The events from `first` to `last` as they leave the host. The same ones give the same bytes.
    pub async fn segment(&self, key: &LogKey, first: i64, last: i64) -> Result<Vec<u8>, LogError> {
        segment::pack(&self.rows(first, last).await?, key).map_err(storage)
    }

    async fn rows(&self, first: i64, last: i64) -> Result<Vec<entity::Model>, DbErr> {
        entity::Entity::find()
            .filter(entity::Column::Position.between(first, last))
            .order_by_asc(entity::Column::Position)
            .all(&self.db)
            .await
    }

    /// Whether a piece that came back holds the very events from `first` to `last` that are here, and the
    /// server of this name signed it.
    pub async fn is_ours(
        &self,
        packed: &[u8],
        instance: &str,
        first: i64,
        last: i64,
    ) -> Result<bool, LogError> {
        let rows = segment::unpack(packed, instance).unwrap_or_default();
        // Each event stands for all before it.
        let Some(last) = rows.last().filter(|it| it.position == last) else {
            return Ok(false);
        };
        if rows.first().is_none_or(|row| row.position != first) {
            return Ok(false);
        }
        let same = entity::Entity::find()
            .filter(entity::Column::Position.eq(last.position))
            .filter(entity::Column::Hash.eq(last.hash.clone()));
        Ok(same.count(&self.db).await? > 0)
    }

    /// The newest event of that name in streams of that kind.
    pub async fn newest(&self, kind: StreamKind, name: &str) -> Result<Option<Recorded>, LogError> {
        let row = entity::Entity::find()
            .filter(entity::Column::StreamKind.eq(kind.name()))
            .filter(entity::Column::Name.eq(name))
            .order_by_desc(entity::Column::Position)
            .one(&self.db)
            .await?;
        row.map(entity::Model::recorded).transpose()
    }

    /// Newest first.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Recorded>, LogError> {
        let mut query = entity::Entity::find();
        if let Some(app) = filter.app {
            query = query.filter(entity::Column::AppId.eq(app.0));
        }
        if let Some(apps) = &filter.apps {
            query = query.filter(entity::Column::AppId.is_in(apps.iter().map(|app| app.0)));
        }
        if let Some(config) = filter.config {
            query = query.filter(entity::Column::ConfigId.eq(config.0));
        }
        if let Some(stream) = filter.stream {
            query = query
                .filter(entity::Column::StreamKind.eq(stream.kind.name()))
                .filter(entity::Column::StreamId.eq(stream.id));
        }
        if !filter.kinds.is_empty() {
            let names = filter.kinds.iter().map(|kind| kind.name());
            query = query.filter(entity::Column::StreamKind.is_in(names));
        }
        if let Some(before) = filter.before {
            query = query.filter(entity::Column::Position.lt(before));
        }
        let rows = query
            .order_by_desc(entity::Column::Position)
            .limit(filter.limit)
            .all(&self.db)
            .await?;
        rows.into_iter().map(entity::Model::recorded).collect()
    }

    /// As `read_from`, byte for byte as they were hashed.
    pub async fn entries_from(&self, position: i64, limit: u64) -> Result<Vec<Entry>, LogError> {
        let rows = rows_from(&self.db, position, limit).await?;
        Ok(rows.into_iter().map(Entry::from).collect())
    }

    /// Where the log stands, signed.
    pub async fn checkpoint(&self, key: &LogKey) -> Result<Checkpoint, LogError> {
        let (position, hash) = writer::head_of(&self.db).await?;
        Ok(Checkpoint::sign(
            key,
            position,
            hex::encode(hash),
            self.now(),
        ))
    }

    /// Walks the whole chain. `progress` is called with the position now and then.
    pub async fn verify(&self, progress: impl FnMut(i64)) -> Result<Verification, LogError> {
        verify::chain(&self.db, &offline::Known::default(), progress).await
    }

    /// The same, and whether it fits what is known from elsewhere.
    pub async fn verify_against(
        &self,
        known: &offline::Known,
        progress: impl FnMut(i64),
    ) -> Result<Verification, LogError> {
        verify::chain(&self.db, known, progress).await
    }

    /// Empties every read model and fills it again from the log, in one unit of the writer: commands
    /// wait meanwhile, and none of them fails for want of the database.
    pub async fn rebuild(&self) -> Result<RebuildReport, LogError> {
        let projections = self.projections.clone();
        self.write(Cause::system("rebuild"), move |unit| {
            Box::pin(async move { projection::rebuild(unit.tx(), &projections).await })
        })
        .await
    }
}

fn storage(error: std::io::Error) -> LogError {
    LogError::Database(DbErr::Custom(error.to_string()))
}

async fn read_from(
    db: &impl sea_orm::ConnectionTrait,
    position: i64,
    limit: u64,
) -> Result<Vec<Recorded>, LogError> {
    let rows = rows_from(db, position, limit).await?;
    rows.into_iter().map(entity::Model::recorded).collect()
}

async fn rows_from(
    db: &impl sea_orm::ConnectionTrait,
    position: i64,
    limit: u64,
) -> Result<Vec<entity::Model>, DbErr> {
    entity::Entity::find()
        .filter(entity::Column::Position.gt(position))
        .order_by_asc(entity::Column::Position)
        .limit(limit)
        .all(db)
        .await
}

/// Opens the embedded database: WAL, `synchronous=FULL`, foreign keys and a busy timeout on every
/// pooled connection. (The cost of an append is thread hops, not fsync: FULL is free here.)
pub async fn open_sqlite(path: &Path) -> Result<DatabaseConnection, LogError> {
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", path.display()));
    options
        .max_connections(6)
        .sqlx_logging(false)
        .acquire_timeout(Duration::from_secs(10))
        // When a commit fails (disk full), SQLite rolls back by itself and sqlx does not know: what
        // "begins" on that connection later would be a savepoint of nothing, never committed.
        .map_sqlx_sqlite_pool_opts(|pool| {
            pool.before_acquire(|connection, _| {
                Box::pin(async move { Ok(!connection.is_in_transaction()) })
            })
        })
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(10))
                .foreign_keys(true)
                .pragma("journal_size_limit", "67108864")
                .pragma("temp_store", "memory")
                .pragma("cache_size", "-8000")
        });
    let db = Database::connect(options).await?;
    Migrator::up(&db, None).await?;
    Ok(db)
}
