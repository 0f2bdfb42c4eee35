//! Keys: which a config asks for, which are at hand for a backup or a restore, and how long one that was
//! given for a restore is kept.
//!
//! What is given for a restore lies in the vault, where the job finds it also after a restart, and its event
//! names only the reference. One rule removes it: what no restore that is not over names, goes. It is
//! applied after each end of a restore, and at start.

use std::collections::HashSet;

use super::{AppError, Holdfast, Result};
use crate::{
    domain::{
        config::{ConfigSpec, SecretRef},
        encryption::{Encryption, OwnKey},
        failure::{Failure, FieldErrors},
        restore::Restore,
        secret::Secret,
    },
    engine::{
        codec::{self, Keys, Recipients},
        pipeline::Packing,
    },
    log::{Cause, LogError, Unit},
    readmodel::restores,
};

/// As asked for; it takes the place of what the config had.
#[derive(Debug, Clone, Default)]
pub struct EncryptionInput {
    /// Public halves, `age1…`; none switches encryption off.
    pub recipients: Vec<String>,
    /// Encrypt also to a key of the server's, so that it reads back, checks and restores by itself.
    pub server_key: bool,
}

/// What a config's encryption becomes, and the private half of a key that is new in it.
#[derive(Debug, Clone, Default)]
pub(super) struct NewEncryption {
    recipients: Vec<String>,
    own: Option<OwnKey>,
    fresh: Option<(String, Secret)>,
}

impl NewEncryption {
    pub fn merge(present: Encryption, input: EncryptionInput) -> Result<Self, FieldErrors> {
        let given = input.recipients.into_iter();
        let given: Vec<String> = given.filter(|text| !text.trim().is_empty()).collect();
        let recipients =
            Recipients::parse(&given).map_err(|problem| FieldErrors::one("encryption", problem))?;
        let own = present.own.filter(|_| input.server_key);
        Ok(Self {
            recipients: recipients.names(),
            fresh: (input.server_key && own.is_none()).then(codec::generate),
            own,
        })
    }

    /// As it would be in the config; the reference of a new key is not known yet.
    pub fn draft(&self) -> Encryption {
        let fresh = self.fresh.as_ref().map(|(recipient, _)| OwnKey {
            recipient: recipient.clone(),
            identity: SecretRef(String::new()),
        });
        Encryption {
            recipients: self.recipients.clone(),
            own: self.own.clone().or(fresh),
        }
    }

    pub async fn seal(self, vault: &super::Vault, unit: &Unit) -> Result<Encryption, LogError> {
        let mut encryption = self.draft();
        if let (Some(own), Some((_, private))) = (&mut encryption.own, &self.fresh) {
            own.identity = vault.seal(unit, private).await?;
        }
        Ok(encryption)
    }
}

/// A new key pair for a person to keep: the public half, and the private one, which is kept nowhere.
pub fn new_key() -> (String, Secret) {
    codec::generate()
}

/// How what the config stores is packed, and to whom.
pub(super) fn packing(spec: &ConfigSpec) -> Result<Packing, Failure> {
    let recipients = Recipients::parse(&spec.encryption.all());
    let wrong = |problem| Failure::permanent(problem, "Edit the encryption of the config.");
    Ok(Packing {
        compression: spec.compression,
        recipients: recipients.map_err(wrong)?,
    })
}

/// What somebody gave to open a backup.
pub(super) fn given(identity: Option<&Secret>) -> Result<Keys> {
    let Some(identity) = identity.filter(|given| !given.expose().trim().is_empty()) else {
        return Ok(Keys::default());
    };
    Keys::parse(identity).map_err(|problem| AppError::field("identity", problem))
}

impl Holdfast {
    /// The server's own key to what this config stores, where it has one.
    pub(super) async fn own_keys(&self, spec: &ConfigSpec) -> Result<Keys, Failure> {
        match &spec.encryption.own {
            Some(own) => self.keys_in_vault(&own.identity).await,
            None => Ok(Keys::default()),
        }
    }

    /// The server's own key, and what was given for this restore.
    pub(super) async fn keys_of(
        &self,
        restore: &Restore,
        pinned: Option<&ConfigSpec>,
    ) -> Result<Keys, Failure> {
        let mut keys = Keys::default();
        if let Some(given) = &restore.identity {
            keys.add(self.keys_in_vault(given).await?);
        } else if let Some(spec) = pinned {
            keys.add(self.own_keys(spec).await?);
        }
        Ok(keys)
    }

    async fn keys_in_vault(&self, reference: &SecretRef) -> Result<Keys, Failure> {
        let secret = self.0.vault.get(self.db(), reference).await?;
        Keys::parse(&secret).map_err(|problem| Failure::permanent(problem, ""))
    }

    /// Removes the keys that were given for restores which are over.
    pub(super) async fn forget_given_keys(&self) {
        if let Err(error) = self.try_forget_given_keys().await {
            tracing::warn!(%error, "a key given for a restore stays in the vault until the next start");
        }
    }

    async fn try_forget_given_keys(&self) -> Result<()> {
        // In this order nothing can slip through: a key and the event that names it are written together.
        let lent = self.0.vault.lent(self.db()).await?;
        if lent.is_empty() {
            return Ok(());
        }
        let mut needed = HashSet::new();
        for row in restores::unfinished(self.db()).await? {
            let (restore, _) = self.log().load::<Restore>(row.id).await?;
            needed.extend(restore.identity);
        }
        let gone: Vec<SecretRef> = lent.into_iter().filter(|r| !needed.contains(r)).collect();
        let vault = self.0.vault.clone();
        let cause = Cause::system("vault".to_owned());
        let forgotten = self.log().write(cause, move |unit| {
            Box::pin(async move {
                vault.forget(unit.tx(), &gone).await?;
                Ok(())
            })
        });
        Ok(forgotten.await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(recipients: &[&str], server_key: bool) -> EncryptionInput {
        EncryptionInput {
            recipients: recipients.iter().map(|&text| text.to_owned()).collect(),
            server_key,
        }
    }

    #[test]
    fn the_servers_key_stays_while_it_is_wanted_and_is_new_when_it_is_wanted_again() {
        let (public, _) = codec::generate();
        let first = NewEncryption::merge(Encryption::default(), input(&[&public], true)).unwrap();
        let made = first.draft();
        assert!(first.fresh.is_some() && made.all().len() == 2);

        let kept = NewEncryption::merge(made.clone(), input(&[&public, ""], true)).unwrap();
        assert!(kept.fresh.is_none());
        assert_eq!(kept.draft(), made);

        let off = NewEncryption::merge(made.clone(), input(&[&public], false)).unwrap();
        assert_eq!(off.draft().all(), std::slice::from_ref(&public));
        let again = NewEncryption::merge(off.draft(), input(&[&public], true)).unwrap();
        assert_ne!(again.draft().own, made.own);
    }

    #[test]
    fn a_private_key_among_the_recipients_is_refused_and_not_repeated() {
        let (_, private) = codec::generate();
        for text in [private.expose().clone(), private.expose().to_lowercase()] {
            let refused = NewEncryption::merge(Encryption::default(), input(&[&text], false));
            let FieldErrors(errors) = refused.unwrap_err();
            assert!(errors["encryption"].contains("private key"), "{errors:?}");
            assert!(!format!("{errors:?}").contains(&text));
        }
    }
}
