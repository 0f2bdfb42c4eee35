//! What a statement of a dump is about, and so where it belongs when a restore loads: tables and
//! their rows into the staging database; what is made of code (views, triggers, routines, events) in
//! the place of the old one at the end, because such code names its database and does not move.

use super::{
    split::Quoting,
    token::{Kind, Token, tokens},
};
use crate::strategy::mysql::names;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Of the session: both halves need it.
    Session,
    Use(String),
    CreateDatabase(Token, String),
    /// Not carried out: what is restored is replaced anyway, and nobody else uses staging databases.
    Needless,
    CreateTable(Table),
    DropTables(Vec<String>),
    /// Something else about tables, sequences or rows.
    Data,
    /// A trigger, routine, event; of a view that is made, its name.
    Code(Option<String>),
}

/// A table that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    /// Databases that foreign keys and defaults name.
    pub references: Vec<(Token, String)>,
    /// Columns whose default is the next value of a sequence: column, default as written.
    pub sequences: Vec<(String, String)>,
}

/// Statements that belong to servers and accounts.
const FOREIGN: &str = "which no dump of databases has";

pub fn read(text: &[u8], quoting: Quoting) -> Result<Meaning, String> {
    let all = tokens(text, quoting);
    let word = |at: usize| match all.get(at).map(|token| &token.kind) {
        Some(Kind::Word(word)) => word.as_str(),
        _ => "",
    };
    match word(0) {
        "set" => session(&all),
        "use" => {
            let name = all.get(1).and_then(|token| token.kind.name());
            database(name).map(Meaning::Use)
        }
        "create" => create(&all, text),
        "drop" | "alter" => change(&all),
        "lock" | "unlock" => {
            unqualified(&all, 1)?;
            Ok(Meaning::Needless)
        }
        "commit" | "start" | "begin" => Ok(Meaning::Data),
        "do" | "select" if word(1) == "setval" => {
            unqualified(&all, 1)?;
            Ok(Meaning::Data)
        }
        "insert" | "replace" => Err("it holds an INSERT without plain values".to_owned()),
        "" => Err("it holds something that is no statement".to_owned()),
        other => {
            let other: String = other.chars().take(20).collect();
            let other = other.to_ascii_uppercase();
            Err(format!("it holds a statement {other}, {FOREIGN}"))
        }
    }
}

fn database(name: Option<&str>) -> Result<String, String> {
    let name = name.ok_or("it names no database where one is due")?;
    if names::is_system(name) {
        return Err(format!(
            "it holds the server's own database {name}, which cannot be restored to another server"
        ));
    }
    if names::is_ours(name) {
        return Err(format!(
            "it holds the database {name}, which a restore of Holdfast left"
        ));
    }
    Ok(name.to_owned())
}

fn session(all: &[Token]) -> Result<Meaning, String> {
    let wide = ["global", "persist", "persist_only", "password", "role"];
    let found = wide
        .iter()
        .find(|word| all.iter().any(|token| token.kind.is(word)));
    match found {
        Some(_) if all.iter().any(|token| token.kind.is("gtid_purged")) => Err(
            "it sets the server's GTID_PURGED; make the dump with --set-gtid-purged=OFF".to_owned(),
        ),
        Some(word) => {
            let word = word.to_ascii_uppercase();
            Err(format!("it holds a SET {word}, {FOREIGN}"))
        }
        None => Ok(Meaning::Session),
    }
}

/// How strings are read after this statement.
pub fn quoting(text: &[u8], now: Quoting) -> Quoting {
    let all = tokens(text, now);
    if !all.first().is_some_and(|token| token.kind.is("set")) {
        return now;
    }
    let mut quoting = now;
    for window in all.windows(3) {
        let [name, sign, value] = window else { break };
        if !name.kind.is("sql_mode") || sign.kind != Kind::Sign(b'=') {
            continue;
        }
        let modes = match &value.kind {
            Kind::Text(modes) => modes.to_ascii_uppercase(),
            // What it was before: a session of ours begins without modes.
            _ => String::new(),
        };
        let has = |mode: &str| modes.split(',').any(|found| found == mode);
        quoting = Quoting {
            no_escapes: has("NO_BACKSLASH_ESCAPES"),
            ansi: has("ANSI_QUOTES") || has("ANSI") || has("ORACLE"),
        };
    }
    quoting
}

/// The kind of thing that CREATE, DROP or ALTER is about, and where that word stands.
fn object(all: &[Token]) -> Option<(usize, &str)> {
    const OBJECTS: [&str; 11] = [
        "database",
        "schema",
        "table",
        "sequence",
        "view",
        "trigger",
        "function",
        "procedure",
        "event",
        "package",
        "user",
    ];
    let words = all.iter().enumerate().skip(1).take(40);
    words
        .filter_map(|(at, token)| match &token.kind {
            Kind::Word(word) => Some((at, word.as_str())),
            _ => None,
        })
        .find(|(_, word)| OBJECTS.contains(word))
}

fn create(all: &[Token], text: &[u8]) -> Result<Meaning, String> {
    let (at, kind) = object(all).unwrap_or((0, ""));
    match kind {
        "database" | "schema" => {
            let at = after_if(all, at + 1);
            let token = all.get(at);
            let name = database(token.and_then(|token| token.kind.name()))?;
            let token = token.cloned().ok_or("it names no database")?;
            Ok(Meaning::CreateDatabase(token, name))
        }
        "table" => table(all, after_if(all, at + 1), text).map(Meaning::CreateTable),
        "sequence" => {
            unqualified(&all[..all.len().min(after_if(all, at + 1) + 2)], at)?;
            Ok(Meaning::Data)
        }
        "view" => {
            let name = all.get(after_if(all, at + 1));
            let name = name.and_then(|token| token.kind.name());
            Ok(Meaning::Code(name.map(ToOwned::to_owned)))
        }
        "trigger" | "function" | "procedure" | "event" | "package" => Ok(Meaning::Code(None)),
        _ => Err(format!(
            "it holds a CREATE of something else than tables and code, {FOREIGN}"
        )),
    }
}

fn change(all: &[Token]) -> Result<Meaning, String> {
    let drops = all.first().is_some_and(|token| token.kind.is("drop"));
    let (at, kind) = object(all).unwrap_or((0, ""));
    match kind {
        "database" | "schema" if drops => Ok(Meaning::Needless),
        // The character set in which code was written, for a moment.
        "database" | "schema" => {
            database(all.get(at + 1).and_then(|token| token.kind.name()))?;
            Ok(Meaning::Code(None))
        }
        "table" if drops => {
            unqualified(all, at)?;
            let names = all[after_if(all, at + 1)..].iter();
            let names = names.filter_map(|token| token.kind.name());
            Ok(Meaning::DropTables(names.map(ToOwned::to_owned).collect()))
        }
        "table" | "sequence" => {
            unqualified(&all[..all.len().min(at + 3)], at)?;
            Ok(Meaning::Data)
        }
        "view" | "trigger" | "function" | "procedure" | "event" | "package" => {
            Ok(Meaning::Code(None))
        }
        _ => Err(format!(
            "it holds a DROP or ALTER of something else than tables and code, {FOREIGN}"
        )),
    }
}

/// Skips `IF [NOT] EXISTS`.
fn after_if(all: &[Token], mut at: usize) -> usize {
    let is = |at: usize, words: &[&str]| {
        let kind = all.get(at).map(|token| &token.kind);
        kind.is_some_and(|kind| words.iter().any(|word| kind.is(word)))
    };
    while is(at, &["if", "not", "exists"]) {
        at += 1;
    }
    at
}

/// A table of another database would not be the staging one's.
fn unqualified(all: &[Token], from: usize) -> Result<(), String> {
    let dot = |pair: &[Token]| pair[0].kind.name().is_some() && pair[1].kind == Kind::Sign(b'.');
    if all.get(from..).unwrap_or_default().windows(2).any(dot) {
        return Err("it names a table together with its database".to_owned());
    }
    Ok(())
}

fn table(all: &[Token], at: usize, text: &[u8]) -> Result<Table, String> {
    let name = all.get(at).and_then(|token| token.kind.name());
    let name = name.ok_or("it makes a table without a name")?.to_owned();
    unqualified(&all[..all.len().min(at + 2)], at)?;
    let mut table = Table {
        name,
        references: Vec::new(),
        sequences: Vec::new(),
    };
    let mut brackets = 0;
    let mut column = None;
    for (at, token) in all.iter().enumerate().skip(at + 1) {
        let before = &all[at - 1].kind;
        match &token.kind {
            Kind::Sign(b'(') => brackets += 1,
            Kind::Sign(b')') => brackets -= 1,
            Kind::Name(name) if brackets == 1 && [b'(', b','].map(Kind::Sign).contains(before) => {
                column = Some(name.clone());
            }
            // `REFERENCES database.table`, and MariaDB's default `nextval(database.sequence)`.
            Kind::Name(name) if all.get(at + 1).map(|t| &t.kind) == Some(&Kind::Sign(b'.')) => {
                let next =
                    at >= 2 && (all[at - 2].kind.is("nextval") || all[at - 2].kind.is("lastval"));
                if next && let Some(column) = &column {
                    let end = all.get(at + 3).map_or(token.end, |bracket| bracket.end);
                    let written = &text[all[at - 2].start..end];
                    let written = String::from_utf8_lossy(written).into_owned();
                    table.sequences.push((column.clone(), written));
                }
                if next || before.is("references") {
                    table.references.push((token.clone(), name.clone()));
                }
            }
            _ => {}
        }
    }
    Ok(table)
}

/// Whose a statement about an account is: user and host, an empty host for a role.
pub fn account_of(statement: &str) -> Option<(String, String)> {
    let all = tokens(statement.as_bytes(), Quoting::default());
    let first = &all.first()?.kind;
    let at = if first.is("create") {
        after_if(&all, 2)
    } else if first.is("grant") {
        all.iter().position(|token| token.kind.is("to"))? + 1
    } else if first.is("set") && all.get(1)?.kind.is("default") {
        all.iter().position(|token| token.kind.is("for"))? + 1
    } else {
        return None;
    };
    let text = |at: usize| match &all.get(at)?.kind {
        Kind::Word(text) | Kind::Name(text) | Kind::Text(text) => Some(text.clone()),
        Kind::Sign(_) => None,
    };
    let user = text(at)?;
    if all.get(at + 1).map(|token| &token.kind) == Some(&Kind::Sign(b'@')) {
        return Some((user, text(at + 2)?));
    }
    Some((user, String::new()))
}
