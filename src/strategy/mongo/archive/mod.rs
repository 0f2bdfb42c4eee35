//! The archive that `mongodump --archive` writes: judged, counted, and renamed on its way into a
//! server. The same scan says so before a backup counts, before a restore begins, and while it loads.

mod bson;
pub mod names;
pub mod scan;
pub mod staging;

use std::collections::BTreeMap;

use self::{
    names::{is_ours, is_the_servers, unmovable},
    scan::{Collection, Kind, Scanner, Visitor},
};
use crate::{domain::manifest::Fingerprint, strategy::Validator};

/// What is counted of an archive.
pub const UNIT: &str = "documents";

#[derive(Default)]
pub struct ArchiveCheck {
    scanner: Scanner,
}

impl Validator for ArchiveCheck {
    fn feed(&mut self, chunk: &[u8]) {
        self.scanner.feed(chunk, &mut Restorable);
    }

    fn finish(self: Box<Self>) -> Result<Fingerprint, String> {
        fingerprint(self.scanner)
    }
}

/// Refuses what a restore could not put in its place.
struct Restorable;

impl Visitor for Restorable {
    fn listed(&mut self, collection: &Collection, _document: &[u8]) -> Result<(), String> {
        may_be_restored(collection)
    }
}

pub fn may_be_restored(collection: &Collection) -> Result<(), String> {
    if is_oplog(collection) {
        return Err("the archive holds an oplog, which cannot be restored beside".to_owned());
    }
    let timeseries = collection.kind == Kind::TimeSeries;
    match unmovable(&collection.name, timeseries) {
        Some(why) if is_restored(collection) => Err(format!("{} {why}", collection.full_name())),
        _ => Ok(()),
    }
}

/// Whether it is an app's: neither the server's own nor a trace of another restore.
pub fn is_restored(collection: &Collection) -> bool {
    !is_the_servers(&collection.database, &collection.name) && !is_ours(&collection.name)
}

fn is_oplog(collection: &Collection) -> bool {
    collection.database.is_empty() && collection.name == "oplog"
}

/// What a whole archive holds of an app's.
pub fn fingerprint(scanner: Scanner) -> Result<Fingerprint, String> {
    let collections = scanner.finish()?;
    let counts: BTreeMap<String, u64> = collections
        .iter()
        .filter(|collection| is_restored(collection))
        .map(|c| (key(&c.database, &c.name, c.kind == Kind::View), c.documents))
        .collect();
    if counts.is_empty() {
        return Err(
            "the archive holds no collection: there is no such database, or it is empty".to_owned(),
        );
    }
    Ok(Fingerprint {
        unit: UNIT.to_owned(),
        counts,
    })
}

/// How a collection is called in a fingerprint: `shop.things`, `view shop.seen`. No database has a
/// blank or a dot in its name, so no two share a key.
pub fn key(database: &str, name: &str, view: bool) -> String {
    let view = if view { "view " } else { "" };
    format!("{view}{database}.{name}")
}

/// The database of such a key.
pub fn database_of(key: &str) -> &str {
    let key = key.strip_prefix("view ").unwrap_or(key);
    key.split_once('.').map_or(key, |(database, _)| database)
}

#[cfg(test)]
mod tests;
