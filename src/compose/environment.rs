//! Files of `NAME=value` lines: the `.env` of a project, and what `env_file` names.

use super::yaml::{Variables, interpolate};

/// The variables of such a file, each value with what the ones before it (and `known`) say in it.
/// Lines that are none are passed over, as compose's own older readers do.
pub fn parse(text: &str, known: &Variables) -> Variables {
    let mut all = known.clone();
    let mut own = Variables::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let Some((name, value)) = assignment(line) else {
            continue;
        };
        let value = match value {
            Written::Literally(value) => value.to_owned(),
            Written::WithVariables(value) => interpolate(&value, &all),
        };
        all.insert(name.to_owned(), value.clone());
        own.insert(name.to_owned(), value);
    }
    own
}

enum Written<'a> {
    Literally(&'a str),
    WithVariables(String),
}

fn assignment(line: &str) -> Option<(&str, Written<'_>)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let is_name = !name.is_empty()
        && !name.starts_with('#')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    is_name.then(|| (name, written(value.trim())))
}

fn written(value: &str) -> Written<'_> {
    if let Some(rest) = value.strip_prefix('\'') {
        return Written::Literally(rest.split('\'').next().unwrap_or(rest));
    }
    if let Some(rest) = value.strip_prefix('"') {
        return Written::WithVariables(unescaped(rest));
    }
    let comment = value
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|&at| at == 0 || value[..at].ends_with([' ', '\t']));
    let value = comment.map_or(value, |at| value[..at].trim_end());
    Written::WithVariables(value.to_owned())
}

/// Up to the closing quote.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other @ ('"' | '\\')) => out.push(other),
                Some('$') => out.push_str("$$"), // no variable
                Some(other) => out.extend(['\\', other]),
                None => break,
            },
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_line() {
        let text = "\u{feff}# a comment\nPLAIN=shop # why\n export QUOTED=\"a \\\"b\\\" $PLAIN \\$1\" # x\r\n\
                    RAW='$PLAIN #1'\nHASH=a#b\nEMPTY=\nno line\n=x\nLATER=${PLAIN}_${NONE:-db}\nBAD=${";
        let read = parse(text, &Variables::new());
        for (name, value) in [
            ("PLAIN", "shop"),
            ("QUOTED", "a \"b\" shop $1"),
            ("RAW", "$PLAIN #1"),
            ("HASH", "a#b"),
            ("EMPTY", ""),
            ("LATER", "shop_db"),
            ("BAD", "${"),
        ] {
            assert_eq!(read.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(read.len(), 7);
    }

    #[test]
    fn what_is_known_is_used_and_not_repeated() {
        let known = Variables::from([("APP".to_owned(), "shop".to_owned())]);
        let read = parse("DB=${APP}_db", &known);
        assert_eq!(read, Variables::from([("DB".into(), "shop_db".into())]));
    }
}
