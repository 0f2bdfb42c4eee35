//! Names in a target: which keys there can be, and how artifact and manifest are called. Pure, so
//! that the same run gives the same names on every target, and a name read back from anywhere
//! (a manifest, a bucket, a request) passes the same gate before it comes near a path.
//!
//! A name is made of letters, digits, `.`, `-` and `_`: it means the same to a shell, a URL and
//! every file system. No part of a key begins with a dot, so a name that does (`partial_name`)
//! can never be a key, nor hide one.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::TargetError;
use crate::domain::manifest::{Compression, ENCRYPTED};

/// Bytes of a whole key, and of one part between slashes (what file systems allow).
pub const MAX_KEY: usize = 1024;
pub const MAX_SEGMENT: usize = 255;

/// What foreign names (app, container) and the extension may take of a segment, digest not
/// counted: room is left for all that follows.
const MAX_FOREIGN: usize = 128;
const MAX_EXTENSION: usize = 32;

const MANIFEST_SUFFIX: &str = ".json";
const PARTIAL_SUFFIX: &str = ".part";

/// A checked relative path, `/` between its parts. The only way to name something in a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        match flaw(text) {
            None => Ok(Self(text.to_owned())),
            Some(flaw) => Err(TargetError::BadKey(shortened(text), flaw)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts before the last, outermost first.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        let end = self.0.rfind('/').unwrap_or(0);
        self.0[..end].split('/').filter(|part| !part.is_empty())
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Key {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::parse(text)
    }
}

/// `{app}/{config}/{container}-{YYYYMMDD-HHMMSS}.{extension}{.gz|.zst|}{.age|}`, time in UTC. Foreign
/// names are made safe; two that differ stay different.
pub fn artifact_key(
    app: &str,
    config: i64,
    container: &str,
    at: DateTime<Utc>,
    extension: &str,
    compression: Compression,
    encrypted: bool,
) -> Key {
    let (app, container) = (safe(app, MAX_FOREIGN), safe(container, MAX_FOREIGN));
    let at = at.format("%Y%m%d-%H%M%S").to_string().replace('+', "");
    let extension = safe(extension, MAX_EXTENSION);
    // Ids are positive; a negative one would give a leading dash.
    let config = config.unsigned_abs();
    let suffix = compression.suffix();
    let age = if encrypted { ENCRYPTED } else { "" };
    Key(format!(
        "{app}/{config}/{container}-{at}.{extension}{suffix}{age}"
    ))
}

/// Where the manifest of `artifact` lies. Fails only for keys not from `artifact_key`: too long.
pub fn manifest_key(artifact: &Key) -> Result<Key, TargetError> {
    Key::parse(&format!("{artifact}{MANIFEST_SUFFIX}"))
}

/// The artifact that a manifest of this name speaks of; `None` when it is no manifest's name.
pub fn artifact_of(manifest: &Key) -> Option<Key> {
    let artifact = manifest.as_str().strip_suffix(MANIFEST_SUFFIX)?;
    Key::parse(artifact).ok()
}

/// Whether a name can be that of an artifact: of the form that [`artifact_key`] gives, and no manifest's.
pub fn may_be_artifact(key: &Key) -> bool {
    let is_id = |part: &str| part.parse::<u32>().is_ok();
    key.folders().count() == 2
        && key.folders().nth(1).is_some_and(is_id)
        && artifact_of(key).is_none()
}

const LOG_FOLDER: &str = "holdfast-log";
const SEGMENT_SUFFIX: &str = ".jsonl.gz";
/// Hexadecimal digits of what names a server.
const INSTANCE: usize = 32;

/// A piece of a server's log as it lies in a target: whose, of which of its histories, and the positions of
/// its first and last event. An app may be called like the folder: no config's id looks like an instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    pub instance: String,
    /// From 1. A server that goes on from an older state of its log begins another one.
    pub history: u32,
    pub first: i64,
    pub last: i64,
}

impl Segment {
    /// `holdfast-log/{instance}/{history}/{first}-{last}.jsonl.gz`
    pub fn key(&self) -> Result<Key, TargetError> {
        let folder = segment_folder(&self.instance);
        let (history, first, last) = (self.history, self.first, self.last);
        Key::parse(&format!(
            "{folder}{history}/{first:012}-{last:012}{SEGMENT_SUFFIX}"
        ))
    }

    /// `None` when `key` is no segment's name.
    pub fn of(key: &Key) -> Option<Self> {
        let mut folders = key.folders();
        let (log, instance) = (folders.next()?, folders.next()?);
        let history = folders.next()?.parse().ok()?;
        let is_instance =
            instance.len() == INSTANCE && instance.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (first, last) = key.name().strip_suffix(SEGMENT_SUFFIX)?.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        let fits = log == LOG_FOLDER && is_instance && 0 < first && first <= last;
        let segment = Self {
            instance: instance.to_owned(),
            history,
            first,
            last,
        };
        // Only the name that it would be given: another with leading zeros would be another object.
        (fits && segment.key().is_ok_and(|same| same == *key)).then_some(segment)
    }
}

/// Prefix of all that any server's log left in a target.
pub fn log_folder() -> String {
    format!("{LOG_FOLDER}/")
}

/// Prefix of a server's log segments.
pub fn segment_folder(instance: &str) -> String {
    format!("{LOG_FOLDER}/{instance}/")
}

const SECRETS_PREFIX: &str = "secrets-";

/// Prefix of what a server's vault left beside a history of its log.
pub fn secrets_prefix(instance: &str, history: u32) -> String {
    format!("{}{history}/{SECRETS_PREFIX}", segment_folder(instance))
}

/// Where a bundle of secrets lies; `tag` differs for each.
pub fn secrets_key(instance: &str, history: u32, tag: &str) -> Result<Key, TargetError> {
    let prefix = secrets_prefix(instance, history);
    Key::parse(&format!("{prefix}{tag}{ENCRYPTED}"))
}

/// Whether a name can be that of such a bundle.
pub fn is_secrets(key: &Key) -> bool {
    key.folders().next() == Some(LOG_FOLDER)
        && key.name().starts_with(SECRETS_PREFIX)
        && key.name().ends_with(ENCRYPTED)
}

/// Name of a file while it is being written; `unique` differs for every put of every process.
pub fn partial_name(unique: &str) -> String {
    format!(".{unique}{PARTIAL_SUFFIX}")
}

pub fn is_partial(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(PARTIAL_SUFFIX)
}

/// Splits a `list` prefix into the folder to look in (empty: the top) and what names in it begin
/// with; the latter may go on inside a folder: `shop/3/db` finds `shop/3/db-1.gz`, `shop/3/db/1.gz`.
pub fn split_prefix(prefix: &str) -> Result<(Vec<&str>, &str), TargetError> {
    let (folder, start) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    if prefix.starts_with('/') {
        return Err(TargetError::BadKey(shortened(prefix), "it is absolute"));
    }
    if let Some(flaw) = (!folder.is_empty()).then(|| flaw(folder)).flatten() {
        return Err(TargetError::BadKey(shortened(prefix), flaw));
    }
    if let Some(flaw) = (!start.is_empty()).then(|| segment_flaw(start)).flatten() {
        return Err(TargetError::BadKey(shortened(prefix), flaw));
    }
    let folders = folder.split('/').filter(|part| !part.is_empty());
    Ok((folders.collect(), start))
}

fn flaw(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        Some("it is empty")
    } else if key.len() > MAX_KEY {
        Some("it is longer than 1024 bytes")
    } else if key.starts_with('/') {
        Some("it is absolute")
    } else {
        key.split('/').find_map(segment_flaw)
    }
}

fn segment_flaw(segment: &str) -> Option<&'static str> {
    match segment.as_bytes() {
        [] => Some("a part between slashes is empty"),
        [b'.', ..] => Some("a part begins with a dot"),
        [b'-', ..] => Some("a part begins with a dash"),
        bytes if bytes.len() > MAX_SEGMENT => Some("a part is longer than 255 bytes"),
        bytes if !bytes.iter().copied().all(is_plain) => Some("it holds other characters"),
        _ => None,
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// A usable segment out of any text. What had to be changed gets a digest of the original, so
/// that `a/b` and `a?b` do not meet.
fn safe(name: &str, max: usize) -> String {
    if name.len() <= max && segment_flaw(name).is_none() {
        return name.to_owned();
    }
    let plain: String = name
        .chars()
        .map(|c| match u8::try_from(c) {
            Ok(byte) if is_plain(byte) => c,
            _ => '_',
        })
        .skip_while(|c| matches!(c, '.' | '-'))
        .take(max)
        .collect();
    let digest = Sha256::digest(name.as_bytes());
    let tag = hex::encode(&digest[..4]);
    if plain.is_empty() {
        tag
    } else {
        format!("{plain}-{tag}")
    }
}

/// For an error's text: a hostile name may be long.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOSTILE: &[&str] = &[
        "",
        "/",
        ".",
        "..",
        "../x",
        "a/../b",
        "a/..",
        "/etc/passwd",
        "a//b",
        "a/",
        "/a",
        "./a",
        "a/./b",
        "-rf",
        "a/-rf",
        ".hidden",
        "a/.part",
        "a\0b",
        "a\nb",
        "a\tb",
        "a b",
        "a\\b",
        "..\\x",
        "C:\\x",
        "a:b",
        "a*b",
        "a?b",
        "$(x)",
        "`x`",
        "a;b",
        "a|b",
        "a'b",
        "a\"b",
        "%2e%2e",
        "é",
        "a\u{202e}b",
        "a\u{0}",
        "~",
        "~root",
        "a/~",
        "\u{ff0e}\u{ff0e}/x",
        "s3://b/k",
        "a@b",
    ];

    fn at() -> DateTime<Utc> {
        "2026-11-22T02:03:04Z".parse().unwrap()
    }

    #[test]
    fn names_are_those_of_the_contract() {
        let key = artifact_key(
            "shop",
            7,
            "shop-db-1",
            at(),
            "sql",
            Compression::Gzip,
            false,
        );
        assert_eq!(key.as_str(), "shop/7/shop-db-1-20261122-020304.sql.gz");
        assert_eq!(key.folders().collect::<Vec<_>>(), ["shop", "7"]);
        assert_eq!(key.name(), "shop-db-1-20261122-020304.sql.gz");
        let manifest = manifest_key(&key).unwrap();
        assert_eq!(manifest.name(), "shop-db-1-20261122-020304.sql.gz.json");
        assert_eq!(artifact_of(&manifest), Some(key.clone()));
        assert_eq!(artifact_of(&key), None);
        let locked = artifact_key("shop", 7, "shop-db-1", at(), "sql", Compression::None, true);
        assert_eq!(locked.name(), "shop-db-1-20261122-020304.sql.age");
    }

    #[test]
    fn hostile_keys_are_refused() {
        for text in HOSTILE {
            assert!(Key::parse(text).is_err(), "{text:?}");
            assert!(Key::parse(&format!("a/{text}/b")).is_err(), "a/{text:?}/b");
        }
        assert!(Key::parse(&"a".repeat(256)).is_err());
        assert!(Key::parse(&"a/".repeat(600)).is_err());
    }

    #[test]
    fn prefixes_are_checked_too() {
        assert_eq!(split_prefix("").unwrap(), (vec![], ""));
        assert_eq!(split_prefix("a/b/").unwrap(), (vec!["a", "b"], ""));
        assert_eq!(split_prefix("a/b").unwrap(), (vec!["a"], "b"));
        for prefix in ["/", "../", "a/../", "a//", "..", "a/..", ".part", "a\0"] {
            assert!(split_prefix(prefix).is_err(), "{prefix:?}");
        }
    }

    fn names() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[./\\\\\0 \n-]{0,12}[a-z]{0,3}",
            "[a-z.]{0,300}",
            proptest::sample::select(HOSTILE).prop_map(str::to_owned),
        ]
    }

    proptest! {
        #[test]
        fn every_name_becomes_a_key_and_none_is_a_partial(
            app in names(),
            config in any::<i64>(),
            container in names(),
            extension in names(),
            seconds in -62_000_000_000_i64..300_000_000_000,
            unique in "[0-9A-Z-]{1,40}",
        ) {
            let at = DateTime::from_timestamp(seconds, 0).unwrap();
            for (compression, encrypted) in Compression::ALL.map(|c| (c, c == Compression::Gzip)) {
                let key =
                    artifact_key(&app, config, &container, at, &extension, compression, encrypted);
                prop_assert_eq!(&Key::parse(key.as_str()).unwrap(), &key);
                prop_assert_eq!(key.folders().count(), 2);
                prop_assert!(manifest_key(&key).is_ok());
                prop_assert!(!is_partial(key.name()));
            }
            prop_assert!(is_partial(&partial_name(&unique)));
            prop_assert!(Key::parse(&partial_name(&unique)).is_err());
        }

        #[test]
        fn different_names_stay_different(a in names(), b in names()) {
            prop_assert_eq!(a == b, safe(&a, 64) == safe(&b, 64));
        }

        #[test]
        fn a_key_never_leaves_its_root(text in names()) {
            if let Ok(key) = Key::parse(&text) {
                let path = std::path::Path::new("/root").join(key.as_str());
                prop_assert!(path.starts_with("/root"));
                prop_assert!(path.components().all(|c| c != std::path::Component::ParentDir));
            }
        }
    }
}
