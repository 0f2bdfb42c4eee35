//! What a config's dead man's switch was told.

use poem_openapi::{
    OpenApi,
    param::{Path, Query},
    payload::Json,
};

use super::{
    answer::{Accepted, Answer},
    body::{MaybeBody, Nothing},
    error::ApiError,
    runs::page_size,
    visit::Visit,
    webhooks::Delivery,
};
use crate::domain::ids::ConfigId;

pub struct Pings;

#[OpenApi]
impl Pings {
    /// What was and is to be told to the config's ping address, newest first; what is over is kept for 30 days
    ///
    /// `event` is `start`, `success` or `fail`.
    #[oai(
        path = "/backups/configs/:id/pings",
        method = "get",
        operation_id = "list_pings"
    )]
    async fn list_pings(
        &self,
        visit: Visit,
        id: Path<i64>,
        /// At most this many, 50 when absent, 1,000 at most
        limit: Query<Option<u64>>,
    ) -> Answer<Vec<Delivery>> {
        let limit = page_size(limit.0)?;
        let rows = visit
            .holdfast
            .pings(&visit.caller, ConfigId(*id), limit)
            .await?;
        Ok(Json(rows.into_iter().map(Into::into).collect()))
    }

    /// Sends the newest ping again; an older one would say what is no longer so
    #[oai(
        path = "/backups/configs/:id/pings/redelivery",
        method = "post",
        operation_id = "ping_again"
    )]
    async fn ping_again(
        &self,
        visit: Visit,
        id: Path<i64>,
        _nothing: MaybeBody<Nothing>,
    ) -> Result<Accepted<Delivery>, ApiError> {
        let row = visit
            .holdfast
            .ping_again(&visit.caller, ConfigId(*id))
            .await?;
        Ok(Accepted(row.into()))
    }
}
