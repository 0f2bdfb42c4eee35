//! Users: who they are elsewhere.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum Users {
    Table,
    Identity,
}

const INDEX: &str = "users_identity";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::alter()
            .table(Users::Table)
            .add_column(text_null(Users::Identity))
            .to_owned();
        m.alter_table(table).await?;
        let index = Index::create()
            .name(INDEX)
            .table(Users::Table)
            .col(Users::Identity)
            .to_owned();
        m.create_index(index).await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let index = Index::drop().name(INDEX).table(Users::Table).to_owned();
        m.drop_index(index).await?;
        let table = Table::alter()
            .table(Users::Table)
            .drop_column(Users::Identity)
            .to_owned();
        m.alter_table(table).await
    }
}
