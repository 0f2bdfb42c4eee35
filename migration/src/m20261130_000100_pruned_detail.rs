//! The log's triggers let one change pass: old detail is taken out, and all that ties the event into the chain
//! stays as it is. A later event in the log vouches for it.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// All but `data` and `actor`.
const KEPT: [&str; 13] = [
    "position",
    "stream_kind",
    "stream_id",
    "version",
    "name",
    "schema",
    "correlation",
    "causation",
    "app_id",
    "config_id",
    "at",
    "prev_hash",
    "hash",
];
/// An event that says what was done is never emptied, nor one from which anything is folded.
const EMPTIES: &str = "NEW.data = '' AND OLD.data <> '' AND OLD.stream_kind = 'audit' \
                       AND OLD.name LIKE 'audit.%'";
const REFUSE_ALL: &str = "CREATE TRIGGER events_no_update BEFORE UPDATE ON events \
                          BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let same = KEPT.map(|column| format!("NEW.{column} IS OLD.{column}"));
        let same = same.join(" AND ");
        let sql = format!(
            "DROP TRIGGER events_no_update; \
             CREATE TRIGGER events_no_update BEFORE UPDATE ON events \
             WHEN NOT ({EMPTIES} AND {same}) \
             BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END"
        );
        m.get_connection().execute_unprepared(&sql).await?;
        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let sql = format!("DROP TRIGGER events_no_update; {REFUSE_ALL}");
        m.get_connection().execute_unprepared(&sql).await?;
        Ok(())
    }
}
