//! Copies of a run's artifact in further targets. Filled from the log.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum BackupRuns {
    Table,
    Copies,
    CopiesOpen,
}

const OPEN: &str = "backup_runs_copying";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            text(BackupRuns::Copies).default("[]").to_owned(),
            integer(BackupRuns::CopiesOpen).default(0).to_owned(),
        ] {
            m.alter_table(
                Table::alter()
                    .table(BackupRuns::Table)
                    .add_column(column)
                    .to_owned(),
            )
            .await?;
        }
        // Asked at each start; without it every run there ever was would be looked at.
        let index = format!("CREATE INDEX {OPEN} ON backup_runs (id) WHERE copies_open > 0");
        m.get_connection().execute_unprepared(&index).await?;
        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let index = format!("DROP INDEX {OPEN}");
        m.get_connection().execute_unprepared(&index).await?;
        for column in [BackupRuns::Copies, BackupRuns::CopiesOpen] {
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
