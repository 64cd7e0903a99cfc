//! `/v1`: Jedlik's own interface.
//!
//! A value is sent and received as its bytes, with its media type as `Content-Type`. What else belongs to it goes in
//! headers: `Jedlik-Context`, `Jedlik-Meta-NAME`. A client that accepts [`document::MEDIA_TYPE`] receives a key's
//! versions as JSON instead, and every client does where there are siblings.

mod data;
mod document;
mod headers;
mod options;

use axum::Router;
use axum::routing::get;

use crate::routes::Shared;

/// Returns what is served at `/v1`.
pub(crate) fn routes() -> Router<Shared> {
    let key = get(data::get).put(data::put).delete(data::delete);
    Router::new().route("/v1/buckets/{bucket}/keys/{key}", key)
}
