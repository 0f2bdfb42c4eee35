//! The rows between `COPY … FROM stdin;` and the line `\.`: one line a row, counted by vector
//! instructions. Backslashes in data are doubled, so no row can look like the last line.

use std::sync::LazyLock;

use memchr::{memchr_iter, memmem::Finder};

/// A line that may be the last one.
static LAST_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n\\."));

#[derive(Debug, Default)]
pub struct Rows {
    place: Place,
    pub count: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Just after `;`: nothing may stand between it and the end of its line.
    #[default]
    Statement,
    StatementReturn,
    /// At the start of a line.
    Start,
    /// After `\`, `\.`, `\.` and a carriage return at the start of a line.
    Backslash,
    Dot,
    DotReturn,
    /// Within a row.
    Inside,
}

pub enum Progress {
    /// The chunk is used up.
    More,
    /// The last line ended; so many bytes of the chunk were used.
    Ended(usize),
    Fault(usize, &'static str),
}

impl Rows {
    /// Without the statement before them: an archive keeps it elsewhere.
    pub fn begun() -> Self {
        Self {
            place: Place::Start,
            count: 0,
        }
    }

    pub fn feed(&mut self, chunk: &[u8]) -> Progress {
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            if self.place == Place::Inside {
                at += self.skip(&chunk[at..]);
                continue;
            }
            at += 1;
            self.place = match (self.place, byte) {
                (Place::Dot | Place::DotReturn, b'\n') => return Progress::Ended(at),
                (Place::Dot, b'\r') => Place::DotReturn,
                (Place::Dot | Place::DotReturn, _) => {
                    return Progress::Fault(at, "one begins like the end of the data, but goes on");
                }
                (Place::Statement | Place::StatementReturn, b'\n') => Place::Start,
                (Place::Statement, b'\r') => Place::StatementReturn,
                (Place::Statement | Place::StatementReturn, _) => {
                    return Progress::Fault(at, "something follows the COPY on its line");
                }
                (Place::Backslash, b'.') => Place::Dot,
                (Place::Start, b'\\') => Place::Backslash,
                (_, b'\n') => {
                    self.count += 1;
                    Place::Start
                }
                _ => Place::Inside,
            };
        }
        Progress::More
    }

    /// From within a row to the next line that may be the last, or to the end of the chunk; says
    /// how many bytes that are.
    fn skip(&mut self, chunk: &[u8]) -> usize {
        let end = match LAST_LINE.find(chunk) {
            Some(line) => line + 1,
            None if chunk.ends_with(b"\n\\") => chunk.len() - 1,
            None => chunk.len(),
        };
        let rows = &chunk[..end];
        self.count += memchr_iter(b'\n', rows).count() as u64;
        if rows.ends_with(b"\n") {
            self.place = Place::Start;
        }
        end
    }
}
