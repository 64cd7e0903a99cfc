//! Answers for what watches the process: whether it lives, and whether it serves.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jedlik_door::{Node, Phase};

/// Tells that the process answers.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Tells whether the node takes requests.
pub(crate) async fn readyz(State(node): State<Arc<dyn Node>>) -> Response {
    let (status, text) = match node.phase() {
        Phase::Serving => (StatusCode::OK, "ready\n"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Drained => (StatusCode::SERVICE_UNAVAILABLE, "drained by an admin\n"),
        Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    };
    (status, text).into_response()
}
