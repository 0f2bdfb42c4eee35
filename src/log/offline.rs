//! The log checked without its server: from an export, from the segments in a target, or from a database
//! file. Whoever checks has a checkpoint or the public key from elsewhere; all else may be forged.

use std::{
    io::{self, BufRead},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    checkpoint::{Checkpoint, CheckpointError},
    copy::{self, CopyError},
    entry::Entry,
    pruned::Signers,
    seal, segment,
    verify::{self, Finding, Verification, Walk},
};

/// Bytes of a line at most; ours are a few KiB.
const LINE: u64 = 16 << 20;

/// What an export in lines of JSON ends with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadLine {
    pub head: Checkpoint,
}

/// What is known before the look, from elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub checkpoint: Option<Checkpoint>,
    /// Lower hex, of the server's log key.
    pub public_key: Option<String>,
}

impl Known {
    pub fn new(
        checkpoint: Option<Checkpoint>,
        public_key: Option<String>,
    ) -> Result<Self, CheckpointError> {
        if let Some(checkpoint) = &checkpoint {
            checkpoint.check(public_key.as_deref())?;
        }
        Ok(Self {
            checkpoint,
            public_key,
        })
    }

    /// Whose prunings count: that of the checkpoint's server, and that of the named key.
    pub(super) fn signers(&self) -> Signers {
        let named = self.public_key.as_deref().and_then(seal::instance_of_key);
        let signed = self.checkpoint.as_ref().map(|it| it.instance.clone());
        Signers {
            known: named.into_iter().chain(signed).collect(),
            vouched: self.checkpoint.as_ref().map_or(0, |it| it.position),
        }
    }

    /// Whose signature counts.
    fn key(&self) -> Option<&str> {
        let signer = self.checkpoint.as_ref().map(|it| it.public_key.as_str());
        self.public_key.as_deref().or(signer)
    }
}

/// An export in lines of JSON. `part`: it was asked for with `from`, `to` or `after`, and what is not in it
/// is no finding.
pub fn export(mut read: impl BufRead, known: &Known, part: bool) -> io::Result<Verification> {
    let mut walk = Walk::new(!part, known);
    let (mut head, mut number, mut text) = (None, 0, String::new());
    while next_line(&mut read, &mut text)? {
        number += 1;
        if head.is_some() {
            walk.note(Finding::NoEvent { line: number });
            break;
        }
        match serde_json::from_str::<Entry>(&text)
            .ok()
            .and_then(Entry::model)
        {
            Some(row) => walk.take(&row),
            None => match serde_json::from_str::<HeadLine>(&text) {
                Ok(HeadLine { head: found }) => head = Some(found),
                Err(_) => walk.note(Finding::NoEvent { line: number }),
            },
        }
    }
    match head {
        None => walk.note(Finding::NoHead),
        Some(head) => match head.check(known.key()) {
            Err(flaw) => walk.note(flaw),
            Ok(()) => walk.ends_with(&head, part),
        },
    }
    Ok(walk.finish())
}

/// Segments of one server's log, oldest first, under the names that findings call them by.
pub fn segments<E>(
    pieces: impl IntoIterator<Item = Result<(String, Vec<u8>), E>>,
    instance: &str,
    known: &Known,
) -> Result<Verification, E> {
    let mut walk = Walk::new(true, known);
    for piece in pieces {
        let (name, packed) = piece?;
        match segment::unpack(&packed, instance) {
            // A kill leaves the newest piece twice, the longer one last.
            Ok(rows) => {
                let known = walk.last();
                let new = rows.iter().filter(|row| row.position > known);
                new.for_each(|row| walk.take(row));
            }
            Err(flaw) => walk.note(Finding::Piece { name, flaw }),
        }
    }
    Ok(walk.finish())
}

/// The database of a server, or a copy of one. Changes nothing.
pub async fn database(path: &Path, known: &Known) -> Result<Verification, CopyError> {
    let db = copy::open_to_read(path).await?;
    let walked = verify::chain(&db, known, |_| {}).await;
    let closed = db.close().await;
    let verification = walked.map_err(|error| CopyError::Damaged(error.to_string()))?;
    closed.map_err(|error| CopyError::Damaged(error.to_string()))?;
    Ok(verification)
}

/// False at the end. A line that is too long, or no text, is none of ours.
fn next_line(read: &mut impl BufRead, text: &mut String) -> io::Result<bool> {
    let mut line = Vec::new();
    let length = io::Read::take(&mut *read, LINE).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    *text = String::from_utf8_lossy(&line).into_owned();
    Ok(length > 0)
}
