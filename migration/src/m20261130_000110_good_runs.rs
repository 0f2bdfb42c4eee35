//! The newest success of a config that has failed ten thousand times since, without a look at each failure.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let sql = "CREATE INDEX backup_runs_good ON backup_runs (backup_config_id, id) \
                   WHERE status = 'success'";
        m.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let sql = "DROP INDEX backup_runs_good";
        m.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}
