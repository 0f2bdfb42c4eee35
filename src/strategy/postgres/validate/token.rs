//! What the scanner finds outside of data and comments, in bounded memory.

/// Longest text kept of a token, in bytes. A name has at most 63; whatever is longer is only ever
/// passed over.
const KEEP: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keyword or bare name, in lower case.
    Word,
    /// Name in double quotes, without them.
    Name,
    /// String constant of any sort.
    Text,
    /// Number, parameter.
    Number,
    /// A single other character.
    Sign,
}

/// One token. Its text is cut off at `KEEP` bytes.
#[derive(Debug, Clone, Copy)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a [u8],
}

impl Token<'_> {
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word.as_bytes()
    }

    pub fn is_sign(&self, sign: u8) -> bool {
        self.kind == Kind::Sign && self.text == [sign]
    }

    pub fn is_name(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Name)
    }
}

/// Text of the token or comment at hand.
#[derive(Debug, Default)]
pub struct Text {
    bytes: Vec<u8>,
    long: bool,
}

impl Text {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.long = false;
    }

    pub fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    pub fn extend(&mut self, bytes: &[u8]) {
        let room = KEEP - self.bytes.len();
        self.long |= bytes.len() > room;
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    pub fn lower(&mut self) {
        self.bytes.make_ascii_lowercase();
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there was more than was kept.
    pub fn is_long(&self) -> bool {
        self.long
    }
}
