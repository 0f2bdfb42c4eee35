//! Parts of an address, made of what was typed.

use std::fmt::Write as _;

use anyhow::bail;

use super::errors::Usage;

/// Part of a path. Names come from the command line, so they are kept from being more than that.
pub fn segment(text: &str) -> anyhow::Result<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.is_empty() || text == "." || text == ".." || !text.bytes().all(plain) {
        bail!(Usage(format!("{text:?} is no name of an app or a number")));
    }
    Ok(text)
}

/// What stands behind the `?`; what is absent is left out.
pub fn query(asked: &[(&str, Option<String>)]) -> String {
    let given = asked
        .iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", escaped(value.as_deref()?))));
    given.collect::<Vec<_>>().join("&")
}

/// A colon, and the `+` of a zone, mean something else in an address.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut said, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            said.push(char::from(byte));
        } else {
            let _ = write!(said, "%{byte:02X}");
        }
        said
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_stays_one_value() {
        let asked = [
            ("from", Some("2026-01-02T03:04:05+01:00&x=y".to_owned())),
            ("to", None),
        ];
        assert_eq!(
            query(&asked),
            "from=2026-01-02T03%3A04%3A05%2B01%3A00%26x%3Dy"
        );
        assert!(segment("shop-1").is_ok());
        for wrong in ["", "..", "a/b", "a?b", "a%2fb"] {
            assert!(segment(wrong).is_err(), "{wrong}");
        }
    }
}
