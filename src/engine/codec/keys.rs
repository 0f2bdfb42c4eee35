//! Keys of age: the public halves that artifacts are encrypted to, and the private ones that open them.
//! What a person pastes is read leniently, and never repeated: it may be a private key in a wrong place.

use std::fmt;

use age::{
    secrecy::ExposeSecret,
    x25519::{Identity, Recipient},
};

use crate::domain::{failure::Failure, manifest::Artifact, secret::Secret};

/// How a private half begins, in either case.
const PRIVATE: &str = "AGE-SECRET-KEY-1";
/// Bytes of what may be pasted as a file of keys.
const PASTED_MAX: usize = 16 * 1024;
/// Of an artifact that many can read, some are named.
const NAMED: usize = 5;

/// Whom an artifact is encrypted to; nobody by default.
#[derive(Clone, Default)]
pub struct Recipients(Vec<Recipient>);

/// The private halves that are at hand; none by default. Not to be printed.
#[derive(Clone, Default)]
pub struct Keys(Vec<Identity>);

/// A new pair: the public half, and the private one.
pub fn generate() -> (String, Secret) {
    let identity = Identity::generate();
    let private = identity.to_string().expose_secret().to_owned();
    (identity.to_public().to_string(), Secret::new(private))
}

impl Recipients {
    /// Each as `age1…`; one that is said twice counts once. The problem does not repeat what was sent.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let mut found: Vec<Recipient> = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let recipient = recipient(text.trim())
                .map_err(|problem| format!("recipient {}: {problem}", index + 1))?;
            if !found.contains(&recipient) {
                found.push(recipient);
            }
        }
        Ok(Self(found))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In their one written form.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(Recipient::to_string).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0
            .iter()
            .map(|recipient| recipient as &dyn age::Recipient)
    }
}

fn recipient(text: &str) -> Result<Recipient, &'static str> {
    if text.to_ascii_uppercase().contains("SECRET-KEY") {
        return Err("that is a private key: keep it to yourself, and give its public half, age1…");
    }
    text.parse().map_err(
        |_| "it is no public key of age: age1 and 58 more characters, as age-keygen prints it",
    )
}

impl Keys {
    /// Every private key in what was pasted: one line, or a file as `age-keygen` writes it.
    pub fn parse(pasted: &Secret) -> Result<Self, &'static str> {
        const NONE: &str = "paste the line that begins with AGE-SECRET-KEY-1";
        let pasted = pasted.expose();
        if pasted.len() > PASTED_MAX {
            return Err("it is too long for a file of keys");
        }
        let upper = pasted.to_ascii_uppercase();
        let starts = upper.match_indices(PRIVATE);
        let keys = starts.map(|(at, _)| {
            let rest = &upper[at + PRIVATE.len()..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
            let end = end.map_or(upper.len(), |end| at + PRIVATE.len() + end);
            let key = upper[at..end].parse::<Identity>();
            key.map_err(|_| "the private key is not whole, or a character of it is wrong")
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            Err(NONE)
        } else {
            Ok(Self(keys))
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their public halves.
    pub fn recipients(&self) -> Vec<String> {
        let public = self.0.iter().map(Identity::to_public);
        public.map(|recipient| recipient.to_string()).collect()
    }

    pub fn add(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Each by itself.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        self.0.iter().map(|key| Self(vec![key.clone()]))
    }

    pub fn opens(&self, artifact: &Artifact) -> bool {
        !artifact.is_encrypted() || !self.fitting(artifact).is_empty()
    }

    /// Those that open the artifact; `None` when it is not encrypted. Permanent when none does.
    pub fn opening(&self, artifact: &Artifact) -> Result<Option<Self>, Failure> {
        if !artifact.is_encrypted() {
            return Ok(None);
        }
        let fitting = self.fitting(artifact);
        if fitting.is_empty() {
            return Err(Failure::permanent(
                "the backup is encrypted, and no key that opens it is at hand",
                format!(
                    "Give the private key of one of: {}.",
                    shortened(&artifact.recipients)
                ),
            ));
        }
        Ok(Some(Self(fitting)))
    }

    fn fitting(&self, artifact: &Artifact) -> Vec<Identity> {
        let keys = self.0.iter().filter(|key| {
            let recipient = key.to_public().to_string();
            artifact.recipients.contains(&recipient)
        });
        keys.cloned().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|key| key as &dyn age::Identity)
    }
}

/// The first ones, for a person.
pub fn shortened(recipients: &[String]) -> String {
    let more = if recipients.len() > NAMED {
        ", …"
    } else {
        ""
    };
    let named = &recipients[..recipients.len().min(NAMED)];
    format!("{}{more}", named.join(", "))
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({:?})", self.recipients())
    }
}
