//! What is served over HTTP: pages that work without a script, made quick by htmx; the JSON API
//! under `/api`; and the answers that watchers of the process ask for.
//!
//! - `pages` has one file a page; its routes stand there, one line each;
//! - `request` turns a request into who asks (`Visit`) and what was sent (`Form`);
//! - `page` wraps a page's content into the frame, or sends the content alone to htmx;
//! - `feed` is what streams to a viewer are fed by: `live` sends fragments again from it when events were
//!   committed, the API the log of a run;
//! - `guard` holds what every answer and every change has to pass, `errors` what is said when
//!   something went wrong;
//! - `parts`, `field`, `charts`, `words`, `sentences` are what pages are made of.

pub mod api;
mod assets;
mod catalog;
mod charts;
mod errors;
mod feed;
mod field;
mod guard;
mod health;
mod intake;
mod live;
mod metrics;
mod page;
pub mod pages;
mod parts;
mod ready;
mod request;
mod rows;
#[cfg(test)]
mod samples;
mod sentences;
mod words;

use std::{sync::Arc, time::Duration};

use poem::{
    Endpoint, EndpointExt, IntoEndpoint, Route, Server, get,
    listener::Acceptor,
    middleware::{CatchPanic, Compression},
};
use tokio_util::sync::CancellationToken;

use crate::{app::Holdfast, work::Health};

/// What is served needs to know of the server that serves it.
#[derive(Clone)]
pub struct Web {
    pub holdfast: Holdfast,
    /// How the workers are; `None` in a process that has none.
    pub work: Option<Arc<Health>>,
    /// Ends live streams, which would otherwise hold up a shutdown.
    pub stop: CancellationToken,
    /// People reach the server by https, here or at a proxy in front of it.
    pub https: bool,
}

/// After this long without an end, connections are closed at a shutdown.
const LINGER: Duration = Duration::from_secs(5);

/// Pages, health and, under `/api`, what is given.
pub fn endpoint<A>(web: Web, api: A) -> impl Endpoint
where
    A: IntoEndpoint,
    A::Endpoint: 'static,
{
    // Compression also unpacks what is sent, so it must not stand before the API's uploads.
    let files = Route::new().at("/:version/:name", get(assets::serve));
    let site = Route::new()
        .nest("/static", files.with(Compression::new()))
        .at("/live", get(live::stream))
        .nest(
            "/",
            pages::routes()
                .around(pages::access::check)
                .with(Compression::new()),
        )
        .with(CatchPanic::new().with_handler(errors::panicked))
        .around(guard::changes)
        .around(errors::show);
    Route::new()
        .nest("/api", api.into_endpoint().around(guard::changes))
        .at("/hooks/:token", api::hooks())
        .at("/healthz", get(ready::healthy))
        .at("/readyz", get(ready::ready))
        .at("/metrics", get(metrics::show))
        .nest("/", site)
        .with(CatchPanic::new())
        .around(guard::headers)
        .data(web)
}

/// Serves until `web.stop`; then lets requests end, within `LINGER`.
pub async fn serve<A>(
    acceptor: A,
    endpoint: impl Endpoint + 'static,
    web: Web,
) -> std::io::Result<()>
where
    A: Acceptor + 'static,
{
    Server::new_with_acceptor(acceptor)
        .run_with_graceful_shutdown(endpoint, web.stop.cancelled_owned(), Some(LINGER))
        .await
}
