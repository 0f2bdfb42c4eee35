//! What a statement is about, from its tokens: how many rows it brings, whether rows follow it,
//! whether it may stand in the dump of one database.

use super::{
    table_key,
    token::{Kind, Token},
};

/// Tokens kept from the start of a statement.
const HEAD: usize = 8;

/// Encodings in which a backslash can be the second byte of a character. A server never uses them
/// for its databases; `pg_dump --encoding` can.
const UNSAFE_ENCODINGS: [&str; 7] = [
    "big5",
    "gb18030",
    "gbk",
    "johab",
    "sjis",
    "shift_jis_2004",
    "uhc",
];

/// What a statement means for the count, once its `;` is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    Nothing,
    /// Its rows follow, line by line.
    Copy(String),
    /// It holds this many rows itself.
    Insert(String, u64),
    LargeObject,
    StandardStrings(bool),
    /// What follows is text in this encoding, as the server names it.
    Encoding(String),
}

#[derive(Debug, Default)]
pub struct Statement {
    head: Vec<(Kind, Vec<u8>)>,
    tokens: usize,
    /// Open parentheses. Within them a `;` does not end the statement.
    depth: usize,
    body: Body,
    shape: Shape,
    rows: u64,
}

/// psql's way to find the end of `CREATE FUNCTION … BEGIN ATOMIC …; …; END`, word by word.
#[derive(Debug, Default)]
struct Body {
    words: usize,
    initials: [u8; 4],
    open: usize,
}

/// How far the tokens are those of `COPY name (columns) FROM stdin` or `INSERT INTO name … VALUES`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Shape {
    #[default]
    Unknown,
    CopyName,
    CopyDot,
    CopyAfterName,
    CopyColumns,
    CopyFrom,
    CopyStdin,
    CopyEnd,
    CopyOther,
    InsertInto,
    Insert,
    InsertValues,
    InsertConflict,
}

impl Statement {
    pub fn is_empty(&self) -> bool {
        self.tokens == 0
    }

    /// Whether a `;` here ends it.
    pub fn may_end(&self) -> bool {
        self.depth == 0 && self.body.open == 0
    }

    pub fn push(&mut self, token: Token<'_>) {
        self.tokens += 1;
        if self.head.len() < HEAD {
            self.head.push((token.kind, token.text.to_vec()));
        }
        if token.kind == Kind::Word && !matches!(self.shape, Shape::Insert | Shape::InsertValues) {
            self.body.word(token.text, self.depth);
        }
        self.reshape(token);
        if token.is_sign(b'(') {
            self.depth += 1;
        } else if token.is_sign(b')') {
            self.depth = self.depth.saturating_sub(1);
        }
    }

    fn reshape(&mut self, token: Token<'_>) {
        use Shape as S;
        let outside = self.depth == 0;
        self.shape = match self.shape {
            S::Unknown if self.tokens == 1 && token.is_word("copy") => S::CopyName,
            S::Unknown if self.tokens == 1 && token.is_word("insert") => S::InsertInto,
            S::CopyAfterName if token.is_sign(b'.') && self.tokens == 3 => S::CopyDot,
            S::CopyName | S::CopyDot if token.is_name() => S::CopyAfterName,
            S::CopyAfterName if token.is_sign(b'(') => S::CopyColumns,
            S::CopyAfterName | S::CopyFrom if token.is_word("from") => S::CopyStdin,
            S::CopyColumns if token.is_sign(b')') => S::CopyFrom,
            S::CopyColumns => S::CopyColumns,
            S::CopyStdin if token.is_word("stdin") => S::CopyEnd,
            S::Unknown => S::Unknown,
            S::InsertInto if token.is_word("into") => S::Insert,
            S::Insert if outside && token.is_word("values") => S::InsertValues,
            S::InsertValues if outside && token.is_word("on") => S::InsertConflict,
            S::InsertValues => {
                self.rows += u64::from(outside && token.is_sign(b'('));
                S::InsertValues
            }
            S::InsertInto | S::Insert | S::InsertConflict => self.shape,
            _ => S::CopyOther,
        };
    }

    /// Called at its `;`. Says what is wrong with it, in words that follow "it holds".
    pub fn end(self) -> Result<Meaning, String> {
        match self.shape {
            Shape::CopyEnd => return Ok(Meaning::Copy(self.table(1))),
            Shape::InsertValues | Shape::InsertConflict => {
                let rows = self.rows.max(1); // DEFAULT VALUES has no parentheses.
                return Ok(Meaning::Insert(self.table(2), rows));
            }
            Shape::Unknown => {}
            Shape::InsertInto | Shape::Insert => {
                return Err("an INSERT whose rows cannot be counted".to_owned());
            }
            _ => return Err("a COPY that is not FROM stdin".to_owned()),
        }
        match self.word(0) {
            b"set" => self.setting(),
            b"select" if self.calls("lo_create") => Ok(Meaning::LargeObject),
            b"create" | b"alter" | b"drop" => self.within_database(),
            _ => Ok(Meaning::Nothing),
        }
    }

    /// A statement of a dump changes the database that it is loaded into, and nothing else.
    fn within_database(&self) -> Result<Meaning, String> {
        let outside = match self.word(1) {
            b"database" | b"role" | b"group" | b"tablespace" | b"system" => true,
            b"user" => self.word(2) != b"mapping",
            _ => false,
        };
        if !outside {
            return Ok(Meaning::Nothing);
        }
        let [verb, noun] = [0, 1].map(|at| String::from_utf8_lossy(self.word(at)).to_uppercase());
        Err(format!(
            "{verb} {noun}, which reaches beyond one database (dump without --create)"
        ))
    }

    /// The two settings that change how the rest is read.
    fn setting(&self) -> Result<Meaning, String> {
        let names = |name: &[u8]| self.head.iter().any(|(_, text)| text == name);
        if names(b"standard_conforming_strings") {
            return match (self.word(1), self.word(3), self.tokens) {
                (b"standard_conforming_strings", b"on", 4) => Ok(Meaning::StandardStrings(true)),
                (b"standard_conforming_strings", b"off", 4) => Ok(Meaning::StandardStrings(false)),
                _ => Err("an unusual setting of standard_conforming_strings".to_owned()),
            };
        }
        if names(b"client_encoding") || self.word(1) == b"names" {
            let of = |(_, text): &(Kind, Vec<u8>)| String::from_utf8_lossy(text).to_lowercase();
            let encoding = self.head.last().map(of).unwrap_or_default();
            if UNSAFE_ENCODINGS.contains(&encoding.as_str()) {
                return Err(format!(
                    "text in the encoding {encoding}; dump with --encoding=UTF8"
                ));
            }
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            if let [_, _, _, (Kind::Text, name)] = &self.head[..]
                && let Ok(name) = std::str::from_utf8(name)
                && !name.is_empty()
                && name.chars().all(plain)
            {
                return Ok(Meaning::Encoding(name.to_owned()));
            }
        }
        Ok(Meaning::Nothing)
    }

    fn calls(&self, function: &str) -> bool {
        self.word(1) == b"pg_catalog" && self.word(3) == function.as_bytes()
    }

    fn word(&self, at: usize) -> &[u8] {
        match self.head.get(at) {
            Some((Kind::Word, text)) => text,
            _ => b"",
        }
    }

    /// The table named at this token: `name` or `schema.name`.
    fn table(&self, at: usize) -> String {
        let text = |at: usize| self.head.get(at).map_or(&b""[..], |(_, text)| text);
        if self.head.get(at + 1).is_some_and(|(_, text)| text == b".") {
            table_key(text(at), text(at + 2))
        } else {
            table_key(b"public", text(at))
        }
    }
}

impl Body {
    fn word(&mut self, word: &[u8], depth: usize) {
        let counts: [&[u8]; 5] = [b"create", b"function", b"procedure", b"or", b"replace"];
        if let Some(initial) = self.initials.get_mut(self.words)
            && counts.contains(&word)
        {
            *initial = word[0];
        }
        self.words += 1;
        let routine = matches!(
            self.initials,
            [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p']
        );
        if !routine || depth > 0 {
            return;
        }
        match word {
            b"begin" => self.open += 1,
            b"case" if self.open > 0 => self.open += 1,
            b"end" => self.open = self.open.saturating_sub(1),
            _ => {}
        }
    }
}
