//! The server's own database as something that is backed up: a config, runs, artifacts and retention like
//! any other's, under an id that no app's config has. Only what reads the data is its own.
//!
//! - `backup` is one attempt, `copy` what it reads and how that is judged;
//! - `arrival` is what a server does first that finds itself in a copy;
//! - `replace` puts a copy in the place of the database, while no server runs.

mod arrival;
mod backup;
mod copy;
mod replace;

pub(super) use self::copy::sweep;
pub use self::{
    copy::OwnCopy,
    replace::{ReplaceError, Replaced, replace_database},
};
use super::{Caller, ConfigInput, Holdfast, Result, configs::Draft, slots};
use crate::{
    domain::{
        access::Role,
        audit::AuditEvent,
        config::{self, Config, ConfigCommand, ConfigSpec},
        event::Scope,
        failure::FieldErrors,
        ids::{AppId, ConfigId, RunId},
        run::Trigger,
    },
    readmodel::{configs, runs},
};

/// Of the strategy, in configs, runs and manifests. Not among those that a config of an app may name.
pub const KIND: &str = "own";
/// Stands for app, service and container.
pub(super) const NAME: &str = "holdfast";
const COMPACT: &str = "compact";

/// True when the config asks for compact copies.
pub fn is_compact(spec: &ConfigSpec) -> bool {
    spec.options.get(COMPACT).is_some_and(|it| it == "true")
}

/// Until somebody sets it up: by hand only, to the local target.
fn unset() -> ConfigSpec {
    ConfigSpec {
        name: "Holdfast's own database".to_owned(),
        service: NAME.to_owned(),
        strategy: KIND.to_owned(),
        ..ConfigSpec::default()
    }
}

impl Holdfast {
    /// How the server's own database is backed up, and since when it is so; no row while nobody has said.
    pub async fn own_config(
        &self,
        caller: &Caller,
    ) -> Result<(ConfigSpec, Option<configs::Model>)> {
        caller.must_be(Role::Admin)?;
        let row = configs::get(self.db(), ConfigId::OWN).await?;
        let spec = row.as_ref().map_or_else(unset, configs::Model::spec);
        Ok((spec, row))
    }

    /// Changes what is given. Where, when, how long and how; what is backed up stays what it is.
    pub async fn set_own_config(
        &self,
        caller: &Caller,
        input: ConfigInput,
        compact: Option<bool>,
    ) -> Result<()> {
        let (mut spec, row) = self.own_config(caller).await?;
        let revision = row.as_ref().map_or(0, |row| row.revision);
        let revision = u32::try_from(revision).unwrap_or_default();
        if let Some(compact) = compact {
            let said = compact.then(|| (COMPACT.to_owned(), true.to_string()));
            spec.options = said.into_iter().collect();
        }
        let input = ConfigInput {
            name: None,
            service: None,
            strategy: None,
            options: None,
            credentials: None,
            paths: None,
            verify_upload: None,
            pre_hooks: None,
            post_hooks: None,
            ping_url: None,
            labels: None,
            revision: None,
            ..input
        };
        let draft = Draft::merge(spec, input)?;
        let mut errors = FieldErrors::default();
        errors.merge(config::check(&draft.spec));
        errors.merge(self.check_first_target(&draft).await?);
        errors.into_result()?;
        let (vault, is_new) = (self.0.vault.clone(), row.is_none());
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    let (config, app) = (ConfigId::OWN, AppId::OWN);
                    let command = if is_new {
                        let spec = draft.seal(&vault, unit).await?;
                        ConfigCommand::Create { config, app, spec }
                    } else {
                        // What came due under the old schedule ends under it.
                        while slots::settle_due(unit, config).await? {}
                        let spec = draft.seal(&vault, unit).await?;
                        ConfigCommand::Change { revision, spec }
                    };
                    unit.execute::<Config>(config.0, command).await
                })
            })
            .await?;
        Ok(())
    }

    /// Newest first.
    pub async fn own_runs(
        &self,
        caller: &Caller,
        before: Option<RunId>,
        limit: u64,
    ) -> Result<Vec<runs::Model>> {
        caller.must_be(Role::Admin)?;
        let filter = runs::Filter {
            config: Some(ConfigId::OWN),
            before,
            limit,
            ..runs::Filter::default()
        };
        Ok(runs::list(self.db(), &filter).await?)
    }

    /// Asks for a run. While one is not over, that one is answered instead.
    pub async fn back_up_own(&self, caller: &Caller, trigger: Trigger) -> Result<RunId> {
        let (_, row) = self.own_config(caller).await?;
        if row.is_none() {
            self.set_own_config(caller, ConfigInput::default(), None)
                .await?;
        }
        self.append_request(caller, ConfigId::OWN, trigger, None)
            .await
    }

    /// A copy of the database as of now, for whoever keeps it themselves.
    pub async fn own_copy(&self, caller: &Caller, compact: bool) -> Result<OwnCopy> {
        caller.must_be(Role::Admin)?;
        let copy = OwnCopy::take(self, compact).await?;
        let event = AuditEvent::DatabaseDownloaded { compact };
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move { unit.note(event, Scope::default()).await })
            })
            .await?;
        Ok(copy)
    }
}
