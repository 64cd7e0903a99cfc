//! Refusals of what Riak has and Jedlik has not.
//!
//! Invariant: each names what was asked for, and what to do instead.

use axum::http::StatusCode;

use crate::riak::refusal::Refusal;

/// Refuses a query of a secondary index.
pub(crate) async fn index_query() -> Refusal {
    refused(
        "Jedlik keeps the index entries of values and returns them, and has no indexes to query: list the keys, or keep \
         a key of your own for each entry",
    )
}

/// Refuses a map/reduce job.
pub(crate) async fn map_reduce() -> Refusal {
    refused("Jedlik has no map/reduce: list the keys, get them and compute at the client")
}

/// Refuses a walk along links.
pub(crate) async fn link_walking() -> Refusal {
    refused(
        "Jedlik keeps the links of values and returns them, and does not walk them: get the keys that they lead to",
    )
}

/// Refuses a search in values.
pub(crate) async fn search() -> Refusal {
    refused("Jedlik has no search: keep an index in a search engine, and the values here")
}

/// Refuses counters, sets, maps and other data types.
pub(crate) async fn data_types() -> Refusal {
    refused(
        "Jedlik has no counters, sets, maps or other data types: put a value of your own, and merge its siblings at the \
         client",
    )
}

/// Refuses properties of a bucket type.
pub(crate) async fn type_properties() -> Refusal {
    refused(
        "Jedlik's bucket types are names without properties of their own: set those of each bucket",
    )
}

fn refused(message: &str) -> Refusal {
    Refusal::with_status(StatusCode::NOT_IMPLEMENTED, message)
}
