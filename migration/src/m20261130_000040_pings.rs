//! Deliveries that are pings of a config's dead man's switch, beside those to webhooks.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum WebhookDeliveries {
    Table,
    ConfigId,
    Ping,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        // One column a statement: SQLite takes no more.
        for column in [
            big_integer_null(WebhookDeliveries::ConfigId),
            string_len_null(WebhookDeliveries::Ping, 16),
        ] {
            let table = Table::alter()
                .table(WebhookDeliveries::Table)
                .add_column(column)
                .to_owned();
            m.alter_table(table).await?;
        }
        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            WebhookDeliveries::ConfigId.into_iden(),
            WebhookDeliveries::Ping.into_iden(),
        ] {
            let table = Table::alter()
                .table(WebhookDeliveries::Table)
                .drop_column(column)
                .to_owned();
            m.alter_table(table).await?;
        }
        Ok(())
    }
}
