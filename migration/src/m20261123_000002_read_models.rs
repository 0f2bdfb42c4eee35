//! Read models: rows that pages and the API read, all of them derived from the log. `backup_configs`
//! and `backup_runs` keep the names and columns of the module that Holdfast replaces.
//! Times are Unix milliseconds.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden, Clone, Copy)]
enum Apps {
    Table,
    Id,
    Slug,
    Name,
    Project,
    ComposePath,
    CreatedAt,
    RemovedAt,
}

#[derive(DeriveIden, Clone, Copy)]
enum BackupConfigs {
    Table,
    Id,
    AppId,
    Strategy,
    Target,
    ScheduleCron,
    Service,
    Enabled,
    Revision,
    Spec,
    CreatedAt,
    UpdatedAt,
    RemovedAt,
}

#[derive(DeriveIden, Clone, Copy)]
enum BackupRuns {
    Table,
    Id,
    BackupConfigId,
    AppId,
    Status,
    Phase,
    Trigger,
    Attempt,
    SizeBytes,
    RawBytes,
    Checksum,
    FilePath,
    RequestedAt,
    StartedAt,
    FinishedAt,
    RetryAt,
    ErrorMsg,
    Hint,
    ErrorDetail,
    Warnings,
    Pin,
    Artifact,
    Fingerprint,
    CancelRequested,
    Obligations,
    Stages,
    RequestKey,
}

#[derive(DeriveIden, Clone, Copy)]
enum Restores {
    Table,
    Id,
    RunId,
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

#[derive(DeriveIden, Clone, Copy)]
enum Users {
    Table,
    Id,
    Name,
    Role,
    Tokens,
    CreatedAt,
    RemovedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(
            Table::create()
                .table(Apps::Table)
                .col(big_integer(Apps::Id).primary_key())
                .col(string(Apps::Slug))
                .col(string(Apps::Name))
                .col(string(Apps::Project))
                .col(string_null(Apps::ComposePath))
                .col(big_integer(Apps::CreatedAt))
                .col(big_integer_null(Apps::RemovedAt))
                .to_owned(),
        )
        .await?;
        index(m, "apps_slug", Apps::Table, &[Apps::Slug]).await?;

        m.create_table(
            Table::create()
                .table(BackupConfigs::Table)
                .col(big_integer(BackupConfigs::Id).primary_key())
                .col(big_integer(BackupConfigs::AppId))
                .col(string(BackupConfigs::Strategy))
                .col(string(BackupConfigs::Target))
                .col(string(BackupConfigs::ScheduleCron))
                .col(string(BackupConfigs::Service))
                .col(boolean(BackupConfigs::Enabled))
                .col(integer(BackupConfigs::Revision))
                .col(text(BackupConfigs::Spec))
                .col(big_integer(BackupConfigs::CreatedAt))
                .col(big_integer(BackupConfigs::UpdatedAt))
                .col(big_integer_null(BackupConfigs::RemovedAt))
                .to_owned(),
        )
        .await?;
        index(
            m,
            "backup_configs_app",
            BackupConfigs::Table,
            &[BackupConfigs::AppId],
        )
        .await?;

        m.create_table(
            Table::create()
                .table(BackupRuns::Table)
                .col(big_integer(BackupRuns::Id).primary_key())
                .col(big_integer(BackupRuns::BackupConfigId))
                .col(big_integer(BackupRuns::AppId))
                .col(string_len(BackupRuns::Status, 16))
                .col(string_len(BackupRuns::Phase, 16))
                .col(string_len(BackupRuns::Trigger, 16))
                .col(integer(BackupRuns::Attempt))
                .col(big_integer_null(BackupRuns::SizeBytes))
                .col(big_integer_null(BackupRuns::RawBytes))
                .col(string_null(BackupRuns::Checksum))
                .col(string_null(BackupRuns::FilePath))
                .col(big_integer(BackupRuns::RequestedAt))
                .col(big_integer_null(BackupRuns::StartedAt))
                .col(big_integer_null(BackupRuns::FinishedAt))
                .col(big_integer_null(BackupRuns::RetryAt))
                .col(text_null(BackupRuns::ErrorMsg))
                .col(text_null(BackupRuns::Hint))
                .col(text_null(BackupRuns::ErrorDetail))
                .col(text(BackupRuns::Warnings))
                .col(text_null(BackupRuns::Pin))
                .col(text_null(BackupRuns::Artifact))
                .col(text_null(BackupRuns::Fingerprint))
                .col(boolean(BackupRuns::CancelRequested))
                .col(text(BackupRuns::Obligations))
                .col(text(BackupRuns::Stages))
                .col(string_null(BackupRuns::RequestKey))
                .to_owned(),
        )
        .await?;
        index(
            m,
            "backup_runs_config",
            BackupRuns::Table,
            &[BackupRuns::BackupConfigId, BackupRuns::Id],
        )
        .await?;
        index(
            m,
            "backup_runs_request",
            BackupRuns::Table,
            &[BackupRuns::BackupConfigId, BackupRuns::RequestKey],
        )
        .await?;
        index(
            m,
            "backup_runs_app",
            BackupRuns::Table,
            &[BackupRuns::AppId, BackupRuns::Id],
        )
        .await?;
        index(
            m,
            "backup_runs_status",
            BackupRuns::Table,
            &[BackupRuns::Status, BackupRuns::Id],
        )
        .await?;

        m.create_table(
            Table::create()
                .table(Restores::Table)
                .col(big_integer(Restores::Id).primary_key())
                .col(big_integer(Restores::RunId))
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
        index(
            m,
            "restores_app",
            Restores::Table,
            &[Restores::AppId, Restores::Id],
        )
        .await?;
        index(
            m,
            "restores_status",
            Restores::Table,
            &[Restores::Status, Restores::Id],
        )
        .await?;

        m.create_table(
            Table::create()
                .table(Users::Table)
                .col(big_integer(Users::Id).primary_key())
                .col(string(Users::Name))
                .col(string_len(Users::Role, 16))
                .col(text(Users::Tokens))
                .col(big_integer(Users::CreatedAt))
                .col(big_integer_null(Users::RemovedAt))
                .to_owned(),
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            Apps::Table.into_iden(),
            BackupConfigs::Table.into_iden(),
            BackupRuns::Table.into_iden(),
            Restores::Table.into_iden(),
            Users::Table.into_iden(),
        ] {
            m.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

async fn index<T>(m: &SchemaManager<'_>, name: &str, table: T, columns: &[T]) -> Result<(), DbErr>
where
    T: Iden + Copy + 'static,
{
    let mut index = Index::create();
    index.name(name).table(table);
    for &column in columns {
        index.col(column);
    }
    m.create_index(index.clone()).await
}
