//! A piece of the log as it leaves the host: the stored events, byte for byte, with their chain, signed
//! as a whole. gzip over lines of JSON, so that a person can read it with what every system has:
//!
//! ```text
//! {"format":1,"instance":…,"public_key":…,"first":1,"last":2000,"prev_hash":…,"head":…}
//! {"position":1,"stream_kind":"app",…,"hash":…}
//! …
//! {"signature":…}
//! ```
//!
//! The signature covers all lines above it. The hash of the event before the first is in the header, so
//! pieces that are left out, exchanged or put in another order do not fit together.
//!
//! An event whose detail was pruned before it left has empty `data`: whether a pruning vouches for it, only
//! the events that follow can tell. Format 2 is one with such events, which older versions cannot read.

use std::io::{self, Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};

use super::{
    chain,
    entity::Model,
    seal::{LogKey, Sealed, seal, write_line},
};

const FORMAT: u32 = 1;
const WITH_PRUNED: u32 = 2;
const TAG: &[u8] = b"holdfast.log-segment.v1\0";
/// Bytes, unpacked; ours are a few MiB.
const MAX: u64 = 256 << 20;
/// Bytes that a piece has at most as it lies in a target: more is none of ours, and need not be read.
pub const MAX_PACKED: usize = 64 << 20;

/// What makes a piece of no use, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    #[error("it is cut off or damaged: {0}")]
    Damaged(String),
    #[error("a newer version of Holdfast wrote it")]
    Newer,
    #[error("its signature is not good: somebody altered it")]
    Forged,
    #[error("it was signed by {found}, not by {expected}")]
    Foreign { found: String, expected: String },
    #[error("the event at {0} is not the one that was logged")]
    Altered(i64),
    #[error("event {expected} should come next, {found} does: a piece is missing or out of order")]
    Gap { expected: i64, found: i64 },
    #[error("it does not follow from the event before {0}: it belongs to another history")]
    Unlinked(i64),
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    instance: String,
    public_key: String,
    first: i64,
    last: i64,
    prev_hash: String,
    head: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    position: i64,
    stream_kind: String,
    stream_id: i64,
    version: i64,
    name: String,
    schema: i32,
    data: String,
    actor: String,
    correlation: String,
    causation: Option<i64>,
    app_id: Option<i64>,
    config_id: Option<i64>,
    at: i64,
    hash: String,
}

/// `rows` follow each other, and there is at least one.
pub fn pack(rows: &[Model], key: &LogKey) -> io::Result<Vec<u8>> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Err(io::Error::other("a segment of nothing"));
    };
    let header = Header {
        format: if rows.iter().any(Model::is_emptied) {
            WITH_PRUNED
        } else {
            FORMAT
        },
        instance: key.instance(),
        public_key: key.public(),
        first: first.position,
        last: last.position,
        prev_hash: hex::encode(&first.prev_hash),
        head: hex::encode(&last.hash),
    };
    let mut text = Vec::new();
    write_line(&mut text, &header)?;
    for row in rows {
        write_line(&mut text, &Line::of(row))?;
    }
    seal(&mut text, TAG, key)?;
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&text)?;
    packed.finish()
}

/// The events of a piece that `instance` signed; each is what it was, or was pruned, and follows the one before.
pub fn unpack(packed: &[u8], instance: &str) -> Result<Vec<Model>, SegmentError> {
    let damaged = |what: &str| SegmentError::Damaged(what.to_owned());
    let mut text = Vec::new();
    GzDecoder::new(packed)
        .take(MAX)
        .read_to_end(&mut text)
        .map_err(|error| SegmentError::Damaged(error.to_string()))?;
    let sealed = Sealed::find(&text).map_err(|error| SegmentError::Damaged(error.to_string()))?;
    let mut lines = sealed.lines();
    let header: Header = parse(lines.next().ok_or_else(|| damaged("it is empty"))?)?;
    if header.format > WITH_PRUNED {
        return Err(SegmentError::Newer);
    }
    let signer = sealed.signer(TAG, &header.public_key);
    let signer = signer.ok_or(SegmentError::Forged)?;
    if signer != instance {
        return Err(SegmentError::Foreign {
            found: signer,
            expected: instance.to_owned(),
        });
    }
    let mut rows: Vec<Model> = Vec::new();
    let mut previous = hex::decode(&header.prev_hash).map_err(|_| SegmentError::Forged)?;
    if header.first < 1 || header.last < header.first || header.last == i64::MAX {
        return Err(damaged("its numbers make no sense"));
    }
    for (line, position) in lines.zip(header.first..) {
        let row = parse::<Line>(line)?.model(std::mem::take(&mut previous))?;
        if row.position != position {
            let (expected, found) = (position, row.position);
            return Err(SegmentError::Gap { expected, found });
        }
        let pruned = row.is_emptied() && header.format == WITH_PRUNED;
        if !pruned && chain::hash(&row) != row.hash {
            return Err(SegmentError::Altered(position));
        }
        previous.clone_from(&row.hash);
        rows.push(row);
    }
    if rows.last().map(|row| row.position) != Some(header.last) {
        return Err(damaged("it holds fewer events than it says"));
    }
    Ok(rows)
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, SegmentError> {
    serde_json::from_slice(line).map_err(|error| SegmentError::Damaged(error.to_string()))
}

impl Line {
    fn of(row: &Model) -> Self {
        Self {
            position: row.position,
            stream_kind: row.stream_kind.clone(),
            stream_id: row.stream_id,
            version: row.version,
            name: row.name.clone(),
            schema: row.schema,
            data: row.data.clone(),
            actor: row.actor.clone(),
            correlation: row.correlation.clone(),
            causation: row.causation,
            app_id: row.app_id,
            config_id: row.config_id,
            at: row.at,
            hash: hex::encode(&row.hash),
        }
    }

    fn model(self, prev_hash: Vec<u8>) -> Result<Model, SegmentError> {
        let hash = hex::decode(&self.hash).map_err(|_| SegmentError::Altered(self.position))?;
        Ok(Model {
            position: self.position,
            stream_kind: self.stream_kind,
            stream_id: self.stream_id,
            version: self.version,
            name: self.name,
            schema: self.schema,
            data: self.data,
            actor: self.actor,
            correlation: self.correlation,
            causation: self.causation,
            app_id: self.app_id,
            config_id: self.config_id,
            at: self.at,
            prev_hash,
            hash,
        })
    }
}
