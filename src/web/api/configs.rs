//! Backup configs: what is backed up, where to, when, and how long it is kept.

mod hooks;
pub(super) mod input;
pub(super) mod output;
mod retention;
mod trigger;

use poem_openapi::{
    OpenApi,
    param::{Path, Query},
    payload::Json,
};

pub use self::output::next_run;
use self::{
    input::ConfigBody,
    output::Config,
    retention::RetentionPreview,
    trigger::{Trigger, TriggerBody},
};
use super::{
    answer::{Answer, Created, Done},
    body::{Body, MaybeBody},
    error::ApiError,
    visit::Visit,
};
use crate::{app::Artifacts, domain::ids::ConfigId};

pub struct Configs;

#[OpenApi]
impl Configs {
    /// The configs of an app, oldest first
    #[oai(
        path = "/apps/:slug/backups/configs",
        method = "get",
        operation_id = "list_configs"
    )]
    async fn list_configs(&self, visit: Visit, slug: Path<String>) -> Answer<Vec<Config>> {
        let app = visit.holdfast.app(&visit.caller, &slug).await?;
        let configs = visit.holdfast.configs(&visit.caller, &app).await?;
        let now = visit.holdfast.log().now();
        let configs = configs.iter().map(|config| Config::of(config, now));
        Ok(Json(configs.collect()))
    }

    /// Adds a config; everything is checked, down to a look at the running service
    #[oai(
        path = "/apps/:slug/backups/configs",
        method = "post",
        operation_id = "add_config"
    )]
    async fn add_config(
        &self,
        visit: Visit,
        slug: Path<String>,
        body: Body<ConfigBody>,
    ) -> Result<Created<Config>, ApiError> {
        let input = body.0.checked()?;
        let config = visit
            .holdfast
            .create_config(&visit.caller, &slug, input)
            .await?;
        Ok(Created(Config::of(&config, visit.holdfast.log().now())))
    }

    /// Changes a config; absent fields and masked secrets keep their value
    #[oai(
        path = "/backups/configs/:id",
        method = "put",
        operation_id = "change_config"
    )]
    async fn change_config(
        &self,
        visit: Visit,
        id: Path<i64>,
        body: Body<ConfigBody>,
    ) -> Answer<Config> {
        let input = body.0.checked()?;
        let config = visit
            .holdfast
            .change_config(&visit.caller, ConfigId(*id), input)
            .await?;
        Ok(Json(Config::of(&config, visit.holdfast.log().now())))
    }

    /// What the config's retention keeps, what it lets go and why: now, and in the next 90 days
    ///
    /// Nothing is deleted by asking. What goes, goes after the next good run, unless `brake` says why not.
    #[oai(
        path = "/backups/configs/:id/retention",
        method = "get",
        operation_id = "preview_retention"
    )]
    async fn preview_retention(&self, visit: Visit, id: Path<i64>) -> Answer<RetentionPreview> {
        let preview = visit
            .holdfast
            .retention_preview(&visit.caller, ConfigId(*id))
            .await?;
        Ok(Json(preview.into()))
    }

    /// Makes an address of the config's own, which asks for a run of it; one that it had works no more
    #[oai(
        path = "/backups/configs/:id/trigger",
        method = "post",
        operation_id = "issue_trigger"
    )]
    async fn issue_trigger(
        &self,
        visit: Visit,
        id: Path<i64>,
        body: MaybeBody<TriggerBody>,
    ) -> Result<Created<Trigger>, ApiError> {
        let signed = body.0.signed.unwrap_or(false);
        let issued = visit
            .holdfast
            .issue_trigger(&visit.caller, ConfigId(*id), signed)
            .await?;
        Ok(Created(issued.into()))
    }

    /// Revokes the config's trigger
    #[oai(
        path = "/backups/configs/:id/trigger",
        method = "delete",
        operation_id = "revoke_trigger"
    )]
    async fn revoke_trigger(&self, visit: Visit, id: Path<i64>) -> Result<Done, ApiError> {
        visit
            .holdfast
            .revoke_trigger(&visit.caller, ConfigId(*id))
            .await?;
        Ok(Done)
    }

    /// Removes a config; its runs stay, and its artifacts too unless they are to be deleted
    ///
    /// What is to be deleted can be restored no more from the answer on. While a restore reads one of the
    /// artifacts, nothing is removed: 409.
    #[oai(
        path = "/backups/configs/:id",
        method = "delete",
        operation_id = "remove_config"
    )]
    async fn remove_config(
        &self,
        visit: Visit,
        id: Path<i64>,
        /// `keep` (the default) or `delete`
        artifacts: Query<Option<String>>,
    ) -> Result<Done, ApiError> {
        let artifacts = match artifacts.0.as_deref() {
            None | Some("keep") => Artifacts::Keep,
            Some("delete") => Artifacts::Delete,
            Some(_) => return Err(ApiError::invalid("artifacts", "use keep or delete")),
        };
        visit
            .holdfast
            .remove_config(&visit.caller, ConfigId(*id), artifacts)
            .await?;
        Ok(Done)
    }
}
