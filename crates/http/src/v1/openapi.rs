//! Description of the interface, an OpenAPI 3.1 document.
//!
//! Invariant: what the router serves at `/v1` is what the document describes, path by path and method by method.

use axum::response::{IntoResponse, Response};

/// The document, written by hand.
pub(crate) const DOCUMENT: &str = include_str!("openapi.json");

/// Answers with the document itself.
pub(crate) async fn show() -> Response {
    ([(axum::http::header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
