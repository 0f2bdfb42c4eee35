//! The trigger of a config: the hash of its token, and where the secret of its signature lies. Filled
//! from the log.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum BackupConfigs {
    Table,
    TriggerDigest,
    TriggerSecret,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for column in [BackupConfigs::TriggerDigest, BackupConfigs::TriggerSecret] {
            m.alter_table(
                Table::alter()
                    .table(BackupConfigs::Table)
                    .add_column(string_null(column))
                    .to_owned(),
            )
            .await?;
        }
        m.create_index(
            Index::create()
                .name("backup_configs_trigger")
                .table(BackupConfigs::Table)
                .col(BackupConfigs::TriggerDigest)
                .to_owned(),
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.drop_index(
            Index::drop()
                .name("backup_configs_trigger")
                .table(BackupConfigs::Table)
                .to_owned(),
        )
        .await?;
        for column in [BackupConfigs::TriggerDigest, BackupConfigs::TriggerSecret] {
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
