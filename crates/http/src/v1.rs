//! `/v1`: Jedlik's own interface.
//!
//! A value is sent and received as its bytes, with its media type as `Content-Type`. What else belongs to it goes in
//! headers: `Jedlik-Context`, `Jedlik-Meta-NAME`. A client that accepts [`document::MEDIA_TYPE`] receives a key's
//! versions as JSON instead, and every client does where there are siblings.

mod batch;
pub(crate) mod buckets;
pub(crate) mod cluster;
mod conditions;
pub(crate) mod doctor;
mod document;
mod explain;
mod headers;
mod key;
mod keys;
mod name;
mod openapi;
mod options;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;

use crate::routes::Shared;

/// Returns what is served at `/v1`.
pub(crate) fn routes() -> Router<Shared> {
    let one = get(key::get).put(key::put).delete(key::delete);
    let bucket = get(buckets::show).patch(buckets::change);
    Router::new()
        .route("/v1/openapi.json", get(openapi::show))
        .route("/v1/buckets", get(buckets::list))
        .route("/v1/buckets/{bucket}", bucket)
        .route("/v1/buckets/{bucket}/keys", get(keys::list))
        .route("/v1/buckets/{bucket}/keys/{key}", one)
        .route("/v1/buckets/{bucket}/keys/{key}/explain", get(explain::explain))
        .route("/v1/batch/get", post(batch::get))
        .route("/v1/batch/put", post(batch::put))
        .route("/v1/cluster", get(cluster::status))
        .route("/v1/cluster/layouts", get(cluster::layouts))
        .route("/v1/doctor", get(doctor::show))
        .route("/v1/members/{member}/transfers", get(cluster::transfers))
        .route("/v1/members/{member}/hints", get(cluster::hints))
        .route("/v1/members/{member}/repair", get(cluster::repair))
        .route("/v1/members/{member}/background", get(cluster::background))
        .route("/v1/members/{member}/stats", get(cluster::stats))
}

/// Answers with a document as JSON.
fn json(status: StatusCode, media_type: &'static str, document: &impl Serialize) -> Response {
    let body = serde_json::to_vec(document).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
