//! Messages in words, for the trace.

use jedlik_hashing::NodeId;
use jedlik_protocol::EncodedRecord;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_vclock::Content;

pub(crate) use crate::history::record_name as record;
use crate::world::key_index;

fn encoded(bytes: &EncodedRecord) -> String {
    bytes.decode().map_or_else(|error| format!("{error}"), |held| record(&held))
}

/// Returns the number of the key that a request is about, if it is about one.
pub(crate) fn key_of(request: &PeerRequest) -> Option<u8> {
    match request {
        PeerRequest::Write { key, .. }
        | PeerRequest::Hint { key, .. }
        | PeerRequest::Read { key, .. }
        | PeerRequest::Deliver { key, .. }
        | PeerRequest::Compare { key, .. }
        | PeerRequest::Revise { key, .. }
        | PeerRequest::Inspect { key } => key_index(key),
        PeerRequest::Forward(ClientRequest::Get(get)) => key_index(&get.key),
        PeerRequest::Forward(ClientRequest::Put(put)) => key_index(&put.key),
        PeerRequest::Scan { .. }
        | PeerRequest::Hashes { .. }
        | PeerRequest::Digests { .. }
        | PeerRequest::Fetch { .. }
        | PeerRequest::Vote { .. }
        | PeerRequest::Forward(_) => None,
    }
}

/// Describes a request to a peer.
pub(crate) fn request(to: NodeId, request: &PeerRequest) -> String {
    let what = match request {
        PeerRequest::Write { record, durability, .. } => {
            format!("store {} ({})", encoded(record), durability.name())
        }
        PeerRequest::Hint { record, targets, durability, .. } => {
            let targets: Vec<String> = targets.iter().map(|node| format!("n{}", node.0)).collect();
            format!("keep {} for {} ({})", encoded(record), targets.join(" "), durability.name())
        }
        PeerRequest::Deliver { record, .. } => format!("here is {}", encoded(record)),
        PeerRequest::Compare { digest, .. } => format!("do you hold {:04x}?", digest.0 >> 48),
        PeerRequest::Revise { record: Some(record), .. } => format!("prune to {}", encoded(record)),
        PeerRequest::Revise { record: None, .. } => "collect your record".into(),
        PeerRequest::Hashes { partition, branch, .. } => {
            format!("hashes of {partition} below {branch:?}")
        }
        PeerRequest::Digests { partition, clocks: false, .. } => format!("digests of {partition}"),
        PeerRequest::Digests { partition, .. } => format!("digests and clocks of {partition}"),
        PeerRequest::Fetch { partition, .. } => format!("records of {partition}"),
        PeerRequest::Vote { partition, n, .. } => format!("do you vote on {partition}, n={n}?"),
        PeerRequest::Read { .. } => "read".into(),
        PeerRequest::Scan { .. } | PeerRequest::Inspect { .. } => "something else".into(),
        PeerRequest::Forward(ClientRequest::Put(put)) => format!("coordinate w{}", put.write_id.0),
        PeerRequest::Forward(_) => "coordinate a get".into(),
    };
    format!("-> n{}: {what}", to.0)
}

/// Describes the answer to a peer.
pub(crate) fn response(to: u8, response: &PeerResponse) -> String {
    let what = match response {
        PeerResponse::Written => "stored".into(),
        PeerResponse::Read(None) => "I have nothing".into(),
        PeerResponse::Read(Some(record)) => format!("I have {}", encoded(record)),
        PeerResponse::Unknown { why, record } => {
            let held = record.as_ref().map_or("nothing".into(), encoded);
            format!("I can't say ({why:?}), and hold {held}")
        }
        PeerResponse::Vote { vouching, .. } => format!("I say of it: {vouching:?}"),
        PeerResponse::Same => "mine is the same".into(),
        PeerResponse::Delivered { window } => format!("synced, {window} more"),
        PeerResponse::Hashes(hashes) => format!("{} hashes", hashes.len()),
        PeerResponse::Digests(page) => format!("{} digests", page.digests.len()),
        PeerResponse::Compared(comparison) => format!("mine is: {comparison:?}"),
        PeerResponse::Revised(done) => format!("revised: {done}"),
        PeerResponse::Scanned(told) => {
            format!("a page of {}, {} damaged", told.page.records.len(), told.damaged.len())
        }
        PeerResponse::Page(_) | PeerResponse::Inspected(_) => "something else".into(),
        PeerResponse::Forwarded(response) => answer(response),
        PeerResponse::Refused(failure) => format!("refused: {failure}"),
    };
    format!("-> n{}: {what}", to + 1)
}

/// Describes the answer to a client.
pub(crate) fn answer(response: &ClientResponse) -> String {
    match response {
        ClientResponse::Got(got) => {
            let value = |content: &Content<jedlik_protocol::Value>| match content {
                Content::Value(value) => String::from_utf8_lossy(value.bytes()).into_owned(),
                Content::Tombstone => "(deleted)".into(),
            };
            let values: Vec<String> = got.versions.iter().map(|v| value(&v.content)).collect();
            let (of, primaries) = (got.answered, got.primaries);
            format!("[{}] from {of} replicas, {primaries} primaries", values.join(" "))
        }
        ClientResponse::Put(put) => {
            let by = put.by.iter().map(|by| match by.stands_in_for {
                None => format!("n{}", by.node.0),
                Some(primary) => format!("n{} for n{}", by.node.0, primary.0),
            });
            format!("acknowledged by {}, {} synced", by.collect::<Vec<_>>().join(", "), put.synced)
        }
        ClientResponse::Failed(failure) => format!("failed: {failure}"),
        ClientResponse::Scanned(_) | ClientResponse::Topology(_) | ClientResponse::Admin(_) => {
            "something else".into()
        }
    }
}
