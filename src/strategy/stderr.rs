//! What a tool says on standard error: its end kept, secrets masked, its essence found. These texts
//! are stored in events and shown to people.

use crate::docker::command::Tail;
use crate::domain::secret::Secret;

/// How much of a tool's stderr is kept; the last bytes win.
const KEEP: usize = 64 * 1024;
/// How much of it goes into a stored failure.
const SHOW: usize = 4 * 1024;
const MASK: &str = "••••";

/// Hides secrets in a text. A secret that is also a public name (the user `postgres` with the
/// password `postgres`) stays: hiding it would say that they are the same.
#[derive(Debug, Default, Clone)]
pub struct Mask {
    secrets: Vec<Secret>,
}

impl Mask {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>, public: &[&str]) -> Self {
        let worth = |secret: &&Secret| {
            let secret = secret.expose().trim();
            !secret.is_empty() && !public.contains(&secret)
        };
        let mut secrets: Vec<Secret> = secrets.into_iter().filter(worth).cloned().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self { secrets }
    }

    /// The same, and this one.
    #[must_use]
    pub fn and(self, secret: &Secret) -> Self {
        Self::new(self.secrets.iter().chain([secret]), &[])
    }

    pub fn apply(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in &self.secrets {
            masked = masked.replace(secret.expose().trim(), MASK);
        }
        assignments(&urls(&masked))
    }
}

/// Collects a tool's stderr.
pub struct Stderr {
    tail: Tail,
    mask: Mask,
}

impl Stderr {
    pub fn new(mask: Mask) -> Self {
        Self {
            tail: Tail::new(KEEP),
            mask,
        }
    }

    pub fn push(&mut self, chunk: &[u8]) {
        self.tail.push(chunk);
    }

    /// All that was kept, masked, without control characters.
    pub fn text(&self) -> String {
        clean(
            &self
                .mask
                .apply(&String::from_utf8_lossy(self.tail.as_bytes())),
        )
    }
}

/// The end of a text, for a failure's detail.
pub fn shown(text: &str) -> String {
    end_of(text.trim(), SHOW).to_owned()
}

/// The last `most` bytes of a text, or a little less: whole characters.
pub fn end_of(text: &str, most: usize) -> &str {
    let mut from = text.len().saturating_sub(most);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// Terminal sequences and the like have no place in a stored text.
pub fn clean(text: &str) -> String {
    let keep = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(keep).collect()
}

/// `scheme://user:password@host` → `scheme://user:••••@host`.
fn urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after
            .find(|c: char| c.is_whitespace() || "/'\"".contains(c))
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => {
                let name = user.split(':').next().unwrap_or_default();
                out.extend([name, ":", MASK, "@", host]);
            }
            _ => out.push_str(authority),
        }
        rest = tail;
    }
    out + rest
}

/// `password=x`, `password 'x'` → `password=••••`, `password '••••'`. Words after a plain blank
/// stay: "password authentication failed" is no secret.
fn assignments(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(at) = lower[from..].find("password") {
        let word = from + at + "password".len();
        out.push_str(&text[from..word]);
        from = word;
        let rest = &text[word..];
        let lead = rest.len() - rest.trim_start_matches([' ', '=', ':', '\'', '"']).len();
        if !rest[..lead].contains(['=', ':', '\'']) {
            continue;
        }
        let value = &rest[lead..];
        let quoted = rest[..lead].contains('\'');
        let ends = |c: char| c == '\'' || (!quoted && (c.is_whitespace() || c == '"'));
        let end = value.find(ends).unwrap_or(value.len());
        if end > 0 {
            out.push_str(&rest[..lead]);
            out.push_str(MASK);
            from = word + lead + end;
        }
    }
    out + &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked() {
        let secrets: [Secret; 3] = ["s3cr3t".into(), "s3cr3t-and-more".into(), "postgres".into()];
        let mask = Mask::new(&secrets, &["postgres"]);
        for (text, masked) in [
            ("a s3cr3t-and-more b s3cr3t", "a •••• b ••••"),
            ("user postgres", "user postgres"),
            ("postgres://app:pw@db/x y", "postgres://app:••••@db/x y"),
            ("http://db:5432/x", "http://db:5432/x"),
            (
                "OPTIONS (\"user\" 'a', password 'p w')",
                "OPTIONS (\"user\" 'a', password '••••')",
            ),
            ("host=db password=hunter2 x=y", "host=db password=•••• x=y"),
            (
                "password authentication failed for",
                "password authentication failed for",
            ),
            ("password: hunter2", "password: ••••"),
            ("no password supplied", "no password supplied"),
            ("ends with password", "ends with password"),
        ] {
            assert_eq!(mask.apply(text), masked);
        }
    }

    #[test]
    fn only_the_end_is_shown() {
        let text = format!("{}é{}", "a".repeat(5000), "b".repeat(SHOW - 1));
        assert_eq!(shown(&text).len(), SHOW - 1);
        assert_eq!(clean("a\u{1b}[31mb\r\n"), "a[31mb\n");
    }
}
