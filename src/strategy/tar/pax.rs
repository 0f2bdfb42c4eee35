//! PAX headers: what a header block has no room for, as lines of `LENGTH KEY=VALUE`.

use super::header::Header;

/// What is known of the next entry from the blocks before its own.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Extended {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    /// A sparse file: its length with holes, and its name, because `path` is then made up.
    pub sparse: bool,
    pub real_size: Option<u64>,
    pub real_path: Option<Vec<u8>>,
    pub attributes: bool,
}

impl Extended {
    /// A header for the next entry (`x`).
    pub fn read(&mut self, records: &[u8]) -> Result<(), String> {
        each(records, |key, value| {
            match key {
                "path" => once(&mut self.path, value.to_vec(), key)?,
                "linkpath" => once(&mut self.link, value.to_vec(), key)?,
                "size" => once(&mut self.size, decimal(value)?, key)?,
                "GNU.sparse.name" => once(&mut self.real_path, value.to_vec(), key)?,
                "GNU.sparse.realsize" | "GNU.sparse.size" => {
                    once(&mut self.real_size, decimal(value)?, key)?;
                }
                _ => {}
            }
            self.sparse |= key.starts_with("GNU.sparse.");
            self.attributes |= key.starts_with("SCHILY.xattr.")
                || key.starts_with("SCHILY.acl.")
                || key.starts_with("LIBARCHIVE.xattr.");
            Ok(())
        })
    }

    /// A long name of GNU (`L`, `K`).
    pub fn long(&mut self, kind: u8, text: &[u8]) -> Result<(), String> {
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        let place = if kind == b'L' {
            &mut self.path
        } else {
            &mut self.link
        };
        once(place, text.to_vec(), "long name")
    }

    /// Puts what is known in the place of what the block says.
    pub fn over(&mut self, header: &mut Header) {
        if let Some(path) = self.real_path.take().or(self.path.take()) {
            header.name = path;
        }
        if let Some(link) = self.link.take() {
            header.link = link;
        }
        if let Some(size) = self.size {
            header.size = size;
        }
    }
}

/// A header for all further entries (`g`): fine as long as it does not say what they are.
pub fn check_global(records: &[u8]) -> Result<(), String> {
    each(records, |key, _| {
        if ["path", "linkpath", "size"].contains(&key) || key.starts_with("GNU.sparse") {
            return Err(format!("a global header changes the {key} of all entries"));
        }
        Ok(())
    })
}

fn each(
    mut records: &[u8],
    mut see: impl FnMut(&str, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let broken = || "an extended header is damaged".to_owned();
    while !records.is_empty() {
        let blank = records.iter().position(|&byte| byte == b' ');
        let blank = blank.ok_or_else(broken)?;
        let length = usize::try_from(decimal(&records[..blank])?).map_err(|_| broken())?;
        let record = records.get(blank + 1..length).ok_or_else(broken)?;
        let record = record.strip_suffix(b"\n").ok_or_else(broken)?;
        let equals = record.iter().position(|&byte| byte == b'=');
        let (key, value) = record.split_at(equals.ok_or_else(broken)?);
        see(&String::from_utf8_lossy(key), &value[1..])?;
        records = &records[length..];
    }
    Ok(())
}

fn decimal(digits: &[u8]) -> Result<u64, String> {
    let plain = digits.iter().all(u8::is_ascii_digit);
    let number = str::from_utf8(digits).ok().filter(|_| plain);
    let number = number.and_then(|digits| digits.parse().ok());
    let fits = number.filter(|&number: &u64| i64::try_from(number).is_ok());
    fits.ok_or_else(|| "a length in an extended header is no number".to_owned())
}

/// Two different readers may take the first or the last of two.
fn once<T>(place: &mut Option<T>, value: T, key: &str) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("an entry is given its {key} twice")),
    }
}
