//! What clients look at when they connect: whether the node answers, its version and figures, its resources; and the
//! nodes that serve a key.
//!
//! `/stats` has the figures that Riak's monitoring reads most, and all of Jedlik's own as `jedlik_NAME`.
//!
//! Invariant: the resources are the ones that Jedlik has, since clients choose by them what they use.

use axum::http::Uri;
use axum::response::Response;
use jedlik_door::{Answer, unexpected};
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::client::{ClientRequest, ClientResponse, Topology};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_riak::{VERSION, preflist};
use serde_json::{Map, Value, json};

use crate::access::Asked;
use crate::riak::address::Address;
use crate::riak::objects::properties;
use crate::riak::props::as_json;
use crate::riak::refusal::Refusal;

/// Figures of Riak's by their names, each with those of Jedlik's that it is the sum of.
const FIGURES: [(&str, &[&str]); 4] = [
    ("memory_total", &["rss_bytes"]),
    ("node_gets_total", &["gets"]),
    ("node_puts_total", &["puts"]),
    (
        "read_repairs_total",
        &["read_repairs_missing", "read_repairs_stale", "read_repairs_fallback"],
    ),
];

/// Resources under the names by which Riak's clients look for them.
const RESOURCES: [(&str, &str); 9] = [
    ("riak_kv_wm_bucket_type", "/types"),
    ("riak_kv_wm_buckets", "/buckets"),
    ("riak_kv_wm_keylist", "/buckets"),
    ("riak_kv_wm_object", "/buckets"),
    ("riak_kv_wm_ping", "/ping"),
    ("riak_kv_wm_preflist", "/buckets"),
    ("riak_kv_wm_props", "/buckets"),
    ("riak_kv_wm_raw", "/riak"),
    ("riak_kv_wm_stats", "/stats"),
];

/// Tells that the node answers.
pub(crate) async fn ping() -> &'static str {
    "OK"
}

/// Shows the resources and their paths.
pub(crate) async fn resources() -> Response {
    let resources = RESOURCES.map(|(name, path)| (name.to_owned(), Value::from(path)));
    as_json(&Value::Object(resources.into_iter().collect()))
}

/// Shows the version, the members and the node's figures.
pub(crate) async fn stats(shared: Asked) -> Result<Response, Refusal> {
    let request = ClientRequest::Admin(AdminRequest::Stats);
    let counters = match shared.node.ask(&shared.caller(), request).await.response {
        ClientResponse::Admin(AdminResponse::Stats(stats)) => stats.counters,
        other => return Err(unexpected(other).into()),
    };
    let topology = topology(&shared).await?;
    let names = |alive_only: bool| -> Vec<&str> {
        let members = topology.members.iter().filter(|member| member.alive || !alive_only);
        members.map(|member| member.name.as_str()).collect()
    };
    let partitions = topology.layout.as_ref().map(|layout| layout.ring.partitions().get());
    let mut stats = Map::new();
    for name in ["riak_kv_version", "riak_core_version", "riak_api_version"] {
        stats.insert(name.to_owned(), VERSION.into());
    }
    stats.insert("ring_members".to_owned(), json!(names(false)));
    stats.insert("connected_nodes".to_owned(), json!(names(true)));
    stats.insert("ring_num_partitions".to_owned(), partitions.unwrap_or(0).into());
    for (name, summands) in FIGURES {
        let summed = counters.iter().filter(|(known, _)| summands.contains(&known.as_str()));
        stats.insert(name.to_owned(), summed.map(|(_, value)| value).sum::<u64>().into());
    }
    let own = counters.into_iter().map(|(name, value)| (format!("jedlik_{name}"), value.into()));
    stats.extend(own);
    Ok(as_json(&Value::Object(stats)))
}

/// Shows the nodes that serve a key.
pub(crate) async fn preflist(shared: Asked, uri: Uri) -> Result<Response, Refusal> {
    let key = Address::of(&uri).key()?;
    let n = properties(&shared, key.bucket().clone()).await?.n;
    let entries = preflist::of(&topology(&shared).await?, &key, n).ok_or_else(|| {
        let message = "the cluster has no layout yet; nothing was done, try again later";
        Failure::new(ErrorCode::NotReady, message)
    })?;
    let entries = entries.into_iter().map(|entry| {
        json!({ "partition": entry.partition, "node": entry.node, "primary": entry.primary })
    });
    Ok(as_json(&json!({ "preflist": entries.collect::<Vec<Value>>() })))
}

async fn topology(shared: &Asked) -> Result<Topology, Refusal> {
    let Answer { response, held: _ } =
        shared.node.ask(&shared.caller(), ClientRequest::Topology).await;
    match response {
        ClientResponse::Topology(topology) => Ok(topology),
        other => Err(unexpected(other).into()),
    }
}
