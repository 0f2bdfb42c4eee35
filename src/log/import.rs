//! The log of another machine into an empty database, from its segments. One transaction, in which each
//! event must follow from the one before. What comes out is a copy, and says so of itself (`copy`): the
//! server that begins to work with it ends what was at work when the last segment left.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseConnection, DatabaseTransaction, EntityTrait,
    IntoActiveModel, PaginatorTrait, QueryFilter,
};

use super::{
    LogError, chain, copy, entity, projection,
    pruned::Coverage,
    segment::{self, SegmentError},
    verify::Finding,
    writer,
};

/// SQLite takes so many values in a statement.
const ROWS: usize = 1_000;

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Segment(#[from] SegmentError),
    #[error("there is a log already")]
    NotEmpty,
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<sea_orm::DbErr> for ImportError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Log(error.into())
    }
}

pub struct Import {
    tx: DatabaseTransaction,
    instance: String,
    position: i64,
    head: Vec<u8>,
    /// Of the last event, Unix milliseconds.
    at: i64,
    coverage: Coverage,
    findings: Vec<Finding>,
}

impl Import {
    /// Of what `instance` signed. The database holds no event.
    pub async fn begin(db: &DatabaseConnection, instance: &str) -> Result<Self, ImportError> {
        let tx = writer::begin_immediate(db).await?;
        if entity::Entity::find().count(&tx).await? > 0 {
            return Err(ImportError::NotEmpty);
        }
        Ok(Self {
            tx,
            instance: instance.to_owned(),
            position: 0,
            head: chain::GENESIS.to_vec(),
            at: 0,
            coverage: Coverage::default(),
            findings: Vec::new(),
        })
    }

    /// Of the last event that was taken.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The next segment, oldest first. One may begin with what the one before ended with. One that is
    /// refused changes nothing.
    pub async fn take(&mut self, packed: &[u8]) -> Result<(), ImportError> {
        let mut rows = segment::unpack(packed, &self.instance)?;
        let first = rows.first().map_or(0, |row| row.position);
        if first > self.position + 1 {
            return Err(SegmentError::Gap {
                expected: self.position + 1,
                found: first,
            }
            .into());
        }
        let known = usize::try_from(self.position + 1 - first).unwrap_or(usize::MAX);
        let new = rows.split_off(known.min(rows.len()));
        for row in &rows {
            self.must_be_known(row).await?;
        }
        if let Some(next) = new.first()
            && next.prev_hash != self.head
        {
            return Err(SegmentError::Unlinked(next.position).into());
        }
        if let Some(last) = new.last() {
            (self.position, self.at) = (last.position, last.at);
            self.head.clone_from(&last.hash);
        }
        for row in &new {
            self.findings.extend(self.coverage.take(row, 1));
        }
        for rows in new.chunks(ROWS) {
            let models = rows
                .iter()
                .map(|row| row.clone().into_active_model().reset_all());
            entity::Entity::insert_many(models)
                .exec_without_returning(&self.tx)
                .await?;
        }
        Ok(())
    }

    /// What is wrong with the pruned ones among the events that were taken, in words; `None` when a pruning
    /// that was taken too vouches for each.
    pub fn flaw_of_pruned(&self) -> Option<String> {
        let bare = self.coverage.end(true);
        let first = self.findings.iter().chain(&bare).next()?;
        Some(match self.findings.len() + bare.len() {
            1 => first.to_string(),
            more => format!("{first}, and {} more like it", more - 1),
        })
    }

    async fn must_be_known(&self, row: &entity::Model) -> Result<(), ImportError> {
        let same = entity::Entity::find()
            .filter(entity::Column::Position.eq(row.position))
            .filter(entity::Column::Hash.eq(row.hash.clone()))
            .count(&self.tx)
            .await?;
        match same {
            0 => Err(SegmentError::Unlinked(row.position).into()),
            _ => Ok(()),
        }
    }

    /// Commits; answers the last position. What `subscribers` would do about these events was done where
    /// they happened: they begin after them.
    pub async fn finish(self, subscribers: &[&str]) -> Result<i64, ImportError> {
        for name in subscribers {
            projection::set_position(&self.tx, super::subscription::KIND, name, 1, self.position)
                .await?;
        }
        let origin = copy::Origin {
            copied_at: self.at,
            position: self.position,
            head: hex::encode(&self.head),
        };
        copy::set_origin(&self.tx, &origin).await?;
        self.tx.commit().await?;
        Ok(self.position)
    }
}
