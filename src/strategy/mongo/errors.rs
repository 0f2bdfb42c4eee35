//! Puts what the tools complain about into a failure: what went wrong, what to do about it, and
//! whether trying again may help. Known complaints are found by their words.

use crate::strategy::{StrategyError, stderr};

/// Words, whether trying again may help, and a hint.
type Known = (&'static str, bool, &'static str);

const LOGIN: &str = "Set the right user and password in the config.";
const RIGHTS: &str =
    "Use a user that may read and write everything, as the image's own root user may.";
const DOWN: &str = "The server is just starting or stopping, or it died; see its log.";
const DISK: &str = "Free some space on the server's disk.";
const TLS: &str = "Holdfast speaks to the server without TLS, from inside the container; let the server allow it.";

/// The first that fits counts.
const KNOWN: &[Known] = &[
    ("Authentication failed", false, LOGIN),
    ("auth error", false, LOGIN),
    ("unable to authenticate", false, LOGIN),
    ("requires authentication", false, LOGIN),
    ("Unauthorized", false, RIGHTS),
    ("not authorized", false, RIGHTS),
    ("No space left on device", false, DISK),
    ("OutOfDiskSpace", false, DISK),
    ("tls: ", false, TLS),
    ("SSL", false, TLS),
    ("connection refused", true, DOWN),
    ("ECONNREFUSED", true, DOWN),
    ("ECONNRESET", true, DOWN),
    ("server selection error", true, DOWN),
    ("ServerSelectionError", true, DOWN),
    ("NetworkError", true, DOWN),
    ("socket was unexpectedly closed", true, DOWN),
    ("connection reset", true, DOWN),
    ("broken pipe", true, DOWN),
    ("EOF", true, DOWN),
    ("interrupted at shutdown", true, DOWN),
    (
        "not primary",
        true,
        "The server is no longer the primary of its replica set; work on the one that is.",
    ),
    (
        "E11000 duplicate key",
        false,
        "Two documents have the same value in a unique index; the source was already so when it was dumped.",
    ),
    (
        "Document failed validation",
        false,
        "A document does not fit its collection's validator.",
    ),
    (
        "CursorNotFound",
        true,
        "The server took the dump's cursor away; it is tried again.",
    ),
    ("out of memory", true, "Give the container more memory."),
    (
        CRASH,
        true,
        "The tool has a race: when one collection cannot be read, it may crash before it says why. The server's log says it; trying again often does.",
    ),
];

/// How a Go program begins its last words. A stack trace follows, which nobody should have to read.
const CRASH: &str = "panic: ";

/// What `program` complained about. `what` says what it was to do. `text` is its stderr, masked.
pub fn complaint(what: &str, program: &str, code: i64, text: &str) -> StrategyError {
    // One that was killed said nothing of it: its last line is of its progress.
    let essence = match (essence(text), crash(text)) {
        (Some(essence), _) => essence,
        (None, Some(crash)) => format!("{program} crashed: {crash}"),
        (None, None) if code >= 128 => format!("{program} was killed by signal {}", code - 128),
        (None, None) => last_line(text)
            .unwrap_or_else(|| format!("{program} ended with status {code} and said nothing")),
    };
    let known = KNOWN.iter().find(|(words, ..)| text.contains(words));
    let (temporary, hint) = match known {
        Some((_, temporary, hint)) => (*temporary, *hint),
        None if code >= 128 => (
            true,
            "It was ended from outside: for want of memory, or by a person.",
        ),
        None => (false, ""),
    };
    StrategyError::Tool {
        message: format!("{what} failed: {essence}"),
        hint: hint.to_owned(),
        detail: stderr::shown(text),
        temporary,
    }
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

    fn told(text: &str, code: i64) -> (String, bool, bool) {
        match complaint("the dump", "mongodump", code, text) {
            StrategyError::Tool {
                message,
                hint,
                temporary,
                ..
            } => (message, !hint.is_empty(), temporary),
            other => panic!("{other}"),
        }
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
