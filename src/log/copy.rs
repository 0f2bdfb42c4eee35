//! Copies of the whole database: how one is taken while the log is written, and how one is judged before
//! anybody relies on it. A copy says of itself that it is one, and where the log stood: so its end cannot
//! be cut off unseen, and the server that begins to work with it knows that the world went on meanwhile.

use std::{collections::BTreeMap, io::Read, path::Path};

use chrono::{DateTime, Utc};
use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, FromQueryResult,
    Statement,
};

use super::{Log, LogError, offline::Known, projection, verify, writer};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Filled anew at each start.
const QUEUE: [&str; 2] = ["Jobs", "Workers"];
/// In a copy only: where the log stood. One row.
const ORIGIN: &str = "copy_origin";

/// What a copy says of itself.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Origin {
    /// Unix milliseconds.
    pub copied_at: i64,
    /// Of the last event in it.
    pub position: i64,
    /// Hash of that event, lower hex.
    pub head: String,
}

impl Origin {
    pub fn copied_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.copied_at).unwrap_or_default()
    }
}

/// A database of Holdfast that was found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    pub events: u64,
    /// Hash of the last event, lower hex.
    pub head: String,
    /// Absent when it is no copy but a database that a server worked in.
    pub origin: Option<Origin>,
    /// Events by kind of stream.
    pub counts: BTreeMap<String, u64>,
    /// Of the master keys that its secrets are sealed with.
    pub key_ids: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("it is no SQLite database")]
    NotSqlite,
    #[error("it is a database, but not one of Holdfast")]
    Foreign,
    #[error("a newer version of Holdfast wrote it (it knows {0})")]
    Newer(String),
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl Log {
    /// Writes the database as of now into a new file at `into`: one moment of it, however much is written
    /// meanwhile, and nobody waits. Sessions stay behind: whoever works with the copy logs in anew.
    /// `compact`: also without the queue and the read models, which a start fills again from the log.
    pub async fn copy(&self, into: &Path, compact: bool) -> Result<Origin, LogError> {
        let name = into.display().to_string();
        let backend = self.db.get_database_backend();
        let vacuum = Statement::from_sql_and_values(backend, "VACUUM INTO ?", [name.into()]);
        self.db.execute_raw(vacuum).await?;
        let copy = open(into, "rw").await?;
        copy.execute_unprepared("DELETE FROM sessions").await?;
        if compact {
            self.empty(&copy).await?;
        }
        let origin = self.mark(&copy).await?;
        if compact {
            copy.execute_unprepared("VACUUM").await?;
        }
        copy.close().await?;
        Ok(origin)
    }

    async fn empty(&self, copy: &DatabaseConnection) -> Result<(), DbErr> {
        for projection in self.projections.iter() {
            let empty = format!("DELETE FROM {}", projection.name());
            copy.execute_unprepared(&empty).await?;
        }
        projection::forget_all(copy).await?;
        for table in QUEUE {
            if has_table(copy, table).await? {
                let empty = format!("DELETE FROM {table}");
                copy.execute_unprepared(&empty).await?;
            }
        }
        Ok(())
    }

    async fn mark(&self, copy: &DatabaseConnection) -> Result<Origin, DbErr> {
        let (position, hash) = writer::head_of(copy).await?;
        let origin = Origin {
            copied_at: self.now().timestamp_millis(),
            position,
            head: hex::encode(hash),
        };
        set_origin(copy, &origin).await?;
        Ok(origin)
    }
}

/// Marks the database as a copy.
pub async fn set_origin(copy: &impl ConnectionTrait, origin: &Origin) -> Result<(), DbErr> {
    // One that was brought back and is copied before a server worked in it has the mark already.
    let table = format!(
        "DROP TABLE IF EXISTS {ORIGIN}; CREATE TABLE {ORIGIN} \
         (copied_at BIGINT NOT NULL, position BIGINT NOT NULL, head TEXT NOT NULL)"
    );
    copy.execute_unprepared(&table).await?;
    let values = [
        origin.copied_at.into(),
        origin.position.into(),
        origin.head.clone().into(),
    ];
    let insert = format!("INSERT INTO {ORIGIN} (copied_at, position, head) VALUES (?, ?, ?)");
    let backend = copy.get_database_backend();
    let insert = Statement::from_sql_and_values(backend, insert, values);
    copy.execute_raw(insert).await.map(|_| ())
}

/// What the database says of itself, when it is a copy that no server has begun to work with.
pub async fn origin(db: &impl ConnectionTrait) -> Result<Option<Origin>, DbErr> {
    if !has_table(db, ORIGIN).await? {
        return Ok(None);
    }
    let select = format!("SELECT copied_at, position, head FROM {ORIGIN}");
    let select = Statement::from_string(db.get_database_backend(), select);
    Origin::find_by_statement(select).one(db).await
}

/// It is a copy no more: a server works in it.
pub async fn forget_origin(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let drop = format!("DROP TABLE {ORIGIN}");
    db.execute_unprepared(&drop).await.map(|_| ())
}

/// Judges a database file as a whole: pages, tables, the chain of events, and for a copy that its end is
/// there. Changes nothing.
pub async fn examine(path: &Path) -> Result<Examined, CopyError> {
    let db = open_to_read(path).await?;
    let examined = look_through(&db).await;
    let closed = db.close().await.map_err(damaged);
    closed.and(examined)
}

/// For reading only, when it is a database at all.
pub async fn open_to_read(path: &Path) -> Result<DatabaseConnection, CopyError> {
    let mut start = [0; MAGIC.len()];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(CopyError::NotSqlite);
        }
        read => read?,
    }
    if start != *MAGIC {
        return Err(CopyError::NotSqlite);
    }
    open(path, "ro").await.map_err(damaged)
}

async fn look_through(db: &DatabaseConnection) -> Result<Examined, CopyError> {
    let verdict: Option<String> = text(db, "PRAGMA integrity_check").await?.into_iter().next();
    match verdict.as_deref() {
        Some("ok") => {}
        verdict => {
            return Err(CopyError::Damaged(
                verdict.unwrap_or("no answer").to_owned(),
            ));
        }
    }
    for table in ["events", "seaql_migrations"] {
        if !has_table(db, table).await.map_err(damaged)? {
            return Err(CopyError::Foreign);
        }
    }
    let known: Vec<String> = Migrator::migrations()
        .iter()
        .map(|it| it.name().to_owned())
        .collect();
    let steps = text(db, "SELECT version FROM seaql_migrations").await?;
    if let Some(newer) = steps.into_iter().find(|step| !known.contains(step)) {
        return Err(CopyError::Newer(newer));
    }
    let chain = verify::chain(db, &Known::default(), |_| {}).await;
    let chain = chain.map_err(|error| CopyError::Damaged(error.to_string()))?;
    if let Some(finding) = chain.findings.first() {
        return Err(CopyError::Damaged(finding.to_string()));
    }
    let origin = origin(db).await.map_err(damaged)?;
    if let Some(origin) = &origin
        && origin.head != chain.head
    {
        let text = format!("its log does not reach up to event {}", origin.position);
        return Err(CopyError::Damaged(text));
    }
    Ok(Examined {
        events: chain.events,
        head: chain.head,
        origin,
        counts: counts(db).await.map_err(damaged)?,
        key_ids: text(db, "SELECT DISTINCT key_id FROM vault_secrets").await?,
    })
}

async fn counts(db: &DatabaseConnection) -> Result<BTreeMap<String, u64>, DbErr> {
    #[derive(FromQueryResult)]
    struct Count {
        stream_kind: String,
        events: i64,
    }
    let select = "SELECT stream_kind, COUNT(*) AS events FROM events GROUP BY stream_kind";
    let select = Statement::from_string(db.get_database_backend(), select);
    let counts = Count::find_by_statement(select).all(db).await?;
    let pairs = counts.into_iter();
    Ok(pairs
        .map(|it| (it.stream_kind, u64::try_from(it.events).unwrap_or(0)))
        .collect())
}

/// The first column of all rows.
async fn text(db: &DatabaseConnection, sql: &str) -> Result<Vec<String>, CopyError> {
    let select = Statement::from_string(db.get_database_backend(), sql);
    let rows = db.query_all_raw(select).await.map_err(damaged)?;
    let columns = rows.iter().map(|row| row.try_get_by_index(0));
    columns.collect::<Result<_, _>>().map_err(damaged)
}

async fn has_table(db: &impl ConnectionTrait, name: &str) -> Result<bool, DbErr> {
    let select = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?";
    let select = Statement::from_sql_and_values(db.get_database_backend(), select, [name.into()]);
    Ok(db.query_one_raw(select).await?.is_some())
}

/// One connection, and nothing of what the server's own pool asks for.
async fn open(path: &Path, mode: &str) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode={mode}", path.display()));
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the form that map_err asks for"
)]
fn damaged(error: DbErr) -> CopyError {
    CopyError::Damaged(error.to_string())
}

/// True when what was written last to a database lies beside it still, as after a kill.
pub fn has_unmerged(path: &Path) -> bool {
    let mut wal = path.to_owned().into_os_string();
    wal.push("-wal");
    std::fs::metadata(wal).is_ok_and(|meta| meta.len() > 0)
}

/// A database with what lies beside it, as one new file at `into`. Changes nothing at `path`.
pub async fn merge(path: &Path, into: &Path) -> Result<(), CopyError> {
    let db = open(path, "ro").await.map_err(damaged)?;
    let name = into.display().to_string();
    let vacuum =
        Statement::from_sql_and_values(db.get_database_backend(), "VACUUM INTO ?", [name.into()]);
    let merged = db.execute_raw(vacuum).await.map_err(damaged);
    db.close().await.map_err(damaged)?;
    merged.map(|_| ())
}

/// Writes what lies beside a database into it.
pub async fn settle(path: &Path) -> Result<(), DbErr> {
    let db = open(path, "rw").await?;
    let settled = db
        .execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)")
        .await;
    db.close().await?;
    settled.map(|_| ())
}
