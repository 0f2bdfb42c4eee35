//! Walks the chain and says where it does not hold. A chain alone cannot show that its tail was cut
//! off, or that all of it was written anew; for that there is a checkpoint that left the host.

use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{
    LogError, chain,
    checkpoint::{Checkpoint, CheckpointError},
    entity,
    offline::Known,
    pruned::Coverage,
    segment::SegmentError,
};

const BATCH: u64 = 5_000;
/// Enough to see what happened; a broken chain breaks everywhere after.
const FINDINGS: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    pub events: u64,
    /// Of the first event that was looked at; 1 when all of the log was.
    pub first: i64,
    /// Of the last one.
    pub last: i64,
    /// Hash of the last event, lower hex; of nothing when the log is empty.
    pub head: String,
    /// Of the event that a checkpoint was compared with.
    pub compared: Option<i64>,
    /// Events whose detail was pruned.
    pub pruned: u64,
    /// Those of them whose pruning may lie outside of what was looked at: only of a part.
    pub unconfirmed: u64,
    /// The segments that hold the detail: place and key.
    pub segments: Vec<String>,
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
    #[error("the events end at {last}, the checkpoint was signed at {signed}: the end was cut off")]
    Cut { last: i64, signed: i64 },
    #[error(
        "the event at {position} is not the one that the checkpoint was signed for: the log was written anew"
    )]
    Rewritten { position: i64 },
    #[error(
        "the checkpoint was signed at {signed}, before the first of these events, {first}: nothing ties them to it"
    )]
    Untied { first: i64, signed: i64 },
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("line {line} is no event, nor the head that an export ends with")]
    NoEvent { line: u64 },
    #[error("the export has no head at its end: it broke off, or its end was cut off")]
    NoHead,
    #[error("the piece {name}: {flaw}")]
    Piece { name: String, flaw: SegmentError },
    #[error("the event at {position} has no detail, and no pruning says so: somebody took it out")]
    Emptied { position: i64 },
    #[error(
        "of the events from {first} to {last}, something else is left than the pruning at {pruning} left"
    )]
    PrunedRows { pruning: i64, first: i64, last: i64 },
    #[error("the pruning at {position} was not done by a server: its signature is not good")]
    PruningForged { position: i64 },
    #[error(
        "the pruning at {position} is not signed by the key that is known: somebody else took detail out, or \
         the master key was exchanged since the checkpoint; then compare with a newer one"
    )]
    PruningForeign { position: i64 },
}

/// One walk along the chain, event by event.
pub struct Walk {
    /// Whether the first event has to be the log's first.
    whole: bool,
    checkpoint: Option<Checkpoint>,
    /// The checkpoint's event came by.
    met: bool,
    previous: Vec<u8>,
    coverage: Coverage,
    /// All that follows the first event was looked at.
    to_the_end: bool,
    result: Verification,
}

impl Walk {
    /// A checkpoint that is known was checked, and has to fit.
    pub fn new(whole: bool, known: &Known) -> Self {
        Self {
            whole,
            coverage: Coverage::new(known.signers()),
            to_the_end: whole,
            checkpoint: known.checkpoint.clone(),
            met: false,
            previous: chain::GENESIS.to_vec(),
            result: Verification {
                events: 0,
                first: 0,
                last: 0,
                head: String::new(),
                compared: None,
                pruned: 0,
                unconfirmed: 0,
                segments: Vec::new(),
                findings: Vec::new(),
            },
        }
    }

    pub fn last(&self) -> i64 {
        self.result.last
    }

    pub fn note(&mut self, finding: impl Into<Finding>) {
        if self.result.findings.len() < FINDINGS {
            self.result.findings.push(finding.into());
        }
    }

    /// The next event.
    pub fn take(&mut self, row: &entity::Model) {
        let begins = self.result.events == 0;
        if begins {
            self.result.first = row.position;
        }
        // Of a part, the first event follows from one that nobody has seen.
        if (!begins || self.whole)
            && let Some(finding) = self.place(row)
        {
            self.note(finding);
        }
        if !row.is_emptied() && chain::hash(row) != row.hash {
            let position = row.position;
            self.note(Finding::Changed { position });
        }
        if let Some(finding) = self.coverage.take(row, self.result.first) {
            self.note(finding);
        }
        let signed = self.checkpoint.as_ref();
        let signed = signed.filter(|it| it.position == row.position);
        if let Some(same) = signed.map(|it| it.hash == hex::encode(&row.hash)) {
            let position = row.position;
            self.result.compared = Some(position);
            self.met = true;
            if !same {
                self.note(Finding::Rewritten { position });
            }
        }
        self.result.events += 1;
        self.result.last = row.position;
        self.previous.clone_from(&row.hash);
    }

    fn place(&self, row: &entity::Model) -> Option<Finding> {
        let (position, after) = (row.position, self.result.last);
        if position != after + 1 {
            Some(Finding::Gap {
                after,
                found: position,
            })
        } else if row.prev_hash != self.previous {
            Some(Finding::Unlinked { position })
        } else {
            None
        }
    }

    /// The head that these events ended with where they came from. Of a part, it may be a later one.
    pub fn ends_with(&mut self, head: &Checkpoint, part: bool) {
        let last = self.result.last;
        self.to_the_end |= head.position == last;
        if head.position == last && head.hash != hex::encode(&self.previous) {
            self.note(Finding::Rewritten { position: last });
        } else if head.position == last {
            self.result.compared.get_or_insert(last);
        } else if !part && head.position > last {
            let signed = head.position;
            self.note(Finding::Cut { last, signed });
        } else if !part {
            let (after, found) = (head.position, last);
            self.note(Finding::Gap { after, found });
        }
    }

    pub fn finish(mut self) -> Verification {
        let unmet = self.checkpoint.take().filter(|_| !self.met);
        if let Some(signed) = unmet.map(|it| it.position) {
            let (first, last) = (self.result.first, self.result.last);
            // One of the empty log is tied to whatever begins with the first event.
            if signed > last {
                self.note(Finding::Cut { last, signed });
            } else if signed > 0 || first > 1 {
                self.note(Finding::Untied { first, signed });
            }
        }
        for finding in self.coverage.end(self.to_the_end) {
            self.note(finding);
        }
        (self.result.pruned, self.result.unconfirmed) = self.coverage.emptied();
        self.result.segments = self.coverage.segments();
        self.result.head = hex::encode(&self.previous);
        self.result
    }
}

/// The whole log in a database.
pub async fn chain(
    db: &DatabaseConnection,
    known: &Known,
    mut progress: impl FnMut(i64),
) -> Result<Verification, LogError> {
    let mut walk = Walk::new(true, known);
    let mut at = i64::MIN;
    loop {
        let rows = entity::Entity::find()
            .filter(entity::Column::Position.gt(at))
            .order_by_asc(entity::Column::Position)
            .limit(BATCH)
            .all(db)
            .await?;
        let Some(last) = rows.last() else { break };
        at = last.position;
        for row in &rows {
            walk.take(row);
        }
        progress(at);
    }
    Ok(walk.finish())
}
