//! The signature under what leaves the host: Ed25519, so that whoever checks it needs no secret. The
//! server that wrote a log is known by the digest of its public key.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
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

fn instance_of(public: &[u8]) -> String {
    hex::encode(&Sha256::digest(public)[..16])
}
