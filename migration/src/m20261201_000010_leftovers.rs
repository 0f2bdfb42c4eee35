//! Runs that are over and may have left something in their target. Filled from the log.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum BackupRuns {
    Table,
    LeftoversDue,
}

const DUE: &str = "backup_runs_leftovers";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.alter_table(
            Table::alter()
                .table(BackupRuns::Table)
                .add_column(boolean(BackupRuns::LeftoversDue).default(false))
                .to_owned(),
        )
        .await?;
        // Asked at each start; without it every run there ever was would be looked at.
        let index = format!("CREATE INDEX {DUE} ON backup_runs (id) WHERE leftovers_due");
        m.get_connection().execute_unprepared(&index).await?;
        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let index = format!("DROP INDEX {DUE}");
        m.get_connection().execute_unprepared(&index).await?;
        m.alter_table(
            Table::alter()
                .table(BackupRuns::Table)
                .drop_column(BackupRuns::LeftoversDue)
                .to_owned(),
        )
        .await
    }
}
