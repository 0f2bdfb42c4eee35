//! Users: what they may see, and whether they may log in at all.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum Users {
    Table,
    Grants,
    DisabledAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        // One column a statement: SQLite takes no more. The read model fills them when it is rebuilt.
        for column in [
            text(Users::Grants).default("{}").take(),
            big_integer_null(Users::DisabledAt),
        ] {
            let table = Table::alter()
                .table(Users::Table)
                .add_column(column)
                .to_owned();
            m.alter_table(table).await?;
        }
        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for column in [Users::Grants.into_iden(), Users::DisabledAt.into_iden()] {
            let table = Table::alter()
                .table(Users::Table)
                .drop_column(column)
                .to_owned();
            m.alter_table(table).await?;
        }
        Ok(())
    }
}
