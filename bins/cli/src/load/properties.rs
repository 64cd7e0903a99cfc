//! The properties of buckets from a dump, which are set before any of the buckets' keys is put.
//!
//! Invariant: a bucket's properties count as set once every member that answers knows them.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jedlik_client::{Client, ClientError, NodeId};
use jedlik_protocol::Blob;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::escape::Escaped;

/// Time in which a member must answer what it knows of a bucket.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Pause between two rounds of asking all members.
const PAUSE: Duration = Duration::from_millis(100);
/// Number of rounds after which the load fails, because a member still doesn't know the properties.
const ATTEMPTS: usize = 100;

/// Sets the given properties of a bucket, and waits until every member that answers knows them.
pub(super) async fn set(
    client: &Client,
    bucket: &[u8],
    properties: Vec<(String, String)>,
) -> anyhow::Result<()> {
    let name = Blob::from(bucket);
    let what = || format!("the properties of {} can't be set", Escaped(bucket));
    let request = AdminRequest::BucketSet { name: name.clone(), changes: properties };
    let answer = client.admin().ask(request, None).await.with_context(what)?;
    let AdminResponse::Bucket(set) = answer else { return Err(ClientError::Mismatch.into()) };
    let members = client.admin().topology().members;
    let nodes: Vec<NodeId> = members.iter().map(|member| member.node).collect();
    for _ in 0..ATTEMPTS {
        let request = AdminRequest::BucketShow { name: name.clone() };
        let told = client.admin().ask_members(&nodes, &request, ANSWER_LIMIT).await;
        let is_behind = |answer: &AdminResponse| match answer {
            AdminResponse::Bucket(known) => known.version < set.version,
            _ => false,
        };
        if !told.iter().any(|(_, answer)| answer.as_ref().is_ok_and(is_behind)) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("some members haven't heard of the properties of {}", Escaped(bucket))
}
