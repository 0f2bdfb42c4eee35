//! Puts what the tools complain about into a failure: what went wrong, what to do about it, and
//! whether trying again may help. Known complaints are found by their words.

use crate::strategy::{
    StrategyError,
    complaint::{DISK, End, Known, MEMORY, NO_LOGIN, known, never, soon},
};

const RIGHTS: &str =
    "Use a user that may read and write everything, as the image's own root user may.";
const DOWN: &str = "The server is just starting or stopping, or it died; see its log.";
const TLS: &str = "Holdfast speaks to the server without TLS, from inside the container; let the server allow it.";

/// The first that fits counts.
const KNOWN: &[Known] = &[
    never("Authentication failed", NO_LOGIN),
    never("auth error", NO_LOGIN),
    never("unable to authenticate", NO_LOGIN),
    never("requires authentication", NO_LOGIN),
    never("Unauthorized", RIGHTS),
    never("not authorized", RIGHTS),
    never("No space left on device", DISK),
    never("OutOfDiskSpace", DISK),
    never("tls: ", TLS),
    never("SSL", TLS),
    soon("connection refused", DOWN),
    soon("ECONNREFUSED", DOWN),
    soon("ECONNRESET", DOWN),
    soon("server selection error", DOWN),
    soon("ServerSelectionError", DOWN),
    soon("NetworkError", DOWN),
    soon("socket was unexpectedly closed", DOWN),
    soon("connection reset", DOWN),
    soon("broken pipe", DOWN),
    soon("EOF", DOWN),
    soon("interrupted at shutdown", DOWN),
    soon(
        "not primary",
        "The server is no longer the primary of its replica set; work on the one that is.",
    ),
    never(
        "E11000 duplicate key",
        "Two documents have the same value in a unique index; the source was already so when it was dumped.",
    ),
    never(
        "Document failed validation",
        "A document does not fit its collection's validator.",
    ),
    soon(
        "CursorNotFound",
        "The server took the dump's cursor away; it is tried again.",
    ),
    soon("out of memory", MEMORY),
    soon(
        CRASH,
        "The tool has a race: when one collection cannot be read, it may crash before it says why. The server's log says it; trying again often does.",
    ),
];

/// How a Go program begins its last words. A stack trace follows, which nobody should have to read.
const CRASH: &str = "panic: ";

/// What `program` complained about. `what` says what it was to do. `text` is its stderr, masked.
pub fn complaint(what: &str, program: &str, code: i64, text: &str) -> StrategyError {
    let end = End {
        what,
        program,
        code,
        text,
    };
    // One that was killed said nothing of it: its last line is of its progress.
    let last_line = || last_line(text).filter(|_| !end.was_killed());
    let essence = essence(text)
        .or_else(|| Some(format!("{program} crashed: {}", crash(text)?)))
        .or_else(last_line)
        .unwrap_or_else(|| end.fate());
    end.failure(&essence, known(KNOWN, text))
}

/// The line that says it best, without times and the tools' own prefixes.
fn essence(text: &str) -> Option<String> {
    for words in ["Failed: ", "error: ", "Error: ", "Error["] {
        let line = text.lines().rfind(|line| line.contains(words));
        if let Some((_, essence)) = line.and_then(|line| line.split_once(words)) {
            return Some(essence.trim().to_owned()).filter(|essence| !essence.is_empty());
        }
    }
    None
}

fn crash(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix(CRASH))
}

fn last_line(text: &str) -> Option<String> {
    let said = text.lines().rfind(|line| !line.trim().is_empty())?;
    Some(without_time(said).trim().to_owned())
}

/// `2026-01-01T00:00:00.000+0000<TAB>text` → `text`.
pub fn without_time(line: &str) -> &str {
    match line.split_once('\t') {
        Some((time, rest)) if time.starts_with("20") && time.contains('T') => rest,
        _ => line,
    }
}

pub fn is_wrong_login(text: &str) -> bool {
    [
        "Authentication failed",
        "auth error",
        "unable to authenticate",
        "requires authentication",
    ]
    .iter()
    .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::complaint;

    fn told(text: &str, code: i64) -> (String, bool, bool) {
        let (message, hint, temporary) =
            complaint::told(complaint("the dump", "mongodump", code, text));
        (message, !hint.is_empty(), temporary)
    }

    #[test]
    fn the_essence_is_found() {
        let time = "2026-01-01T00:00:00.000+0000\t";
        for (text, code, essence, temporary) in [
            (
                format!(
                    "{time}Failed: can't create session: could not connect to server: connection() error occurred during connection handshake: auth error: sasl conversation error: unable to authenticate using mechanism \"SCRAM-SHA-256\": (AuthenticationFailed) Authentication failed.\n"
                ),
                1,
                "can't create session",
                false,
            ),
            (
                format!(
                    "{time}writing shop.things\n{time}Failed: error writing data for collection: connection reset by peer\n"
                ),
                1,
                "error writing data",
                true,
            ),
            (
                "MongoServerError: not authorized on admin\n".to_owned(),
                1,
                "not authorized on admin",
                false,
            ),
            (String::new(), 137, "killed by signal 9", true),
            (
                format!("{time}done dumping shop.things (3000 documents)\n"),
                137,
                "killed by signal 9",
                true,
            ),
            (
                format!(
                    "{time}writing shop.things to archive on stdout\npanic: send on closed channel\n\ngoroutine 60 [running]:\ngithub.com/mongodb/mongo-tools/common/archive.(*MuxIn).Open(0xc000024500)\n\tmultiplexer.go:282 +0x2c5\n"
                ),
                2,
                "mongodump crashed: send on closed channel",
                true,
            ),
            (
                format!("{time}connection refused\n"),
                1,
                "connection refused",
                true,
            ),
        ] {
            let (message, hinted, again) = told(&text, code);
            assert!(message.contains(essence), "{message}");
            assert!(hinted, "{message}");
            assert_eq!(again, temporary, "{message}");
        }
        assert!(told("", 1).0.contains("said nothing"));
    }
}
