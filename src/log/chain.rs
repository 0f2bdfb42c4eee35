//! `hash = SHA-256(tag ‖ position ‖ prev_hash ‖ envelope ‖ data)`. The envelope is written with the
//! length before each field, so that no two envelopes give the same bytes; `data` is what is
//! stored, never serialised anew.

use sha2::{Digest, Sha256};

use super::entity::Model;

const TAG: &[u8] = b"holdfast.event.v1\0";

/// What stands before the first event.
pub const GENESIS: [u8; 32] = [0; 32];

/// The hash that `row` should have; `row.hash` itself is not looked at.
pub fn hash(row: &Model) -> Vec<u8> {
    let mut sha = Sha256::new();
    sha.update(TAG);
    sha.update(row.position.to_be_bytes());
    sha.update(&row.prev_hash);
    text(&mut sha, &row.stream_kind);
    sha.update(row.stream_id.to_be_bytes());
    sha.update(row.version.to_be_bytes());
    text(&mut sha, &row.name);
    sha.update(row.schema.to_be_bytes());
    text(&mut sha, &row.actor);
    text(&mut sha, &row.correlation);
    optional(&mut sha, row.causation);
    optional(&mut sha, row.app_id);
    optional(&mut sha, row.config_id);
    sha.update(row.at.to_be_bytes());
    text(&mut sha, &row.data);
    sha.finalize().to_vec()
}

fn text(sha: &mut Sha256, value: &str) {
    sha.update((value.len() as u64).to_be_bytes());
    sha.update(value.as_bytes());
}

fn optional(sha: &mut Sha256, value: Option<i64>) {
    match value {
        None => sha.update([0]),
        Some(value) => {
            sha.update([1]);
            sha.update(value.to_be_bytes());
        }
    }
}
