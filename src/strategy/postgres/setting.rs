//! Settings that a database keeps for its sessions (`ALTER DATABASE … SET`), given to another one.

use serde::Deserialize;

use super::names::{ident, literal};

/// Settings that are lists of names: each name is a value of its own.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Setting {
    /// `None`: for all roles.
    role: Option<String>,
    /// `name=value`, as the server keeps it.
    assignment: String,
}

impl Setting {
    pub fn statement(&self, database: &str) -> String {
        let assignment = self.assignment.as_str();
        let (name, value) = assignment.split_once('=').unwrap_or((assignment, ""));
        let whose = match &self.role {
            Some(role) => format!("ROLE {} IN ", ident(role)),
            None => String::new(),
        };
        let items = list(value).filter(|items| LISTS.contains(&name) && !items.is_empty());
        let value = match items {
            Some(items) => items
                .iter()
                .map(|item| literal(item))
                .collect::<Vec<_>>()
                .join(", "),
            None => literal(value),
        };
        let (database, name) = (ident(database), ident(name));
        format!("ALTER {whose}DATABASE {database} SET {name} TO {value};\n")
    }
}

/// Splits a list of names: quoted or not, with commas between. `None` when it is no such list.
fn list(value: &str) -> Option<Vec<String>> {
    let mut items = Vec::new();
    let mut rest = value.trim();
    while !rest.is_empty() {
        let (item, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let end = closing_quote(quoted)?;
            (quoted[..end].replace("\"\"", "\""), &quoted[end + 1..])
        } else {
            let (item, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
            (item.trim().to_owned(), after)
        };
        items.push(item);
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => {}
            None => return None,
        }
    }
    Some(items)
}

/// Where the quoted name ends; a doubled quote is one within it.
fn closing_quote(quoted: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += quoted[at..].find('"')?;
        if !quoted[at + 1..].starts_with('"') {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(role: Option<&str>, assignment: &str) -> String {
        let setting = Setting {
            role: role.map(Into::into),
            assignment: assignment.into(),
        };
        setting.statement("d")
    }

    #[test]
    fn settings_keep_their_shape() {
        for (assignment, set) in [
            ("work_mem=64MB", "\"work_mem\" TO '64MB'"),
            (
                "search_path=a, \"B \"\"x\", c",
                "\"search_path\" TO 'a', 'B \"x', 'c'",
            ),
            ("search_path=\"\"", "\"search_path\" TO ''"),
            ("search_path=", "\"search_path\" TO ''"),
            ("search_path=\"a, b\"", "\"search_path\" TO 'a, b'"),
            ("search_path=\"a\"b", "\"search_path\" TO '\"a\"b'"),
            ("app.tenant=a=b'c\\", "\"app.tenant\" TO E'a=b''c\\\\'"),
            ("DateStyle=ISO, DMY", "\"DateStyle\" TO 'ISO, DMY'"),
        ] {
            let expected = format!("ALTER DATABASE \"d\" SET {set};\n");
            assert_eq!(statement(None, assignment), expected);
        }
        assert_eq!(
            statement(Some("r"), "jit=off"),
            "ALTER ROLE \"r\" IN DATABASE \"d\" SET \"jit\" TO 'off';\n"
        );
    }
}
