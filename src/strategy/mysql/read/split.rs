//! Cuts a dump into comments, statements and rows, as the server's client and the server itself will:
//! quotes, escapes, comments, executable comments (`/*!50003 … */`) and the client's `DELIMITER`.
//! Rows are told as they pass, in any length; every other statement is collected whole.

use memchr::{memchr, memchr2};

/// Longest statement that is no rows, in bytes: a routine, a table with very many columns.
const LONGEST: usize = 64 * 1024 * 1024;
/// How far a decision may have to look ahead, in bytes.
const AHEAD: usize = 64;

/// With this line newer tools of MariaDB keep the client from running programs. Older clients do not
/// know it; it says nothing about the data.
pub const SANDBOX: &[u8] = b"/*M!999999\\- enable the sandbox mode */";

/// Told what a dump holds, in order. An `Err` ends the reading.
pub trait Reader {
    /// A comment between statements, without its marks.
    fn comment(&mut self, text: &[u8]) -> Result<(), String>;
    /// A whole statement that ends with `delimiter`, which is no part of it. Answers how strings are
    /// to be read from here on.
    fn statement(&mut self, text: &[u8], delimiter: &[u8]) -> Result<Quoting, String>;
    /// `INSERT … VALUES`, up to its first bracket.
    fn insert(&mut self, head: &[u8]) -> Result<(), String>;
    /// Bytes of the rows, the end's delimiter among them.
    fn values(&mut self, bytes: &[u8]);
    /// The end of the rows.
    fn inserted(&mut self, rows: u64);
}

/// How the session's `sql_mode` reads strings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quoting {
    /// `NO_BACKSLASH_ESCAPES`.
    pub no_escapes: bool,
    /// `ANSI_QUOTES`: double quotes enclose names.
    pub ansi: bool,
}

impl Quoting {
    pub fn escapes(self, quote: u8) -> bool {
        match quote {
            b'\'' => !self.no_escapes,
            b'"' => !self.no_escapes && !self.ansi,
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing of a statement yet.
    Between,
    /// `-- …` or `# …` between statements.
    Line,
    /// `/* … */` between statements.
    Block,
    Delimiter,
    Code,
    CodeLine,
    CodeBlock,
    Quoted(u8),
    Rows,
    RowsQuoted(u8),
}

pub struct Splitter<R> {
    pub reader: R,
    state: State,
    delimiter: Vec<u8>,
    quoting: Quoting,
    /// The comment or statement at hand.
    text: Vec<u8>,
    /// Executable comments that are open.
    depth: usize,
    /// Brackets that are open within rows, and rows so far.
    brackets: usize,
    rows: u64,
    /// What could not be decided before more bytes come.
    rest: Vec<u8>,
    at: u64,
    /// A statement has begun.
    started: bool,
}

impl<R: Reader> Splitter<R> {
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            state: State::Between,
            delimiter: b";".to_vec(),
            quoting: Quoting::default(),
            text: Vec::new(),
            depth: 0,
            brackets: 0,
            rows: 0,
            rest: Vec::new(),
            at: 0,
            started: false,
        }
    }

    /// Bytes that have been understood.
    pub fn at(&self) -> u64 {
        self.at
    }

    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), String> {
        if self.rest.is_empty() {
            let used = self.all(chunk, false)?;
            self.rest.extend_from_slice(&chunk[used..]);
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(chunk);
        let used = self.all(&bytes, false)?;
        bytes.drain(..used);
        self.rest = bytes;
        Ok(())
    }

    /// Fails when the bytes end within something.
    pub fn finish(&mut self) -> Result<(), String> {
        let rest = std::mem::take(&mut self.rest);
        self.all(&rest, true)?;
        match self.state {
            State::Between => Ok(()),
            State::Line => self.end_line(),
            State::Delimiter => Err("it was cut off within a DELIMITER line".to_owned()),
            State::Rows | State::RowsQuoted(_) => Err("it was cut off within rows".to_owned()),
            State::Block => Err("it was cut off within a comment".to_owned()),
            _ => Err("it was cut off within a statement".to_owned()),
        }
    }

    fn all(&mut self, bytes: &[u8], end: bool) -> Result<usize, String> {
        let mut from = 0;
        while from < bytes.len() {
            let used = self.step(&bytes[from..], end)?;
            if used == 0 {
                break;
            }
            from += used;
            self.at += used as u64;
        }
        Ok(from)
    }

    /// How many bytes were used; 0 asks for more.
    fn step(&mut self, bytes: &[u8], end: bool) -> Result<usize, String> {
        let enough = end || bytes.len() >= AHEAD;
        match self.state {
            State::Between if enough => self.between(bytes, end),
            State::Code if enough => self.code(bytes, end),
            State::Rows if enough => self.in_rows(bytes, end),
            State::Between | State::Code | State::Rows => Ok(0),
            State::Line | State::CodeLine | State::Delimiter => self.line(bytes),
            State::Block | State::CodeBlock => self.block(bytes, end),
            State::Quoted(quote) | State::RowsQuoted(quote) => self.quoted(bytes, quote, end),
        }
    }

    fn between(&mut self, bytes: &[u8], end: bool) -> Result<usize, String> {
        let first = bytes[0];
        if first.is_ascii_whitespace() {
            return Ok(1);
        }
        if bytes.starts_with(SANDBOX) {
            if self.started {
                return Err("the sandbox line comes after a statement".to_owned());
            }
            return Ok(SANDBOX.len());
        }
        if bytes.starts_with(&self.delimiter) {
            return Ok(self.delimiter.len());
        }
        if is_line_comment(bytes) {
            return Ok(self.begin(State::Line, if first == b'#' { 1 } else { 2 }));
        }
        if bytes.starts_with(b"/*") && !is_executable(bytes) {
            return Ok(self.begin(State::Block, 2));
        }
        let word = b"delimiter";
        let named = bytes.len() > word.len() && bytes[..word.len()].eq_ignore_ascii_case(word);
        if named && matches!(bytes[word.len()], b' ' | b'\t') {
            return Ok(self.begin(State::Delimiter, word.len()));
        }
        self.begin(State::Code, 0);
        (self.started, self.depth) = (true, 0);
        self.code(bytes, end)
    }

    fn begin(&mut self, state: State, used: usize) -> usize {
        self.text.clear();
        self.state = state;
        used
    }

    /// Code up to what has a meaning of its own. `bytes` may end within a long statement: the last
    /// few are left until more is known, unless this is the end.
    fn code(&mut self, bytes: &[u8], end: bool) -> Result<usize, String> {
        let keep = if end { 0 } else { AHEAD.min(bytes.len() - 1) };
        let sure = &bytes[..bytes.len() - keep];
        let special = |b: &u8| {
            matches!(
                b,
                b'\'' | b'"' | b'`' | b'/' | b'*' | b'-' | b'#' | b'\\' | b'(' | b'\0'
            ) || *b == self.delimiter[0]
        };
        let at = sure.iter().position(special);
        let plain = at.unwrap_or(sure.len());
        if plain > 0 {
            self.keep(&bytes[..plain])?;
            return Ok(plain);
        }
        let here = bytes;
        if here.starts_with(&self.delimiter) {
            return self.end_statement();
        }
        match here[0] {
            quote @ (b'\'' | b'"' | b'`') => {
                self.keep(&here[..1])?;
                self.state = State::Quoted(quote);
            }
            b'\0' => return Err("it holds a zero byte outside of a string".to_owned()),
            b'\\' => return Err("it holds a command of the client (a backslash)".to_owned()),
            b'*' if self.depth > 0 && here.starts_with(b"*/") => {
                self.depth -= 1;
                self.keep(b"*/")?;
                return Ok(2);
            }
            b'/' if is_executable(here) => {
                self.depth += 1;
                self.keep(&here[..3])?;
                return Ok(3);
            }
            b'/' if here.starts_with(b"/*") => {
                self.keep(b"/*")?;
                self.state = State::CodeBlock;
                return Ok(2);
            }
            b'-' | b'#' if is_line_comment(here) => {
                self.keep(&here[..1])?;
                self.state = State::CodeLine;
            }
            b'(' if self.depth == 0 && begins_rows(&self.text) => {
                self.reader.insert(&self.text)?;
                self.text.clear();
                self.state = State::Rows;
                (self.brackets, self.rows) = (0, 0);
                return self.in_rows(here, end);
            }
            _ => self.keep(&here[..1])?,
        }
        Ok(1)
    }

    fn end_statement(&mut self) -> Result<usize, String> {
        if self.depth > 0 {
            return Err("a statement ends within an executable comment".to_owned());
        }
        self.quoting = self.reader.statement(&self.text, &self.delimiter)?;
        self.text.clear();
        self.state = State::Between;
        Ok(self.delimiter.len())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.text.len() + bytes.len() > LONGEST {
            return Err(format!("it holds a statement longer than {LONGEST} bytes"));
        }
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let stop = memchr(b'\n', bytes);
        self.keep(&bytes[..stop.unwrap_or(bytes.len())])?;
        let Some(stop) = stop else {
            return Ok(bytes.len());
        };
        match self.state {
            // The newline is part of the statement: without it, the comment would not end.
            State::CodeLine => {
                self.state = State::Code;
                return Ok(stop);
            }
            State::Delimiter => self.new_delimiter()?,
            _ => self.end_line()?,
        }
        Ok(stop + 1)
    }

    fn end_line(&mut self) -> Result<(), String> {
        self.state = State::Between;
        self.reader.comment(self.text.trim_ascii())?;
        self.text.clear();
        Ok(())
    }

    fn new_delimiter(&mut self) -> Result<(), String> {
        let delimiter = self.text.trim_ascii();
        let known = [b";".as_slice(), b";;", b"//", b"$$", b"|"];
        if !known.contains(&delimiter) {
            return Err("it holds an unusual DELIMITER".to_owned());
        }
        self.delimiter = delimiter.to_vec();
        self.text.clear();
        self.state = State::Between;
        Ok(())
    }

    fn block(&mut self, bytes: &[u8], end: bool) -> Result<usize, String> {
        let inner = self.state == State::CodeBlock;
        let Some(stop) = memchr(b'*', bytes) else {
            self.keep(bytes)?;
            return Ok(bytes.len());
        };
        if bytes.len() == stop + 1 && !end {
            self.keep(&bytes[..stop])?;
            return Ok(stop);
        }
        if bytes.get(stop + 1) != Some(&b'/') {
            self.keep(&bytes[..=stop])?;
            return Ok(stop + 1);
        }
        if inner {
            self.keep(&bytes[..stop + 2])?;
            self.state = State::Code;
        } else {
            self.text.clear();
            self.state = State::Between;
        }
        Ok(stop + 2)
    }

    /// Doubled quotes need no care: the string ends, and another begins at once.
    fn quoted(&mut self, bytes: &[u8], quote: u8, end: bool) -> Result<usize, String> {
        let stop = if self.quoting.escapes(quote) {
            memchr2(quote, b'\\', bytes)
        } else {
            memchr(quote, bytes)
        };
        let used = match stop {
            None => bytes.len(),
            Some(at) if bytes[at] == quote => {
                self.state = match self.state {
                    State::Quoted(_) => State::Code,
                    _ => State::Rows,
                };
                at + 1
            }
            // The escaped byte belongs to it.
            Some(at) if at + 1 < bytes.len() => at + 2,
            Some(at) if end => at + 1,
            Some(at) => at,
        };
        if matches!(self.state, State::RowsQuoted(_) | State::Rows) {
            self.reader.values(&bytes[..used]);
        } else {
            self.keep(&bytes[..used])?;
        }
        Ok(used)
    }

    fn in_rows(&mut self, bytes: &[u8], end: bool) -> Result<usize, String> {
        let keep = if end { 0 } else { AHEAD.min(bytes.len() - 1) };
        let sure = bytes.len() - keep;
        let mut at = 0;
        while at < sure {
            let byte = bytes[at];
            match byte {
                b'\'' | b'"' => {
                    self.state = State::RowsQuoted(byte);
                    at += 1;
                    break;
                }
                b'(' => {
                    self.rows += u64::from(self.brackets == 0);
                    self.brackets += 1;
                }
                b')' if self.brackets == 0 => return Err(strange(byte)),
                b')' => self.brackets -= 1,
                b'`' | b'\\' | b'#' | b'\0' | b'/' => return Err(strange(byte)),
                b'-' if is_line_comment(&bytes[at..]) => return Err(strange(byte)),
                _ if self.brackets == 0 && bytes[at..].starts_with(&self.delimiter) => {
                    at += self.delimiter.len();
                    self.reader.values(&bytes[..at]);
                    self.reader.inserted(self.rows);
                    self.state = State::Between;
                    return Ok(at);
                }
                b';' => return Err(strange(byte)),
                b',' => {}
                _ if self.brackets > 0 || byte.is_ascii_whitespace() => {}
                _ => return Err(strange(byte)),
            }
            at += 1;
        }
        self.reader.values(&bytes[..at]);
        Ok(at)
    }
}

fn strange(byte: u8) -> String {
    let shown = char::from(byte).escape_default();
    format!("it holds something other than values among rows ({shown})")
}

/// `/*!50003 …` and MariaDB's `/*M!100101 …`.
fn is_executable(bytes: &[u8]) -> bool {
    bytes.starts_with(b"/*!") || bytes.starts_with(b"/*M!")
}

/// Two dashes alone are two minus signs.
fn is_line_comment(bytes: &[u8]) -> bool {
    match bytes {
        [b'#', ..] | [b'-', b'-'] => true,
        [b'-', b'-', next, ..] => next.is_ascii_whitespace() || next.is_ascii_control(),
        _ => false,
    }
}

fn begins_rows(text: &[u8]) -> bool {
    let starts =
        |word: &[u8]| text.len() > word.len() && text[..word.len()].eq_ignore_ascii_case(word);
    let values = b"values";
    let text = text.trim_ascii_end();
    (starts(b"insert ") || starts(b"replace "))
        && text.len() > values.len()
        && text[text.len() - values.len()..].eq_ignore_ascii_case(values)
        // Not a column that is called so.
        && !in_word(text[text.len() - values.len() - 1])
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}
