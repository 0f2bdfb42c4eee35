//! Proofs of identity: digests of passwords, tokens and sessions, and the throttle on guessing.
//! Passwords are argon2id; tokens and sessions are 256 random bits, so one SHA-256 is enough.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use argon2::{
    Argon2, Params,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter,
    sea_query::OnConflict,
};
use sha2::{Digest, Sha256};

use crate::domain::{
    ids::{TokenId, UserId},
    secret::Secret,
};

pub mod passwords {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "password_digests")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: i64,
        pub digest: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub mod tokens {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "token_digests")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub digest: String,
        pub user_id: i64,
        pub token_id: i64,
        pub last_used_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub mod sessions {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sessions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub digest: String,
        pub user_id: i64,
        pub created_at: i64,
        pub seen_at: i64,
        pub address: String,
        pub agent: String,
        /// When it last showed who holds it.
        pub proved_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// From the operating system. Ends the process when it has none to give: nothing would be safe.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// `{prefix}_` and 64 hexadecimal digits: 256 bits.
pub fn random_token(prefix: &str) -> Secret {
    Secret::new(format!("{prefix}_{}", hex::encode(random_bytes::<32>())))
}

/// What is stored of a token or session: lower-hex SHA-256.
pub fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).expect("these parameters are in range");
    Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
}

/// Slow by design (some 30 ms): call it on a blocking thread.
pub fn hash_password(password: &str) -> Option<String> {
    let digest = argon2().hash_password(password.as_bytes()).ok()?;
    Some(digest.to_string())
}

/// Takes as long without a digest as with one, so that time does not tell which users there are.
pub fn check_password(password: &str, digest: Option<&str>) -> bool {
    let Some(digest) = digest else {
        let _ = hash_password(password);
        return false;
    };
    PasswordHash::new(digest).is_ok_and(|parsed| {
        argon2()
            .verify_password(password.as_bytes(), &parsed)
            .is_ok()
    })
}

pub async fn set_password(
    tx: &impl ConnectionTrait,
    user: UserId,
    digest: String,
) -> Result<(), DbErr> {
    passwords::Entity::insert(passwords::ActiveModel {
        user_id: Set(user.0),
        digest: Set(digest),
    })
    .on_conflict(
        OnConflict::column(passwords::Column::UserId)
            .update_column(passwords::Column::Digest)
            .to_owned(),
    )
    .exec_without_returning(tx)
    .await?;
    Ok(())
}

pub async fn password(db: &impl ConnectionTrait, user: UserId) -> Result<Option<String>, DbErr> {
    let row = passwords::Entity::find_by_id(user.0).one(db).await?;
    Ok(row.map(|row| row.digest))
}

pub async fn add_token(
    tx: &impl ConnectionTrait,
    token: &Secret,
    user: UserId,
    id: TokenId,
) -> Result<(), DbErr> {
    tokens::Entity::insert(tokens::ActiveModel {
        digest: Set(digest(token.expose())),
        user_id: Set(user.0),
        token_id: Set(id.0),
        last_used_at: Set(None),
    })
    .exec_without_returning(tx)
    .await?;
    Ok(())
}

pub async fn token(
    db: &impl ConnectionTrait,
    bearer: &str,
) -> Result<Option<tokens::Model>, DbErr> {
    tokens::Entity::find_by_id(digest(bearer)).one(db).await
}

/// Everything that lets `user` in, gone.
pub async fn forget_user(tx: &impl ConnectionTrait, user: UserId) -> Result<(), DbErr> {
    passwords::Entity::delete_by_id(user.0).exec(tx).await?;
    tokens::Entity::delete_many()
        .filter(tokens::Column::UserId.eq(user.0))
        .exec(tx)
        .await?;
    end_sessions(tx, user).await
}

pub async fn end_sessions(tx: &impl ConnectionTrait, user: UserId) -> Result<(), DbErr> {
    sessions::Entity::delete_many()
        .filter(sessions::Column::UserId.eq(user.0))
        .exec(tx)
        .await?;
    Ok(())
}

/// What guesses are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Guess {
    Address(String),
    /// Digest of the name that was tried: names are as long and as many as an attacker likes.
    Account(String),
}

impl Guess {
    pub fn by(address: &str, account: &str) -> [Self; 2] {
        [
            Self::Address(address.to_owned()),
            Self::Account(digest(account)),
        ]
    }
}

/// Slows down guessing, per account and per address, without ever locking anybody out for good:
/// after five refusals each further one doubles the pause, up to a minute. A try counts as refused
/// from its beginning, so that many at once are not more than one after the other.
#[derive(Default)]
pub struct Throttle {
    tries: Mutex<HashMap<Guess, (u32, Instant)>>,
}

const FREE_TRIES: u32 = 5;
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);

impl Throttle {
    /// Counts a try, or says how many seconds to wait until the next one is heard.
    pub fn begin(&self, guesses: &[Guess]) -> Result<(), u64> {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.retain(|_, (_, last)| last.elapsed() < FORGET_AFTER);
        let wait = guesses
            .iter()
            .filter_map(|guess| {
                let (count, last) = tries.get(guess)?;
                let over = count.checked_sub(FREE_TRIES)?;
                let pause = Duration::from_secs(1 << over.min(6)).min(Duration::from_secs(60));
                let left = pause.checked_sub(last.elapsed())?;
                Some(left.as_secs() + 1)
            })
            .max();
        if let Some(seconds) = wait {
            return Err(seconds);
        }
        for guess in guesses {
            let entry = tries.entry(guess.clone()).or_insert((0, Instant::now()));
            *entry = (entry.0 + 1, Instant::now());
        }
        Ok(())
    }

    /// The try was right: it counts no more, and the account's earlier ones neither.
    pub fn good(&self, guesses: &[Guess]) {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        for guess in guesses {
            match guess {
                Guess::Account(_) => {
                    tries.remove(guess);
                }
                Guess::Address(_) => {
                    if let Some((count, _)) = tries.get_mut(guess) {
                        *count = count.saturating_sub(1);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_tries_at_once_are_five_and_a_pause() {
        let throttle = Throttle::default();
        let heard = (0..1000)
            .filter(|_| throttle.begin(&Guess::by("192.0.2.1", "admin")).is_ok())
            .count();
        assert_eq!(heard, 5);
        // Another address, the same account; another account, the same address; neither.
        assert!(throttle.begin(&Guess::by("192.0.2.2", "admin")).is_err());
        assert!(throttle.begin(&Guess::by("192.0.2.1", "olga")).is_err());
        assert!(throttle.begin(&Guess::by("192.0.2.2", "olga")).is_ok());
        // A name that looks like an address is none.
        assert!(throttle.begin(&Guess::by("192.0.2.3", "192.0.2.1")).is_ok());
    }

    #[test]
    fn who_is_right_is_not_slowed_down() {
        let throttle = Throttle::default();
        for _ in 0..100 {
            let guesses = Guess::by("192.0.2.1", "admin");
            assert!(throttle.begin(&guesses).is_ok());
            throttle.good(&guesses);
        }
    }
}
