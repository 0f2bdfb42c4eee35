//! `key`: key pairs for the encryption of backups.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use anyhow::Context;
use clap::Subcommand;
use holdfast::app::new_key;
use serde_json::json;

use super::output::{self, Format};

/// More is no file of keys, in bytes.
const FILE_MAX: u64 = 16 * 1024;

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key pair: the private key to standard output, where a file may take it (`> key.txt`), the
    /// public one, for configs, beside it. Neither is kept here
    New,
}

pub fn run(command: &KeyCommand, format: Format) -> anyhow::Result<()> {
    let KeyCommand::New = command;
    let (public, private) = new_key();
    let private = private.expose();
    if format == Format::Json {
        return output::json(&json!({ "public_key": public, "private_key": private }));
    }
    output::note(&format!("Public key: {public}"));
    output::text(&format!("# public key: {public}\n{private}"))
}

/// A file of private keys; `-` is standard input.
pub fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().take(FILE_MAX).read_to_string(&mut text)
    } else {
        let opened = fs::File::open(file);
        opened.and_then(|file| file.take(FILE_MAX).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read the key from {}", file.display()))?;
    Ok(text)
}
