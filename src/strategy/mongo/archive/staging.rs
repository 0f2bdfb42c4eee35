//! Gives every collection of an archive another name on its way into the server, so that it is
//! loaded beside the one in use. `mongorestore` could rename too, but not together with the rest of
//! what a restore needs; and here no name from the archive is ever part of a pattern or an option.

use super::{
    bson, is_restored, may_be_restored,
    scan::{Collection, TERMINATOR, Visitor},
};

pub struct Staging {
    /// What goes before each collection's name.
    prefix: String,
    /// The archive under its other names, as far as it has come and was not taken.
    out: Vec<u8>,
    /// The block belongs to what is not restored.
    skipped: bool,
}

impl Staging {
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            out: Vec::new(),
            skipped: false,
        }
    }

    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The same document with the collection's other name.
    fn renamed(&self, document: &[u8]) -> Result<Vec<u8>, String> {
        let mut writer = bson::Writer::new();
        for element in bson::elements(document)? {
            let (name, value) = element?;
            match value.text() {
                Some(text) if name == "collection" => {
                    writer.text(name, &format!("{}{text}", self.prefix))?;
                }
                _ => writer.value(name, value),
            }
        }
        writer.finish()
    }
}

impl Visitor for Staging {
    fn start(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn listed(&mut self, collection: &Collection, document: &[u8]) -> Result<(), String> {
        may_be_restored(collection)?;
        if is_restored(collection) {
            let document = self.renamed(document)?;
            self.out.extend_from_slice(&document);
        }
        Ok(())
    }

    fn list_ends(&mut self) -> Result<(), String> {
        self.out.extend_from_slice(&TERMINATOR);
        Ok(())
    }

    fn block(&mut self, collection: &Collection, header: &[u8]) -> Result<(), String> {
        self.skipped = !is_restored(collection);
        if !self.skipped {
            let header = self.renamed(header)?;
            self.out.extend_from_slice(&header);
        }
        Ok(())
    }

    fn documents(&mut self, bytes: &[u8]) -> Result<(), String> {
        if !self.skipped {
            self.out.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn block_ends(&mut self) -> Result<(), String> {
        if !self.skipped {
            self.out.extend_from_slice(&TERMINATOR);
        }
        Ok(())
    }
}
