//! The JSON API: the contract that clients of the replaced module rely on, and what came with
//! Holdfast. One file a resource: what is sent and answered, how it is converted, its operations.
//!
//! - `access` has the one table of who may call what, and lets nothing else through;
//! - `visit` is who asks, as an operation gets it; `body` and `queries` look at what was sent;
//! - `answer` and `values` are the forms that answers share; `error` is every other answer.

pub mod access;
mod activity;
mod answer;
mod apikeys;
mod apps;
mod artifacts;
mod audit;
mod body;
mod called;
mod configs;
mod detect;
mod error;
pub mod own;
mod pings;
mod queries;
mod restores;
mod runs;
mod session;
mod statuses;
mod summary;
mod system;
mod trials;
mod uploads;
mod users;
mod values;
mod visit;
mod webhooks;

use poem::{Endpoint, EndpointExt, Route, get, handler, middleware::CatchPanic, post, web::Data};
use poem_openapi::OpenApiService;

pub use self::error::ApiError;

/// Everything under `/api`. Takes its data from what it is nested in.
pub fn endpoint() -> impl Endpoint {
    let document = Document(document());
    Route::new()
        .at("/openapi.json", get(show_document).data(document))
        .nest("/", service())
        .around(access::check)
        .with(CatchPanic::new().with_handler(error::panicked))
        .around(error::render)
}

/// What stands at `/hooks/{token}`.
pub fn hooks() -> impl Endpoint {
    post(called::pull)
        .with(CatchPanic::new().with_handler(error::panicked))
        .around(error::render)
}

/// The OpenAPI document.
pub fn document() -> String {
    let Ok(mut document) = serde_json::from_str(&service().spec()) else {
        return service().spec();
    };
    statuses::narrow(&mut document);
    format!("{document:#}")
}

fn service() -> OpenApiService<impl poem_openapi::OpenApi, ()> {
    let parts = (
        apps::Apps,
        (configs::Configs, pings::Pings, trials::Trials),
        runs::Runs,
        (restores::Restores, uploads::Uploads),
        (detect::Detection, summary::Overview),
        (activity::Activity, audit::Audit, audit::AuditDetail),
        (users::Users, apikeys::ApiKeys, session::Sessions),
        (
            system::System,
            artifacts::InTargets,
            own::OwnBackups,
            webhooks::Webhooks,
        ),
    );
    OpenApiService::new(parts, "Holdfast", env!("CARGO_PKG_VERSION"))
        .description("Backs up and restores what lives in Docker containers.")
        .server("/api")
}

#[derive(Clone)]
struct Document(String);

#[handler]
fn show_document(Data(document): Data<&Document>) -> poem::Response {
    poem::Response::builder()
        .content_type("application/json")
        .body(document.0.clone())
}
