//! Secrets at rest: XChaCha20-Poly1305 under a master key that lies outside the database, the
//! reference bound in as associated data so that two rows cannot be swapped. Events and read models
//! hold references only.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect,
};
use sha2::{Digest, Sha256};

use crate::{
    domain::{config::SecretRef, secret::Secret},
    log::{LogError, LogKey, Unit},
};

const NONCE: usize = 24;

/// How references begin.
const KEPT: &str = "vault:";
/// Of secrets that are kept only while something names them.
const LENT: &str = "vault-lent:";

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "vault_secrets")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub reference: String,
        /// Which master key sealed it, for rotation.
        pub key_id: String,
        /// Nonce and ciphertext.
        pub sealed: Vec<u8>,
        pub created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(Clone)]
pub struct MasterKey(Secret<[u8; 32]>);

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the master key {0} cannot be read or made: {1}")]
    File(String, io::Error),
    #[error("the master key must be 64 hexadecimal digits")]
    Form,
    #[error("{0} can be read by others; make it 0600 (chmod 600)")]
    Exposed(String),
}

impl MasterKey {
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| KeyError::Form)?;
        Ok(Self(Secret::new(key)))
    }

    /// Reads the key file, or makes a new one (0600) when there is none.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let failed = |error| KeyError::File(path.display().to_string(), error);
        match fs::metadata(path) {
            Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
                Err(KeyError::Exposed(path.display().to_string()))
            }
            Ok(_) => Self::from_hex(&fs::read_to_string(path).map_err(failed)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::random();
                write_private(path, key.to_hex().expose().as_bytes()).map_err(failed)?;
                Ok(key)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// A new one; nothing is written.
    pub fn random() -> Self {
        Self(Secret::new(super::auth::random_bytes::<32>()))
    }

    /// As a file holds it: 64 hexadecimal digits.
    pub fn to_hex(&self) -> Secret {
        Secret::new(hex::encode(self.0.expose()))
    }

    /// Tells keys apart without giving anything away.
    pub fn id(&self) -> String {
        let mut sha = Sha256::new();
        sha.update(b"holdfast.master-key-id\0");
        sha.update(self.0.expose());
        hex::encode(&sha.finalize()[..8])
    }
}

/// Writes a new file that only its owner can read, durably; never through an existing one.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("the secret {0} is not in the vault")]
    Missing(String),
    #[error("the secret {0} was sealed with another master key, or was changed")]
    Unreadable(String),
    #[error("the vault's table failed: {0}")]
    Database(#[from] DbErr),
}

#[derive(Clone)]
pub struct Vault {
    key: MasterKey,
}

impl Vault {
    pub fn new(key: MasterKey) -> Self {
        Self { key }
    }

    pub fn key_id(&self) -> String {
        self.key.id()
    }

    /// Every secret under the key of another vault; how many. Fails, and changes nothing, when one cannot be
    /// read.
    pub async fn seal_anew(
        &self,
        tx: &impl ConnectionTrait,
        new: &Self,
    ) -> Result<u64, VaultError> {
        let rows = row::Entity::find().all(tx).await?;
        let mut count = 0;
        for row in rows {
            let reference = SecretRef(row.reference.clone());
            let secret = self.get(tx, &reference).await?;
            let mut change = row.into_active_model();
            change.sealed = Set(new.sealed(&reference.0, &secret)?);
            change.key_id = Set(new.key.id());
            row::Entity::update(change).exec(tx).await?;
            count += 1;
        }
        Ok(count)
    }

    /// Nonce and ciphertext.
    fn sealed(&self, reference: &str, secret: &Secret) -> Result<Vec<u8>, VaultError> {
        let nonce = super::auth::random_bytes::<NONCE>();
        let payload = Payload {
            msg: secret.expose().as_bytes(),
            aad: reference.as_bytes(),
        };
        let ciphertext = self.cipher().encrypt(&XNonce::from(nonce), payload);
        let ciphertext = ciphertext.map_err(|_| VaultError::Unreadable(reference.to_owned()))?;
        Ok([&nonce[..], &ciphertext].concat())
    }

    /// Seals a new secret inside the caller's transaction; `at` in Unix milliseconds.
    pub async fn put(
        &self,
        tx: &impl ConnectionTrait,
        secret: &Secret,
        at: i64,
    ) -> Result<SecretRef, VaultError> {
        self.put_as(KEPT, tx, secret, at).await
    }

    async fn put_as(
        &self,
        kind: &str,
        tx: &impl ConnectionTrait,
        secret: &Secret,
        at: i64,
    ) -> Result<SecretRef, VaultError> {
        let reference = format!("{kind}{}", hex::encode(super::auth::random_bytes::<16>()));
        self.put_under(&reference, tx, secret, at).await?;
        Ok(SecretRef(reference))
    }

    async fn put_under(
        &self,
        reference: &str,
        tx: &impl ConnectionTrait,
        secret: &Secret,
        at: i64,
    ) -> Result<(), VaultError> {
        let sealed = self.sealed(reference, secret)?;
        row::Entity::insert(row::ActiveModel {
            reference: Set(reference.to_owned()),
            key_id: Set(self.key.id()),
            sealed: Set(sealed),
            created_at: Set(at),
        })
        .exec_without_returning(tx)
        .await?;
        Ok(())
    }

    /// Seals a new secret together with the event that will name it.
    pub async fn seal(&self, unit: &Unit, secret: &Secret) -> Result<SecretRef, LogError> {
        let at = unit.now().timestamp_millis();
        self.put(unit.tx(), secret, at)
            .await
            .map_err(|error| LogError::Database(DbErr::Custom(error.to_string())))
    }

    /// The same for a secret that is `lent`: whoever names it sees that it is forgotten in time.
    pub async fn lend(&self, unit: &Unit, secret: &Secret) -> Result<SecretRef, LogError> {
        let at = unit.now().timestamp_millis();
        self.put_as(LENT, unit.tx(), secret, at)
            .await
            .map_err(|error| LogError::Database(DbErr::Custom(error.to_string())))
    }

    /// References of all that is lent.
    pub async fn lent(&self, db: &impl ConnectionTrait) -> Result<Vec<SecretRef>, DbErr> {
        let rows = row::Entity::find()
            .select_only()
            .column(row::Column::Reference)
            .filter(row::Column::Reference.starts_with(LENT))
            .into_tuple::<String>();
        Ok(rows.all(db).await?.into_iter().map(SecretRef).collect())
    }

    pub async fn forget(
        &self,
        tx: &impl ConnectionTrait,
        references: &[SecretRef],
    ) -> Result<(), DbErr> {
        let names = references.iter().map(|reference| reference.0.as_str());
        row::Entity::delete_many()
            .filter(row::Column::Reference.is_in(names))
            .exec(tx)
            .await?;
        Ok(())
    }

    pub async fn get(
        &self,
        db: &impl ConnectionTrait,
        reference: &SecretRef,
    ) -> Result<Secret, VaultError> {
        let name = &reference.0;
        let row = row::Entity::find_by_id(name).one(db).await?;
        let row = row.ok_or_else(|| VaultError::Missing(name.clone()))?;
        let unreadable = || VaultError::Unreadable(name.clone());
        let (nonce, ciphertext) = row.sealed.split_at_checked(NONCE).ok_or_else(unreadable)?;
        let nonce = <[u8; NONCE]>::try_from(nonce).map_err(|_| unreadable())?;
        let payload = Payload {
            msg: ciphertext,
            aad: name.as_bytes(),
        };
        let plain = self
            .cipher()
            .decrypt(&XNonce::from(nonce), payload)
            .map_err(|_| unreadable())?;
        let plain = String::from_utf8(plain).map_err(|_| unreadable())?;
        Ok(Secret::new(plain))
    }

    /// All that is kept and can be read, by reference. What is lent is forgotten soon, and stays here.
    pub async fn kept(&self, db: &impl ConnectionTrait) -> Result<Vec<(SecretRef, Secret)>, DbErr> {
        let rows = row::Entity::find()
            .select_only()
            .column(row::Column::Reference)
            .filter(row::Column::Reference.starts_with(KEPT))
            .order_by_asc(row::Column::Reference)
            .into_tuple::<String>();
        let mut kept = Vec::new();
        for reference in rows.all(db).await?.into_iter().map(SecretRef) {
            match self.get(db, &reference).await {
                Ok(secret) => kept.push((reference, secret)),
                Err(VaultError::Database(error)) => return Err(error),
                // Of another master key: nobody here can read it.
                Err(_) => {}
            }
        }
        Ok(kept)
    }

    /// Seals secrets under the references that they had elsewhere; those that are there already stay.
    pub async fn put_back(
        &self,
        unit: &Unit,
        secrets: &[(SecretRef, Secret)],
    ) -> Result<(), LogError> {
        let at = unit.now().timestamp_millis();
        for (SecretRef(reference), secret) in secrets {
            let present = row::Entity::find_by_id(reference).one(unit.tx()).await?;
            if present.is_none() && reference.starts_with(KEPT) {
                let put = self.put_under(reference, unit.tx(), secret, at).await;
                put.map_err(|error| LogError::Database(DbErr::Custom(error.to_string())))?;
            }
        }
        Ok(())
    }

    /// Lower hex; the same text has another digest under another master key.
    pub(super) fn keyed_digest(&self, tag: &[u8], text: &[u8]) -> String {
        let mut inner = Sha256::new();
        inner.update(tag);
        inner.update(self.key.0.expose());
        inner.update(text);
        // Twice, so that nobody can go on from a digest that they know.
        hex::encode(Sha256::digest(inner.finalize()))
    }

    /// What signs the log that leaves the host: made from the master key, so that whoever keeps that keeps
    /// this too.
    pub fn log_key(&self) -> Option<LogKey> {
        let mut sha = Sha256::new();
        sha.update(b"holdfast.log-key.v1\0");
        sha.update(self.key.0.expose());
        LogKey::from_seed(&sha.finalize().into())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.key.0.expose()).into())
    }
}

impl From<VaultError> for super::AppError {
    fn from(error: VaultError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<VaultError> for crate::domain::failure::Failure {
    fn from(error: VaultError) -> Self {
        Self::permanent(
            error.to_string(),
            "Enter the secret again in the config, or bring back the master key it was stored under.",
        )
    }
}
