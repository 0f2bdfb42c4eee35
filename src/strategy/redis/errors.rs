//! Puts what a server or its tools complain about into a failure: what went wrong, what to do about it,
//! and whether trying again may help.

use super::settings::PASSWORD_FIELD;
use crate::strategy::{
    StrategyError,
    complaint::{COMES_UP, End, Known, known, never, soon},
};

const NOT_THERE: &str =
    "The server is just starting or stopping; or it listens elsewhere: set its port in the config.";
const NO_RIGHT: &str = "Use a user that may do everything, or give this one the rights \
    +info +sync +replconf for backups, and +config|get +bgsave for restores.";
const NO_CONFIG: &str =
    "Do not rename CONFIG on this server, or restore by hand as the manifest says.";
const DISK: &str = "Free some space on the disk of the server's data.";

/// The first that fits counts.
const KNOWN: &[Known] = &[
    soon("LOADING ", COMES_UP),
    soon("Connection refused", NOT_THERE),
    soon("Connection reset", COMES_UP),
    soon("No such file or directory", COMES_UP), // its socket is not there yet
    soon("Server closed the connection", COMES_UP),
    soon(
        "I/O Error reading RDB payload",
        "The server stopped or ended the transfer; see its log.",
    ),
    soon(
        "NOMASTERLINK",
        "This replica has no link to its primary; back up the primary.",
    ),
    soon(
        "BUSY ",
        "A script keeps the server busy; run it when that is over.",
    ),
    soon(
        "max number of clients",
        "All connections of the server are taken; raise maxclients.",
    ),
    soon(
        "BGSAVE failed",
        "The server could not begin to save: memory or disk; see its log.",
    ),
    soon(
        "Cannot allocate memory",
        "Give the server more memory, or set vm.overcommit_memory to 1 on the host.",
    ),
    never("NOPERM", NO_RIGHT),
    never(
        "unknown command 'SYNC'",
        "This server does not hand out its data; back up its files instead.",
    ),
    never("unknown command", NO_CONFIG),
    never("No space left on device", DISK),
    never(
        "Read-only file system",
        "Let the service write to its own volume.",
    ),
    never(
        "Can't handle RDB format version",
        "The backup was made by a newer server; restore to one that is at least as new.",
    ),
    never(
        "configured to handle more than",
        "Raise `databases` in the server's settings.",
    ),
    never("OOM", "Give the host more memory."),
];

/// What somebody complained about. `what` says what it was to do: `the dump`. `text` is masked.
pub fn complaint(what: &str, program: &str, code: i64, text: &str) -> StrategyError {
    let end = End {
        what,
        program,
        code,
        text,
    };
    let essence = essence(text).filter(|_| !end.was_killed());
    let essence = essence.unwrap_or_else(|| end.fate());
    if let Some(hint) = login(text) {
        return StrategyError::Option {
            field: PASSWORD_FIELD,
            message: end.message(&essence),
            hint: hint.to_owned(),
        };
    }
    end.failure(&essence, known(KNOWN, text))
}

/// What to do about a login that failed, if that is it.
pub fn login(text: &str) -> Option<&'static str> {
    let known = [
        (
            "called without any password configured",
            "The server has no password: leave it out of the config.",
        ),
        (
            "WRONGPASS",
            "Set the right user and password in the config.",
        ),
        ("invalid password", "Set the right password in the config."),
        (
            "AUTH failed",
            "Set the right user and password in the config.",
        ),
        (
            "NOAUTH",
            "The server wants a password: set it in the config.",
        ),
    ];
    let found = known.iter().find(|(words, _)| text.contains(words));
    found.map(|(_, hint)| *hint)
}

/// The line that says it best.
fn essence(text: &str) -> Option<String> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let talk = |line: &&str| {
        // What a client says of its own work, and of what it could do without.
        !line.starts_with("sending ")
            && !line.starts_with("REPLCONF ")
            && !line.starts_with("SYNC sent")
    };
    let best =
        lines().find(|line| line.starts_with("SYNC with") || line.starts_with("AUTH failed"));
    let best = best.or_else(|| lines().rfind(talk))?;
    let told = best
        .split_once("failed: -")
        .map_or(best, |(_, reply)| reply);
    Some(told.to_owned())
}

/// What a server's log says of why it ended, without the time and the process before it.
pub fn last_words(log: &str) -> String {
    const TALK: [&str; 7] = [
        "oO0Oo",
        "version=",
        "Configuration loaded",
        "WARNING",
        "Warning:",
        "Server initialized",
        "Fatal error loading",
    ];
    let grave = |line: &&str| line.contains(" # ") && !TALK.iter().any(|talk| line.contains(talk));
    let line = log
        .lines()
        .find(grave)
        .or(log.lines().last())
        .unwrap_or_default();
    line.split_once(" # ")
        .map_or(line, |(_, words)| words)
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_essence_is_found() {
        let said = "sending REPLCONF capa eof\nREPLCONF capa error: NOPERM x\nsending REPLCONF rdb-only 1\n\
            SYNC with master failed: -NOPERM this user has no permissions to run the 'sync' command\n";
        let StrategyError::Tool {
            message,
            hint,
            temporary,
            ..
        } = complaint("the dump", "redis-cli", 1, said)
        else {
            panic!("no login");
        };
        assert_eq!(
            message,
            "the dump failed: NOPERM this user has no permissions to run the 'sync' command"
        );
        assert!(hint.contains("+sync") && !temporary);
        for (said, field) in [
            (
                "AUTH failed: WRONGPASS invalid\nsending x\nSYNC with master failed: -NOAUTH y",
                true,
            ),
            ("NOAUTH Authentication required.", true),
            (
                "Could not connect to Redis at 127.0.0.1:6379: Connection refused",
                false,
            ),
        ] {
            let error = complaint("the dump", "redis-cli", 1, said);
            assert_eq!(
                matches!(error, StrategyError::Option { .. }),
                field,
                "{said}"
            );
        }
        let killed = complaint("the dump", "redis-cli", 137, "");
        assert!(matches!(
            killed,
            StrategyError::Tool {
                temporary: true,
                ..
            }
        ));
    }

    #[test]
    fn a_log_says_why() {
        let log = "7:C 25 Nov 2026 08:45:24.018 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo\n\
            7:M 25 Nov 2026 08:45:24.024 * Loading RDB\n\
            7:M 25 Nov 2026 08:45:24.025 # Can't handle RDB format version 12\n\
            7:M 25 Nov 2026 08:45:24.025 # Fatal error loading the DB, check server logs. Exiting.\n";
        assert_eq!(last_words(log), "Can't handle RDB format version 12");
        assert_eq!(last_words(""), "");
    }
}
