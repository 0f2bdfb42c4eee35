//! Compression and encryption of artifacts. Writing cuts the dump into blocks that are compressed independently,
//! on all cores, and laid one after the other: members of a gzip file, frames of a zstd file.
//! Both formats say that such a file is one whole, so `gunzip` and `zstd -d` read it as they read
//! any other. Each block carries a checksum of its own. Reading is a stream of any such file,
//! whoever wrote it.

mod decode;
mod decrypt;
mod encode;
mod encrypt;
#[cfg(test)]
mod encrypted_tests;
mod gzip;
mod keys;
#[cfg(test)]
mod tests;

pub use self::{
    decode::decode,
    decrypt::{MAGIC, is_wrong_key},
    encode::{BLOCK, Encoder},
    encrypt::Encryptor,
    keys::{Keys, Recipients, generate, shortened},
};
