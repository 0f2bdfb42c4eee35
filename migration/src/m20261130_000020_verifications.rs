//! When each stored artifact was last read and found whole, and what a verification came to. Filled
//! from the log.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum BackupRuns {
    Table,
    VerifiedAt,
    Verifying,
    VerifyAt,
    Verification,
    LookedAt,
}

const VERIFYING: &str = "idx_backup_runs_verifying";
const LOOKED_AT: &str = "idx_backup_runs_looked_at";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            big_integer_null(BackupRuns::VerifiedAt),
            integer_null(BackupRuns::Verifying),
            big_integer_null(BackupRuns::VerifyAt),
            text_null(BackupRuns::Verification),
            big_integer_null(BackupRuns::LookedAt),
        ] {
            m.alter_table(
                Table::alter()
                    .table(BackupRuns::Table)
                    .add_column(column)
                    .to_owned(),
            )
            .await?;
        }
        for (name, column) in [
            (VERIFYING, BackupRuns::Verifying),
            (LOOKED_AT, BackupRuns::LookedAt),
        ] {
            m.create_index(
                Index::create()
                    .name(name)
                    .table(BackupRuns::Table)
                    .col(column)
                    .to_owned(),
            )
            .await?;
        }
        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for name in [VERIFYING, LOOKED_AT] {
            m.drop_index(Index::drop().name(name).table(BackupRuns::Table).to_owned())
                .await?;
        }
        for column in [
            BackupRuns::VerifiedAt,
            BackupRuns::Verifying,
            BackupRuns::VerifyAt,
            BackupRuns::Verification,
            BackupRuns::LookedAt,
        ] {
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
