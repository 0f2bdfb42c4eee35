//! Walks through an archive of `mongodump` as its bytes come, in bounded memory, and tells its pieces
//! to a visitor. It knows everything that makes an archive whole: a list of collections at the
//! beginning, then documents in blocks, and at the end of each collection a checksum over all of its
//! documents. The archive itself has no end mark; the ends of all its collections are one.

use std::collections::{BTreeMap, HashMap};

use crc::{CRC_64_XZ, Crc, Digest, Table};
use serde::Deserialize;
use serde_json::Value as Json;

use super::bson::{self, SHORTEST};

const MAGIC: [u8; 4] = [0x6d, 0xe2, 0x99, 0x81];
pub const TERMINATOR: [u8; 4] = [0xff; 4];
/// The only version of the format so far.
const VERSION: &str = "0.1";
/// Of any document in an archive, in bytes: `mongorestore` reads no longer ones.
const LONGEST: usize = 16 * 1024 * 1024;

static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_XZ);

/// Is told an archive's pieces in their order. What it refuses ends the scan.
pub trait Visitor {
    /// The magic number and the header, as they stand.
    fn start(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }
    /// An entry of the list of collections; `document` is how it stands there.
    fn listed(&mut self, _collection: &Collection, _document: &[u8]) -> Result<(), String> {
        Ok(())
    }
    /// The end of the list.
    fn list_ends(&mut self) -> Result<(), String> {
        Ok(())
    }
    /// A block begins, of documents or to say that there are no more; `header` is how it stands.
    fn block(&mut self, _collection: &Collection, _header: &[u8]) -> Result<(), String> {
        Ok(())
    }
    /// Bytes of the block's documents, cut anywhere.
    fn documents(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }
    fn block_ends(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Only the scan itself counts.
impl Visitor for () {}

#[derive(Clone)]
pub struct Collection {
    pub database: String,
    pub name: String,
    pub kind: Kind,
    pub documents: u64,
    /// Its own last block has come.
    ended: bool,
    digest: Digest<'static, u64, Table<16>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// It has no documents of its own, but an end.
    View,
    TimeSeries,
}

#[derive(Default)]
pub struct Scanner {
    state: State,
    /// Bytes of a document, or of its length, that is not whole yet.
    held: Vec<u8>,
    collections: Vec<Collection>,
    places: HashMap<(String, String), usize>,
    /// The collection whose block it is.
    current: usize,
    fault: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Magic,
    Header,
    List,
    Block,
    /// Between the documents of a block, or `missing` bytes before the end of one.
    Documents {
        missing: usize,
    },
}

impl Scanner {
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Feeding after a fault does nothing.
    pub fn feed(&mut self, mut bytes: &[u8], visitor: &mut dyn Visitor) {
        while !bytes.is_empty() && self.fault.is_none() {
            let taken = match self.state {
                State::Documents { missing } => self.walk(bytes, missing, visitor),
                _ => self.gather(bytes, visitor),
            };
            match taken {
                Ok(taken) => bytes = &bytes[taken..],
                Err(fault) => self.fault = Some(fault),
            }
        }
    }

    /// What the archive holds, if it is whole.
    pub fn finish(self) -> Result<Vec<Collection>, String> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.state == State::Magic && self.held.is_empty() {
            return Err("the archive is empty".to_owned());
        }
        if self.state != State::Block || !self.held.is_empty() {
            return Err("the archive ends in the middle".to_owned());
        }
        let cut = |c: &&Collection| !c.ended;
        if let Some(cut) = self.collections.iter().find(cut) {
            return Err(format!(
                "the archive ends before the end of {}",
                cut.full_name()
            ));
        }
        Ok(self.collections)
    }

    /// Collects a whole small document, then reads it. Returns how many bytes it took.
    fn gather(&mut self, bytes: &[u8], visitor: &mut dyn Visitor) -> Result<usize, String> {
        let wanted = self.wanted()?;
        let taken = bytes.len().min(wanted - self.held.len());
        self.held.extend_from_slice(&bytes[..taken]);
        if self.held.len() == wanted && wanted == self.wanted()? {
            let whole = std::mem::take(&mut self.held);
            self.read(&whole, visitor)?;
        }
        Ok(taken)
    }

    /// Length of what is being collected, as far as it is known: of its length first.
    fn wanted(&self) -> Result<usize, String> {
        match self.held.first_chunk::<4>() {
            None => Ok(4),
            Some(word) if self.state == State::Magic || *word == TERMINATOR => Ok(word.len()),
            Some(word) => document_length(*word),
        }
    }

    fn read(&mut self, whole: &[u8], visitor: &mut dyn Visitor) -> Result<(), String> {
        let ends = whole == TERMINATOR;
        match self.state {
            State::Magic if whole == MAGIC => self.state = State::Header,
            State::Magic => return Err("this is not an archive of mongodump".to_owned()),
            State::Header if !ends => {
                check_version(whole)?;
                visitor.start(&[&MAGIC, whole].concat())?;
                self.state = State::List;
            }
            State::List if ends => {
                visitor.list_ends()?;
                self.state = State::Block;
            }
            State::List => self.list(whole, visitor)?,
            State::Block if !ends => self.begin(whole, visitor)?,
            _ => {
                return Err("the archive is damaged: an end mark where there is nothing".to_owned());
            }
        }
        Ok(())
    }

    fn list(&mut self, document: &[u8], visitor: &mut dyn Visitor) -> Result<(), String> {
        let collection = Collection::listed(document)?;
        let place = (collection.database.clone(), collection.name.clone());
        if self.places.insert(place, self.collections.len()).is_some() {
            return Err(format!(
                "the archive lists {} twice",
                collection.full_name()
            ));
        }
        visitor.listed(&collection, document)?;
        self.collections.push(collection);
        Ok(())
    }

    fn begin(&mut self, header: &[u8], visitor: &mut dyn Visitor) -> Result<(), String> {
        let fields = fields(header)?;
        let text = |name: &str| fields.get(name).and_then(bson::Value::text);
        let (Some(database), Some(name)) = (text("db"), text("collection")) else {
            return Err("the archive is damaged: a block does not say what it holds".to_owned());
        };
        let place = (database.to_owned(), name.to_owned());
        let Some(&place) = self.places.get(&place) else {
            return Err(format!(
                "the archive is damaged: it does not list {database}.{name}"
            ));
        };
        let collection = &mut self.collections[place];
        if collection.ended {
            return Err(format!(
                "the archive is damaged: {database}.{name} goes on after its end"
            ));
        }
        if fields.get("EOF").and_then(bson::Value::truth) == Some(true) {
            let stored = fields.get("CRC").and_then(bson::Value::int64);
            let found = collection.digest.clone().finalize();
            if stored.map(i64::cast_unsigned) != Some(found) {
                return Err(format!("the documents of {database}.{name} are damaged"));
            }
            collection.ended = true;
        }
        self.current = place;
        visitor.block(collection, header)?;
        self.state = State::Documents { missing: 0 };
        Ok(())
    }

    /// Goes on inside a block: over as many whole documents at once as there are.
    fn walk(
        &mut self,
        bytes: &[u8],
        missing: usize,
        visitor: &mut dyn Visitor,
    ) -> Result<usize, String> {
        if !self.held.is_empty() {
            return self.complete_length(bytes, visitor);
        }
        let mut at = 0;
        let mut next = missing;
        let taken = loop {
            if next > 0 {
                let part = next.min(bytes.len() - at);
                at += part;
                next -= part;
                if next > 0 {
                    break at;
                }
                self.document_ends(bytes[at - 1])?;
            }
            match bytes[at..].first_chunk::<4>() {
                Some(&TERMINATOR) => break at + TERMINATOR.len(),
                Some(word) => next = document_length(*word)?,
                None => break bytes.len(),
            }
        };
        self.pass(&bytes[..at], visitor)?;
        self.state = State::Documents { missing: next };
        if next == 0 && taken == at + TERMINATOR.len() {
            visitor.block_ends()?;
            self.state = State::Block;
        } else {
            self.held.extend_from_slice(&bytes[at..]);
        }
        Ok(taken)
    }

    /// The length of a document, or the end of the block, that was cut by the end of a chunk.
    fn complete_length(
        &mut self,
        bytes: &[u8],
        visitor: &mut dyn Visitor,
    ) -> Result<usize, String> {
        let taken = bytes.len().min(4 - self.held.len());
        self.held.extend_from_slice(&bytes[..taken]);
        let Some(&word) = self.held.first_chunk::<4>() else {
            return Ok(taken);
        };
        self.held.clear();
        if word == TERMINATOR {
            visitor.block_ends()?;
            self.state = State::Block;
        } else {
            let missing = document_length(word)? - word.len();
            self.pass(&word, visitor)?;
            self.state = State::Documents { missing };
        }
        Ok(taken)
    }

    fn pass(&mut self, bytes: &[u8], visitor: &mut dyn Visitor) -> Result<(), String> {
        if bytes.is_empty() {
            return Ok(());
        }
        let collection = &mut self.collections[self.current];
        if collection.ended || collection.kind == Kind::View {
            let name = collection.full_name();
            return Err(format!(
                "the archive is damaged: {name} has documents after its end"
            ));
        }
        collection.digest.update(bytes);
        visitor.documents(bytes)
    }

    fn document_ends(&mut self, last: u8) -> Result<(), String> {
        let collection = &mut self.collections[self.current];
        if last != 0 {
            let name = collection.full_name();
            return Err(format!("the documents of {name} are damaged"));
        }
        collection.documents += 1;
        Ok(())
    }
}

impl Collection {
    fn listed(document: &[u8]) -> Result<Self, String> {
        let fields = fields(document)?;
        let text = |name: &str| fields.get(name).and_then(bson::Value::text);
        let (Some(database), Some(name)) = (text("db"), text("collection")) else {
            return Err("the archive is damaged: its list names no collection".to_owned());
        };
        // A dot would make the namespaces of two databases alike.
        if name.is_empty() || database.contains('.') || [database, name].concat().contains('\0') {
            return Err(format!(
                "the archive lists {database:?}.{name:?}, which is no name"
            ));
        }
        let metadata: Metadata = match text("metadata") {
            None | Some("") => Metadata::default(),
            Some(json) => serde_json::from_str(json).map_err(|error| {
                format!("the archive is damaged: the options of {database}.{name}: {error}")
            })?,
        };
        let is = |kind: &str, option: &Option<Json>| {
            text("type") == Some(kind) || metadata.kind.as_deref() == Some(kind) || option.is_some()
        };
        let kind = if is("timeseries", &metadata.options.timeseries) {
            Kind::TimeSeries
        } else if is("view", &metadata.options.view_on) {
            Kind::View
        } else {
            Kind::Plain
        };
        Ok(Self {
            database: database.to_owned(),
            name: name.to_owned(),
            kind,
            documents: 0,
            ended: false,
            digest: CHECKSUM.digest(),
        })
    }

    /// `database.collection`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }
}

/// What the list says of a collection, as far as it matters here.
#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    options: CollectionOptions,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

#[derive(Default, Deserialize)]
struct CollectionOptions {
    #[serde(default, rename = "viewOn")]
    view_on: Option<Json>,
    #[serde(default)]
    timeseries: Option<Json>,
}

fn document_length(word: [u8; 4]) -> Result<usize, String> {
    let length = usize::try_from(u32::from_le_bytes(word)).unwrap_or(usize::MAX);
    if (SHORTEST..=LONGEST).contains(&length) {
        Ok(length)
    } else {
        Err("the archive is damaged: a document has an impossible length".to_owned())
    }
}

fn check_version(header: &[u8]) -> Result<(), String> {
    let fields = fields(header)?;
    match fields.get("version").and_then(bson::Value::text) {
        Some(VERSION) => Ok(()),
        other => Err(format!(
            "the archive is of version {}, which is not known",
            other.unwrap_or("?")
        )),
    }
}

fn fields(document: &[u8]) -> Result<BTreeMap<&str, bson::Value<'_>>, String> {
    bson::elements(document)?.collect()
}
