//! A restore may be of a file that somebody sent, and so of no run. The table is a read model: it
//! is made anew, and filled from the log at the next start.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden, Clone, Copy)]
enum Restores {
    Table,
    Id,
    RunId,
    Upload,
    AppId,
    Service,
    Status,
    Settling,
    Attempt,
    Container,
    Steps,
    Kept,
    KeepUntil,
    Fingerprint,
    Warnings,
    RequestedAt,
    StartedAt,
    FinishedAt,
    ErrorMsg,
    Hint,
    ErrorDetail,
    CancelRequested,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.drop_table(Table::drop().table(Restores::Table).to_owned())
            .await?;
        m.create_table(
            Table::create()
                .table(Restores::Table)
                .col(big_integer(Restores::Id).primary_key())
                .col(big_integer_null(Restores::RunId))
                .col(text_null(Restores::Upload))
                .col(big_integer(Restores::AppId))
                .col(string(Restores::Service))
                .col(string_len(Restores::Status, 16))
                .col(boolean(Restores::Settling))
                .col(integer(Restores::Attempt))
                .col(string_null(Restores::Container))
                .col(text(Restores::Steps))
                .col(text_null(Restores::Kept))
                .col(big_integer_null(Restores::KeepUntil))
                .col(text_null(Restores::Fingerprint))
                .col(text(Restores::Warnings))
                .col(big_integer(Restores::RequestedAt))
                .col(big_integer_null(Restores::StartedAt))
                .col(big_integer_null(Restores::FinishedAt))
                .col(text_null(Restores::ErrorMsg))
                .col(text_null(Restores::Hint))
                .col(text_null(Restores::ErrorDetail))
                .col(boolean(Restores::CancelRequested))
                .to_owned(),
        )
        .await?;
        for (name, column) in [
            ("restores_app", Restores::AppId),
            ("restores_status", Restores::Status),
        ] {
            let mut index = Index::create();
            index.name(name).table(Restores::Table);
            m.create_index(index.col(column).col(Restores::Id).to_owned())
                .await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "restores of uploaded files have no place in the older table".into(),
        ))
    }
}
