//! Judges a dump in custom format by its bytes alone: head, table of contents, then a block of data
//! for each table. Its rows are not compressed by `pg_dump`, so they can be counted as those of a plain
//! dump are, and the two have the same fingerprint.
//!
//! There is no end mark: the archive is whole when each block that the table of contents announces
//! has come, and ended.

mod contents;
mod read;
mod sql;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    mem,
};

use self::{
    contents::{Data, Head, MAGIC},
    read::{Reader, Stop},
};
use super::{
    LARGE_OBJECTS,
    copy::{Progress, Rows},
    foreign,
};

/// The longest entry of a table of contents, in bytes. The rest is never held.
const LONGEST: usize = 16 * 1024 * 1024;
const ROWS: u8 = 1;
const LARGE_OBJECTS_BLOCK: u8 = 3;

#[derive(Default)]
pub struct Archive {
    state: State,
    head: Head,
    ids: HashSet<i64>,
    /// What has to come yet.
    awaited: HashMap<i64, Data>,
    block: Block,
    counts: BTreeMap<String, u64>,
    encoding: Option<String>,
    /// Bytes that are not understood without the next.
    pending: Vec<u8>,
    fault: Option<String>,
    at: u64,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Head,
    /// So many entries are to come.
    Contents(usize),
    /// Before a block, or at the end.
    Between,
    /// In a block, before the length of a piece.
    Length,
    /// So many bytes of a piece are to come.
    Piece(usize),
    /// Before the number of a large object.
    Number,
}

/// The block at hand.
#[derive(Debug, Default)]
enum Block {
    #[default]
    LargeObjects,
    Rows {
        table: String,
        rows: Rows,
        /// Their last line was there.
        ended: bool,
    },
}

impl Archive {
    pub fn feed(&mut self, chunk: &[u8]) {
        let joined;
        let bytes = if self.pending.is_empty() {
            chunk
        } else {
            joined = [mem::take(&mut self.pending).as_slice(), chunk].concat();
            &joined[..]
        };
        let mut at = 0;
        while self.fault.is_none() {
            match self.step(&bytes[at..]) {
                Ok(used) => {
                    at += used;
                    self.at += used as u64;
                }
                Err(Stop::More) if bytes.len() - at <= LONGEST => break,
                Err(Stop::More) => self.fail("it holds an entry that has no end"),
                Err(Stop::Bad(what)) => self.bad(&what, bytes),
            }
        }
        if self.fault.is_none() {
            self.pending = bytes[at..].to_vec();
        }
    }

    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    pub fn encoding(&self) -> Option<&str> {
        self.encoding.as_deref()
    }

    /// Version of the dumped server, once the head was read.
    pub fn server(&self) -> Option<&str> {
        match self.state {
            State::Head => None,
            _ => Some(&self.head.server),
        }
    }

    /// Rows by table, or what is wrong.
    pub fn finish(mut self) -> Result<BTreeMap<String, u64>, String> {
        let whole = matches!(self.state, State::Between) && self.pending.is_empty();
        if self.at == 0 && self.pending.is_empty() {
            self.fail("it is empty");
        } else if !whole || !self.awaited.is_empty() {
            let place = match self.state {
                State::Head => "its head",
                State::Contents(_) => "its table of contents",
                _ => "its data",
            };
            self.fail(format!("it was cut off within {place}"));
        }
        self.fault.map_or(Ok(self.counts), Err)
    }

    /// Reads one thing, and says how long it was. What is not whole changes nothing.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        let mut reader = Reader::new(bytes);
        match self.state {
            State::Head => {
                let (head, length) = Head::read(bytes)?;
                self.state = after_entry(head.entries);
                self.head = head;
                return Ok(length);
            }
            State::Contents(left) => {
                let (entry, length) = self.head.entry(bytes)?;
                if !self.ids.insert(entry.id) {
                    return Err("two entries of one number".into());
                }
                self.encoding = entry.encoding.or(self.encoding.take());
                self.awaited.extend(entry.data.map(|data| (entry.id, data)));
                self.state = after_entry(left - 1);
                return Ok(length);
            }
            State::Between => self.begin(&mut reader)?,
            State::Length => match reader.length()? {
                0 => self.end()?,
                length => self.state = State::Piece(length),
            },
            State::Piece(0) => self.state = State::Length,
            State::Piece(left) => {
                let length = left.min(bytes.len());
                if length == 0 {
                    return Err(Stop::More);
                }
                self.piece(reader.take(length)?)?;
                self.state = State::Piece(left - length);
            }
            State::Number => {
                self.state = match reader.length()? {
                    0 => State::Between,
                    _ => State::Length,
                }
            }
        }
        Ok(reader.at)
    }

    fn begin(&mut self, reader: &mut Reader<'_>) -> Result<(), Stop> {
        let kind = reader.byte()?;
        let id = reader.int()?;
        let awaited = self.awaited.get(&id);
        (self.block, self.state) = match (kind, awaited) {
            (ROWS, Some(Data::Rows(table))) => {
                let block = Block::Rows {
                    table: table.clone(),
                    rows: Rows::begun(),
                    ended: false,
                };
                (block, State::Length)
            }
            (LARGE_OBJECTS_BLOCK, Some(Data::LargeObjects)) => (Block::LargeObjects, State::Number),
            _ => return Err("data that its table of contents does not announce".into()),
        };
        self.awaited.remove(&id);
        Ok(())
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let Block::Rows { table, rows, ended } = &mut self.block else {
            return Ok(());
        };
        let mut rest = bytes;
        if !*ended {
            match rows.feed(bytes) {
                Progress::More => return Ok(()),
                Progress::Ended(used) => rest = &bytes[used..],
                Progress::Fault(_, what) => {
                    return Err(Stop::Bad(format!("rows of {table} of which {what}")));
                }
            }
            *ended = true;
        }
        if rest.iter().all(|byte| *byte == b'\n') {
            Ok(())
        } else {
            Err(Stop::Bad(format!("something after the rows of {table}")))
        }
    }

    /// The last piece of a block, or of a large object, was there.
    fn end(&mut self) -> Result<(), Stop> {
        self.state = match mem::take(&mut self.block) {
            Block::LargeObjects => {
                *self.counts.entry(LARGE_OBJECTS.to_owned()).or_default() += 1;
                State::Number
            }
            Block::Rows {
                table,
                rows,
                ended: true,
            } => {
                *self.counts.entry(table).or_default() += rows.count;
                State::Between
            }
            Block::Rows { table, .. } => {
                return Err(Stop::Bad(format!("rows of {table} without their end")));
            }
        };
        Ok(())
    }

    fn bad(&mut self, what: &str, bytes: &[u8]) {
        if matches!(self.state, State::Head) && !bytes.starts_with(MAGIC) {
            self.fail(foreign::what(bytes, b""));
        } else {
            self.fail(format!("it holds {what} (at byte {})", self.at));
        }
    }

    fn fail(&mut self, what: impl Into<String>) {
        self.fault.get_or_insert_with(|| what.into());
    }
}

/// Without entries there is nothing to restore, but that is for the count to say.
fn after_entry(left: usize) -> State {
    match left {
        0 => State::Between,
        left => State::Contents(left),
    }
}

#[cfg(test)]
mod tests;
