//! Puts what the server and its tools complain about into a failure: what went wrong, what to do
//! about it, and whether trying again may help. Known complaints are found by their numbers, which
//! servers of all languages use.

use crate::strategy::{
    StrategyError,
    complaint::{COMES_UP, DAMAGED, DISK, End, Known, MEMORY, NO_LOGIN, never, soon},
};

const GONE: &str = "The server stopped, or ended the connection; see its log.";
const FULL: &str = "All connections of the server are taken; raise max_connections.";
const LOCKED: &str = "Something holds a lock on a table (a migration, a long transaction); run it when that is over.";
const ROOT: &str = "Use a user that may do everything, as the image's root may.";
const NEWER: &str = "The dump is of another version or vendor of the server; use an image at least as new, of the same vendor.";
const DEFINER: &str = "Create this account on the server first, or restore as root.";

/// The first that fits counts. A sign of digits is an error's number.
const KNOWN: &[Known] = &[
    never("1045", NO_LOGIN),
    never("1698", NO_LOGIN),
    never(
        "1130",
        "Let this user in from localhost (CREATE USER …@localhost).",
    ),
    never(
        "1862",
        "The user's password has expired; set another one on the server and in the config.",
    ),
    soon("2002", COMES_UP),
    soon("2003", COMES_UP),
    soon("1053", COMES_UP),
    soon("2006", GONE),
    soon("2013", GONE),
    soon("1927", GONE),
    soon("1317", GONE),
    soon("1040", FULL),
    soon("1203", FULL),
    soon("1226", "A limit of this user is reached; raise it."),
    soon("1205", LOCKED),
    soon("1213", "Another session was in the way; it is tried again."),
    soon(
        "1412",
        "A table was changed during the dump; it is tried again.",
    ),
    soon(
        "Table definition has changed",
        "A table was changed during the dump; it is tried again.",
    ),
    never("1021", DISK),
    never("1114", DISK),
    never("No space left on device", DISK),
    never("Errcode: 28", DISK),
    never(
        "1356",
        "A view names a table or column that is not there, or its definer may not use it; drop the view, or mend it.",
    ),
    never("1449", DEFINER),
    never("1227", ROOT),
    never("1044", ROOT),
    never("1142", ROOT),
    never("1143", ROOT),
    never("1370", ROOT),
    never("1419", ROOT),
    never(
        "1290",
        "The server is read-only, or keeps this from being done; see its settings.",
    ),
    never("1836", "The server is read-only; restore to the primary."),
    never(
        "1153",
        "A row is larger than the server takes; raise max_allowed_packet.",
    ),
    never(
        "2020",
        "A row is larger than the server takes; raise max_allowed_packet.",
    ),
    never("1273", NEWER),
    never("1193", NEWER),
    never("1115", NEWER),
    never(
        "1286",
        "Use an image that has this storage engine, or turn it on.",
    ),
    never("1064", NEWER),
    never("1034", DAMAGED),
    never("126", DAMAGED),
    never("1194", DAMAGED),
    never("1195", DAMAGED),
    never("1877", DAMAGED),
    never("1932", DAMAGED),
    never(
        "1146",
        "A table is missing or damaged; see the server's log.",
    ),
    soon("1037", MEMORY),
    soon("1041", MEMORY),
];

/// What `program` complained about. `what` says what it was to do: `the dump`. `text` is its
/// stderr, masked.
pub fn complaint(what: &str, program: &str, code: i64, text: &str) -> StrategyError {
    let end = End {
        what,
        program,
        code,
        text,
    };
    let essence = essence(text).unwrap_or_else(|| end.fate());
    let known = KNOWN.iter().find(|known| shows(text, known.sign));
    end.failure(&essence, known)
}

/// Whether a complaint has this number or these words.
pub fn shows(text: &str, sign: &str) -> bool {
    if !sign.bytes().all(|b| b.is_ascii_digit()) {
        return text.contains(sign);
    }
    ["ERROR ", "Error ", "error: ", "(", "errno: "]
        .iter()
        .any(|before| {
            let number = format!("{before}{sign}");
            text.match_indices(&number).any(|(at, found)| {
                !text[at + found.len()..].starts_with(|c: char| c.is_ascii_digit())
            })
        })
}

/// The line that says it best, without the tool's own prefixes.
fn essence(text: &str) -> Option<String> {
    let line = text
        .lines()
        .find(|line| line.contains("ERROR") || line.contains("rror: "))
        .or_else(|| text.lines().rfind(|line| !line.trim().is_empty()))?;
    // The client: `ERROR 1045 (28000) at line 3: Access denied …`, and what it was asked before that.
    let line = line.rfind("ERROR ").map_or(line, |at| &line[at..]);
    // The dump tool: `mysqldump: Got error: 1045: "Access denied …" when trying to connect`.
    let line = ["Got error: ", "Error: "]
        .iter()
        .find_map(|words| line.split_once(words))
        .map_or(line, |(_, after)| after);
    Some(line.trim().to_owned()).filter(|line| !line.is_empty())
}

pub fn is_wrong_login(text: &str) -> bool {
    ["1045", "1698"].iter().any(|sign| shows(text, sign))
}

/// A login that works, without the rights that it needs.
pub fn is_denied(text: &str) -> bool {
    ["1227", "1044", "1142", "1143", "1370"]
        .iter()
        .any(|sign| shows(text, sign))
}

/// Lines of a tool that succeeded which a person should see; at most `limit`.
pub fn warnings(text: &str, limit: usize) -> Vec<String> {
    let warns = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        (lower.contains("warning") || lower.contains("error"))
            // Said by MySQL's tools of each password, however it is passed.
            && !lower.contains("using a password on the command line")
    };
    let bare = |line: &str| {
        let known = ["mysqldump: ", "mariadb-dump: "];
        let line = line.trim();
        let bare = known.iter().find_map(|name| line.strip_prefix(name));
        bare.unwrap_or(line).to_owned()
    };
    text.lines().filter(warns).take(limit).map(bare).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::complaint;

    fn told(text: &str, code: i64) -> (String, String, bool) {
        complaint::told(complaint("the dump", "mysqldump", code, text))
    }

    #[test]
    fn the_essence_is_found() {
        let denied = "Access denied for user 'root'@'localhost' (using password: YES)";
        let dump = format!("mysqldump: Got error: 1045: \"{denied}\" when trying to connect\n");
        let (message, hint, temporary) = told(&dump, 2);
        assert!(message.starts_with("the dump failed: 1045: \"Access denied"));
        assert_eq!((hint.as_str(), temporary), (NO_LOGIN, false));
        let client =
            format!("--------------\nselect 1\n--------------\n\nERROR 1045 (28000): {denied}\n");
        assert_eq!(
            told(&client, 1).0,
            format!("the dump failed: ERROR 1045 (28000): {denied}")
        );
        let socket = "ERROR 2002 (HY000): Can't connect to local MySQL server through socket '/run/mysqld.sock' (2)\n";
        assert!(told(socket, 1).2);
        assert!(told("", 137).2);
        assert!(told("", 137).0.contains("signal 9"));
        assert!(told("", 1).0.contains("status 1"));
        let lost = "mariadb-dump: Error 2013: Lost connection to server during query when dumping table `t` at row: 7\n";
        assert!(told(lost, 3).0.contains("Lost connection"));
        assert!(shows("ERROR 1045 (28000)", "1045") && !shows("ERROR 10450 (28000)", "1045"));
        assert!(!shows("row 1045 of", "1045"));
    }
}
