//! Where the log stood, signed: what a person keeps elsewhere. A chain alone cannot show that its end was
//! cut off, nor that somebody wrote all of it anew; against a checkpoint both show.

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};

use super::seal::{self, LogKey};

const TAG: &str = "holdfast.log-checkpoint.v1";

/// Position and hash of an event, at the time when it was the last one. Hashes and keys in lower hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    pub position: i64,
    pub hash: String,
    pub at: DateTime<Utc>,
    /// The server that signed, as it is called in targets.
    pub instance: String,
    pub public_key: String,
    pub signature: String,
}

/// What makes a checkpoint worth nothing, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("the checkpoint's signature is not good: somebody altered it")]
    Forged,
    #[error("the checkpoint was signed by the key {0}, not by the one that was expected")]
    Foreign(String),
}

impl Checkpoint {
    /// `at` counts to the millisecond.
    pub fn sign(key: &LogKey, position: i64, hash: String, at: DateTime<Utc>) -> Self {
        let at = at.trunc_subsecs(3);
        let signature = key.sign(&signed(position, &hash, at));
        Self {
            position,
            hash,
            at,
            instance: key.instance(),
            public_key: key.public(),
            signature,
        }
    }

    /// Whether its own key signed it, and that is the `expected` one when one is.
    pub fn check(&self, expected: Option<&str>) -> Result<(), CheckpointError> {
        if expected.is_some_and(|key| !key.eq_ignore_ascii_case(&self.public_key)) {
            return Err(CheckpointError::Foreign(self.public_key.clone()));
        }
        let message = signed(self.position, &self.hash, self.at);
        match seal::signed_by(&self.public_key, &message, &self.signature) {
            Some(instance) if instance == self.instance => Ok(()),
            _ => Err(CheckpointError::Forged),
        }
    }
}

/// One text for one checkpoint: none of its parts can hold a line break.
fn signed(position: i64, hash: &str, at: DateTime<Utc>) -> Vec<u8> {
    let at = at.timestamp_millis();
    format!("{TAG}\n{position}\n{}\n{at}\n", hash.escape_default()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let key = LogKey::from_seed(&[7; 32]).expect("32 bytes");
        Checkpoint::sign(&key, 12, "ab".repeat(32), Utc::now())
    }

    #[test]
    fn a_checkpoint_is_good_until_anything_in_it_changes() {
        let good = checkpoint();
        assert_eq!(good.check(None), Ok(()));
        assert_eq!(good.check(Some(&good.public_key.to_uppercase())), Ok(()));
        let text = serde_json::to_string(&good).unwrap_or_default();
        assert_eq!(
            serde_json::from_str::<Checkpoint>(&text).ok(),
            Some(good.clone())
        );
        let other = LogKey::from_seed(&[8; 32]).expect("32 bytes");
        let changed: [fn(&mut Checkpoint); 5] = [
            |it| it.position += 1,
            |it| it.hash = "cd".repeat(32),
            |it| it.at += chrono::Duration::seconds(1),
            |it| it.instance = "0".repeat(32),
            |it| it.signature = it.signature.replace(['0', '1'], "2"),
        ];
        for change in changed {
            let mut bad = good.clone();
            change(&mut bad);
            assert_eq!(bad.check(None), Err(CheckpointError::Forged), "{bad:?}");
        }
        let again = Checkpoint::sign(&other, 12, good.hash.clone(), good.at);
        assert_eq!(
            again.check(None),
            Ok(()),
            "whoever signs it anew is another"
        );
        let foreign = CheckpointError::Foreign(other.public());
        assert_eq!(again.check(Some(&good.public_key)), Err(foreign));
    }
}
