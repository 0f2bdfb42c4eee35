//! A trigger that was called: `POST /hooks/{token}`. No session and no role: the token is both.

use poem::{
    Body, IntoResponse, Request, Response, handler,
    http::StatusCode,
    web::{Data, Json, Path},
};
use serde_json::json;

use super::error::ApiError;
use crate::{
    app::Call,
    notify::Signed,
    web::{Web, request::Browser},
};

/// Nothing in it is looked at but its signature.
const MAX: usize = 64 << 10;

#[handler]
pub async fn pull(
    req: &Request,
    Path(token): Path<String>,
    Data(web): Data<&Web>,
    body: Body,
) -> Result<Response, ApiError> {
    let body = body.into_bytes_limit(MAX).await.map_err(|_| {
        let too_long = "send at most 64 KiB";
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", too_long)
    })?;
    let header = |name: &str| req.header(name).map(str::to_owned);
    let signed = match (
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
    ) {
        (Some(id), Some(timestamp), Some(signature)) => Some(Signed {
            id,
            timestamp,
            signature,
        }),
        _ => None,
    };
    let call = Call {
        token,
        address: Browser::of(req, web).address,
        body: body.to_vec(),
        signed,
        key: header("idempotency-key"),
    };
    let run = web.holdfast.pull_trigger(call).await?;
    let answer = Json(json!({ "run_id": run.0 }));
    Ok(answer.with_status(StatusCode::ACCEPTED).into_response())
}
