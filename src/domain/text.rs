//! What a text may be. All input from outside is hostile; these are the few forms that pass.

use super::failure::FieldErrors;

type Checked = Result<(), FieldErrors>;

/// Part of URLs and folder names: 1–63 of `a-z 0-9 -`, not starting or ending with a dash.
pub fn slug(field: &str, value: &str) -> Checked {
    let fits = (1..=63).contains(&value.len())
        && value
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !value.starts_with('-')
        && !value.ends_with('-');
    require(
        field,
        fits,
        "use 1 to 63 lower-case letters, digits and dashes, beginning and ending with a letter or digit",
    )
}

/// A name for people: 1–200 characters, printable, not blank.
pub fn label(field: &str, value: &str) -> Checked {
    let fits = !value.trim().is_empty()
        && value.chars().count() <= 200
        && !value.chars().any(char::is_control);
    require(field, fits, "use 1 to 200 printable characters")
}

/// Name of a container, service or compose project: what the engine itself allows.
pub fn container_name(field: &str, value: &str) -> Checked {
    let mut bytes = value.bytes();
    let fits = value.len() <= 200
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    require(
        field,
        fits,
        "use letters, digits, dots, dashes and underscores, beginning with a letter or digit (200 at most)",
    )
}

/// An absolute path without `..` or control characters, 4,096 bytes at most.
pub fn absolute_path(field: &str, value: &str) -> Checked {
    let fits = value.starts_with('/')
        && value.len() <= 4096
        && !value.chars().any(char::is_control)
        && !value.split('/').any(|part| part == "..");
    require(field, fits, "use an absolute path without '..'")
}

/// A plain setting's value: 1,000 characters at most, no control characters.
pub fn setting(field: &str, value: &str) -> Checked {
    let fits = value.chars().count() <= 1000 && !value.chars().any(char::is_control);
    require(field, fits, "use at most 1,000 printable characters")
}

/// A line for a shell, of an operator: 1–8,000 characters, not blank, without control characters but
/// newline and tab.
pub fn shell_line(field: &str, value: &str) -> Checked {
    let fits = !value.trim().is_empty()
        && value.chars().count() <= 8000
        && !value
            .chars()
            .any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    require(field, fits, "use 1 to 8,000 printable characters")
}

fn require(field: &str, fits: bool, problem: &str) -> Checked {
    if fits {
        Ok(())
    } else {
        Err(FieldErrors::one(field, problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_no_slugs_and_no_containers() {
        for value in [
            "", "-", "-a", "a/b", "a b", "..", "a\0", "$(id)", "é", "--help", "a\nb",
        ] {
            assert!(slug("slug", value).is_err(), "{value:?}");
            assert!(container_name("service", value).is_err(), "{value:?}");
        }
        assert!(slug("slug", &"a".repeat(10_000)).is_err());
        assert!(slug("slug", "shop-2").is_ok());
        assert!(container_name("service", "shop_db.1").is_ok());
    }

    #[test]
    fn paths_stay_absolute_and_inside() {
        assert!(absolute_path("p", "/data/app.db").is_ok());
        for value in ["data", "/a/../b", "/a\n", "-/x"] {
            assert!(absolute_path("p", value).is_err(), "{value:?}");
        }
    }
}
