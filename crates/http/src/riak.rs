//! Riak's HTTP interface, so that Riak's clients work unchanged.
//!
//! | path | what |
//! |---|---|
//! | `/buckets/B/keys/K`, `/types/T/buckets/B/keys/K`, `/riak/B/K` | a key ([`objects`]) |
//! | `/buckets/B/keys`, `/riak/B` | POST: a put under a key that the node chooses; GET: the bucket's keys ([`lists`]) |
//! | `/buckets`, `/types/T/buckets` | the buckets that hold keys |
//! | `/buckets/B/props`, `/types/T/props` | properties ([`props`]) |
//! | `/buckets/B/keys/K/preflist` | the nodes that serve a key |
//! | `/ping`, `/stats`, `/` | what clients look at when they connect ([`status`]) |
//! | queries of indexes, map/reduce, search, data types, link walking | a refusal that names them ([`missing`]) |
//!
//! A bucket of a type is a bucket of Jedlik's ([`jedlik_riak::names`]). In a path, `+` is a space. Query parameters
//! that Riak doesn't know are ignored, as there.
//!
//! Invariant: what Jedlik lacks is refused, and never taken and ignored; refusals are plain text with the remedy.

mod address;
mod answer;
mod conditions;
mod headers;
mod links;
mod lists;
mod missing;
mod objects;
mod props;
mod query;
pub(crate) mod refusal;
mod status;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::routing::{any, get, post};

use crate::routes::Shared;

/// First segments of Riak's paths.
const BEGINNINGS: [&str; 8] =
    ["buckets", "mapred", "ping", "riak", "search", "solr", "stats", "types"];

/// Whether a path is one of Riak's, so that errors there are in its manner.
pub(crate) fn has(path: &str) -> bool {
    let first = path.split('/').nth(1);
    first.is_some_and(|first| BEGINNINGS.contains(&first))
}

/// Returns what is served under Riak's paths.
pub(crate) fn routes() -> Router<Shared> {
    let key = || {
        let read = get(objects::get).delete(objects::delete);
        read.put(objects::put).post(objects::put)
    };
    let keys = || get(lists::keys).post(objects::post);
    let props = || get(props::get).put(props::put).delete(props::delete);
    let mut routes = Router::new()
        .route("/", get(status::resources))
        .route("/ping", get(status::ping))
        .route("/stats", get(status::stats))
        .route("/riak", get(lists::buckets))
        .route("/riak/{bucket}", keys().put(props::put))
        .route("/riak/{bucket}/{key}", key())
        .route("/riak/{bucket}/{key}/{*steps}", get(missing::link_walking))
        .route("/types/{type}/props", get(props::of_type).put(missing::type_properties))
        .route("/types/{type}/buckets/{bucket}/datatypes", any(missing::data_types))
        .route("/types/{type}/buckets/{bucket}/datatypes/{key}", any(missing::data_types))
        .route("/buckets/{bucket}/counters/{key}", any(missing::data_types))
        .route("/mapred", post(missing::map_reduce))
        .route("/search/{*query}", any(missing::search))
        .route("/solr/{*query}", any(missing::search));
    for buckets in ["/buckets", "/types/{type}/buckets"] {
        let at = |rest: &str| format!("{buckets}{rest}");
        routes = routes
            .route(buckets, get(lists::buckets))
            .route(&at("/{bucket}/props"), props())
            .route(&at("/{bucket}/keys"), keys())
            .route(&at("/{bucket}/keys/{key}"), key())
            .route(&at("/{bucket}/keys/{key}/preflist"), get(status::preflist))
            .route(&at("/{bucket}/keys/{key}/{*steps}"), get(missing::link_walking))
            .route(&at("/{bucket}/index/{*query}"), get(missing::index_query));
    }
    routes
}
