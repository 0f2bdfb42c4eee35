//! Judges database files as they pass: one as it is, or several in a tar. That their content is sound was
//! checked by `sqlite3` itself; here it is proved that all of it is there.

use crate::{
    domain::manifest::Fingerprint,
    strategy::{
        Validator,
        tar::{Entry, Kind, Reader, Rules, Visit},
    },
};

const MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER: usize = 100;

/// What one database without a name is called in a fingerprint.
pub const ONE: &str = "database";

#[derive(Default)]
pub struct Databases {
    /// Of the beginning, until it is known what this is.
    begun: Vec<u8>,
    form: Option<Form>,
    fault: Option<String>,
}

enum Form {
    One(Database),
    Several(Box<Reader>, Members),
}

impl Validator for Databases {
    fn feed(&mut self, chunk: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        if self.form.is_none() {
            self.begun.extend_from_slice(chunk);
            if self.begun.len() < MAGIC.len() {
                return;
            }
            self.form = Some(if self.begun.starts_with(MAGIC) {
                Form::One(Database::default())
            } else {
                Form::Several(Box::default(), Members::default())
            });
            let begun = std::mem::take(&mut self.begun);
            self.take(&begun);
        } else {
            self.take(chunk);
        }
    }

    fn finish(self: Box<Self>) -> Result<Fingerprint, String> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut print = Fingerprint {
            unit: "pages".to_owned(),
            ..Fingerprint::default()
        };
        match self.form {
            None => return Err(format!("it is no database: {} bytes", self.begun.len())),
            Some(Form::One(database)) => {
                print.counts.insert(ONE.to_owned(), database.pages()?);
            }
            Some(Form::Several(reader, mut members)) => {
                reader.finish()?;
                members.close()?;
                print.counts = members.pages.into_iter().collect();
                if print.counts.is_empty() {
                    return Err("the archive holds no database".to_owned());
                }
            }
        }
        Ok(print)
    }
}

impl Databases {
    fn take(&mut self, chunk: &[u8]) {
        match &mut self.form {
            Some(Form::One(database)) => database.feed(chunk),
            Some(Form::Several(reader, members)) => self.fault = reader.feed(chunk, members).err(),
            None => {}
        }
    }
}

#[derive(Default)]
struct Database {
    header: Vec<u8>,
    length: u64,
}

impl Database {
    fn feed(&mut self, bytes: &[u8]) {
        let missing = HEADER.saturating_sub(self.header.len()).min(bytes.len());
        self.header.extend_from_slice(&bytes[..missing]);
        self.length += bytes.len() as u64;
    }

    /// Number of pages, when it is as long as its own header says.
    fn pages(&self) -> Result<u64, String> {
        let header: &[u8; HEADER] = self
            .header
            .as_slice()
            .try_into()
            .map_err(|_| format!("the database ends after {} bytes", self.length))?;
        if !header.starts_with(MAGIC) {
            return Err("it is no SQLite database".to_owned());
        }
        let word = |at: usize| {
            let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            u64::from(u32::from_be_bytes(bytes))
        };
        let size = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65536,
            size if size.is_power_of_two() && size >= 512 => u64::from(size),
            size => return Err(format!("the database has pages of {size} bytes")),
        };
        // Very old writers leave the number of pages as it was: then their two counters differ.
        let told = word(28);
        let known = told > 0 && word(24) == word(92);
        let pages = self.length / size;
        if !self.length.is_multiple_of(size) || (known && told != pages) {
            return Err(format!(
                "the database is not whole: {} bytes instead of {told} pages of {size}",
                self.length
            ));
        }
        Ok(pages)
    }
}

/// Files of an archive, each a database.
#[derive(Default)]
struct Members {
    rules: Rules,
    pages: Vec<(String, u64)>,
    open: Option<(String, Database)>,
    /// Bytes of the present file still to come; more are filling.
    left: u64,
}

impl Members {
    fn close(&mut self) -> Result<(), String> {
        if let Some((path, database)) = self.open.take() {
            let pages = database
                .pages()
                .map_err(|fault| format!("{path}: {fault}"))?;
            self.pages.push((path, pages));
        }
        Ok(())
    }
}

impl Visit for Members {
    fn entry(&mut self, entry: &Entry, headers: &[u8]) -> Result<(), String> {
        self.close()?;
        self.rules.entry(entry, headers)?;
        if entry.kind != Kind::File || entry.sparse {
            return Err(format!("{} is no database file", entry.shown()));
        }
        let path = str::from_utf8(&entry.path).map_err(|_| "a path is no text".to_owned())?;
        self.open = Some((format!("/{path}"), Database::default()));
        self.left = entry.size;
        Ok(())
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), String> {
        let own = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        self.left -= own as u64;
        if let Some((_, database)) = &mut self.open {
            database.feed(&bytes[..own]);
        }
        Ok(())
    }
}
