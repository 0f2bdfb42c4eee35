//! The words of one whole statement.

use memchr::memmem;

use super::split::Quoting;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    /// Where it stands in the statement.
    pub start: usize,
    pub end: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Unquoted, in lower case: a keyword, a plain name.
    Word(String),
    /// In backticks (or double quotes that enclose names), decoded.
    Name(String),
    /// A string, as written.
    Text(String),
    Sign(u8),
}

impl Kind {
    pub fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found == word)
    }

    /// As a name: of a table, a database.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Name(name) => Some(name),
            Self::Text(_) | Self::Sign(_) => None,
        }
    }
}

/// Comments are no tokens, nor are the marks of executable ones.
pub fn tokens(text: &[u8], quoting: Quoting) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let (length, kind) = match rest[0] {
            byte if byte.is_ascii_whitespace() => (1, None),
            b'*' if rest.starts_with(b"*/") => (2, None),
            b'/' if rest.starts_with(b"/*") => (comment(rest), None),
            b'#' => (line(rest), None),
            b'-' if rest.starts_with(b"--") && rest.get(2).is_none_or(u8::is_ascii_whitespace) => {
                (line(rest), None)
            }
            quote @ (b'\'' | b'"' | b'`') => quoted(rest, quote, quoting),
            byte if in_word(byte) => {
                let length = rest.iter().position(|b| !in_word(*b)).unwrap_or(rest.len());
                let word = String::from_utf8_lossy(&rest[..length]).to_ascii_lowercase();
                (length, Some(Kind::Word(word)))
            }
            sign => (1, Some(Kind::Sign(sign))),
        };
        if let Some(kind) = kind {
            tokens.push(Token {
                kind,
                start: at,
                end: at + length,
            });
        }
        at += length;
    }
    tokens
}

/// The length of a comment, or of the mark of an executable one.
fn comment(rest: &[u8]) -> usize {
    let mark = if rest.starts_with(b"/*!") {
        3
    } else if rest.starts_with(b"/*M!") {
        4
    } else {
        let end = memmem::find(&rest[2..], b"*/");
        return end.map_or(rest.len(), |end| end + 4);
    };
    let digits = rest[mark..].iter().take_while(|b| b.is_ascii_digit());
    mark + digits.count()
}

fn line(rest: &[u8]) -> usize {
    memchr::memchr(b'\n', rest).unwrap_or(rest.len())
}

fn quoted(rest: &[u8], quote: u8, quoting: Quoting) -> (usize, Option<Kind>) {
    let mut content = Vec::new();
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        at += 1;
        if byte == b'\\' && quoting.escapes(quote) {
            content.extend(rest.get(at));
            at += 1;
        } else if byte == quote && rest.get(at) == Some(&quote) {
            content.push(quote);
            at += 1;
        } else if byte == quote {
            break;
        } else {
            content.push(byte);
        }
    }
    let content = String::from_utf8_lossy(&content).into_owned();
    let name = quote == b'`' || (quote == b'"' && quoting.ansi);
    let kind = if name {
        Kind::Name(content)
    } else {
        Kind::Text(content)
    };
    (at.min(rest.len()), Some(kind))
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}
