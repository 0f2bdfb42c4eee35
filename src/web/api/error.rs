//! Every answer that is not a success: JSON, with the true status, and words that say what to do.
//! A defect shows an id and nothing else; its cause goes to the log, once, here.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    error::ResponseError,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse, Object,
    error::{ParseParamError, ParsePathError},
    payload::{Json, Payload},
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
};

use crate::{app::AppError, domain::failure::Failure};

/// What every error answers.
#[derive(Debug, Clone, Object)]
#[oai(read_only_all, skip_serializing_if_is_none, rename = "Error")]
pub struct ErrorBody {
    /// Stable word for programs: `invalid`, `not_found`, `conflict`, …
    error: String,
    /// For people: what is wrong, and what to do about it.
    message: String,
    /// Field → what is wrong with it.
    fields: Option<BTreeMap<String, String>>,
    /// Of a failure in the server: the log has its cause under this id.
    id: Option<String>,
}

/// Boxed, because every operation's result has room for one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct ApiError(Box<Told>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    status: StatusCode,
    code: &'static str,
    message: String,
    fields: BTreeMap<String, String>,
    id: Option<String>,
    retry_after: Option<u64>,
    allow: Option<String>,
    /// It is there, for others.
    hidden: bool,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Told {
            status,
            code,
            message: message.into(),
            fields: BTreeMap::new(),
            id: None,
            retry_after: None,
            allow: None,
            hidden: false,
        }))
    }

    /// The methods that are allowed there.
    pub fn method_not_allowed(allowed: &[&str]) -> Self {
        let allowed = allowed.join(", ");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let mut error = Self::new(status, "method_not_allowed", format!("use {allowed} here"));
        error.0.allow = Some(allowed);
        error
    }

    /// What was sent cannot be used. `field` is empty when no field is to blame.
    pub fn invalid(field: &str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        if field.is_empty() {
            return Self::new(StatusCode::BAD_REQUEST, "invalid", problem);
        }
        Self::invalid_fields(BTreeMap::from([(field.to_owned(), problem)]))
    }

    fn invalid_fields(fields: BTreeMap<String, String>) -> Self {
        let told: Vec<String> = fields
            .iter()
            .map(|(field, problem)| format!("{field}: {problem}"))
            .collect();
        let mut error = Self::new(StatusCode::BAD_REQUEST, "invalid", told.join("; "));
        error.0.fields = fields;
        error
    }

    /// Why it turned somebody away, when it did.
    pub fn refusal(&self) -> Option<&'static str> {
        match self.0.status {
            StatusCode::UNAUTHORIZED => Some("not known"),
            StatusCode::FORBIDDEN => Some("not allowed"),
            _ if self.0.hidden => Some("not granted"),
            _ => None,
        }
    }

    /// The server's own fault.
    fn defect(cause: &str) -> Self {
        let id = ulid::Ulid::generate().to_string();
        tracing::error!(%id, cause, "a request failed");
        let mut error = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong inside the server; its log has the cause under this id",
        );
        error.0.id = Some(id);
        error
    }

    /// Something outside did not do what was asked: told in the words meant for people, without
    /// what the tool itself said.
    fn failed(failure: &Failure) -> Self {
        let id = ulid::Ulid::generate().to_string();
        tracing::warn!(%id, error = %failure.message, detail = %failure.detail, "a request failed outside");
        let message = [failure.message.as_str(), failure.hint.as_str()];
        let message: Vec<&str> = message
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect();
        let mut error = Self::new(StatusCode::BAD_GATEWAY, "failed", message.join(". "));
        error.0.id = Some(id);
        error
    }
}

impl From<AppError> for ApiError {
    fn from(error: AppError) -> Self {
        let said = error.to_string();
        match error {
            AppError::Invalid(fields) => Self::invalid_fields(fields.0),
            AppError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", said),
            AppError::Hidden(_) => {
                let mut error = Self::new(StatusCode::NOT_FOUND, "not_found", said);
                error.0.hidden = true;
                error
            }
            AppError::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", said),
            AppError::Unauthenticated => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "log in, or send a token: Authorization: Bearer …",
            ),
            AppError::CodeNeeded(_) => Self::new(StatusCode::UNAUTHORIZED, "code_needed", said),
            AppError::ProofNeeded => Self::new(
                StatusCode::FORBIDDEN,
                "proof_needed",
                format!("{said}, at POST /api/session/proof"),
            ),
            AppError::Forbidden | AppError::OutOfScope(_) => {
                Self::new(StatusCode::FORBIDDEN, "forbidden", said)
            }
            AppError::Throttled(seconds) => {
                let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "throttled", said);
                error.0.retry_after = Some(seconds);
                error
            }
            AppError::Failed(failure) => Self::failed(&failure),
            AppError::Stopping => {
                let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", said);
                error.0.retry_after = Some(10);
                error
            }
            AppError::Internal(cause) => Self::defect(&cause),
        }
    }
}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.0.status
    }

    fn as_response(&self) -> Response {
        let body = ErrorBody {
            error: self.0.code.to_owned(),
            message: self.0.message.clone(),
            fields: (!self.0.fields.is_empty()).then(|| self.0.fields.clone()),
            id: self.0.id.clone(),
        };
        let mut response = Json(body).into_response();
        response.set_status(self.0.status);
        let headers = response.headers_mut();
        if let Some(seconds) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(allow) = self
            .0
            .allow
            .as_deref()
            .and_then(|a| HeaderValue::from_str(a).ok())
        {
            headers.insert(header::ALLOW, allow);
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"Holdfast\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// For the OpenAPI document: all of these have the same body.
impl ApiResponse for ApiError {
    fn meta() -> MetaResponses {
        let said = [
            (400, "What was sent cannot be used; `fields` says why."),
            (401, "Nobody is logged in, and no good token was sent."),
            (403, "The caller's role does not allow this."),
            (404, "What was named does not exist."),
            (409, "The present state does not allow it."),
            (413, "The body is longer than 1 MiB."),
            (
                429,
                "Too many refused attempts; `Retry-After` says when to try again.",
            ),
            (
                500,
                "A defect; the server's log has the cause under the `id`.",
            ),
            (
                502,
                "The container engine or the target did not do what was asked.",
            ),
            (503, "The server is stopping."),
        ];
        let responses = said.map(|(status, description)| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: Json::<ErrorBody>::CONTENT_TYPE,
                schema: Json::<ErrorBody>::schema_ref(),
            }],
            headers: Vec::new(),
        });
        MetaResponses {
            responses: responses.into(),
        }
    }

    fn register(registry: &mut Registry) {
        <Json<ErrorBody> as Payload>::register(registry);
    }
}

/// Round everything: what is not an error of ours yet becomes one.
pub async fn render<E: Endpoint>(endpoint: Arc<E>, req: Request) -> Result<Response> {
    match endpoint.call(req).await {
        Ok(response) => Ok(response.into_response()),
        Err(error) => Ok(translate(error).as_response()),
    }
}

/// Answers a panic, which the log has already.
pub fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said = match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => match panic.downcast::<&str>() {
            Ok(text) => (*text).to_owned(),
            Err(_) => "it panicked".to_owned(),
        },
    };
    ApiError::defect(&said).as_response()
}

fn translate(error: poem::Error) -> ApiError {
    let error = match error.downcast::<ApiError>() {
        Ok(error) => return error,
        Err(error) => error,
    };
    let status = error.status();
    if let Some(param) = error.downcast_ref::<ParseParamError>() {
        return ApiError::invalid(param.name, param.reason.clone());
    }
    // The paths name ids and slugs alone: what does not parse as one does not exist.
    if let Some(part) = error.downcast_ref::<ParsePathError>() {
        let message = format!("there is nothing with this {}", part.name);
        return ApiError::new(StatusCode::NOT_FOUND, "not_found", message);
    }
    match status {
        _ if status.is_server_error() => ApiError::defect(&error.to_string()),
        StatusCode::NOT_FOUND => ApiError::new(status, "not_found", error.to_string()),
        _ => ApiError::new(status, "invalid", error.to_string()),
    }
}
