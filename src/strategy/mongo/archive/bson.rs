//! As much of BSON as an archive's own documents need: reading their elements, and writing them
//! again with other strings in. The documents of a database are never taken apart.

/// An element's value: its type, and its bytes as they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    pub kind: u8,
    pub bytes: &'a [u8],
}

pub const STRING: u8 = 0x02;
const DOCUMENT: u8 = 0x03;
const ARRAY: u8 = 0x04;
const BOOL: u8 = 0x08;
const INT64: u8 = 0x12;

/// The shortest document there is, in bytes.
pub const SHORTEST: usize = 5;

impl<'a> Value<'a> {
    pub fn text(&self) -> Option<&'a str> {
        if self.kind != STRING {
            return None;
        }
        let text = self.bytes.get(4..self.bytes.len().checked_sub(1)?)?;
        std::str::from_utf8(text).ok()
    }

    pub fn truth(&self) -> Option<bool> {
        (self.kind == BOOL).then(|| self.bytes == [1])
    }

    pub fn int64(&self) -> Option<i64> {
        if self.kind != INT64 {
            return None;
        }
        Some(i64::from_le_bytes(self.bytes.try_into().ok()?))
    }
}

/// Elements of one whole document, in their order; ends after the first that is not understood,
/// which comes as `Err`.
pub struct Elements<'a> {
    rest: &'a [u8],
}

pub fn elements(document: &[u8]) -> Result<Elements<'_>, String> {
    let length = document.first_chunk().map(|b| u32::from_le_bytes(*b));
    if length != u32::try_from(document.len()).ok() || document.len() < SHORTEST {
        return Err(bad("its length is wrong"));
    }
    match document.split_last() {
        Some((0, _)) => Ok(Elements {
            rest: &document[4..document.len() - 1],
        }),
        _ => Err(bad("it has no end")),
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<(&'a str, Value<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let element = self.take();
        if element.is_none() {
            self.rest = &[];
        }
        Some(element.ok_or_else(|| bad("an element is damaged")))
    }
}

impl<'a> Elements<'a> {
    fn take(&mut self) -> Option<(&'a str, Value<'a>)> {
        let (&kind, rest) = self.rest.split_first()?;
        let end = memchr::memchr(0, rest)?;
        let name = std::str::from_utf8(&rest[..end]).ok()?;
        let rest = &rest[end + 1..];
        let length = length(kind, rest)?;
        let (bytes, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((name, Value { kind, bytes }))
    }
}

/// How many bytes a value of this type takes.
fn length(kind: u8, bytes: &[u8]) -> Option<usize> {
    let counted = || {
        let count = i32::from_le_bytes(*bytes.first_chunk()?);
        usize::try_from(count).ok()
    };
    let text = |from: usize| Some(from + memchr::memchr(0, bytes.get(from..)?)? + 1);
    Some(match kind {
        0x06 | 0x0a | 0x7f | 0xff => 0,
        BOOL => 1,
        0x10 => 4,
        0x01 | 0x09 | 0x11 | INT64 => 8,
        0x07 => 12,
        0x13 => 16,
        STRING | 0x0d | 0x0e => counted()?.checked_add(4)?,
        0x0c => counted()?.checked_add(16)?,
        DOCUMENT | ARRAY | 0x0f => counted()?,
        0x05 => counted()?.checked_add(5)?,
        0x0b => text(text(0)?)?,
        _ => return None,
    })
}

/// A document that is being written.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn new() -> Self {
        Self { bytes: vec![0; 4] }
    }

    pub fn value(&mut self, name: &str, value: Value<'_>) {
        self.head(value.kind, name);
        self.bytes.extend_from_slice(value.bytes);
    }

    pub fn text(&mut self, name: &str, text: &str) -> Result<(), String> {
        self.head(STRING, name);
        let length = u32::try_from(text.len() + 1).map_err(|_| bad("a name is too long"))?;
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        Ok(())
    }

    fn head(&mut self, kind: u8, name: &str) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
    }

    pub fn finish(mut self) -> Result<Vec<u8>, String> {
        self.bytes.push(0);
        let length = u32::try_from(self.bytes.len()).map_err(|_| bad("it is too long"))?;
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        Ok(self.bytes)
    }
}

fn bad(what: &str) -> String {
    format!("a document of the archive is damaged: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut inner = Writer::new();
        inner.text("1", "é").unwrap();
        let inner = inner.finish().unwrap();
        let mut writer = Writer::new();
        writer.text("db", "shop").unwrap();
        writer.value(
            "o",
            Value {
                kind: DOCUMENT,
                bytes: &inner,
            },
        );
        let eof = Value {
            kind: BOOL,
            bytes: &[1],
        };
        writer.value("EOF", eof);
        let document = writer.finish().unwrap();
        let found: Vec<_> = elements(&document).unwrap().map(Result::unwrap).collect();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].0, found[0].1.text()), ("db", Some("shop")));
        assert_eq!(found[1].1.bytes, inner);
        assert_eq!(found[2].1.truth(), Some(true));
    }

    #[test]
    fn damage_is_an_error_and_not_a_panic() {
        let mut writer = Writer::new();
        writer.text("name", "some text").unwrap();
        let empty = [5, 0, 0, 0, 0];
        writer.value(
            "list",
            Value {
                kind: ARRAY,
                bytes: &empty,
            },
        );
        let whole = writer.finish().unwrap();
        for at in 0..whole.len() {
            assert!(elements(&whole[..at]).is_err());
            for flip in [1u8, 0x10, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                if let Ok(elements) = elements(&damaged) {
                    assert!(elements.count() <= whole.len());
                }
            }
        }
    }
}
