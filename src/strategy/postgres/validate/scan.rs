//! A dump from its header to its end mark: statements and the rows between them. A dump of all
//! databases is several of these in a row, each after a line `\connect "name"`.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use memchr::memchr;

use super::{
    LARGE_OBJECTS, Section,
    copy::{Progress, Rows},
    foreign,
    lexer::{Event, Lexer},
    marks::{self, ALL, ALL_END, END, HEADER},
    statement::{Meaning, Statement},
    token::{Kind, Token},
};

/// How many bytes may come after an end mark: `\unrestrict` and blank lines.
const AFTER_END: u64 = 1024;
const CUT_STATEMENT: &str = "it was cut off within a statement";
const FOLLOWS: &str = "something follows its end mark";
const NO_DUMP: &str = "it holds something where the dump of a database should begin";

#[derive(Default)]
pub struct Scanner {
    lexer: Lexer,
    statement: Statement,
    /// The rows at hand, and the table they are of.
    rows: Option<(String, Rows)>,
    place: Place,
    /// Of several databases.
    all: bool,
    /// The one at hand, or the last, of several; and all that were seen.
    database: Option<String>,
    databases: BTreeSet<String>,
    /// Of the dump at hand, as the server names it.
    encoding: Option<String>,
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
    /// Of several databases: where only `\connect` leads on.
    Between,
    /// After `\connect`, before the header of its dump.
    Connected,
    Body,
    /// After the end mark of a dump.
    Complete,
    /// After the end mark of several.
    Finished,
}

impl Scanner {
    pub fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() && self.fault.is_none() {
            let (_, used) = self.advance(rest);
            rest = &rest[used..];
        }
    }

    /// Reads to the end of the chunk, of a section or to a fault: where it read, and how far.
    pub fn advance(&mut self, chunk: &[u8]) -> (Section, usize) {
        let room = 8 - self.magic.len();
        self.magic
            .extend_from_slice(&chunk[..chunk.len().min(room)]);
        let nul = memchr(0, chunk);
        let bytes = &chunk[..nul.unwrap_or(chunk.len())];
        let mut at = 0;
        while at < bytes.len() && self.fault.is_none() {
            if self.leaves(bytes[at]) {
                if at > 0 {
                    return (Section::Database, at);
                }
                self.leave();
            }
            let section = self.section();
            at += self.step(&bytes[at..]);
            if self.place == Place::Complete && self.at - self.end > AFTER_END {
                self.fail(FOLLOWS);
            }
            if self.section() != section {
                return (section, at);
            }
        }
        if nul == Some(at) {
            self.fail_here("it holds a NUL byte");
        }
        (self.section(), at)
    }

    fn section(&self) -> Section {
        match self.place {
            Place::Body | Place::Complete => Section::Database,
            _ => Section::Outside,
        }
    }

    /// Whether this byte begins what follows the dump of one database of several.
    fn leaves(&self, byte: u8) -> bool {
        self.all
            && self.place == Place::Complete
            && self.restricted.is_none()
            && byte == b'\\'
            && self.lexer.is_between()
    }

    /// The next database is read as if by a psql that was just started.
    fn leave(&mut self) {
        self.place = Place::Between;
        self.lexer.backslashes = false;
        self.close_count();
    }

    /// A database without a table is counted, too: by its large objects. So no database that was
    /// dumped is missing in the fingerprint.
    fn close_count(&mut self) {
        let Some(database) = &self.database else {
            return;
        };
        let prefix = marks::prefix(database);
        if !self.counts.keys().any(|key| key.starts_with(&prefix)) {
            self.counts.insert(format!("{prefix}{LARGE_OBJECTS}"), 0);
        }
    }

    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Of several databases, the one at hand, or the last.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    pub fn encoding(&self) -> Option<&str> {
        self.encoding.as_deref()
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
        } else if complete.is_none() && matches!(self.place, Place::Complete | Place::Finished) {
            self.fail(FOLLOWS);
        } else if complete.is_none() || !self.statement.is_empty() {
            self.fail(CUT_STATEMENT);
        } else if self.restricted.is_some() && self.place == Place::Complete {
            self.fail("it was cut off: \\unrestrict is missing");
        } else if self.place == Place::Body || self.all && self.place != Place::Finished {
            self.fail("it was cut off: its end mark is missing");
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
                let (table, count) = (mem::take(table), rows.count);
                self.count(&table, count);
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
            Event::Token(_) | Event::Sign(_) if self.place != Place::Body => {
                self.fail(self.out_of_place());
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

    /// What is wrong with a statement, or a comment, outside of a dump.
    fn out_of_place(&self) -> String {
        match self.place {
            Place::Start => self.foreign(),
            Place::Between | Place::Connected => format!("{NO_DUMP} (at byte {})", self.at),
            _ => FOLLOWS.to_owned(),
        }
    }

    fn end_statement(&mut self) {
        match mem::take(&mut self.statement).end() {
            Ok(Meaning::Nothing) => {}
            Ok(Meaning::Copy(table)) => self.rows = Some((table, Rows::default())),
            Ok(Meaning::Insert(table, rows)) => self.count(&table, rows),
            Ok(Meaning::LargeObject) => self.count(LARGE_OBJECTS, 1),
            Ok(Meaning::StandardStrings(on)) => self.lexer.backslashes = !on,
            Ok(Meaning::Encoding(name)) => self.encoding = Some(name),
            Err(what) => self.fail_here(format!("it holds {what}")),
        }
    }

    fn count(&mut self, key: &str, number: u64) {
        let prefix = self.database.as_deref().map(marks::prefix);
        let key = prefix.unwrap_or_default() + key;
        *self.counts.entry(key).or_default() += number;
    }

    fn comment(&mut self) {
        let text = self.lexer.text.bytes().trim_ascii();
        match self.place {
            _ if text.is_empty() => {}
            Place::Start if text == HEADER => self.place = Place::Body,
            Place::Start if text == ALL => {
                self.all = true;
                self.place = Place::Between;
            }
            Place::Between if self.databases.is_empty() && text.starts_with(marks::VERSION) => {}
            Place::Connected if text == HEADER => {
                self.encoding = None;
                self.place = Place::Body;
            }
            Place::Body if text == END && self.statement.is_empty() => {
                self.place = Place::Complete;
                self.end = self.at;
            }
            Place::Body if text == END => self.fail(CUT_STATEMENT),
            Place::Body => {}
            Place::Complete if self.all && text == ALL_END && self.restricted.is_none() => {
                self.close_count();
                self.place = Place::Finished;
                self.end = self.at;
            }
            _ => self.fail(self.out_of_place()),
        }
    }

    /// psql's own commands. Only the pair with which newer versions of pg_dump lock all others out
    /// belongs into a dump: the first line after the header, the last one after the end mark. And
    /// between the dumps of several databases, the line that leads to the next.
    fn command(&mut self, at_start: bool) {
        let text = String::from_utf8_lossy(self.lexer.text.bytes()).into_owned();
        if self.place == Place::Between && at_start {
            return self.connect(&text);
        }
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

    fn connect(&mut self, text: &str) {
        let text = if self.lexer.text.is_long() { "" } else { text };
        match marks::connected(text) {
            Ok(name) if self.databases.insert(name.clone()) => {
                self.database = Some(name);
                self.place = Place::Connected;
            }
            Ok(name) => self.fail_here(format!("it holds the database {name} twice")),
            Err(problem) => self.fail_here(problem),
        }
    }

    /// What it is instead of a plain dump.
    fn foreign(&self) -> String {
        foreign::what(&self.magic, self.lexer.text.bytes())
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
