//! TimescaleDB wants to be told before and after a dump is loaded, or its own bookkeeping refuses
//! the rows. This follows its manual and is tried with a stand-in for the extension, not with the
//! real one.

use crate::domain::manifest::Fingerprint;

/// Its catalog is part of every dump of a database that uses it.
pub fn is_in(dump: &Fingerprint) -> bool {
    let mut tables = dump.counts.keys();
    tables.any(|table| table.starts_with("_timescaledb_catalog."))
}

/// To run in the staging database before loading. The dump's own CREATE EXTENSION then finds it.
pub fn before() -> String {
    format!(
        "CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public;\n{}",
        call("pre")
    )
}

/// To run there after loading.
pub fn after() -> String {
    call("post")
}

fn call(when: &str) -> String {
    format!(
        "SELECT format('SELECT %I.timescaledb_{when}_restore()', n.nspname)
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb' \\gexec\n"
    )
}
