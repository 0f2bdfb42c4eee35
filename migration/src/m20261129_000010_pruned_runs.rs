//! When retention let a run's artifact go, and when it was deleted. Filled from the log.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum BackupRuns {
    Table,
    ExpiredAt,
    PrunedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for column in [BackupRuns::ExpiredAt, BackupRuns::PrunedAt] {
            m.alter_table(
                Table::alter()
                    .table(BackupRuns::Table)
                    .add_column(big_integer_null(column))
                    .to_owned(),
            )
            .await?;
        }
        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for column in [BackupRuns::ExpiredAt, BackupRuns::PrunedAt] {
            m.alter_table(
                Table::alter()
                    .table(BackupRuns::Table)
                    .drop_column(column)
                    .to_owned(),
            )
            .await?;
        }
        Ok(())
    }
}
