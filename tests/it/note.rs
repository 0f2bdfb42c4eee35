//! The smallest service worth a backup: one SQLite database with one note in it.

use holdfast::app::{ConfigInput, CopyInput};

use crate::{
    bed::{Bed, SQLITE_APP},
    bucket::Bucket,
};

/// Where its database is.
pub const FILE: &str = "/data/app.db";
/// What its note says at first.
pub const FIRST: &str = "kept";

/// The service `db` of a compose project of its own, whose name comes first.
pub fn service(test: &str) -> (String, Bed) {
    let project = format!("{test}-{}", std::process::id());
    let bed = Bed::service(SQLITE_APP, &project, &[], &["sleep", "3600"]);
    sqlite(
        &bed,
        &format!("CREATE TABLE notes(t); INSERT INTO notes VALUES('{FIRST}')"),
    );
    (project, bed)
}

/// What its note says now, or SQLite's complaint.
pub fn read(bed: &Bed) -> String {
    bed.sh(&format!(
        "sqlite3 -readonly {FILE} 'SELECT t FROM notes' 2>&1 || true"
    ))
}

pub fn write(bed: &Bed, text: &str) {
    sqlite(bed, &format!("UPDATE notes SET t = '{text}'"));
}

fn sqlite(bed: &Bed, statement: &str) {
    bed.sh(&format!("sqlite3 {FILE} \"{statement}\""));
}

/// A config of it that stores in the bucket.
pub fn stored_in(bucket: &Bucket) -> impl FnOnce(&mut ConfigInput) {
    let settings = bucket.target_settings();
    |input| {
        backed_up(input);
        input.target = Some("s3".into());
        input.target_settings = Some(settings);
    }
}

/// A config of it that stores in the folder, with a copy in the bucket.
pub fn copied_to(bucket: &Bucket) -> impl FnOnce(&mut ConfigInput) {
    let copy = CopyInput {
        target: "s3".into(),
        settings: bucket.target_settings(),
    };
    |input| {
        backed_up(input);
        input.copies = Some(vec![copy]);
    }
}

fn backed_up(input: &mut ConfigInput) {
    input.strategy = Some("sqlite".into());
    input.paths = Some(vec![FILE.into()]);
}
