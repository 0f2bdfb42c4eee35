//! The vault leaves the host too, where the server has recovery keys: public halves of age, whose private
//! ones lie with people. Only flags and files of the host name them: whoever could do it from a page could
//! read every secret. Beside the log, in each target:
//!
//! ```text
//! holdfast-log/{instance}/{history}/secrets-{tag}.age
//! ```
//!
//! Lines of JSON inside: a header, a reference and its secret each, and a signature over all of it, so that
//! nobody who can write to a bucket can slip in secrets of their own. The tag tells whether it is the
//! present one, and says nothing to whoever has not the master key. Values are never changed under their
//! reference: of two bundles, which a kill may leave, either is true.

use std::{fs, io};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{AppError, Holdfast, Result, Vault, backup::internal, vault::write_private};
use crate::{
    domain::{config::SecretRef, failure::Failure, manifest::Compression, secret::Secret},
    engine::codec::{self, Encryptor, Keys, Recipients},
    log::{Cause, LogKey, Sealed, Unsealed, seal, write_line},
    target::{Key, Target, TargetError, layout},
};

const FORMAT: u32 = 1;
const TAG: &[u8] = b"holdfast.secrets.v1\0";
/// Bytes of a bundle that is believed; ours have some hundred for each secret.
const MAX: usize = 64 << 20;

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    public_key: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    reference: String,
    secret: String,
}

/// What is shipped, before it is encrypted.
pub(super) struct Bundle {
    /// Differs when a secret or a recovery key does.
    pub tag: String,
    text: Secret<Vec<u8>>,
    recipients: Vec<String>,
}

/// Recovery keys as they were given, each in its one written form; the problem does not repeat them.
pub fn recovery_keys(given: &[String]) -> Result<Vec<String>, String> {
    Recipients::parse(given).map(|recipients| recipients.names())
}

/// In the data folder: public keys, one a line, made by the set-up or written by whoever looks after the
/// server. Beside those that it was started with.
const FILE: &str = "recovery-keys";

impl Holdfast {
    /// Makes a recovery key, unless there is one: its public half stays in the data folder, the private one
    /// is answered and kept nowhere.
    pub fn make_recovery_key(&self) -> Result<Option<(String, Secret)>> {
        if !self.recovery_recipients()?.is_empty() {
            return Ok(None);
        }
        let (public, private) = codec::generate();
        self.keep_recovery_keys(std::slice::from_ref(&public))?;
        Ok(Some((public, private)))
    }

    /// Unless the file is there.
    fn keep_recovery_keys(&self, public: &[String]) -> Result<()> {
        let file = self.settings().data_dir.join(FILE);
        if file.exists() {
            return Ok(());
        }
        let written = write_private(&file, format!("{}\n", public.join("\n")).as_bytes());
        let failed = |error| AppError::Internal(format!("{FILE} cannot be written: {error}"));
        written.map_err(failed)
    }

    /// Read anew each time: the file may be made while the server runs.
    fn recovery_recipients(&self) -> Result<Vec<String>> {
        let failed = |why: String| {
            AppError::Failed(Failure::permanent(
                format!("the recovery keys in {FILE} cannot be used: {why}"),
                "One public key of age a line, age1…; correct the file in the data folder, or remove it.",
            ))
        };
        let text = match fs::read_to_string(self.settings().data_dir.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error.to_string())),
        };
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut all = self.settings().recovery_keys.clone();
        all.extend(lines.map(str::to_owned));
        recovery_keys(&all).map_err(failed)
    }

    /// All that the vault keeps; `None` without a recovery key.
    pub(super) async fn bundle(&self, key: &LogKey) -> Result<Option<Bundle>> {
        let recipients = self.recovery_recipients()?;
        if recipients.is_empty() {
            return Ok(None);
        }
        let secrets = self.0.vault.kept(self.db()).await?;
        let text = packed(&secrets, key).map_err(told)?;
        let named = [recipients.join(" ").as_bytes(), b"\n", &text].concat();
        Ok(Some(Bundle {
            tag: self.0.vault.tag(&named),
            text: Secret::new(text),
            recipients,
        }))
    }

    /// Stores the present bundle, and takes older ones away: whoever had a key that is one no more shall not
    /// read on.
    pub(super) async fn ship_secrets(
        &self,
        target: &dyn Target,
        (instance, history): (&str, u32),
        bundle: &Bundle,
    ) -> Result<(), Failure> {
        let present = layout::secrets_key(instance, history, &bundle.tag)?;
        let held = bundles(target, instance, history).await?;
        if !held.contains(&present) {
            let sealed = sealed(&bundle.recipients, bundle.text.expose());
            let sealed = sealed.map_err(|error| internal(told(error)))?;
            let body = stream::iter([Ok(sealed)]).boxed();
            match target.put(&present, body, None).await {
                Ok(_) | Err(TargetError::Exists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for older in held.iter().filter(|held| **held != present) {
            target.delete(older).await?;
        }
        Ok(())
    }

    /// Puts the secrets of a log that was brought back into the vault, under the present master key. How many
    /// there were; `None` when no bundle lies there.
    pub async fn take_secrets(
        &self,
        target: &dyn Target,
        (instance, history): (&str, u32),
        identity: &Secret,
    ) -> Result<Option<usize>> {
        let keys = Keys::parse(identity).map_err(|why| AppError::field("identity", why))?;
        let mut found = None;
        for key in bundles(target, instance, history).await? {
            let lines = opened(target, &key, &keys, instance).await?;
            found = Some(found.unwrap_or(0) + lines.len());
            let vault = self.0.vault.clone();
            let cause = Cause::system("recover");
            let kept = self.log().write(cause, move |unit| {
                Box::pin(async move { vault.put_back(unit, &lines).await })
            });
            kept.await?;
        }
        if found.is_some() {
            self.keep_recovery_keys(&keys.recipients())?;
        }
        Ok(found)
    }

    /// Whether the secrets of that log lie in a target.
    pub async fn has_secrets(
        &self,
        target: &dyn Target,
        (instance, history): (&str, u32),
    ) -> Result<bool> {
        Ok(!bundles(target, instance, history).await?.is_empty())
    }
}

async fn bundles(target: &dyn Target, instance: &str, history: u32) -> Result<Vec<Key>, Failure> {
    let prefix = layout::secrets_prefix(instance, history);
    let entries = target.list(&prefix).await?;
    let keys = entries.into_iter().map(|entry| entry.key);
    Ok(keys.filter(layout::is_secrets).collect())
}

/// The same secrets give the same bytes.
fn packed(secrets: &[(SecretRef, Secret)], key: &LogKey) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let header = Header {
        format: FORMAT,
        public_key: key.public(),
    };
    write_line(&mut text, &header)?;
    for (reference, secret) in secrets {
        let line = Line {
            reference: reference.0.clone(),
            secret: secret.expose().clone(),
        };
        write_line(&mut text, &line)?;
    }
    seal(&mut text, TAG, key)?;
    Ok(text)
}

/// The secrets in it, if `instance` signed them.
fn unpacked(text: &[u8], instance: &str) -> Result<Vec<(SecretRef, Secret)>, String> {
    let damaged = |_: serde_json::Error| "it is damaged".to_owned();
    let sealed = Sealed::find(text).map_err(|error| match error {
        Unsealed::Cut => error.to_string(),
        Unsealed::Damaged(error) => damaged(error),
    })?;
    let mut lines = sealed.lines();
    let header: Header =
        serde_json::from_slice(lines.next().unwrap_or_default()).map_err(damaged)?;
    if header.format > FORMAT {
        return Err("a newer version of Holdfast wrote it".to_owned());
    }
    let signer = sealed.signer(TAG, &header.public_key);
    if signer.as_deref() != Some(instance) {
        return Err("it was not signed by the server whose log this is".to_owned());
    }
    let lines = lines.map(|line| {
        let Line { reference, secret } = serde_json::from_slice(line).map_err(damaged)?;
        Ok((SecretRef(reference), Secret::new(secret)))
    });
    lines.collect()
}

fn sealed(recipients: &[String], text: &[u8]) -> io::Result<Bytes> {
    let recipients = Recipients::parse(recipients).map_err(io::Error::other)?;
    let mut encryptor = Encryptor::new(&recipients)?;
    let mut stored = encryptor.encrypt(text)?.to_vec();
    stored.extend_from_slice(&encryptor.finish()?);
    Ok(stored.into())
}

async fn opened(
    target: &dyn Target,
    key: &Key,
    keys: &Keys,
    instance: &str,
) -> Result<Vec<(SecretRef, Secret)>, Failure> {
    let failed = |why: &str| {
        Failure::permanent(
            format!("{key} in {} cannot be used: {why}", target.describe()),
            "Give the private half of one of the server's recovery keys; without --identity the secrets are \
             entered by hand.",
        )
    };
    let stored = target.get(key, None).await?;
    let mut raw = codec::decode(Compression::None, Some(keys.clone()), stored, None);
    let mut text = Vec::new();
    loop {
        match raw.try_next().await {
            Ok(Some(chunk)) => text.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Err(failed(&error.to_string())),
        }
        if text.len() > MAX {
            return Err(failed("it is too long"));
        }
    }
    unpacked(&text, instance).map_err(|why| failed(&why))
}

fn told(error: io::Error) -> AppError {
    AppError::Internal(format!("the secrets cannot be bundled: {error}"))
}

impl Vault {
    /// Tells two texts apart to whoever has the master key, and nothing to others.
    fn tag(&self, text: &[u8]) -> String {
        self.keyed_digest(b"holdfast.secrets-tag.v1\0", text)[..32].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> LogKey {
        LogKey::from_seed(&[seed; 32]).unwrap()
    }

    #[test]
    fn what_was_altered_or_signed_by_another_is_refused() {
        let secrets = [
            (SecretRef("vault:01".into()), Secret::from("one\n\"two\"")),
            (SecretRef("vault:02".into()), Secret::from("")),
        ];
        let (ours, theirs) = (key(1), key(2));
        let text = packed(&secrets, &ours).unwrap();
        let found = unpacked(&text, &ours.instance()).unwrap();
        assert_eq!(found[0].1.expose(), "one\n\"two\"");
        assert_eq!(found.len(), 2);
        let none = unpacked(&packed(&[], &ours).unwrap(), &ours.instance());
        assert_eq!(none.map(|none| none.len()), Ok(0));

        let refused = |text: &[u8]| unpacked(text, &ours.instance()).is_err();
        assert!(refused(&packed(&secrets, &theirs).unwrap()));
        assert!(refused(b""));
        for at in 0..text.len() {
            let mut altered = text.clone();
            altered[at] ^= 1;
            assert!(refused(&altered), "a bit of byte {at}");
            assert!(refused(&text[..at]), "cut at {at}");
        }
        let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
        assert!(refused(&[lines[0], lines[2], lines[1], lines[3]].concat()));
        assert!(refused(&[lines[0], lines[1], lines[3]].concat()));
    }
}
