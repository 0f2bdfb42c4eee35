//! What the commands that restore without Holdfast have in common: how a stored file is read with stock
//! tools, and words of a POSIX shell.

use crate::domain::manifest::{Compression, Manifest};

/// The file that holds the private key, as the commands call it.
const KEY_FILE: &str = "key.txt";

/// A command that gives the raw bytes of the stored `file`.
pub fn read(manifest: &Manifest, file: &str) -> String {
    let unpack = match manifest.artifact.compression {
        Compression::Gzip => "gunzip -c",
        Compression::Zstd => "zstd -dc",
        Compression::None => "cat",
    };
    let file = readable(file);
    if !manifest.artifact.is_encrypted() {
        return format!("{unpack} {file}");
    }
    match manifest.artifact.compression {
        Compression::None => decrypt(&file),
        Compression::Gzip | Compression::Zstd => format!("{} | {unpack}", decrypt(&file)),
    }
}

/// A command that tells whether all of the stored `file` can be read: a pipe hides that its first half
/// failed. `None` where nothing in the file could tell.
pub fn test(manifest: &Manifest, file: &str) -> Option<String> {
    let file = readable(file);
    let test = match manifest.artifact.compression {
        Compression::Gzip => Some("gunzip -t"),
        Compression::Zstd => Some("zstd -tq"),
        Compression::None => None,
    };
    // Decrypted twice: a pipe tells only how its last half ended.
    match (manifest.artifact.is_encrypted(), test) {
        (false, test) => test.map(|test| format!("{test} {file}")),
        (true, None) => Some(format!("{} > /dev/null", decrypt(&file))),
        (true, Some(test)) => {
            let decrypt = decrypt(&file);
            Some(format!("{decrypt} > /dev/null && {decrypt} | {test}"))
        }
    }
}

fn decrypt(file: &str) -> String {
    format!("age -d -i {KEY_FILE} {file}")
}

/// A file name that begins with a dash is no option.
fn readable(file: &str) -> String {
    if file.starts_with('-') {
        shell(&format!("./{file}"))
    } else {
        shell(file)
    }
}

/// As one word of a POSIX shell.
pub fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        assert_eq!(shell("a'b $(id)"), r"'a'\''b $(id)'");
        assert_eq!(shell(""), "''");
        assert_eq!(readable("-rf"), "./-rf");
        assert_eq!(shell("/a-b/c.sql"), "/a-b/c.sql");
    }
}
