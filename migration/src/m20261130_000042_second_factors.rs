//! Second factors of users, and when a session last proved who holds it.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum SecondFactors {
    Table,
    UserId,
    Secret,
    Confirmed,
    LastStep,
    Recovery,
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    ProvedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(
            Table::create()
                .table(SecondFactors::Table)
                .col(big_integer(SecondFactors::UserId).primary_key())
                .col(string_len(SecondFactors::Secret, 64))
                .col(boolean(SecondFactors::Confirmed))
                .col(big_integer(SecondFactors::LastStep))
                .col(text(SecondFactors::Recovery))
                .to_owned(),
        )
        .await?;
        let proved = Table::alter()
            .table(Sessions::Table)
            .add_column(big_integer_null(Sessions::ProvedAt))
            .to_owned();
        m.alter_table(proved).await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.drop_table(Table::drop().table(SecondFactors::Table).to_owned())
            .await?;
        let proved = Table::alter()
            .table(Sessions::Table)
            .drop_column(Sessions::ProvedAt)
            .to_owned();
        m.alter_table(proved).await
    }
}
