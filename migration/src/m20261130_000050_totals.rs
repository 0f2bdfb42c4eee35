//! What is kept, and what ended of late, without a look at every run there ever was: both are small
//! however long the history is.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: [(&str, &str); 3] = [
    (
        "backup_runs_kept",
        "(app_id, size_bytes) WHERE status = 'success' AND pruned_at IS NULL",
    ),
    ("backup_runs_ended", "(finished_at, app_id, status)"),
    ("backup_runs_asked", "(app_id, requested_at)"),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for (name, what) in INDEXES {
            let sql = format!("CREATE INDEX {name} ON backup_runs {what}");
            m.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for (name, _) in INDEXES {
            let sql = format!("DROP INDEX {name}");
            m.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}
