//! Cuts SQL into tokens the way psql's own scanner does (psqlscan.l), over any cut into chunks: what
//! is checked here must be what psql runs later. Where its versions disagree on how bytes are read,
//! and no dump has such bytes, they are a fault.

use std::mem;

use memchr::{memchr, memchr2};

use super::token::{Kind, Text};

#[derive(Default)]
pub struct Lexer {
    state: State,
    /// Text of the token, comment or psql command that an event is about.
    pub text: Text,
    /// `standard_conforming_strings = off`: a backslash escapes in plain strings too.
    pub backslashes: bool,
    /// A string with escapes has ended, and nothing but space and comments came since.
    after_escape: bool,
    previous: u8,
}

/// So many bytes were used (none, when only the state changed), and this was found in them.
pub struct Step {
    pub used: usize,
    pub event: Event,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Nothing,
    Token(Kind),
    Sign(u8),
    /// From `--` to the end of its line.
    Comment,
    /// From a backslash to the end of its line; whether it began the line.
    Command {
        at_start: bool,
    },
    Fault(&'static str),
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Between,
    Word,
    /// A number or parameter; whether it has letters.
    Number(bool),
    /// After the first character of `--` or `/*`.
    Dash,
    Slash,
    LineComment,
    BlockComment(u32, u8),
    Quoted(Quotes),
    Escaped,
    /// After a quote: another one at once means one quote within the string.
    QuoteEnd(Quotes),
    /// After `$`; the tag so far is the text.
    DollarTag,
    /// In a dollar-quoted string; so many bytes of its end have been seen.
    Dollar(Vec<u8>, usize),
    Command(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Name,
    Plain,
    /// With backslash escapes.
    Escape,
}

impl Lexer {
    /// Looks at the first byte, takes it and as many more as go with it. `bytes` is not empty.
    pub fn step(&mut self, bytes: &[u8]) -> Step {
        let byte = bytes[0];
        let step = match &mut self.state {
            State::Between => self.between(byte),
            State::Word => self.word(byte),
            State::Number(letters) => {
                let letters = *letters;
                self.number(byte, letters)
            }
            State::Quoted(quotes) => {
                let quotes = *quotes;
                self.quoted(bytes, quotes)
            }
            State::Escaped => self.goes(State::Quoted(Quotes::Escape)),
            State::QuoteEnd(quotes) => {
                let quotes = *quotes;
                self.quote_end(byte, quotes)
            }
            State::LineComment | State::Command(_) => self.line(bytes),
            State::BlockComment(depth, previous) => {
                match (*previous, byte) {
                    (b'*', b'/') => (*depth, *previous) = (*depth - 1, 0),
                    (b'/', b'*') => (*depth, *previous) = (*depth + 1, 0),
                    _ => *previous = byte,
                }
                match *depth {
                    0 => self.goes(State::Between),
                    _ => used(1),
                }
            }
            State::DollarTag => self.dollar_tag(byte),
            State::Dollar(..) => self.dollar(bytes),
            State::Dash if byte == b'-' => self.begins(State::LineComment),
            State::Slash if byte == b'*' => self.goes(State::BlockComment(1, 0)),
            State::Dash => {
                self.after_escape = false;
                self.found(Event::Sign(b'-'))
            }
            State::Slash => self.found(Event::Sign(b'/')),
        };
        if step.used > 0 {
            self.previous = bytes[step.used - 1];
        }
        step
    }

    /// Whether the next byte begins something new.
    pub fn is_between(&self) -> bool {
        matches!(self.state, State::Between)
    }

    /// What the end of the input completes; `None` when it is in the middle of something.
    pub fn end(&self) -> Option<Event> {
        match self.state {
            State::Between => Some(Event::Nothing),
            State::LineComment => Some(Event::Comment),
            State::Command(at_start) => Some(Event::Command { at_start }),
            _ => None,
        }
    }

    fn between(&mut self, byte: u8) -> Step {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' => return used(1),
            b'-' => return self.goes(State::Dash),
            _ => {}
        }
        let after_escape = mem::take(&mut self.after_escape);
        match byte {
            // It goes on with the escapes, or not: that depends on the version.
            b'\'' if after_escape => fault("a string in several parts"),
            // U&'…' has no escapes of this kind, whatever the setting.
            b'\'' if self.backslashes && self.previous == b'&' => fault("an unusual string"),
            b'\'' => self.begins(State::Quoted(self.plain())),
            b'"' => self.begins(State::Quoted(Quotes::Name)),
            b'$' => self.begins(State::DollarTag),
            b'/' => self.goes(State::Slash),
            b'\\' => {
                let at_start = matches!(self.previous, 0 | b'\n' | b'\r');
                self.begins(State::Command(at_start))
            }
            b'0'..=b'9' => self.begins(State::Number(false)),
            _ if begins_word(byte) => {
                self.begins(State::Word);
                self.text.push(byte);
                used(1)
            }
            _ => Step {
                used: 1,
                event: Event::Sign(byte),
            },
        }
    }

    fn word(&mut self, byte: u8) -> Step {
        if in_word(byte) {
            self.text.push(byte);
            return used(1);
        }
        if byte == b'\'' {
            match self.text.bytes() {
                b"e" | b"E" => return self.begins(State::Quoted(Quotes::Escape)),
                b"b" | b"B" | b"x" | b"X" => return self.begins(State::Quoted(Quotes::Plain)),
                b"n" | b"N" => return self.begins(State::Quoted(self.plain())),
                _ => {}
            }
        }
        self.text.lower();
        self.found(Event::Token(Kind::Word))
    }

    fn number(&mut self, byte: u8, letters: bool) -> Step {
        match byte {
            b'0'..=b'9' | b'.' => used(1),
            b'$' => fault("a number that runs into a dollar sign"),
            b'\'' | b'"' if letters => fault("a number that runs into a string"),
            _ if begins_word(byte) => self.goes(State::Number(true)),
            _ => self.found(Event::Token(Kind::Number)),
        }
    }

    fn quoted(&mut self, bytes: &[u8], quotes: Quotes) -> Step {
        let stop = match quotes {
            Quotes::Name => memchr(b'"', bytes),
            Quotes::Plain => memchr(b'\'', bytes),
            Quotes::Escape => memchr2(b'\'', b'\\', bytes),
        };
        self.text.extend(&bytes[..stop.unwrap_or(bytes.len())]);
        let Some(stop) = stop else {
            return used(bytes.len());
        };
        self.state = match bytes[stop] {
            b'\\' => State::Escaped,
            _ => State::QuoteEnd(quotes),
        };
        used(stop + 1)
    }

    fn quote_end(&mut self, byte: u8, quotes: Quotes) -> Step {
        let name = quotes == Quotes::Name;
        if byte == if name { b'"' } else { b'\'' } {
            self.text.push(byte);
            return self.goes(State::Quoted(quotes));
        }
        self.after_escape = quotes == Quotes::Escape;
        self.found(Event::Token(if name { Kind::Name } else { Kind::Text }))
    }

    fn line(&mut self, bytes: &[u8]) -> Step {
        let stop = memchr2(b'\n', b'\r', bytes);
        self.text.extend(&bytes[..stop.unwrap_or(bytes.len())]);
        let Some(stop) = stop else {
            return used(bytes.len());
        };
        let event = match self.state {
            State::Command(at_start) => Event::Command { at_start },
            _ => Event::Comment,
        };
        self.state = State::Between;
        Step { used: stop, event }
    }

    fn dollar_tag(&mut self, byte: u8) -> Step {
        let empty = self.text.bytes().is_empty();
        match byte {
            b'$' if self.text.is_long() => fault("a dollar quote with a very long tag"),
            b'$' => {
                let end = [b"$", self.text.bytes(), b"$"].concat();
                self.goes(State::Dollar(end, 0))
            }
            b'0'..=b'9' if empty => self.goes(State::Number(false)),
            _ if begins_word(byte) || byte.is_ascii_digit() => {
                self.text.push(byte);
                used(1)
            }
            // Not a quote after all: a sign, and perhaps a word.
            _ => {
                self.state = if empty { State::Between } else { State::Word };
                Step {
                    used: 0,
                    event: Event::Sign(b'$'),
                }
            }
        }
    }

    fn dollar(&mut self, bytes: &[u8]) -> Step {
        let State::Dollar(end, seen) = &mut self.state else {
            return used(0);
        };
        if *seen == 0 {
            let stop = memchr(b'$', bytes);
            *seen = usize::from(stop.is_some());
            return used(stop.map_or(bytes.len(), |at| at + 1));
        }
        let byte = bytes[0];
        if byte != end[*seen] {
            *seen = usize::from(byte == b'$');
            return used(1);
        }
        *seen += 1;
        if *seen < end.len() {
            return used(1);
        }
        self.state = State::Between;
        Step {
            used: 1,
            event: Event::Token(Kind::Text),
        }
    }

    fn plain(&self) -> Quotes {
        if self.backslashes {
            Quotes::Escape
        } else {
            Quotes::Plain
        }
    }

    fn begins(&mut self, state: State) -> Step {
        self.text.clear();
        self.goes(state)
    }

    /// Uses one byte.
    fn goes(&mut self, state: State) -> Step {
        self.state = state;
        used(1)
    }

    /// Uses no byte: this one belongs to what comes next.
    fn found(&mut self, event: Event) -> Step {
        self.state = State::Between;
        Step { used: 0, event }
    }
}

fn used(used: usize) -> Step {
    let event = Event::Nothing;
    Step { used, event }
}

fn fault(what: &'static str) -> Step {
    let event = Event::Fault(what);
    Step { used: 1, event }
}

fn begins_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn in_word(byte: u8) -> bool {
    begins_word(byte) || byte.is_ascii_digit() || byte == b'$'
}
