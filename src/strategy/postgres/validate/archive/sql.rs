//! The SQL in an archive, judged as that of a plain dump.

use super::super::{
    lexer::{Event, Lexer},
    statement::{Meaning, Statement},
    token::{Kind, Token},
};

/// What its statements mean.
fn meanings(sql: &[u8]) -> Result<Vec<Meaning>, String> {
    if memchr::memchr(0, sql).is_some() {
        return Err("a NUL byte".to_owned());
    }
    let text = [sql, b"\n"].concat();
    let (mut lexer, mut statement) = (Lexer::default(), Statement::default());
    let mut meanings = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let step = lexer.step(&text[at..]);
        at += step.used;
        match step.event {
            Event::Nothing | Event::Comment => {}
            Event::Command { .. } => return Err("a psql command".to_owned()),
            Event::Fault(what) => return Err(what.to_owned()),
            Event::Sign(b';') if statement.may_end() => {
                meanings.push(std::mem::take(&mut statement).end()?);
            }
            Event::Sign(sign) => statement.push(Token {
                kind: Kind::Sign,
                text: &[sign],
            }),
            Event::Token(kind) => statement.push(Token {
                kind,
                text: lexer.text.bytes(),
            }),
        }
    }
    if lexer.end().is_none() || !statement.is_empty() {
        return Err("a statement without an end".to_owned());
    }
    Ok(meanings)
}

/// The table that rows go into.
pub fn copied_table(sql: &[u8]) -> Result<String, String> {
    match <[Meaning; 1]>::try_from(meanings(sql)?) {
        Ok([Meaning::Copy(table)]) => Ok(table),
        _ => Err("rows that are not copied into a table".to_owned()),
    }
}

/// The encoding that a definition sets, if that is what it does.
pub fn definition(sql: &[u8]) -> Result<Option<String>, String> {
    let mut encoding = None;
    for meaning in meanings(sql)? {
        match meaning {
            Meaning::Encoding(name) => encoding = Some(name),
            Meaning::Nothing | Meaning::LargeObject | Meaning::StandardStrings(true) => {}
            Meaning::StandardStrings(false) => {
                return Err("strings with backslashes; dump in plain format".to_owned());
            }
            Meaning::Copy(_) | Meaning::Insert(..) => {
                return Err("rows outside of its data".to_owned());
            }
        }
    }
    Ok(encoding)
}
