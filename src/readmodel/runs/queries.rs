//! What is looked up among runs.

use sea_orm::{PaginatorTrait, QueryOrder, QuerySelect, entity::prelude::*};

use super::{Column, Entity, FOUND, Model};
use crate::domain::{
    ids::{AppId, ConfigId, RunId},
    run::{RequestKey, Trigger},
};

/// What to list, newest first. Runs of the server's own database are there only where its config is named.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub app: Option<AppId>,
    /// Of these apps only.
    pub apps: Option<Vec<AppId>>,
    pub config: Option<ConfigId>,
    /// Any of these; all when empty.
    pub statuses: Vec<String>,
    /// Only runs with a smaller id.
    pub before: Option<RunId>,
    pub limit: u64,
}

pub async fn list(db: &impl ConnectionTrait, filter: &Filter) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find();
    if let Some(app) = filter.app {
        query = query.filter(Column::AppId.eq(app.0));
    }
    if let Some(apps) = &filter.apps {
        query = query.filter(Column::AppId.is_in(apps.iter().map(|app| app.0)));
    }
    query = match filter.config {
        Some(config) => query.filter(Column::BackupConfigId.eq(config.0)),
        None => query.filter(Column::AppId.ne(AppId::OWN.0)),
    };
    if !filter.statuses.is_empty() {
        query = query.filter(Column::Status.is_in(&filter.statuses));
    }
    if let Some(before) = filter.before {
        query = query.filter(Column::Id.lt(before.0));
    }
    query
        .order_by_desc(Column::Id)
        .limit(filter.limit)
        .all(db)
        .await
}

pub async fn get(db: &impl ConnectionTrait, id: RunId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.0).one(db).await
}

/// Runs that are not over: what a start has to settle and the dispatcher to carry on.
pub async fn unfinished(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Status.is_in(["queued", "running"]))
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// Runs with services that still have to be started, whatever became of the run.
pub async fn with_obligations(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Obligations.ne("[]"))
        .all(db)
        .await
}

/// Runs that are over and may have left something in their target.
pub async fn with_leftovers(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        // In the words of the partial index: a bound value would not be known to fit it.
        .filter(Expr::cust("leftovers_due"))
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// Whether a later run stores, or stored, under that key.
pub async fn has_later_owner(
    db: &impl ConnectionTrait,
    run: RunId,
    key: &str,
) -> Result<bool, DbErr> {
    let later = Entity::find()
        .filter(Column::Id.gt(run.0))
        .filter(Column::Pin.contains(key));
    let mut later = later.all(db).await?.into_iter();
    Ok(later.any(|row| row.pin().is_some_and(|pin| pin.key == key)))
}

/// The unfinished run of that config, if any.
pub async fn unfinished_of(
    db: &impl ConnectionTrait,
    config: ConfigId,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::BackupConfigId.eq(config.0))
        .filter(Column::Status.is_in(["queued", "running"]))
        .order_by_asc(Column::Id)
        .one(db)
        .await
}

/// Config and oldest unfinished run of each of these configs that has one. At most some thousand.
pub async fn unfinished_of_configs(
    db: &impl ConnectionTrait,
    configs: &[i64],
) -> Result<Vec<(i64, RunId)>, DbErr> {
    let rows: Vec<(i64, i64)> = Entity::find()
        .select_only()
        .column(Column::BackupConfigId)
        .column_as(Column::Id.min(), "oldest")
        .filter(Column::BackupConfigId.is_in(configs.iter().copied()))
        .filter(Column::Status.is_in(["queued", "running"]))
        .group_by(Column::BackupConfigId)
        .into_tuple()
        .all(db)
        .await?;
    let pairs = rows.into_iter();
    Ok(pairs.map(|(config, run)| (config, RunId(run))).collect())
}

/// The run that this config was asked for under that key, if any.
pub async fn requested_as(
    db: &impl ConnectionTrait,
    config: ConfigId,
    key: &RequestKey,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::BackupConfigId.eq(config.0))
        .filter(Column::RequestKey.eq(key.0.as_str()))
        .one(db)
        .await
}

/// Runs of that config whose artifact is there and counts, newest first.
pub async fn with_artifact(
    db: &impl ConnectionTrait,
    config: ConfigId,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::BackupConfigId.eq(config.0))
        .filter(Column::Status.eq("success"))
        .filter(Column::ExpiredAt.is_null())
        .order_by_desc(Column::Id)
        .all(db)
        .await
}

/// Runs of that config whose artifact was found damaged or gone, and was not let go.
pub async fn with_damage(db: &impl ConnectionTrait, config: ConfigId) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::BackupConfigId.eq(config.0))
        .filter(Column::Status.is_in(["damaged", "missing"]))
        .filter(Column::ExpiredAt.is_null())
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// Runs whose artifact is being verified, or waits for it.
pub async fn verifying(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Verifying.is_not_null())
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// Where artifacts of any run lie or lay, with whose they are, and whether they were deleted.
pub async fn keys(db: &impl ConnectionTrait) -> Result<Vec<(String, RunId, bool)>, DbErr> {
    let rows: Vec<(String, i64, Option<i64>)> = Entity::find()
        .select_only()
        .columns([Column::FilePath, Column::Id, Column::PrunedAt])
        .filter(Column::FilePath.is_not_null())
        .into_tuple()
        .all(db)
        .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(key, run, pruned_at)| (key, RunId(run), pruned_at.is_some()))
        .collect())
}

/// Runs whose artifact is kept, whatever was found when it was last read.
pub async fn kept(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Status.is_in(["success", "damaged", "missing"]))
        .filter(Column::ExpiredAt.is_null())
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// Whether a run of this artifact is known.
pub async fn has_key(db: &impl ConnectionTrait, key: &str) -> Result<bool, DbErr> {
    let named = Entity::find().filter(Column::FilePath.eq(key));
    Ok(named.count(db).await? > 0)
}

/// The good artifact that was looked at longest ago, if that was before `before` (Unix milliseconds).
pub async fn longest_unseen(
    db: &impl ConnectionTrait,
    before: i64,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::LookedAt.lt(before))
        .order_by_asc(Column::LookedAt)
        .one(db)
        .await
}

/// How many good artifacts there are.
pub async fn count_good(db: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::LookedAt.is_not_null())
        .count(db)
        .await
}

/// The newest run of that config that is over, cancelled ones and found ones aside: by its number, because
/// the clock may have been wrong.
pub async fn newest_ended(
    db: &impl ConnectionTrait,
    config: ConfigId,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::BackupConfigId.eq(config.0))
        .filter(Column::Status.ne("cancelled"))
        .filter(Column::FinishedAt.is_not_null())
        .filter(Column::Trigger.ne(FOUND))
        .order_by_desc(Column::Id)
        .one(db)
        .await
}

/// When the newest run of that config that was so triggered was requested, in Unix milliseconds.
pub async fn newest_triggered(
    db: &impl ConnectionTrait,
    config: ConfigId,
    trigger: &Trigger,
) -> Result<Option<i64>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::RequestedAt)
        .filter(Column::BackupConfigId.eq(config.0))
        .filter(Column::Trigger.eq(trigger.name()))
        .order_by_desc(Column::Id)
        .limit(1)
        .into_tuple()
        .one(db)
        .await
}

/// Runs whose artifact is kept, with copies that are still to be made.
pub async fn to_copy(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        // In the words of the partial index: a bound 0 would not be known to fit it.
        .filter(Expr::cust("copies_open > 0"))
        .filter(Column::ExpiredAt.is_null())
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// Runs whose artifact was let go and is not known to be deleted yet.
pub async fn to_prune(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::ExpiredAt.is_not_null())
        .filter(Column::PrunedAt.is_null())
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// The newest successful run of that config: its size and time are the next one's estimate.
pub async fn newest_success(
    db: &impl ConnectionTrait,
    config: ConfigId,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::BackupConfigId.eq(config.0))
        .filter(Column::Status.eq("success"))
        .order_by_desc(Column::Id)
        .one(db)
        .await
}
