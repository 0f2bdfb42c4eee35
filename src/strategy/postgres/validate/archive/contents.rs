//! The head of an archive and its table of contents.

use super::{
    read::{Reader, Stop},
    sql,
};

pub const MAGIC: &[u8] = b"PGDMP";
/// Minor versions of the format: PostgreSQL 9 to 18.
const VERSIONS: std::ops::RangeInclusive<u8> = 12..=16;
/// Since then methods of tables are told, compression has a method, and kinds of tables are told.
const TABLE_METHODS: u8 = 14;
const COMPRESSION_METHODS: u8 = 15;
const KINDS: u8 = 16;
const CUSTOM: u8 = 1;
const INT_SIZE: u8 = 4;
/// Where data lies: unknown as yet, known, nowhere.
const PLACES: std::ops::RangeInclusive<u8> = 1..=3;
const NO_DATA: u8 = 3;
/// Before the data, with it, after it, none of these.
const SECTIONS: std::ops::RangeInclusive<i64> = 1..=4;
/// Only made by a restore that creates the database itself, which ours do not.
const OF_THE_DATABASE: [&[u8]; 2] = [b"DATABASE", b"DATABASE PROPERTIES"];
/// Numbers of large objects instead of SQL.
const LARGE_OBJECTS: &[u8] = b"BLOB METADATA";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    version: u8,
    /// Bytes of a place in the file.
    place_size: u8,
    /// Of the dumped server: `15.18 (Debian …)`.
    pub server: String,
    /// Entries of the table of contents.
    pub entries: usize,
}

/// What follows the table of contents under an entry's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Rows of this table, as in a fingerprint.
    Rows(String),
    LargeObjects,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: i64,
    pub data: Option<Data>,
    /// Encoding of all text, if this entry says it.
    pub encoding: Option<String>,
}

impl Head {
    /// Reads it, and says how long it is.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), Stop> {
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err("no archive".into());
        }
        let (major, version, _) = (reader.byte()?, reader.byte()?, reader.byte()?);
        if major != 1 || !VERSIONS.contains(&version) {
            return Err("an archive of an unknown version".into());
        }
        if reader.byte()? != INT_SIZE {
            return Err("numbers of an unusual size".into());
        }
        let place_size = reader.byte()?;
        if ![4, 8].contains(&place_size) {
            return Err("places of an unusual size".into());
        }
        if reader.byte()? != CUSTOM {
            return Err("an archive that is not in custom format".into());
        }
        let compression = if version >= COMPRESSION_METHODS {
            i64::from(reader.byte()?)
        } else {
            reader.int()?
        };
        if compression != 0 {
            return Err("rows that are compressed already; dump with --compress=0".into());
        }
        for _ in 0..7 {
            reader.int()?; // Seconds to summer time: when it was made.
        }
        reader.text()?; // The database's name.
        let server = reader.text()?.unwrap_or_default();
        reader.text()?; // The tool's version.
        let head = Self {
            version,
            place_size,
            server: String::from_utf8_lossy(server).into_owned(),
            entries: reader.length()?,
        };
        Ok((head, reader.at))
    }

    /// Reads one entry, and says how long it is.
    pub fn entry(&self, bytes: &[u8]) -> Result<(Entry, usize), Stop> {
        let mut reader = Reader::new(bytes);
        let id = reader.int()?;
        if id <= 0 {
            return Err("an entry without a number".into());
        }
        let dumps = match reader.int()? {
            0 => false,
            1 => true,
            _ => return Err("an entry that is neither with data nor without".into()),
        };
        for _ in 0..2 {
            let oid = reader.text()?.unwrap_or_default();
            if oid.is_empty() || !oid.iter().all(u8::is_ascii_digit) {
                return Err("an object without a number".into());
            }
        }
        reader.text()?; // Its name.
        let kind = reader.text()?.unwrap_or_default();
        if !SECTIONS.contains(&reader.int()?) {
            return Err("an entry of no section".into());
        }
        let definition = reader.text()?.unwrap_or_default();
        reader.text()?; // How to drop it.
        let copy = reader.text()?;
        reader.text()?; // Its schema.
        reader.text()?; // Its tablespace.
        if self.version >= TABLE_METHODS {
            reader.text()?;
        }
        if self.version >= KINDS {
            reader.int()?;
        }
        reader.text()?; // Its owner.
        if reader.text()? != Some(b"false") {
            return Err("tables with object ids".into());
        }
        while let Some(needed) = reader.text()? {
            if needed.is_empty() || !needed.iter().all(u8::is_ascii_digit) {
                return Err("an entry that needs what has no number".into());
            }
        }
        let place = reader.byte()?;
        reader.take(self.place_size.into())?;
        if !PLACES.contains(&place) || dumps == (place == NO_DATA) {
            return Err("an entry whose data is nowhere".into());
        }
        let entry = Entry {
            id,
            data: dumps.then(|| data(kind, copy)).transpose()?,
            encoding: encoding(kind, definition)?,
        };
        Ok((entry, reader.at))
    }
}

fn data(kind: &[u8], copy: Option<&[u8]>) -> Result<Data, Stop> {
    match (kind, copy) {
        (b"TABLE DATA", Some(copy)) if !copy.is_empty() => {
            sql::copied_table(copy).map(Data::Rows).map_err(Stop::Bad)
        }
        (b"TABLE DATA", _) => {
            Err("rows as INSERT statements, which are not counted in an archive".into())
        }
        (b"BLOBS", _) => Ok(Data::LargeObjects),
        _ => Err("data of an unknown kind".into()),
    }
}

/// Judges what the restore will run, too.
fn encoding(kind: &[u8], definition: &[u8]) -> Result<Option<String>, Stop> {
    if OF_THE_DATABASE.contains(&kind) {
        return Ok(None);
    }
    if kind == LARGE_OBJECTS {
        let plain = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_whitespace();
        return if definition.iter().all(plain) {
            Ok(None)
        } else {
            Err("large objects without a number".into())
        };
    }
    sql::definition(definition).map_err(Stop::Bad)
}
