//! How `pg_dump` writes numbers and texts into an archive.

/// Why reading stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// The bytes end here; with more of them it may go on.
    More,
    /// No archive goes on like this.
    Bad(String),
}

impl From<&str> for Stop {
    fn from(what: &str) -> Self {
        Self::Bad(what.to_owned())
    }
}

/// Reads on in bytes that may end anywhere.
pub struct Reader<'a> {
    bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.checked_add(length).ok_or(Stop::More)?;
        let taken = self.bytes.get(self.at..end).ok_or(Stop::More)?;
        self.at = end;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, Stop> {
        Ok(self.take(1)?[0])
    }

    /// A sign, then four bytes, the lowest first.
    pub fn int(&mut self) -> Result<i64, Stop> {
        let negative = match self.byte()? {
            0 => false,
            1 => true,
            _ => return Err("a number without a sign".into()),
        };
        let bytes = self.take(4)?;
        let value = bytes
            .iter()
            .rev()
            .fold(0, |value, byte| (value << 8) | i64::from(*byte));
        Ok(if negative { -value } else { value })
    }

    /// A number that counts something.
    pub fn length(&mut self) -> Result<usize, Stop> {
        usize::try_from(self.int()?).map_err(|_| "a negative length".into())
    }

    /// `None` is not the empty text.
    pub fn text(&mut self) -> Result<Option<&'a [u8]>, Stop> {
        match self.int()? {
            -1 => Ok(None),
            length => {
                let length =
                    usize::try_from(length).map_err(|_| Stop::from("a negative length"))?;
                self.take(length).map(Some)
            }
        }
    }
}
