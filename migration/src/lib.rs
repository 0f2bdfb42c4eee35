//! The schema of Holdfast's one database, one file a step. Raw SQL stands where the builder has no word
//! for it.

pub use sea_orm_migration::prelude::*;

mod m20261123_000001_log;
mod m20261123_000002_read_models;
mod m20261123_000003_secrets;
mod m20261125_000010_uploads;
mod m20261125_000011_restore_sources;
mod m20261129_000010_pruned_runs;
mod m20261129_000011_slots;
mod m20261129_000012_webhooks;
mod m20261129_000013_triggers;
mod m20261130_000020_verifications;
mod m20261130_000040_pings;
mod m20261130_000041_grants;
mod m20261130_000042_second_factors;
mod m20261130_000050_totals;
mod m20261130_000070_copies;
mod m20261130_000080_ping_log;
mod m20261130_000081_held_artifacts;
mod m20261130_000090_identities;
mod m20261130_000100_pruned_detail;
mod m20261130_000110_good_runs;
mod m20261130_000120_safety_runs;
mod m20261201_000010_leftovers;

pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_log::Migration),
            Box::new(m20261123_000002_read_models::Migration),
            Box::new(m20261123_000003_secrets::Migration),
            Box::new(m20261125_000010_uploads::Migration),
            Box::new(m20261125_000011_restore_sources::Migration),
            Box::new(m20261129_000010_pruned_runs::Migration),
            Box::new(m20261129_000011_slots::Migration),
            Box::new(m20261129_000012_webhooks::Migration),
            Box::new(m20261129_000013_triggers::Migration),
            Box::new(m20261130_000020_verifications::Migration),
            Box::new(m20261130_000040_pings::Migration),
            Box::new(m20261130_000041_grants::Migration),
            Box::new(m20261130_000042_second_factors::Migration),
            Box::new(m20261130_000050_totals::Migration),
            Box::new(m20261130_000070_copies::Migration),
            Box::new(m20261130_000080_ping_log::Migration),
            Box::new(m20261130_000081_held_artifacts::Migration),
            Box::new(m20261130_000090_identities::Migration),
            Box::new(m20261130_000100_pruned_detail::Migration),
            Box::new(m20261130_000110_good_runs::Migration),
            Box::new(m20261130_000120_safety_runs::Migration),
            Box::new(m20261201_000010_leftovers::Migration),
        ]
    }
}
