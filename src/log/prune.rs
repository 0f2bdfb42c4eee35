//! Takes the detail of old events out of the database. Which ones, `domain::audit` says; that they lie whole in
//! a segment elsewhere, the caller has proved with `holds_detail`. What stays is proved by `pruned`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, EntityTrait, FromQueryResult, PaginatorTrait, QueryFilter, QueryOrder, Statement,
    sea_query::Expr,
};
use sha2::{Digest, Sha256};

use super::{Cause, Log, LogError, LogKey, Unit, entity, pruned, segment, storage};
use crate::domain::{
    audit::{AuditEvent, PRUNABLE, PrunedPiece, Pruning},
    event::{Event, Scope, StreamKind},
};

/// Positions in one statement.
const ROWS: usize = 1_000;

/// Events that follow each other, as many as a sealed segment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub first: i64,
    pub last: i64,
    /// Those whose detail may go, and is still here.
    pub events: u64,
}

/// A segment in a target that was read back and holds all of a stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    pub stretch: Stretch,
    /// The target, in words.
    pub place: String,
    pub key: String,
    /// Lower hex.
    pub sha256: String,
}

impl Log {
    /// The stretches of `size` events, counted from the first there ever was, in which nothing happened at or
    /// after `before`, and whose detail is not pruned yet.
    pub async fn prunable(
        &self,
        before: DateTime<Utc>,
        size: i64,
    ) -> Result<Vec<Stretch>, LogError> {
        #[derive(FromQueryResult)]
        struct Row {
            block: i64,
            events: i64,
        }
        let names = PRUNABLE.map(|name| format!("'{name}'")).join(", ");
        let audit = StreamKind::Audit.name();
        let select = format!(
            "SELECT (position - 1) / ? AS block, SUM(CASE WHEN stream_kind = '{audit}' AND data <> '' \
             AND name IN ({names}) THEN 1 ELSE 0 END) AS events FROM events \
             GROUP BY block HAVING COUNT(*) = ? AND MAX(at) < ? AND events > 0 ORDER BY block"
        );
        let values = [size.into(), size.into(), before.timestamp_millis().into()];
        let backend = self.db.get_database_backend();
        let select = Statement::from_sql_and_values(backend, select, values);
        let rows = Row::find_by_statement(select).all(&self.db).await?;
        let stretches = rows.into_iter().map(|row| Stretch {
            first: row.block * size + 1,
            last: (row.block + 1) * size,
            events: u64::try_from(row.events).unwrap_or(0),
        });
        Ok(stretches.collect())
    }

    /// The digest of a segment that came back, when it holds all events of the stretch with their detail: the
    /// very ones that are here, signed by the server of this name.
    pub async fn holds_detail(
        &self,
        packed: &[u8],
        instance: &str,
        stretch: &Stretch,
    ) -> Result<Option<String>, LogError> {
        let (first, last) = (stretch.first, stretch.last);
        if !self.is_ours(packed, instance, first, last).await? {
            return Ok(None);
        }
        let rows = segment::unpack(packed, instance).unwrap_or_default();
        let pruned = rows.iter().any(entity::Model::is_emptied);
        Ok((!pruned).then(|| hex::encode(Sha256::digest(packed))))
    }

    /// Empties what may be pruned of these stretches, and says so in the log; all of it or nothing. Answers how
    /// many events lost their detail.
    pub async fn prune(
        &self,
        cause: Cause,
        key: LogKey,
        before: DateTime<Utc>,
        proven: Vec<Proven>,
    ) -> Result<u64, LogError> {
        self.write(cause, move |unit| {
            Box::pin(async move { prune(unit, &key, before, proven).await })
        })
        .await
    }

    /// Every pruning there was, oldest first, with its position.
    pub async fn prunings(&self) -> Result<Vec<(i64, Pruning)>, LogError> {
        let rows = entity::Entity::find()
            .filter(entity::Column::StreamKind.eq(StreamKind::Audit.name()))
            .filter(entity::Column::Name.eq(pruned::NAME))
            .order_by_asc(entity::Column::Position)
            .all(&self.db)
            .await?;
        let mut prunings = Vec::new();
        for row in rows {
            let position = row.position;
            if let Event::Audit(AuditEvent::LogPruned(pruning)) = row.recorded()?.event {
                prunings.push((position, pruning));
            }
        }
        Ok(prunings)
    }

    /// Whether any of these events lost its detail here.
    pub async fn has_pruned(&self, first: i64, last: i64) -> Result<bool, LogError> {
        let emptied = entity::Entity::find()
            .filter(entity::Column::Position.between(first, last))
            .filter(entity::Column::Data.eq(""));
        Ok(emptied.count(&self.db).await? > 0)
    }

    /// A segment that came back, with the events after it up to `last`: what was pruned here since it was stored
    /// is whole in it still. `None` when it is none of ours.
    pub async fn grown(
        &self,
        key: &LogKey,
        packed: &[u8],
        last: i64,
    ) -> Result<Option<Vec<u8>>, LogError> {
        let instance = key.instance();
        let mut rows = segment::unpack(packed, &instance).unwrap_or_default();
        let Some((first, end)) = rows.first().zip(rows.last()) else {
            return Ok(None);
        };
        let (first, end) = (first.position, end.position);
        if !self.is_ours(packed, &instance, first, end).await? {
            return Ok(None);
        }
        rows.extend(self.rows(end + 1, last).await?);
        segment::pack(&rows, key).map(Some).map_err(storage)
    }
}

async fn prune(
    unit: &mut Unit,
    key: &LogKey,
    before: DateTime<Utc>,
    proven: Vec<Proven>,
) -> Result<u64, LogError> {
    let (mut pieces, mut emptied) = (Vec::new(), 0);
    for Proven {
        stretch,
        place,
        key,
        sha256,
    } in proven
    {
        let rows = entity::Entity::find()
            .filter(entity::Column::Position.between(stretch.first, stretch.last))
            .order_by_asc(entity::Column::Position)
            .all(unit.tx())
            .await?;
        let here = empty(unit, &rows).await?;
        if here == 0 {
            continue; // done meanwhile
        }
        emptied += here;
        let (events, skeletons) = pruned::sum(&rows)?;
        pieces.push(PrunedPiece {
            first: stretch.first,
            last: stretch.last,
            events,
            skeletons,
            place,
            key,
            sha256,
        });
    }
    if pieces.is_empty() {
        return Ok(0);
    }
    let mut pruning = Pruning {
        before,
        names: PRUNABLE.map(str::to_owned).into(),
        pieces,
        public_key: String::new(),
        signature: String::new(),
    };
    pruned::sign(&mut pruning, key);
    let event = AuditEvent::LogPruned(pruning);
    unit.note(event, Scope::default()).await?;
    Ok(emptied)
}

/// Answers how many. Actors without name and address are few, so statements are.
async fn empty(unit: &Unit, rows: &[entity::Model]) -> Result<u64, LogError> {
    let mut by_actor: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let whole = rows.iter().filter(|row| !row.is_emptied());
    for row in whole.filter(|row| row.prunable().is_some()) {
        let of_actor = by_actor.entry(pruned::stripped(row)?).or_default();
        of_actor.push(row.position);
    }
    let mut emptied = 0;
    for (actor, positions) in by_actor {
        for positions in positions.chunks(ROWS) {
            let done = entity::Entity::update_many()
                .col_expr(entity::Column::Data, Expr::value(""))
                .col_expr(entity::Column::Actor, Expr::value(actor.as_str()))
                .filter(entity::Column::Position.is_in(positions.iter().copied()))
                .exec(unit.tx())
                .await?;
            emptied += done.rows_affected;
        }
    }
    Ok(emptied)
}
