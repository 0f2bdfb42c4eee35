//! Walks the chain and says where it does not hold. A chain alone cannot show that its tail was cut
//! off; for that, compare `head` with one that left the host (an export carries it).

use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{LogError, chain, entity};

const BATCH: u64 = 5_000;
/// Enough to see what happened; a broken chain breaks everywhere after.
const FINDINGS: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    pub events: u64,
    /// Hash of the last event, lower hex; of nothing when the log is empty.
    pub head: String,
    pub findings: Vec<Finding>,
}

impl Verification {
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error("the event at {position} was changed after it was written")]
    Changed { position: i64 },
    #[error("between {after} and {found} something was removed or inserted")]
    Gap { after: i64, found: i64 },
    #[error("the event at {position} does not follow from the one before it")]
    Unlinked { position: i64 },
}

pub async fn chain(
    db: &DatabaseConnection,
    mut progress: impl FnMut(i64),
) -> Result<Verification, LogError> {
    let mut at = 0;
    let mut previous = chain::GENESIS.to_vec();
    let mut result = Verification {
        events: 0,
        head: String::new(),
        findings: Vec::new(),
    };
    loop {
        let rows = entity::Entity::find()
            .filter(entity::Column::Position.gt(at))
            .order_by_asc(entity::Column::Position)
            .limit(BATCH)
            .all(db)
            .await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            result.findings.extend(check(&row, at, &previous));
            at = row.position;
            previous = row.hash;
            result.events += 1;
        }
        result.findings.truncate(FINDINGS);
        progress(at);
    }
    result.head = hex::encode(&previous);
    Ok(result)
}

fn check(row: &entity::Model, after: i64, previous: &[u8]) -> Option<Finding> {
    let position = row.position;
    if position != after + 1 {
        Some(Finding::Gap {
            after,
            found: position,
        })
    } else if chain::hash(row) != row.hash {
        Some(Finding::Changed { position })
    } else if row.prev_hash != previous {
        Some(Finding::Unlinked { position })
    } else {
        None
    }
}
