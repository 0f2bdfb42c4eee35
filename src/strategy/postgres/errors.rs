//! Puts what the server and its tools complain about into a failure: what went wrong, what to do
//! about it, and whether trying again may help. Known complaints are found by their words; servers
//! that speak another language than English lose the hint, not the failure.

use crate::strategy::{
    StrategyError,
    complaint::{COMES_UP, DAMAGED, DISK, End, Known, MEMORY, NO_LOGIN, known, never, soon},
};

const LOCKED: &str =
    "Something holds a lock on a table (a migration, a VACUUM FULL); run it when that is over.";

const NO_ROLE: Known = never("", "Create this role on the server first (CREATE ROLE …).");
const NO_DATABASE: Known = never("", "Name a database that exists in the config.");

/// The first that fits counts.
const KNOWN: &[Known] = &[
    never("password authentication failed", NO_LOGIN),
    never("no password supplied", NO_LOGIN),
    never(
        "no pg_hba.conf entry",
        "Let this user in, in the server's pg_hba.conf.",
    ),
    never(
        "Peer authentication failed",
        "Set a user in the config that the server lets in.",
    ),
    never("is not permitted to log in", NO_LOGIN),
    soon("the database system is", COMES_UP),
    soon(
        "server closed the connection unexpectedly",
        "The server stopped or a process of it crashed; see its log.",
    ),
    soon(
        "terminating connection",
        "The connection was ended by the server or by a person.",
    ),
    soon(
        "connection to server was lost",
        "The server stopped; see its log.",
    ),
    soon("Connection refused", COMES_UP),
    soon("Is the server running", COMES_UP),
    soon("failed: No such file or directory", COMES_UP), // its socket is not there yet
    soon(
        "too many clients",
        "All connections of the server are taken; raise max_connections.",
    ),
    soon(
        "remaining connection slots",
        "All connections of the server are taken; raise max_connections.",
    ),
    soon(
        "too many connections for",
        "The connection limit is reached; raise it.",
    ),
    never("No space left on device", DISK),
    never("could not extend file", DISK),
    never("Disk quota exceeded", DISK),
    soon("canceling statement due to lock timeout", LOCKED),
    // So pg_dump waits for its locks; it has no other limit.
    soon("canceling statement due to statement timeout", LOCKED),
    soon(
        "deadlock detected",
        "Another session was in the way; it is tried again.",
    ),
    soon(
        "conflict with recovery",
        "A replica ended the dump; raise max_standby_streaming_delay, or back up the primary.",
    ),
    soon("out of memory", MEMORY),
    never(
        "max_locks_per_transaction",
        "Raise max_locks_per_transaction on the server.",
    ),
    never(
        "server version mismatch",
        "The tools in the container are older than its server; use an image where both are of one version.",
    ),
    never(
        "invalid command \\restrict",
        "The psql in the container is too old for this dump; use the image's newest release of the same major version.",
    ),
    never(
        "invalid command \\unrestrict",
        "The psql in the container is too old for this dump; use the image's newest release of the same major version.",
    ),
    never(
        "unrecognized configuration parameter",
        "The dump was made by a newer version; use an image at least as new.",
    ),
    never(
        "could not open extension control file",
        "Use an image that has this extension.",
    ),
    never("is not available", "Use an image that has this extension."),
    never(
        "must be loaded via shared_preload_libraries",
        "Start the server with this extension in shared_preload_libraries.",
    ),
    never(
        "permission denied for database",
        "Use a user that may connect and create databases, as the image's own user may.",
    ),
    never(
        "permission denied to create",
        "Use a user that may create databases, as the image's own user may.",
    ),
    never(
        "permission denied",
        "Use a user that may read everything, as the image's own user may.",
    ),
    never(
        "must be owner",
        "Use the image's own user, which may do everything.",
    ),
    never(
        "must be superuser",
        "Use the image's own user, which may do everything.",
    ),
    never(
        "must be a superuser",
        "Use the image's own user, which may do everything.",
    ),
    never(
        "must be able to SET ROLE",
        "Use the image's own user, which may do everything.",
    ),
    never(
        "must be member of role",
        "Use the image's own user, which may do everything.",
    ),
    never(
        "prepared transaction",
        "Commit or roll back the prepared transactions (pg_prepared_xacts) first.",
    ),
    never(
        "logical replication slot",
        "Drop the replication slots of this database first.",
    ),
    never(
        "replication subscription",
        "Drop the subscriptions of this database first.",
    ),
    soon(
        "is being accessed by other users",
        "Something connects again and again; stop the app for a moment.",
    ),
    never("invalid page in block", DAMAGED),
    never("could not read block", DAMAGED),
    never("missing chunk number", DAMAGED),
    never("invalid memory alloc request size", DAMAGED),
    never(
        "invalid byte sequence for encoding",
        "The data does not fit the database's encoding.",
    ),
    never(
        "has no equivalent in encoding",
        "The new database has another encoding than the dumped one; create it with the right one first.",
    ),
];

/// What `program` complained about. `what` says what it was to do: `dump of database shop`.
/// `text` is its stderr, masked.
pub fn complaint(what: &str, program: &str, code: i64, text: &str) -> StrategyError {
    let end = End {
        what,
        program,
        code,
        text,
    };
    let essence = essence(text).unwrap_or_else(|| end.fate());
    let missing = |what: &str| text.contains(what) && text.contains("does not exist");
    let known = known(KNOWN, text)
        .or_else(|| missing("role \"").then_some(&NO_ROLE))
        .or_else(|| missing("database \"").then_some(&NO_DATABASE));
    end.failure(&essence, known)
}

/// The line that says it best, without the tool's own prefixes.
fn essence(text: &str) -> Option<String> {
    let after = |words: &str| {
        let line = text.lines().find(|line| line.contains(words))?;
        let (_, essence) = line.rsplit_once(words)?;
        Some(essence.trim().to_owned()).filter(|essence| !essence.is_empty())
    };
    ["PANIC:", "FATAL:", "ERROR:", "error:"]
        .into_iter()
        .find_map(after)
        .or_else(|| {
            let last = text.lines().rfind(|line| !line.trim().is_empty())?;
            Some(last.trim().to_owned())
        })
}

pub fn is_wrong_password(message: &str) -> bool {
    message.contains("password authentication failed") || message.contains("no password supplied")
}

/// Only where the user is told: a dump, too, may name roles that are not there.
pub fn is_missing_role(message: &str) -> bool {
    message.contains("role \"") && message.ends_with("does not exist")
}

/// Lines that warn, of a tool that succeeded; at most `limit`.
pub fn warnings(text: &str, limit: usize) -> Vec<String> {
    let warns = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        lower.contains("warning:") || lower.contains("error:")
    };
    let bare = |line: &str| line.trim_start_matches("pg_dump: ").trim().to_owned();
    text.lines().filter(warns).take(limit).map(bare).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::complaint;

    fn told(text: &str, code: i64) -> (String, String, bool) {
        complaint::told(complaint("dump of database shop", "pg_dump", code, text))
    }

    #[test]
    fn the_essence_is_found() {
        let socket =
            "pg_dump: error: connection to server on socket \"/run/.s.PGSQL.5432\" failed: ";
        let (message, hint, temporary) = told(
            &format!("{socket}FATAL:  password authentication failed for user \"app\"\n"),
            1,
        );
        assert_eq!(
            message,
            "dump of database shop failed: password authentication failed for user \"app\""
        );
        assert_eq!(hint, NO_LOGIN);
        assert!(!temporary);
        assert!(
            told(
                &format!("{socket}FATAL:  the database system is starting up\n"),
                1
            )
            .2
        );
        assert!(told(&format!("{socket}No such file or directory\n"), 1).2);
        assert!(told("", 137).2);
        assert!(told("", 137).0.contains("signal 9"));
        assert!(told("", 1).0.contains("status 1"));
        let role = "psql:<stdin>:31: ERROR:  role \"shop_reader\" does not exist\n";
        assert!(told(role, 3).1.contains("Create this role"));
        let dump = "pg_dump: error: query failed: ERROR:  permission denied for table secret\n\
            pg_dump: detail: Query was: LOCK TABLE public.secret IN ACCESS SHARE MODE\n";
        assert!(
            told(dump, 1)
                .0
                .ends_with("permission denied for table secret")
        );
    }
}
