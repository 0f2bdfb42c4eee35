//! Reads an RDB file as it passes: every length is followed, no value is decoded, and the checksum at
//! the end proves every bit. So a cut is found at any place, and so is a flipped bit.
//!
//! Understood are the formats 1 to 12: every Redis up to 8, Valkey up to 8, and KeyDB. Values of modules
//! are refused, because a restore would need the same modules.

mod shape;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crc::{CRC_64_REDIS, Crc, Digest, Table};

use self::shape::Part;

/// Newest format that is understood.
const NEWEST: u32 = 12;
/// The first format that ends with a checksum.
const FIRST_WITH_CHECKSUM: u32 = 5;
/// Most that a compressed string can grow, to a byte: a reference of 3 bytes makes 264.
const LZF_MOST: u64 = 264;
/// The longest thing that is read as a whole, in bytes: an opcode, a length, a time, the header.
const HEAD: usize = 16;

static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// What an RDB file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    pub format: u32,
    /// Number of a database → keys in it.
    pub keys: BTreeMap<u64, u64>,
    /// How many of all keys have a time to live, and may be gone by the time they are loaded.
    pub mortal: u64,
    /// Whether there is a checksum: a server can be told to leave it out.
    pub has_checksum: bool,
}

pub struct Reader {
    place: Place,
    /// What is being read, innermost last.
    frames: Vec<Frame>,
    /// Part of the innermost value that comes before the next of its frame.
    pending: Option<Part>,
    /// Bytes of a string or number that need not be looked at.
    skip: u64,
    head: [u8; HEAD],
    head_length: usize,
    checksum: Digest<'static, u64, Table<16>>,
    offset: u64,
    database: u64,
    /// Between a key's time to live and the key.
    mortal: bool,
    contents: Contents,
}

enum Place {
    Header,
    /// Between two values, or in one.
    Body,
    Checksum,
    End,
    Broken(String),
}

/// A run of parts that comes so many times.
struct Frame {
    parts: &'static [Part],
    at: usize,
    times: u64,
}

/// More bytes are needed, or it is not an RDB file.
enum Stop {
    Hungry,
    Fault(String),
}

impl From<String> for Stop {
    fn from(fault: String) -> Self {
        Self::Fault(fault)
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            place: Place::Header,
            frames: Vec::new(),
            pending: None,
            skip: 0,
            head: [0; HEAD],
            head_length: 0,
            checksum: CHECKSUM.digest(),
            offset: 0,
            database: 0,
            mortal: false,
            contents: Contents::default(),
        }
    }
}

impl Reader {
    pub fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let (before, was_covered) = (rest.len(), self.is_covered());
            let stepped = self.step(&mut rest);
            self.offset += (before - rest.len()) as u64;
            match stepped {
                Ok(()) => {}
                Err(Stop::Hungry) => break,
                Err(Stop::Fault(fault)) => {
                    self.place = Place::Broken(format!("at byte {}: {fault}", self.offset));
                    return;
                }
            }
            if was_covered && !self.is_covered() {
                self.checksum.update(&chunk[..chunk.len() - rest.len()]);
            }
        }
        if self.is_covered() {
            self.checksum.update(chunk);
        }
    }

    /// What it holds, or why it is not whole.
    pub fn finish(self) -> Result<Contents, String> {
        match self.place {
            Place::End => Ok(self.contents),
            Place::Broken(fault) => Err(fault),
            Place::Header if self.offset == 0 => Err("it is empty".to_owned()),
            _ => Err(format!("it breaks off after {} bytes", self.offset)),
        }
    }

    /// Whether the checksum is about what comes next.
    fn is_covered(&self) -> bool {
        matches!(self.place, Place::Header | Place::Body)
    }

    fn step(&mut self, rest: &mut &[u8]) -> Result<(), Stop> {
        if self.skip > 0 {
            let now = rest
                .len()
                .min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            *rest = &rest[now..];
            self.skip -= now as u64;
            return Ok(());
        }
        match self.place {
            Place::Header => self.header(rest),
            Place::Body => match self.next_part() {
                Some(part) => {
                    let read = self.part(part, rest);
                    if matches!(read, Err(Stop::Hungry)) {
                        self.pending = Some(part);
                    }
                    read
                }
                None => self.opcode(rest),
            },
            Place::Checksum => self.check(rest),
            Place::End => Err(Stop::Fault("there is more after the end".to_owned())),
            Place::Broken(_) => {
                *rest = &[];
                Ok(())
            }
        }
    }

    fn next_part(&mut self) -> Option<Part> {
        if let Some(part) = self.pending.take() {
            return Some(part);
        }
        loop {
            let frame = self.frames.last_mut()?;
            if frame.times == 0 {
                self.frames.pop();
                continue;
            }
            let part = frame.parts[frame.at];
            frame.at += 1;
            if frame.at == frame.parts.len() {
                frame.at = 0;
                frame.times -= 1;
            }
            return Some(part);
        }
    }

    fn header(&mut self, rest: &mut &[u8]) -> Result<(), Stop> {
        let head = self.take(rest, 9)?;
        let digits = head
            .strip_prefix(b"REDIS")
            .ok_or("this is not an RDB file: it does not begin with REDIS".to_owned())?;
        let format = std::str::from_utf8(digits)
            .ok()
            .filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .ok_or("this is not an RDB file: its format has no number".to_owned())?;
        if !(1..=NEWEST).contains(&format) {
            let fault = format!("its format {format} is not known, only 1 to {NEWEST} are");
            return Err(fault.into());
        }
        self.contents.format = format;
        self.place = Place::Body;
        Ok(())
    }

    fn opcode(&mut self, rest: &mut &[u8]) -> Result<(), Stop> {
        let opcode = self.take(rest, 1)?[0];
        match opcode {
            shape::END if self.mortal => {
                return Err("a time to live has no key".to_owned().into());
            }
            shape::END if self.contents.format >= FIRST_WITH_CHECKSUM => {
                self.place = Place::Checksum;
            }
            shape::END => self.place = Place::End,
            _ => match shape::of_opcode(opcode) {
                Some(parts) => self.push(parts, 1),
                None => self.key(opcode)?,
            },
        }
        if matches!(opcode, shape::EXPIRES_AT | shape::EXPIRES_AT_MS) {
            self.mortal = true;
        } else if shape::of_opcode(opcode).is_none() {
            self.mortal = false;
        }
        Ok(())
    }

    fn key(&mut self, kind: u8) -> Result<(), Stop> {
        let parts = shape::of_type(kind).ok_or_else(|| {
            format!("a value of type {kind} is not known: a newer server may have written it")
        })?;
        *self.contents.keys.entry(self.database).or_default() += 1;
        self.contents.mortal += u64::from(self.mortal);
        self.push(parts, 1);
        Ok(())
    }

    fn part(&mut self, part: Part, rest: &mut &[u8]) -> Result<(), Stop> {
        match part {
            Part::Bytes(count) => self.skip = count,
            Part::Number => drop(self.length(rest)?),
            Part::Many(parts) => {
                let times = self.length(rest)?;
                self.push(parts, times);
            }
            Part::Database => self.database = self.length(rest)?,
            Part::TextNumber => {
                let length = self.take(rest, 1)?[0];
                // Not a number, and the two infinities, have no text.
                self.skip = if length >= 253 { 0 } else { u64::from(length) };
            }
            Part::String => self.string(rest)?,
            Part::Packed => {
                let packed = self.length(rest)?;
                self.pending = Some(Part::Unpacked { packed });
            }
            Part::Unpacked { packed } => {
                let unpacked = self.length(rest)?;
                if packed == 0 || unpacked == 0 || unpacked / LZF_MOST > packed {
                    let fault = format!("{packed} compressed bytes cannot make {unpacked}");
                    return Err(fault.into());
                }
                self.skip = packed;
            }
            Part::Module => {
                let name = shape::module_name(self.length(rest)?);
                return Err(format!(
                    "it holds data of the module {name}, which cannot be restored: only Redis' own types can"
                )
                .into());
            }
            Part::Outdated => {
                let fault = "it was written by a pre-release of a server, in a format that is gone";
                return Err(fault.to_owned().into());
            }
        }
        Ok(())
    }

    fn string(&mut self, rest: &mut &[u8]) -> Result<(), Stop> {
        match self.peek(rest)? {
            first if first >> 6 < 3 => self.skip = self.length(rest)?,
            first => {
                self.take(rest, 1)?;
                match first & 0x3f {
                    0 => self.skip = 1,
                    1 => self.skip = 2,
                    2 => self.skip = 4,
                    3 => self.pending = Some(Part::Packed),
                    other => return Err(format!("a string has no encoding {other}").into()),
                }
            }
        }
        Ok(())
    }

    fn length(&mut self, rest: &mut &[u8]) -> Result<u64, Stop> {
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
        };
        let first = self.peek(rest)?;
        match (first >> 6, first) {
            (0, _) => Ok(u64::from(self.take(rest, 1)?[0])),
            (1, _) => Ok(number(self.take(rest, 2)?) & 0x3fff),
            (_, 0x80) => Ok(number(&self.take(rest, 5)?[1..])),
            (_, 0x81) => Ok(number(&self.take(rest, 9)?[1..])),
            _ => Err(format!("a length cannot begin with {first:#04x}").into()),
        }
    }

    fn check(&mut self, rest: &mut &[u8]) -> Result<(), Stop> {
        let mut stored = [0; 8];
        stored.copy_from_slice(self.take(rest, 8)?);
        let stored = u64::from_le_bytes(stored);
        let computed = self.checksum.clone().finalize();
        if stored != 0 && stored != computed {
            return Err("its checksum is wrong: it was damaged".to_owned().into());
        }
        self.contents.has_checksum = stored != 0;
        self.place = Place::End;
        Ok(())
    }

    fn push(&mut self, parts: &'static [Part], times: u64) {
        self.frames.push(Frame {
            parts,
            at: 0,
            times,
        });
    }

    /// The first byte of what comes next.
    fn peek(&self, rest: &[u8]) -> Result<u8, Stop> {
        let known = &self.head[..self.head_length];
        known.first().or(rest.first()).copied().ok_or(Stop::Hungry)
    }

    /// The next `count` bytes, gathered over as many chunks as it takes.
    fn take(&mut self, rest: &mut &[u8], count: usize) -> Result<&[u8], Stop> {
        let now = rest.len().min(count - self.head_length);
        self.head[self.head_length..][..now].copy_from_slice(&rest[..now]);
        *rest = &rest[now..];
        self.head_length += now;
        if self.head_length < count {
            return Err(Stop::Hungry);
        }
        self.head_length = 0;
        Ok(&self.head[..count])
    }
}
