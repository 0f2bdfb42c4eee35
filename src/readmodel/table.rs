//! A read model as a pure function from (row, event) to row. This module does the rest: load the
//! rows that a batch of events concerns, fold, write back in bulk. A rebuild is the same thing with
//! bigger batches, so it cannot differ from the live table.

use std::{collections::BTreeMap, marker::PhantomData};

use async_trait::async_trait;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel,
    Iterable, ModelTrait, PrimaryKeyToColumn, QueryFilter, QueryOrder, QuerySelect,
    sea_query::OnConflict,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::log::{Projection, Recorded};

/// SQLite takes at most 32,766 values in a statement.
const MAX_VALUES: usize = 30_000;
const DIGEST_PAGE: u64 = 5_000;

pub type Row<R> = <<R as ReadModel>::Entity as EntityTrait>::Model;

pub trait ReadModel: Send + Sync + 'static {
    type Entity: EntityTrait;
    /// The table.
    const NAME: &'static str;
    /// Raise it when `apply` or the table changes.
    const VERSION: i32;

    /// Id of the row that the event concerns, if any.
    fn key(event: &Recorded) -> Option<i64>;

    fn id(row: &Row<Self>) -> i64
    where
        Self: Sized;

    /// Pure. `None` in means there is no row yet, `None` out that there is none any more.
    fn apply(row: Option<Row<Self>>, event: &Recorded) -> Option<Row<Self>>
    where
        Self: Sized;
}

pub struct Table<R>(PhantomData<R>);

impl<R> Table<R> {
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl<R> Projection for Table<R>
where
    R: ReadModel,
    Row<R>: ModelTrait<Entity = R::Entity>
        + IntoActiveModel<<R::Entity as EntityTrait>::ActiveModel>
        + Clone
        + PartialEq
        + Serialize
        + Send
        + Sync,
    <R::Entity as EntityTrait>::ActiveModel: ActiveModelTrait<Entity = R::Entity> + Send,
{
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn version(&self) -> i32 {
        R::VERSION
    }

    async fn apply(&self, tx: &DatabaseTransaction, events: &[Recorded]) -> Result<(), DbErr> {
        let concerned: Vec<(i64, &Recorded)> = events
            .iter()
            .filter_map(|event| Some((R::key(event)?, event)))
            .collect();
        if concerned.is_empty() {
            return Ok(());
        }
        let before = load::<R>(tx, concerned.iter().map(|(key, _)| *key)).await?;
        let mut after = before.clone();
        for (key, event) in concerned {
            match R::apply(after.remove(&key), event) {
                Some(row) => after.insert(key, row),
                None => None,
            };
        }
        let changed: Vec<Row<R>> = after
            .iter()
            .filter(|(key, row)| before.get(key) != Some(row))
            .map(|(_, row)| row.clone())
            .collect();
        let gone: Vec<i64> = before
            .keys()
            .filter(|key| !after.contains_key(key))
            .copied()
            .collect();
        upsert::<R>(tx, changed).await?;
        delete::<R>(tx, &gone).await
    }

    async fn clear(&self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        R::Entity::delete_many().exec(tx).await.map(|_| ())
    }

    async fn digest(&self, tx: &DatabaseTransaction) -> Result<String, DbErr> {
        let mut sha = Sha256::new();
        let mut after = i64::MIN;
        loop {
            let rows = R::Entity::find()
                .filter(key_column::<R>().gt(after))
                .order_by_asc(key_column::<R>())
                .limit(DIGEST_PAGE)
                .all(tx)
                .await?;
            let Some(last) = rows.last() else { break };
            after = R::id(last);
            for row in &rows {
                let json = serde_json::to_vec(row).map_err(|e| DbErr::Custom(e.to_string()))?;
                sha.update((json.len() as u64).to_be_bytes());
                sha.update(&json);
            }
        }
        Ok(hex::encode(sha.finalize()))
    }
}

async fn load<R>(
    tx: &DatabaseTransaction,
    keys: impl Iterator<Item = i64>,
) -> Result<BTreeMap<i64, Row<R>>, DbErr>
where
    R: ReadModel,
    Row<R>: Send + Sync,
{
    let mut keys: Vec<i64> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    let mut rows = BTreeMap::new();
    for keys in keys.chunks(MAX_VALUES) {
        let found = R::Entity::find()
            .filter(key_column::<R>().is_in(keys.iter().copied()))
            .all(tx)
            .await?;
        rows.extend(found.into_iter().map(|row| (R::id(&row), row)));
    }
    Ok(rows)
}

async fn upsert<R>(tx: &DatabaseTransaction, rows: Vec<Row<R>>) -> Result<(), DbErr>
where
    R: ReadModel,
    Row<R>: IntoActiveModel<<R::Entity as EntityTrait>::ActiveModel> + Clone,
    <R::Entity as EntityTrait>::ActiveModel: ActiveModelTrait<Entity = R::Entity> + Send,
{
    let columns = <R::Entity as EntityTrait>::Column::iter().count();
    for rows in rows.chunks(MAX_VALUES / columns) {
        let models = rows
            .iter()
            .map(|row| row.clone().into_active_model().reset_all());
        R::Entity::insert_many(models)
            .on_conflict(
                OnConflict::column(key_column::<R>())
                    .update_columns(<R::Entity as EntityTrait>::Column::iter())
                    .to_owned(),
            )
            .exec_without_returning(tx)
            .await?;
    }
    Ok(())
}

async fn delete<R: ReadModel>(tx: &DatabaseTransaction, keys: &[i64]) -> Result<(), DbErr> {
    for keys in keys.chunks(MAX_VALUES) {
        R::Entity::delete_many()
            .filter(key_column::<R>().is_in(keys.iter().copied()))
            .exec(tx)
            .await?;
    }
    Ok(())
}

fn key_column<R: ReadModel>() -> <R::Entity as EntityTrait>::Column {
    let mut keys = <R::Entity as EntityTrait>::PrimaryKey::iter();
    keys.next()
        .map(PrimaryKeyToColumn::into_column)
        .expect("sea-orm refuses entities without a primary key at compile time")
}
