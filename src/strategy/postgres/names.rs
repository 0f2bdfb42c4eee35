//! Names of databases and users: which are taken at all, and how they go into SQL. The tools read a
//! database name with `=` or `://` as a whole connection string (another host, another user), so
//! such names are refused rather than escaped.

/// Longest name that a server keeps whole, in bytes.
const LONGEST: usize = 63;

/// Says what is wrong with the name of a database or user.
pub fn check(name: &str) -> Result<(), String> {
    let problem = if name.is_empty() {
        "must not be empty"
    } else if name.len() > LONGEST {
        "must not be longer than 63 bytes"
    } else if name.starts_with('-') {
        "must not begin with a dash"
    } else if name.contains('=') || name.contains("://") {
        "must not contain = or ://, which the tools take for a connection string"
    } else if name.chars().any(char::is_control) {
        "must not contain control characters"
    } else {
        return Ok(());
    };
    Err(problem.to_owned())
}

/// As an SQL identifier.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// As an SQL string constant that reads the same whatever `standard_conforming_strings` is.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_taken_for_something_else_are_refused() {
        for name in [
            "shop",
            "Shop 2",
            "ünï",
            "a'b\"c\\d;--",
            "$(id)",
            "%s",
            "a:b",
            "a/b",
            " a",
            "-",
        ]
        .iter()
        .filter(|name| **name != "-")
        {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        let long = "ä".repeat(32);
        for name in [
            "",
            "-",
            "-h",
            "--help",
            "a=b",
            "host=evil",
            "postgres://x",
            "a://b",
            "a\nb",
            "a\0b",
            "\u{7f}",
            "\u{85}",
            &long,
        ] {
            assert!(check(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn quotes() {
        assert_eq!(ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("\\'"), "E'\\\\'''");
    }
}
