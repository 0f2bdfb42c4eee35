//! What a watcher of the process asks: does it live, and does it do its work? The container engine
//! is not asked: a server that cannot reach it still answers, shows and tells (`doctor` looks).

use poem::{handler, http::StatusCode, web::Data};

use super::Web;

/// The process answers.
#[handler]
pub fn healthy() -> &'static str {
    "ok\n"
}

/// The database answers, and every queue has a living worker.
#[handler]
pub async fn ready(Data(web): Data<&Web>) -> (StatusCode, &'static str) {
    let unready = |why| (StatusCode::SERVICE_UNAVAILABLE, why);
    if web.holdfast.needs_setup().await.is_err() {
        return unready("the database does not answer\n");
    }
    let workers = web
        .work
        .as_ref()
        .map_or_else(Vec::new, |work| work.workers());
    if workers.iter().any(|worker| !worker.alive) {
        return unready("a worker does not answer\n");
    }
    (StatusCode::OK, "ready\n")
}
