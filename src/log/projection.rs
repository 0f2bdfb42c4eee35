//! Read models that move with the log: applied in the transaction that appends, with one
//! checkpoint, and filled again from the first event when their shape changed.

use std::time::Instant;

use async_trait::async_trait;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr,
    EntityTrait, QueryFilter, sea_query::OnConflict,
};

use super::{LogError, Recorded, read_from, writer};

const KIND: &str = "projection";
const BATCH: u64 = 5_000;

/// A read model. `apply` must give the same rows whether it is fed one event at a time or a
/// thousand, because a rebuild is fed a thousand.
#[async_trait]
pub trait Projection: Send + Sync + 'static {
    /// Stable name; its table.
    fn name(&self) -> &'static str;
    /// Raise it when `apply` or the table changes: the model is rebuilt at the next start.
    fn version(&self) -> i32;
    async fn apply(&self, tx: &DatabaseTransaction, events: &[Recorded]) -> Result<(), DbErr>;
    async fn clear(&self, tx: &DatabaseTransaction) -> Result<(), DbErr>;
    /// SHA-256 over all rows in key order, lower hex: to compare a rebuilt model with the live one.
    async fn digest(&self, tx: &DatabaseTransaction) -> Result<String, DbErr>;
}

/// What a rebuild did, and whether it found the read models as the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildReport {
    pub events: u64,
    pub milliseconds: u128,
    /// Names of read models whose rows were not what the log gives.
    pub differed: Vec<&'static str>,
}

mod checkpoint {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "checkpoints")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub kind: String,
        pub version: i32,
        pub position: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Where a reader of the log stands; `None` when it has never been. Fails when a reader of another kind
/// has that name: each would move the other past what it has not read.
pub async fn position(
    db: &impl ConnectionTrait,
    kind: &str,
    name: &str,
) -> Result<Option<(i32, i64)>, DbErr> {
    match checkpoint::Entity::find_by_id(name).one(db).await? {
        Some(row) if row.kind != kind => Err(DbErr::Custom(format!(
            "the checkpoint {name} is that of a {}, not of a {kind}",
            row.kind
        ))),
        row => Ok(row.map(|row| (row.version, row.position))),
    }
}

pub async fn set_position(
    db: &impl ConnectionTrait,
    kind: &str,
    name: &str,
    version: i32,
    position: i64,
) -> Result<(), DbErr> {
    let row = checkpoint::ActiveModel {
        name: Set(name.to_owned()),
        kind: Set(kind.to_owned()),
        version: Set(version),
        position: Set(position),
    };
    checkpoint::Entity::insert(row)
        .on_conflict(
            OnConflict::column(checkpoint::Column::Name)
                .update_columns([
                    checkpoint::Column::Kind,
                    checkpoint::Column::Version,
                    checkpoint::Column::Position,
                ])
                .to_owned(),
        )
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// Moves all read models' checkpoints at once, inside the appending transaction.
pub async fn checkpoint_all(
    tx: &DatabaseTransaction,
    projections: &[Box<dyn Projection>],
    position: i64,
) -> Result<(), DbErr> {
    if projections.is_empty() {
        return Ok(());
    }
    checkpoint::Entity::update_many()
        .col_expr(
            checkpoint::Column::Position,
            sea_orm::sea_query::Expr::value(position),
        )
        .filter(checkpoint::Column::Kind.eq(KIND))
        .exec(tx)
        .await?;
    Ok(())
}

/// Takes the checkpoints of all read models away: the next start fills the tables from the first event.
pub async fn forget_all(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    checkpoint::Entity::delete_many()
        .filter(checkpoint::Column::Kind.eq(KIND))
        .exec(db)
        .await
        .map(|_| ())
}

/// Brings every read model that is behind, or of another version, to the head of the log.
pub async fn catch_up(
    db: &DatabaseConnection,
    projections: &[Box<dyn Projection>],
) -> Result<(), LogError> {
    let head = writer::head_position(db).await?;
    for projection in projections {
        let at = position(db, KIND, projection.name()).await?;
        if at == Some((projection.version(), head)) {
            continue;
        }
        let tx = writer::begin_immediate(db).await?;
        let from = match at {
            Some((version, position)) if version == projection.version() => position,
            _ => {
                projection.clear(&tx).await?;
                0
            }
        };
        replay(&tx, std::slice::from_ref(projection), from).await?;
        tx.commit().await?;
        tracing::info!(
            read_model = projection.name(),
            from,
            head,
            "read model brought up to date"
        );
    }
    Ok(())
}

/// Empties and refills all read models, and says which of them had not been what the log gives.
pub async fn rebuild(
    tx: &DatabaseTransaction,
    projections: &[Box<dyn Projection>],
) -> Result<RebuildReport, LogError> {
    let start = Instant::now();
    let mut before = Vec::new();
    for projection in projections {
        before.push(projection.digest(tx).await?);
        projection.clear(tx).await?;
    }
    let events = replay(tx, projections, 0).await?;
    let mut differed = Vec::new();
    for (projection, before) in projections.iter().zip(before) {
        if projection.digest(tx).await? != before {
            differed.push(projection.name());
        }
    }
    Ok(RebuildReport {
        events,
        milliseconds: start.elapsed().as_millis(),
        differed,
    })
}

async fn replay(
    tx: &DatabaseTransaction,
    projections: &[Box<dyn Projection>],
    from: i64,
) -> Result<u64, LogError> {
    let mut at = from;
    let mut count = 0;
    loop {
        let batch = read_from(tx, at, BATCH).await?;
        let Some(last) = batch.last() else { break };
        at = last.position;
        count += batch.len() as u64;
        for projection in projections {
            projection.apply(tx, &batch).await?;
        }
    }
    for projection in projections {
        set_position(tx, KIND, projection.name(), projection.version(), at).await?;
    }
    Ok(count)
}
