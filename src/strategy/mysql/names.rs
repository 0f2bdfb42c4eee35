//! Names of databases, tables and users: which are taken at all, how they are written in a list, in
//! SQL and in a shell.

/// Longest name of a database or table, in characters.
const LONGEST: usize = 64;
/// Longest name of a user, in characters; MySQL allows 32, MariaDB 128.
const LONGEST_USER: usize = 128;

/// Databases of the server itself: no app's content, and never restored.
const SYSTEM: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

pub fn is_system(database: &str) -> bool {
    SYSTEM
        .iter()
        .any(|name| name.eq_ignore_ascii_case(database))
}

/// Whether a restore of ours made this database: `hf_undo_12_0a1b2c3d`, `hf_stage_12_0a1b2c3d_3`.
pub fn is_ours(database: &str) -> bool {
    let mut parts = database.split('_');
    let mut next = || parts.next().unwrap_or_default();
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let tag = |part: &str| part.len() == 8 && part.bytes().all(|b| b.is_ascii_hexdigit());
    next() == "hf"
        && ["stage", "undo", "undone"].contains(&next())
        && digits(next())
        && tag(next())
        && parts.next().is_none_or(digits)
        && parts.next().is_none()
}

/// Says what is wrong with the name of a database that a config names.
pub fn check_database(name: &str) -> Result<(), String> {
    check(name, LONGEST)?;
    if is_system(name) {
        return Err(format!(
            "{name} is the server's own database, which is never backed up"
        ));
    }
    if is_ours(name) {
        return Err(format!("{name} was made by a restore"));
    }
    Ok(())
}

pub fn check_user(name: &str) -> Result<(), String> {
    // The clients take such a pair for quotes of a configuration file, and strip it.
    let quoted = |quote| name.len() > 1 && name.starts_with(quote) && name.ends_with(quote);
    if quoted('\'') || quoted('"') {
        return Err("a name must not stand in quotes".to_owned());
    }
    check(name, LONGEST_USER)
}

fn check(name: &str, longest: usize) -> Result<(), String> {
    let problem = if name.is_empty() {
        "a name must not be empty"
    } else if name.chars().count() > longest {
        return Err(format!(
            "a name must not be longer than {longest} characters"
        ));
    } else if name.starts_with('-') {
        "a name must not begin with a dash"
    } else if name.chars().any(char::is_control) {
        "a name must not contain control characters"
    } else {
        return Ok(());
    };
    Err(problem.to_owned())
}

/// Reads names separated by commas; one with a comma, a backtick or outer blanks stands in
/// backticks, as in SQL: ``shop, `odd, one` ``.
pub fn parse_list(text: &str) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix('`') {
            Some(quoted) => unquote(quoted).ok_or("a backtick is not closed")?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim().to_owned(), &rest[end..])
            }
        };
        if !names.contains(&name) {
            names.push(name);
        }
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(next) if next.trim().is_empty() => return Err("a name is missing".to_owned()),
            Some(next) => next.trim_start(),
            None if after.is_empty() => "",
            None => return Err("names are separated by commas".to_owned()),
        };
    }
    Ok(names)
}

/// What `parse_list` reads.
pub fn write_list(names: &[String]) -> String {
    let item = |name: &String| {
        let plain = !name.contains([',', '`']) && name.trim() == name && !name.is_empty();
        if plain { name.clone() } else { ident(name) }
    };
    names.iter().map(item).collect::<Vec<_>>().join(", ")
}

/// The name up to the closing backtick, and what follows that.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('`')?;
        name.push_str(part);
        match after.strip_prefix('`') {
            Some(more) => {
                name.push('`');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// How a table is called in a fingerprint: `shop.orders`, each part in backticks where it is more
/// than lower-case letters, digits and underscores, so that no two tables share a name.
pub fn table_key(database: &str, table: &str) -> String {
    format!("{}.{}", part(database), part(table))
}

/// The database of a table's key.
pub fn database_of_key(key: &str) -> Option<String> {
    match key.strip_prefix('`') {
        Some(quoted) => unquote(quoted).map(|(name, _)| name),
        None => key.split_once('.').map(|(name, _)| name.to_owned()),
    }
}

fn part(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit();
    if !name.is_empty() && name.bytes().all(plain) {
        name.to_owned()
    } else {
        ident(name)
    }
}

/// As an SQL identifier.
pub fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// `database`.`name`.
pub fn path(database: &str, name: &str) -> String {
    format!("{}.{}", ident(database), ident(name))
}

/// As an SQL string constant, in the sessions of ours (no `NO_BACKSLASH_ESCAPES`).
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

pub fn literals<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = texts.into_iter().map(literal).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        let names = |text: &str| parse_list(text).unwrap();
        assert_eq!(names(""), Vec::<String>::new());
        assert_eq!(names(" shop ,blog,shop"), ["shop", "blog"]);
        assert_eq!(names("`a, b`,`c``d` , e f"), ["a, b", "c`d", "e f"]);
        for wrong in ["a,", ",", "`a", "`a` b", "a,,b,"] {
            assert!(
                parse_list(wrong).is_err() || names(wrong).contains(&String::new()),
                "{wrong}"
            );
        }
        for name in ["shop", "a,b", "`", " a", "", "日本", "a b", "a`b,c"] {
            let list = [name.to_owned(), "x".to_owned()];
            assert_eq!(names(&write_list(&list)), list);
        }
    }

    #[test]
    fn keys_say_their_database() {
        for (database, table) in [("shop", "t"), ("a.b", "c.d"), ("`", "`.`"), ("Shop", "x")] {
            let key = table_key(database, table);
            assert_eq!(database_of_key(&key).as_deref(), Some(database), "{key}");
        }
        assert_eq!(table_key("shop", "Odd`One"), "shop.`Odd``One`");
    }

    #[test]
    fn databases_of_restores_are_known() {
        for ours in [
            "hf_stage_7_0a1b2c3d_0",
            "hf_undo_12_ffffffff",
            "hf_undone_1_00000000_17",
        ] {
            assert!(is_ours(ours), "{ours}");
            assert!(check_database(ours).is_err());
        }
        for theirs in [
            "hf_stage",
            "hf_undo_x_0a1b2c3d",
            "hf_undo_1_0a1b2c3",
            "hf_undo_1_0a1b2c3d_x",
            "shop",
            "hf_undo_1_0a1b2c3d_1_1",
        ] {
            assert!(!is_ours(theirs), "{theirs}");
        }
        assert!(check_database("MySQL").is_err());
        assert!(check_database("-x").is_err());
        assert!(check_database(&"ü".repeat(65)).is_err());
        assert!(check_database(&"ü".repeat(64)).is_ok());
    }

    #[test]
    fn quotes() {
        assert_eq!(ident("a`b"), "`a``b`");
        assert_eq!(literal("it's \\"), r"'it''s \\'");
    }
}
