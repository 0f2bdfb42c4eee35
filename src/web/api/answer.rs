//! Successes other than a plain 200 with JSON.

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse,
    payload::{Json, Payload},
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};

use super::error::ApiError;

pub type Answer<T> = Result<Json<T>, ApiError>;

/// 201: it is there now.
pub struct Created<T>(pub T);

/// 202: it is in the log, and will be done.
pub struct Accepted<T>(pub T);

/// 204.
pub struct Done;

fn meta(status: u16, description: &'static str, content: Vec<MetaMediaType>) -> MetaResponses {
    MetaResponses {
        responses: vec![MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content,
            headers: Vec::new(),
        }],
    }
}

fn json<T: Type>() -> Vec<MetaMediaType> {
    vec![MetaMediaType {
        content_type: Json::<T>::CONTENT_TYPE,
        schema: T::schema_ref(),
    }]
}

impl<T: ToJSON> ApiResponse for Created<T> {
    fn meta() -> MetaResponses {
        meta(201, "Created.", json::<T>())
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ToJSON> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        Json(self.0)
            .with_status(StatusCode::CREATED)
            .into_response()
    }
}

impl<T: ToJSON> ApiResponse for Accepted<T> {
    fn meta() -> MetaResponses {
        meta(202, "Accepted: it will be done.", json::<T>())
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ToJSON> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        Json(self.0)
            .with_status(StatusCode::ACCEPTED)
            .into_response()
    }
}

impl ApiResponse for Done {
    fn meta() -> MetaResponses {
        meta(204, "Done.", Vec::new())
    }

    fn register(_: &mut Registry) {}
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// 200 with bytes of any length.
pub struct Stream(pub Response);

/// 200 with one event a line, in one of the forms that exports have.
pub struct Lines(pub Response);

fn binary(content_type: &'static str) -> MetaMediaType {
    let schema = MetaSchema::new_with_format("string", "binary");
    MetaMediaType {
        content_type,
        schema: MetaSchemaRef::Inline(Box::new(schema)),
    }
}

impl ApiResponse for Lines {
    fn meta() -> MetaResponses {
        let forms = ["application/x-ndjson", "text/csv"];
        meta(200, "The lines.", forms.map(binary).into())
    }

    fn register(_: &mut Registry) {}
}

impl IntoResponse for Lines {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for Stream {
    fn meta() -> MetaResponses {
        let content = binary("application/octet-stream");
        meta(200, "The bytes.", vec![content])
    }

    fn register(_: &mut Registry) {}
}

impl IntoResponse for Stream {
    fn into_response(self) -> Response {
        self.0
    }
}

/// 200 with events for as long as there may be more.
pub struct Events(pub Response);

impl ApiResponse for Events {
    fn meta() -> MetaResponses {
        let content = MetaMediaType {
            content_type: "text/event-stream",
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
        };
        meta(
            200,
            "The events, each with a JSON object as its data.",
            vec![content],
        )
    }

    fn register(_: &mut Registry) {}
}

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        self.0
    }
}
