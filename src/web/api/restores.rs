//! Restores: bring a service back to what a run stored, and take that back.

mod output;
mod preview;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use serde::Deserialize;

use self::{output::Restore, preview::RestorePreview};
use super::{
    answer::{Accepted, Answer},
    body::MaybeBody,
    error::ApiError,
    runs::page_size,
    visit::Visit,
};
use crate::{
    app::RestoreInput,
    domain::{
        ids::{RestoreId, RunId},
        secret::Secret,
    },
};

#[derive(Object, Deserialize, Default)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields, default)]
pub struct RestoreBody {
    /// Another service of the same app; the one that was backed up when absent.
    service: Option<String>,
    /// The private key that opens an encrypted backup (`AGE-SECRET-KEY-1…`, or a file with such lines),
    /// where the server has none of its own for it. Forgotten when the restore is over.
    identity: Option<String>,
    /// Where the backup is read from: 0 is its first target, 1 the first of the run's `copies`, and so on.
    /// From the first that has it when absent.
    from: Option<u32>,
    /// `in_place`, the only one there is: loaded beside, compared, then exchanged with what is there, which is
    /// kept for an undo. What a restore would do is told without one by `restore-preview`.
    mode: Option<String>,
    /// Back up what is there first, by the config that made the backup: the restore begins once that run is
    /// good, and fails with nothing touched when it is not. What is there is kept for an undo anyhow, for some
    /// time and in the service itself.
    safety_backup: Option<bool>,
}

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct RestoreRequested {
    restore_id: i64,
    /// The safety backup that goes before it.
    safety_run_id: Option<i64>,
}

pub struct Restores;

#[OpenApi]
impl Restores {
    /// Restores what a run stored
    ///
    /// `id` is the run's. The backup is checked as a whole before anything is touched, loaded on
    /// the side, and then put in place; what was there is kept for an undo.
    #[oai(
        path = "/backups/restore/:id",
        method = "post",
        operation_id = "restore_run"
    )]
    async fn restore_run(
        &self,
        visit: Visit,
        id: Path<i64>,
        body: MaybeBody<RestoreBody>,
    ) -> Result<Accepted<RestoreRequested>, ApiError> {
        if body.0.mode.is_some_and(|mode| mode != "in_place") {
            let problem = "use in_place; restore-preview tells what it would do, verification whether the \
                           backup is whole";
            return Err(ApiError::invalid("mode", problem));
        }
        let input = RestoreInput {
            service: body.0.service,
            identity: body.0.identity.map(Secret::new),
            from: body.0.from,
            safety_backup: body.0.safety_backup.unwrap_or(false),
        };
        let requested = visit
            .holdfast
            .request_safe_restore(&visit.caller, RunId(*id), input)
            .await?;
        Ok(Accepted(RestoreRequested {
            restore_id: requested.restore.0,
            safety_run_id: requested.safety.map(|run| run.0),
        }))
    }

    /// What a restore of this run would bring back, and what it would replace
    #[oai(
        path = "/backups/runs/:id/restore-preview",
        method = "get",
        operation_id = "preview_restore"
    )]
    async fn preview_restore(
        &self,
        visit: Visit,
        id: Path<i64>,
        /// Another service of the same app; the one that was backed up when absent
        service: Query<Option<String>>,
        /// Where the backup is read from, as for the restore
        from: Query<Option<u32>>,
    ) -> Answer<RestorePreview> {
        let preview = visit
            .holdfast
            .preview_restore(&visit.caller, RunId(*id), service.0, from.0)
            .await?;
        Ok(Json(preview.into()))
    }

    /// Restores, newest first
    #[oai(path = "/restores", method = "get", operation_id = "list_restores")]
    async fn list_restores(
        &self,
        visit: Visit,
        /// Slug of an app: of this one only
        app: Query<Option<String>>,
        /// At most this many, 50 when absent, 1,000 at most
        limit: Query<Option<u64>>,
    ) -> Answer<Vec<Restore>> {
        let app = match &app.0 {
            Some(slug) => Some(visit.holdfast.app(&visit.caller, slug).await?.app_id()),
            None => None,
        };
        let restores = visit
            .holdfast
            .restores(&visit.caller, app, page_size(limit.0)?)
            .await?;
        let now = visit.holdfast.log().now();
        let restores = restores.into_iter();
        Ok(Json(restores.map(|it| Restore::new(it, now)).collect()))
    }

    /// One restore, with its progress while it is at work
    #[oai(path = "/restores/:id", method = "get", operation_id = "get_restore")]
    async fn get_restore(&self, visit: Visit, id: Path<i64>) -> Answer<Restore> {
        let restore = visit
            .holdfast
            .restore(&visit.caller, RestoreId(*id))
            .await?;
        let progress = visit
            .holdfast
            .progress()
            .snapshot(&format!("restore-{}", *id));
        let now = visit.holdfast.log().now();
        Ok(Json(Restore::new(restore, now).at(progress)))
    }

    /// Puts back what the restore set aside
    #[oai(
        path = "/restores/:id/undo",
        method = "post",
        operation_id = "undo_restore"
    )]
    async fn undo_restore(
        &self,
        visit: Visit,
        id: Path<i64>,
    ) -> Result<Accepted<RestoreRequested>, ApiError> {
        let id = RestoreId(*id);
        visit.holdfast.undo_restore(&visit.caller, id).await?;
        Ok(accepted(id))
    }

    /// Cancels a restore; the service ends as it was before
    #[oai(
        path = "/restores/:id/cancellation",
        method = "post",
        operation_id = "cancel_restore"
    )]
    async fn cancel_restore(
        &self,
        visit: Visit,
        id: Path<i64>,
    ) -> Result<Accepted<RestoreRequested>, ApiError> {
        let id = RestoreId(*id);
        visit.holdfast.cancel_restore(&visit.caller, id).await?;
        Ok(accepted(id))
    }
}

pub fn accepted(id: RestoreId) -> Accepted<RestoreRequested> {
    Accepted(RestoreRequested {
        restore_id: id.0,
        safety_run_id: None,
    })
}
