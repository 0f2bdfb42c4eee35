//! What pruning leaves of an event, and how it is proved. The row stays with its place in the chain; its `data`
//! is empty, and of the actor the kind and the number are left. The hash of such a row cannot be computed any
//! more, so a later `log.pruned` event vouches for it: signed by the server, with a digest over what is left.
//!
//! The digest is the same whether it is taken from rows that lost their detail or from whole ones, so a log
//! that came back from full segments still fits the prunings in it.

use sha2::{Digest, Sha256};

use super::{
    CodecError, chain, codec, entity,
    seal::{self, LogKey},
    verify::Finding,
};
use crate::domain::{
    audit::{AuditEvent, PRUNABLE, PrunedPiece, Pruning},
    event::{Actor, Event, StreamKind},
};

/// Stable name of the event that vouches for emptied rows.
pub const NAME: &str = "log.pruned";
const SKELETONS: &[u8] = b"holdfast.pruned-rows.v1\0";
const SIGNED: &[u8] = b"holdfast.log-pruned.v1\0";

type Skeleton = [u8; 32];

/// The actor without name and address: who it was stays tellable by the number, while there is such a user.
pub fn stripped(row: &entity::Model) -> Result<String, CodecError> {
    let unreadable = |_| CodecError::Envelope {
        position: row.position,
        what: "actor".to_owned(),
    };
    let mut actor: Actor = serde_json::from_str(&row.actor).map_err(unreadable)?;
    actor.name.clear();
    actor.address.clear();
    serde_json::to_string(&actor).map_err(unreadable)
}

/// Stands for all that is left, or would be left, of the event; its own hash among it.
fn skeleton(row: &entity::Model) -> Result<Skeleton, CodecError> {
    let mut left = row.clone();
    if !row.is_emptied() {
        left.actor = stripped(row)?;
        left.data.clear();
    }
    let mut sha = Sha256::new();
    sha.update(chain::hash(&left));
    sha.update(&row.hash);
    Ok(sha.finalize().into())
}

/// Over the events of one piece, in order.
fn digest<'a>(skeletons: impl IntoIterator<Item = &'a Skeleton>) -> String {
    let mut sha = Sha256::new();
    sha.update(SKELETONS);
    for skeleton in skeletons {
        sha.update(skeleton);
    }
    hex::encode(sha.finalize())
}

/// The number and the digest of the prunable ones among these rows.
pub fn sum(rows: &[entity::Model]) -> Result<(u64, String), CodecError> {
    let prunable = rows.iter().filter(|row| row.prunable().is_some());
    let skeletons = prunable.map(skeleton).collect::<Result<Vec<_>, _>>()?;
    Ok((skeletons.len() as u64, digest(&skeletons)))
}

pub fn sign(pruning: &mut Pruning, key: &LogKey) {
    pruning.public_key = key.public();
    pruning.signature = key.sign(&message(pruning));
}

/// The instance whose key signed it, if the signature is good.
fn signer(pruning: &Pruning) -> Option<String> {
    seal::signed_by(&pruning.public_key, &message(pruning), &pruning.signature)
}

fn message(pruning: &Pruning) -> Vec<u8> {
    let said = (&pruning.before, &pruning.names, &pruning.pieces);
    let mut message = SIGNED.to_vec();
    // Nothing in it can fail to be JSON; were it so, the signature would fit nothing.
    message.extend(serde_json::to_vec(&said).unwrap_or_default());
    message
}

/// Whose signature under a pruning counts.
#[derive(Debug, Clone, Default)]
pub struct Signers {
    /// Instances that are known from elsewhere; none: any, as long as the signature is good.
    pub known: Vec<String>,
    /// A checkpoint by one of them, which fits, vouches for all events up to here.
    pub vouched: i64,
}

/// An event that may have been pruned, on the way to the event that says so.
struct Seen {
    position: i64,
    name: &'static str,
    skeleton: Skeleton,
    emptied: bool,
    cover: Cover,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cover {
    None,
    /// A pruning names it; not all that it names was looked at, so its digest could not be taken.
    Named,
    Proved,
}

/// Holds emptied rows against the prunings that vouch for them, along one walk.
#[derive(Default)]
pub struct Coverage {
    signers: Signers,
    seen: Vec<Seen>,
    /// Prunings by a key that is not known, and the instance that it is by now: good when the log says that a
    /// known one took over.
    by_others: Vec<(i64, String)>,
    segments: Vec<String>,
}

impl Coverage {
    pub fn new(signers: Signers) -> Self {
        Self {
            signers,
            ..Self::default()
        }
    }

    /// Rows without their detail, and how many of them could not be proved to be as a pruning left them.
    pub fn emptied(&self) -> (u64, u64) {
        let emptied = self.seen.iter().filter(|row| row.emptied);
        let unproved = emptied.clone().filter(|row| row.cover != Cover::Proved);
        (emptied.count() as u64, unproved.count() as u64)
    }

    /// The segments that hold their detail, in words.
    pub fn segments(&self) -> Vec<String> {
        self.segments.clone()
    }

    /// The next event; `begin` is the position of the first one that was looked at.
    pub fn take(&mut self, row: &entity::Model, begin: i64) -> Option<Finding> {
        let position = row.position;
        match row.prunable().map(|name| (name, skeleton(row))) {
            Some((name, Ok(skeleton))) => self.seen.push(Seen {
                position,
                name,
                skeleton,
                emptied: row.is_emptied(),
                cover: Cover::None,
            }),
            Some((_, Err(_))) => return Some(Finding::Changed { position }),
            None if row.is_emptied() => return Some(Finding::Emptied { position }),
            None if row.stream_kind == StreamKind::Audit.name() => return self.told(row, begin),
            None => {}
        }
        None
    }

    fn told(&mut self, row: &entity::Model, begin: i64) -> Option<Finding> {
        let read = codec::decode(StreamKind::Audit, &row.name, row.schema, &row.data);
        match read {
            Ok(Event::Audit(AuditEvent::LogPruned(pruning))) => {
                self.cover(row.position, &pruning, begin)
            }
            // What follows a checkpoint may be anybody's, these two as well.
            _ if self.signers.vouched > 0 => None,
            Ok(Event::Audit(AuditEvent::MasterKeyRotated { instance, .. })) => {
                if self.signers.known.contains(&instance) {
                    self.by_others.clear();
                }
                let others = self.by_others.iter_mut();
                others.for_each(|(_, signer)| signer.clone_from(&instance));
                None
            }
            Ok(Event::Audit(AuditEvent::Recovered { instance, .. })) => {
                let recovered = instance.split('/').next();
                let others = &mut self.by_others;
                others.retain(|(_, signer)| Some(signer.as_str()) != recovered);
                None
            }
            _ => None,
        }
    }

    fn cover(&mut self, position: i64, pruning: &Pruning, begin: i64) -> Option<Finding> {
        let Some(signer) = signer(pruning) else {
            return Some(Finding::PruningForged { position });
        };
        let known = &self.signers.known;
        if !known.is_empty() && !known.contains(&signer) && position > self.signers.vouched {
            self.by_others.push((position, signer));
        }
        let may = |name: &String| PRUNABLE.contains(&name.as_str());
        let ordered = pruning.pieces.iter().all(|it| it.first <= it.last)
            && pruning.pieces.windows(2).all(|it| it[0].last < it[1].first)
            && pruning.pieces.iter().all(|it| it.last < position);
        if !ordered || !pruning.names.iter().all(may) {
            return Some(Finding::PruningForged { position });
        }
        let mut finding = None;
        for piece in &pruning.pieces {
            let flaw = self.cover_piece(position, &pruning.names, piece, begin);
            finding = finding.or(flaw);
        }
        finding
    }

    fn cover_piece(
        &mut self,
        pruning: i64,
        names: &[String],
        piece: &PrunedPiece,
        begin: i64,
    ) -> Option<Finding> {
        let from = self.seen.partition_point(|row| row.position < piece.first);
        let to = self.seen.partition_point(|row| row.position <= piece.last);
        // Of a part, some of the piece's events may not have been looked at.
        let whole = piece.first >= begin;
        let rows = self.seen.get_mut(from..to)?;
        let named = |row: &&mut Seen| names.iter().any(|name| name == row.name);
        let (mut skeletons, mut emptied) = (Vec::new(), false);
        for row in rows.iter_mut().filter(named) {
            row.cover = row
                .cover
                .max(if whole { Cover::Proved } else { Cover::Named });
            emptied |= row.emptied;
            skeletons.push(row.skeleton);
        }
        if emptied {
            let segment = format!("{}: {}", piece.place, piece.key);
            if !self.segments.contains(&segment) {
                self.segments.push(segment);
            }
        }
        let same = skeletons.len() as u64 == piece.events && digest(&skeletons) == piece.skeletons;
        (whole && !same).then_some(Finding::PrunedRows {
            pruning,
            first: piece.first,
            last: piece.last,
        })
    }

    /// What nothing vouches for, at the end. `whole`: every pruning of these rows would have come by.
    pub fn end(&self, whole: bool) -> Vec<Finding> {
        let others = self.by_others.iter();
        let others = others.map(|(position, _)| Finding::PruningForeign {
            position: *position,
        });
        let bare = self
            .seen
            .iter()
            .filter(|row| whole && row.emptied && row.cover == Cover::None);
        let bare = bare.map(|row| Finding::Emptied {
            position: row.position,
        });
        others.chain(bare).collect()
    }
}
