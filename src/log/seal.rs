//! The signature under what leaves the host: Ed25519, so that whoever checks it needs no secret. The
//! server that wrote a log is known by the digest of its public key. What is longer than a few numbers is
//! lines of JSON with the signature as the last: a person can read it with what every system has.

use std::io;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The key of one server.
pub struct LogKey(Ed25519KeyPair);

impl LogKey {
    /// The same seed is the same key. `None` never happens to 32 bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// Lower hex.
    pub fn public(&self) -> String {
        hex::encode(self.0.public_key())
    }

    pub fn sign(&self, message: &[u8]) -> String {
        hex::encode(self.0.sign(message))
    }

    /// Names the server in a target: 32 hexadecimal digits.
    pub fn instance(&self) -> String {
        instance_of(self.0.public_key().as_ref())
    }
}

/// The instance whose key signed this, if the signature is good. Keys and signature in lower hex.
pub fn signed_by(public: &str, message: &[u8], signature: &str) -> Option<String> {
    let (key, signature) = (hex::decode(public).ok()?, hex::decode(signature).ok()?);
    let known = UnparsedPublicKey::new(&ED25519, &key);
    known.verify(message, &signature).ok()?;
    Some(instance_of(&key))
}

/// What the server with this public key (hex) is called in targets; `None` when it is no key.
pub fn instance_of_key(public: &str) -> Option<String> {
    let key = hex::decode(public).ok()?;
    (key.len() == 32).then(|| instance_of(&key))
}

fn instance_of(public: &[u8]) -> String {
    hex::encode(&Sha256::digest(public)[..16])
}

#[derive(Serialize, Deserialize)]
struct Seal {
    signature: String,
}

pub fn write_line(text: &mut Vec<u8>, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    Ok(())
}

/// Signs all that stands there; `tag` tells one kind of text from another.
pub fn seal(text: &mut Vec<u8>, tag: &[u8], key: &LogKey) -> io::Result<()> {
    let signature = key.sign(&[tag, text].concat());
    write_line(text, &Seal { signature })
}

/// A text whose signature was found, and is not checked yet.
pub struct Sealed<'a> {
    above: &'a [u8],
    signature: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Unsealed {
    #[error("it has no end")]
    Cut,
    #[error(transparent)]
    Damaged(#[from] serde_json::Error),
}

impl<'a> Sealed<'a> {
    pub fn find(text: &'a [u8]) -> Result<Self, Unsealed> {
        let body = text.strip_suffix(b"\n").ok_or(Unsealed::Cut)?;
        let last = body.iter().rposition(|&byte| byte == b'\n');
        let (above, seal) = text.split_at(last.map_or(0, |end| end + 1));
        let Seal { signature } = serde_json::from_slice(seal)?;
        Ok(Self { above, signature })
    }

    /// Those above the signature.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let lines = self.above.split(|&byte| byte == b'\n');
        lines.filter(|line| !line.is_empty())
    }

    /// The instance whose key signed it, if the signature is good.
    pub fn signer(&self, tag: &[u8], public: &str) -> Option<String> {
        signed_by(public, &[tag, self.above].concat(), &self.signature)
    }
}
