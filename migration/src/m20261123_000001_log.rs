//! The event log, append-only by triggers, and the checkpoints of what reads it.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum Events {
    Table,
    Position,
    StreamKind,
    StreamId,
    Version,
    Name,
    Schema,
    Data,
    Actor,
    Correlation,
    Causation,
    AppId,
    ConfigId,
    At,
    PrevHash,
    Hash,
}

#[derive(DeriveIden)]
enum Checkpoints {
    Table,
    Name,
    Kind,
    Version,
    Position,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(
            Table::create()
                .table(Events::Table)
                .col(big_integer(Events::Position).primary_key())
                .col(string_len(Events::StreamKind, 16))
                .col(big_integer(Events::StreamId))
                .col(big_integer(Events::Version))
                .col(string_len(Events::Name, 64))
                .col(integer(Events::Schema))
                .col(text(Events::Data))
                .col(text(Events::Actor))
                .col(string_len(Events::Correlation, 64))
                .col(big_integer_null(Events::Causation))
                .col(big_integer_null(Events::AppId))
                .col(big_integer_null(Events::ConfigId))
                .col(big_integer(Events::At).comment("Unix time in milliseconds"))
                .col(binary_len(Events::PrevHash, 32))
                .col(binary_len(Events::Hash, 32))
                .to_owned(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("events_stream")
                .table(Events::Table)
                .col(Events::StreamKind)
                .col(Events::StreamId)
                .col(Events::Version)
                .unique()
                .to_owned(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("events_app")
                .table(Events::Table)
                .col(Events::AppId)
                .col(Events::Position)
                .to_owned(),
        )
        .await?;
        m.create_table(
            Table::create()
                .table(Checkpoints::Table)
                .col(string_len(Checkpoints::Name, 64).primary_key())
                .col(string_len(Checkpoints::Kind, 16))
                .col(integer(Checkpoints::Version))
                .col(big_integer(Checkpoints::Position))
                .to_owned(),
        )
        .await?;
        append_only(m).await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.drop_table(Table::drop().table(Checkpoints::Table).to_owned())
            .await?;
        m.drop_table(Table::drop().table(Events::Table).to_owned())
            .await
    }
}

async fn append_only(m: &SchemaManager<'_>) -> Result<(), DbErr> {
    for verb in ["UPDATE", "DELETE"] {
        let sql = format!(
            "CREATE TRIGGER events_no_{} BEFORE {verb} ON events \
             BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END",
            verb.to_lowercase()
        );
        m.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}
