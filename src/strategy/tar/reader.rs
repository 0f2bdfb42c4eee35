//! The archive block by block.

use super::{
    Entry, Kind,
    header::{self, BLOCK, Header},
    pax::{self, Extended},
};

/// No entry needs longer extended headers: names and attributes of 64 KiB each.
const LONGEST: u64 = 1024 * 1024;

/// Is told of an archive, in its order. The first error ends the reading.
pub trait Visit {
    /// `headers` are the blocks that the archive has for it.
    fn entry(&mut self, entry: &Entry, headers: &[u8]) -> Result<(), String>;

    /// Bytes stored for the last entry, filled up to a whole block.
    fn body(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }

    /// The zeros at the archive's end.
    fn end(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

/// Reads an archive that comes in chunks of any length.
#[derive(Default)]
pub struct Reader {
    state: State,
    /// Of a block that is not whole yet.
    block: Vec<u8>,
    /// Blocks that belong to the entry that comes next.
    headers: Vec<u8>,
    next: Extended,
    /// Blocks of zeros seen at the end.
    zeros: u64,
    /// Bytes read, for messages.
    at: u64,
}

#[derive(Default)]
enum State {
    #[default]
    Header,
    /// Bytes still to come for the last entry.
    Body(u64),
    /// Content of a block that describes the next entry: its kind, its length, what came of it.
    Extension(u8, u64, Vec<u8>),
    End,
}

impl Reader {
    pub fn feed(&mut self, bytes: &[u8], visit: &mut impl Visit) -> Result<(), String> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match &mut self.state {
                State::Body(left) => {
                    let taken = short(*left, rest.len());
                    *left -= taken as u64;
                    let done = *left == 0;
                    visit.body(&rest[..taken])?;
                    if done {
                        self.state = State::Header;
                    }
                    taken
                }
                _ => self.gather(rest, visit)?,
            };
            self.at += taken as u64;
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// Whether that was all: two blocks of zeros at least, and nothing half behind them.
    pub fn finish(&self) -> Result<(), String> {
        match self.state {
            State::End if self.zeros >= 2 && self.block.is_empty() => Ok(()),
            _ if self.at == 0 => Err("the archive is empty".to_owned()),
            _ => Err(format!(
                "the archive ends too early, after {} bytes",
                self.at
            )),
        }
    }

    /// Takes bytes up to the end of the block that is begun.
    fn gather(&mut self, rest: &[u8], visit: &mut impl Visit) -> Result<usize, String> {
        let taken = (BLOCK - self.block.len()).min(rest.len());
        self.block.extend_from_slice(&rest[..taken]);
        if let Ok(block) = <[u8; BLOCK]>::try_from(self.block.as_slice()) {
            self.block.clear();
            let at = self.at + taken as u64 - BLOCK as u64;
            self.take(&block, visit)
                .map_err(|fault| format!("{fault} (at byte {at})"))?;
        }
        Ok(taken)
    }

    fn take(&mut self, block: &[u8; BLOCK], visit: &mut impl Visit) -> Result<(), String> {
        if let State::Extension(..) = self.state {
            return self.extend(block);
        }
        let empty = block.iter().all(|&byte| byte == 0);
        match self.state {
            State::End if !empty => Err("there is something behind the archive's end".to_owned()),
            State::Header if !empty => {
                if self.zeros > 0 {
                    return Err("there is a block of zeros between two entries".to_owned());
                }
                self.header(block, visit)
            }
            _ if !self.headers.is_empty() => {
                Err("the archive ends behind a header of an entry that is not there".to_owned())
            }
            _ => {
                self.zeros += 1;
                if self.zeros >= 2 {
                    self.state = State::End;
                }
                visit.end(block)
            }
        }
    }

    fn header(&mut self, block: &[u8; BLOCK], visit: &mut impl Visit) -> Result<(), String> {
        let header = header::parse(block)?;
        self.headers.extend_from_slice(block);
        if matches!(header.kind, b'x' | b'g' | b'L' | b'K') {
            if header.size > LONGEST || self.headers.len() as u64 > LONGEST {
                return Err("an entry has endless headers".to_owned());
            }
            if header.size > 0 {
                self.state = State::Extension(header.kind, header.size, Vec::new());
            }
            return Ok(());
        }
        let mut next = std::mem::take(&mut self.next);
        let mut header = header;
        next.over(&mut header);
        let stored = header.size.next_multiple_of(BLOCK as u64);
        let entry = entry(header, &next)?;
        let headers = std::mem::take(&mut self.headers);
        if stored > 0 {
            self.state = State::Body(stored);
        }
        visit.entry(&entry, &headers)
    }

    fn extend(&mut self, block: &[u8; BLOCK]) -> Result<(), String> {
        self.headers.extend_from_slice(block);
        let State::Extension(kind, size, text) = &mut self.state else {
            return Ok(());
        };
        text.extend_from_slice(&block[..short(*size - text.len() as u64, BLOCK)]);
        if (text.len() as u64) < *size {
            return Ok(());
        }
        let (kind, text) = (*kind, std::mem::take(text));
        self.state = State::Header;
        match kind {
            b'x' => self.next.read(&text),
            b'g' => pax::check_global(&text),
            kind => self.next.long(kind, &text),
        }
    }
}

fn short(left: u64, length: usize) -> usize {
    usize::try_from(left).map_or(length, |left| left.min(length))
}

fn entry(header: Header, next: &Extended) -> Result<Entry, String> {
    let name = header.name;
    let path = plain(&name)?;
    let kind = match header.kind {
        // In the oldest form a folder is a file whose name ends in a slash.
        b'0' | 0 | b'7' if name.ends_with(b"/") && header.size == 0 => Kind::Folder,
        b'0' | 0 | b'7' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::SymLink,
        b'3' | b'4' => Kind::Device,
        b'5' => Kind::Folder,
        b'6' => Kind::Fifo,
        kind => {
            let kind = char::from(kind).escape_default();
            let path = super::shown(&path);
            return Err(format!(
                "{path} is of a kind that is not known here ({kind})"
            ));
        }
    };
    if kind != Kind::File && (header.size > 0 || next.sparse) {
        let path = super::shown(&path);
        return Err(format!("{path} has content, but is no file"));
    }
    if header.link.contains(&0) {
        return Err(format!("{} has a damaged link", super::shown(&path)));
    }
    let link = if kind == Kind::HardLink {
        plain(&header.link)?
    } else {
        header.link
    };
    Ok(Entry {
        path,
        kind,
        link,
        size: next.real_size.unwrap_or(header.size),
        sparse: next.sparse,
        attributes: next.attributes,
    })
}

/// A name that stays where the archive is unpacked, in its one plain form. Refuses absolute names
/// and `..`.
fn plain(name: &[u8]) -> Result<Vec<u8>, String> {
    let says = |what: &str| Err(format!("the name {:?} {what}", super::shown(name)));
    if name.is_empty() {
        return Err("an entry has no name".to_owned());
    }
    if name[0] == b'/' {
        return says("is absolute");
    }
    if name.contains(&0) {
        return says("is damaged");
    }
    let parts = name.split(|&byte| byte == b'/');
    let mut plain = Vec::with_capacity(name.len());
    for part in parts {
        match part {
            b"" | b"." => {}
            b".." => return says("leads out of the archive"),
            part => {
                if !plain.is_empty() {
                    plain.push(b'/');
                }
                plain.extend_from_slice(part);
            }
        }
    }
    Ok(plain)
}
