//! Up to where a config's slots have ended, and whether its schedule's promise is broken. Filled from
//! the log.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum BackupConfigs {
    Table,
    SlotsUntil,
    OverdueSince,
    Overdue,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            big_integer(BackupConfigs::SlotsUntil).default(0).to_owned(),
            big_integer_null(BackupConfigs::OverdueSince),
            string_null(BackupConfigs::Overdue),
        ] {
            m.alter_table(
                Table::alter()
                    .table(BackupConfigs::Table)
                    .add_column(column)
                    .to_owned(),
            )
            .await?;
        }
        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            BackupConfigs::SlotsUntil,
            BackupConfigs::OverdueSince,
            BackupConfigs::Overdue,
        ] {
            m.alter_table(
                Table::alter()
                    .table(BackupConfigs::Table)
                    .drop_column(column)
                    .to_owned(),
            )
            .await?;
        }
        Ok(())
    }
}
