//! The pings of a config are found without a look at every delivery there is.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const PINGS: &str = "webhook_deliveries_pings";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let index = format!(
            "CREATE INDEX {PINGS} ON webhook_deliveries (config_id, id) WHERE config_id IS NOT NULL"
        );
        m.get_connection().execute_unprepared(&index).await?;
        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let index = format!("DROP INDEX {PINGS}");
        m.get_connection().execute_unprepared(&index).await?;
        Ok(())
    }
}
