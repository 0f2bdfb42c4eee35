//! Who can read the artifacts of a config. Holdfast encrypts to the public halves of keys; a private half
//! it holds only where a config says so, and then in the vault.

use serde::{Deserialize, Serialize};

use super::{config::SecretRef, failure::FieldErrors};

/// More would make every artifact's header longer than anybody can oversee.
pub const MAX_RECIPIENTS: usize = 20;

/// None of it: artifacts are not encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// Public halves, `age1…`, of keys that people keep.
    #[serde(default)]
    pub recipients: Vec<String>,
    /// With it, Holdfast reads what it stores by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<OwnKey>,
}

/// A key pair of the config's own. It is new each time it is asked for, and stays with the runs that were
/// encrypted to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnKey {
    pub recipient: String,
    pub identity: SecretRef,
}

impl Encryption {
    pub fn is_none(&self) -> bool {
        self.recipients.is_empty() && self.own.is_none()
    }

    /// Everybody an artifact is encrypted to.
    pub fn all(&self) -> Vec<String> {
        let own = self.own.iter().map(|own| own.recipient.clone());
        self.recipients.iter().cloned().chain(own).collect()
    }
}

/// What holds whatever the recipients look like. Whether each is one, the codec knows.
pub fn check(encryption: &Encryption) -> Result<(), FieldErrors> {
    let count = encryption.recipients.len();
    if count > MAX_RECIPIENTS {
        let problem = format!("use at most {MAX_RECIPIENTS} recipients");
        return Err(FieldErrors::one("encryption", problem));
    }
    if count == 0 && encryption.own.is_some() {
        return Err(FieldErrors::one(
            "encryption",
            "add a recipient whose private key you keep: with the server's key alone, the backups would \
             be lost with the server",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipients(count: usize) -> Encryption {
        Encryption {
            recipients: vec!["age1".to_owned(); count],
            own: None,
        }
    }

    #[test]
    fn the_servers_key_is_never_the_only_one() {
        let own = Some(OwnKey {
            recipient: "age1own".to_owned(),
            identity: SecretRef("vault:1".to_owned()),
        });
        let alone = Encryption {
            recipients: Vec::new(),
            own: own.clone(),
        };
        assert!(check(&alone).is_err() && !alone.is_none());
        let both = Encryption {
            own,
            ..recipients(1)
        };
        assert!(check(&both).is_ok());
        assert_eq!(both.all(), ["age1", "age1own"]);
        assert!(Encryption::default().is_none());
    }

    #[test]
    fn there_is_a_most() {
        assert!(check(&recipients(MAX_RECIPIENTS)).is_ok());
        assert!(check(&recipients(MAX_RECIPIENTS + 1)).is_err());
    }
}
