//! One dump from its header to its end mark: statements and the rows between them.

use std::{collections::BTreeMap, mem};

use memchr::memchr;

use super::{
    LARGE_OBJECTS,
    copy::{Progress, Rows},
    lexer::{Event, Lexer},
    statement::{Meaning, Statement},
    token::{Kind, Token},
};

const HEADER: &[u8] = b"PostgreSQL database dump";
const END: &[u8] = b"PostgreSQL database dump complete";
/// How many bytes may come after the end mark: `\unrestrict` and blank lines.
const AFTER_END: u64 = 1024;
const CUT_STATEMENT: &str = "it was cut off within a statement";
const FOLLOWS: &str = "something follows its end mark";

#[derive(Default)]
pub struct Scanner {
    lexer: Lexer,
    statement: Statement,
    /// The rows at hand, and the table they are of.
    rows: Option<(String, Rows)>,
    place: Place,
    /// Token of `\restrict`, until its `\unrestrict`.
    restricted: Option<Vec<u8>>,
    counts: BTreeMap<String, u64>,
    fault: Option<String>,
    /// Bytes read, and where the end mark was.
    at: u64,
    end: u64,
    magic: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the line that says what this is.
    #[default]
    Start,
    Body,
    /// After the end mark.
    Complete,
}

impl Scanner {
    pub fn feed(&mut self, chunk: &[u8]) {
        let room = 8 - self.magic.len();
        self.magic
            .extend_from_slice(&chunk[..chunk.len().min(room)]);
        let nul = memchr(0, chunk);
        let mut rest = &chunk[..nul.unwrap_or(chunk.len())];
        while !rest.is_empty() && self.fault.is_none() {
            let used = self.step(rest);
            rest = &rest[used..];
            if self.place == Place::Complete && self.at - self.end > AFTER_END {
                self.fail(FOLLOWS);
            }
        }
        if nul.is_some() {
            self.fail_here("it holds a NUL byte");
        }
    }

    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Rows by table, or what is wrong.
    pub fn finish(mut self) -> Result<BTreeMap<String, u64>, String> {
        let complete = self.lexer.end();
        self.take(complete.unwrap_or(Event::Nothing));
        if self.at == 0 {
            self.fail("it is empty");
        } else if let Some((table, _)) = &self.rows {
            let fault = format!("it was cut off within the rows of {table}");
            self.fail(fault);
        } else if self.place == Place::Start {
            self.fail(self.foreign());
        } else if complete.is_none() && self.place == Place::Complete {
            self.fail(FOLLOWS);
        } else if complete.is_none() || !self.statement.is_empty() {
            self.fail(CUT_STATEMENT);
        } else if self.place == Place::Body {
            self.fail("it was cut off: its end mark is missing");
        } else if self.restricted.is_some() {
            self.fail("it was cut off: \\unrestrict is missing");
        }
        self.fault.map_or(Ok(self.counts), Err)
    }

    fn step(&mut self, bytes: &[u8]) -> usize {
        let Some((table, rows)) = &mut self.rows else {
            let step = self.lexer.step(bytes);
            self.at += step.used as u64;
            self.take(step.event);
            return step.used;
        };
        let progress = rows.feed(bytes);
        let used = match progress {
            Progress::More => bytes.len(),
            Progress::Ended(used) | Progress::Fault(used, _) => used,
        };
        self.at += used as u64;
        match progress {
            Progress::More => {}
            Progress::Ended(_) => {
                *self.counts.entry(mem::take(table)).or_default() += rows.count;
                self.rows = None;
            }
            Progress::Fault(_, what) => {
                let fault = format!("of the rows of {table}, {what}");
                self.fail_here(fault);
            }
        }
        used
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Nothing => {}
            Event::Comment => self.comment(),
            Event::Command { at_start } => self.command(at_start),
            Event::Fault(what) => self.fail_here(format!("it holds {what}")),
            Event::Token(_) | Event::Sign(_) if self.place == Place::Start => {
                self.fail(self.foreign());
            }
            Event::Token(_) | Event::Sign(_) if self.place == Place::Complete => {
                self.fail(FOLLOWS);
            }
            Event::Sign(b';') if self.statement.may_end() => self.end_statement(),
            Event::Sign(sign) => self.statement.push(Token {
                kind: Kind::Sign,
                text: &[sign],
            }),
            Event::Token(kind) => self.statement.push(Token {
                kind,
                text: self.lexer.text.bytes(),
            }),
        }
    }

    fn end_statement(&mut self) {
        match mem::take(&mut self.statement).end() {
            Ok(Meaning::Nothing) => {}
            Ok(Meaning::Copy(table)) => self.rows = Some((table, Rows::default())),
            Ok(Meaning::Insert(table, rows)) => *self.counts.entry(table).or_default() += rows,
            Ok(Meaning::LargeObject) => {
                *self.counts.entry(LARGE_OBJECTS.to_owned()).or_default() += 1;
            }
            Ok(Meaning::StandardStrings(on)) => self.lexer.backslashes = !on,
            Err(what) => self.fail_here(format!("it holds {what}")),
        }
    }

    fn comment(&mut self) {
        let text = self.lexer.text.bytes().trim_ascii();
        match self.place {
            _ if text.is_empty() => {}
            Place::Start if text == HEADER => self.place = Place::Body,
            Place::Start => self.fail(self.foreign()),
            Place::Body if text == END && self.statement.is_empty() => {
                self.place = Place::Complete;
                self.end = self.at;
            }
            Place::Body if text == END => self.fail(CUT_STATEMENT),
            Place::Body => {}
            Place::Complete => self.fail(FOLLOWS),
        }
    }

    /// psql's own commands. Only the pair with which newer versions of pg_dump lock all others out
    /// belongs into a dump: the first line after the header, the last one after the end mark.
    fn command(&mut self, at_start: bool) {
        let text = String::from_utf8_lossy(self.lexer.text.bytes()).into_owned();
        let mut words = text.split_ascii_whitespace();
        let (name, token) = (words.next().unwrap_or_default(), words.next());
        let usual = at_start && self.statement.is_empty() && words.next().is_none();
        match (name, token, self.place) {
            ("restrict", Some(token), Place::Body) if usual && self.restricted.is_none() => {
                self.restricted = Some(token.as_bytes().to_vec());
            }
            ("unrestrict", Some(token), Place::Complete)
                if usual && self.restricted.as_deref() == Some(token.as_bytes()) =>
            {
                self.restricted = None;
            }
            _ => {
                let plain = |c: &char| c.is_ascii_alphanumeric() || "!?;_".contains(*c);
                let name: String = name.chars().take_while(plain).take(20).collect();
                self.fail_here(format!(
                    "it holds the psql command \\{name}, which no dump of one database has"
                ));
            }
        }
    }

    /// What it is instead of a plain dump.
    fn foreign(&self) -> String {
        let known: [(&[u8], &str); 6] = [
            (b"PGDMP", "a dump in custom format (-Fc)"),
            (b"toc.dat", "a dump in tar format (-Ft)"),
            (b"\x1f\x8b", "a gzip file, compressed twice"),
            (b"\x28\xb5\x2f\xfd", "a zstd file, compressed twice"),
            (b"PK\x03\x04", "a zip file"),
            (b"\xef\xbb\xbf", "a file with a byte order mark"),
        ];
        let known = known
            .iter()
            .find(|(magic, _)| self.magic.starts_with(magic));
        let cluster = self
            .lexer
            .text
            .bytes()
            .ends_with(b"PostgreSQL database cluster dump");
        match known {
            Some((_, what)) => format!("it is {what}, not a plain dump by pg_dump"),
            None if cluster => "it is a dump of a whole server by pg_dumpall".to_owned(),
            None => "it does not begin like a plain dump by pg_dump".to_owned(),
        }
    }

    fn fail_here(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.fail(format!("{what} (at byte {})", self.at));
    }

    /// Keeps the first fault: the others may follow from it.
    fn fail(&mut self, what: impl Into<String>) {
        if self.fault.is_none() {
            self.fault = Some(what.into());
        }
    }
}
