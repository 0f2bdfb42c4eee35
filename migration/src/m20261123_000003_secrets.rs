//! What is neither an event nor derived from one: encrypted secrets, digests of passwords and
//! tokens, browser sessions.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum VaultSecrets {
    Table,
    Reference,
    KeyId,
    Sealed,
    CreatedAt,
}

#[derive(DeriveIden)]
enum PasswordDigests {
    Table,
    UserId,
    Digest,
}

#[derive(DeriveIden)]
enum TokenDigests {
    Table,
    Digest,
    UserId,
    TokenId,
    LastUsedAt,
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    Digest,
    UserId,
    CreatedAt,
    SeenAt,
    Address,
    Agent,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(
            Table::create()
                .table(VaultSecrets::Table)
                .col(string_len(VaultSecrets::Reference, 64).primary_key())
                .col(string_len(VaultSecrets::KeyId, 16))
                .col(blob(VaultSecrets::Sealed))
                .col(big_integer(VaultSecrets::CreatedAt))
                .to_owned(),
        )
        .await?;
        m.create_table(
            Table::create()
                .table(PasswordDigests::Table)
                .col(big_integer(PasswordDigests::UserId).primary_key())
                .col(string(PasswordDigests::Digest))
                .to_owned(),
        )
        .await?;
        m.create_table(
            Table::create()
                .table(TokenDigests::Table)
                .col(string_len(TokenDigests::Digest, 64).primary_key())
                .col(big_integer(TokenDigests::UserId))
                .col(big_integer(TokenDigests::TokenId))
                .col(big_integer_null(TokenDigests::LastUsedAt))
                .to_owned(),
        )
        .await?;
        m.create_table(
            Table::create()
                .table(Sessions::Table)
                .col(string_len(Sessions::Digest, 64).primary_key())
                .col(big_integer(Sessions::UserId))
                .col(big_integer(Sessions::CreatedAt))
                .col(big_integer(Sessions::SeenAt))
                .col(string_len(Sessions::Address, 64))
                .col(string_len(Sessions::Agent, 200))
                .to_owned(),
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            VaultSecrets::Table.into_iden(),
            PasswordDigests::Table.into_iden(),
            TokenDigests::Table.into_iden(),
            Sessions::Table.into_iden(),
        ] {
            m.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
