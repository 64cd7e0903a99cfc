//! Names and attributes of spans: OpenTelemetry's conventions where they have a name, and ours with `jedlik.` before it.
//!
//! Invariant: no span names a key, a value or a context. Names of spans and reasons of failures are few.

use jedlik_hashing::NodeId;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{Acknowledgement, ClientRequest, ClientResponse, ScanOf};
use jedlik_protocol::error::Failure;
use jedlik_protocol::escape::Escaped;
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Blob, Durability, Key};
use jedlik_traces::{OpenSpan, Resource, Tracer};
use jedlik_vclock::Content;

use crate::config::Config;

/// Returns a tracer that names this node, if anything is traced. To be called within the runtime.
pub(crate) fn tracer(config: &Config, node: NodeId, name: &str) -> Option<Tracer> {
    let settings = config.telemetry.traces.as_ref()?;
    let attributes = vec![
        ("service.name", "jedlik-node".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", node.to_string()),
        ("jedlik.node.name", name.to_owned()),
        ("jedlik.zone", config.zone.clone()),
    ];
    Some(Tracer::start(settings, &Resource { attributes }))
}

/// Whether requests of this kind are traced: those that go to a shard.
pub(crate) fn is_traced(request: &ClientRequest) -> bool {
    match request {
        ClientRequest::Get(_) | ClientRequest::Put(_) | ClientRequest::Scan(_) => true,
        ClientRequest::Admin(request) => matches!(request, AdminRequest::Explain { .. }),
        ClientRequest::Topology => false,
    }
}

/// Adds what a client asks for.
pub(crate) fn describe_client(span: &mut OpenSpan, request: &ClientRequest) {
    let (operation, bucket) = match request {
        ClientRequest::Get(get) => ("get", Some(get.key.bucket())),
        ClientRequest::Put(put) if matches!(put.content, Content::Tombstone) => {
            ("delete", Some(put.key.bucket()))
        }
        ClientRequest::Put(put) => ("put", Some(put.key.bucket())),
        ClientRequest::Scan(scan) => match &scan.of {
            ScanOf::Bucket(bucket) => ("scan", Some(bucket)),
            ScanOf::EveryBucket(_) => ("scan", None),
        },
        ClientRequest::Admin(AdminRequest::Explain { key }) => ("explain", Some(key.bucket())),
        ClientRequest::Admin(_) | ClientRequest::Topology => ("admin", None),
    };
    let bucket = bucket.map(|bucket| Escaped(bucket).to_string());
    span.name(&bucket.iter().fold(operation.to_owned(), |name, bucket| name + " " + bucket));
    span.text("db.system.name", "jedlik");
    span.text("db.operation.name", operation);
    if let Some(bucket) = bucket {
        span.text("db.collection.name", &bucket);
    }
}

/// Adds what one node asks another.
pub(crate) fn describe_peer(span: &mut OpenSpan, request: &PeerRequest) {
    let bucket = |key: &Key| Some(key.bucket().clone());
    let (method, bucket): (_, Option<Blob>) = match request {
        PeerRequest::Write { key, .. } => ("write", bucket(key)),
        PeerRequest::Hint { key, .. } => ("hint", bucket(key)),
        PeerRequest::Read { key, .. } => ("read", bucket(key)),
        PeerRequest::Inspect { key } => ("inspect", bucket(key)),
        PeerRequest::Scan { bucket, .. } => ("scan", bucket.clone()),
        PeerRequest::Forward(_) => ("forward", None),
        PeerRequest::Deliver { .. }
        | PeerRequest::Hashes { .. }
        | PeerRequest::Digests { .. }
        | PeerRequest::Fetch { .. }
        | PeerRequest::Compare { .. }
        | PeerRequest::Revise { .. }
        | PeerRequest::Vote { .. } => ("background", None),
    };
    span.name(method);
    span.text("rpc.system.name", "jedlik");
    span.text("rpc.method", method);
    if let PeerRequest::Forward(forwarded) = request {
        let operation = if matches!(forwarded, ClientRequest::Get(_)) { "get" } else { "put" };
        span.text("db.operation.name", operation);
    }
    if let PeerRequest::Write { durability, .. } | PeerRequest::Hint { durability, .. } = request {
        describe_durability(span, *durability);
    }
    if let PeerRequest::Hint { targets, .. } = request {
        span.texts("jedlik.hint.targets", targets.iter().map(ToString::to_string));
    }
    if let Some(bucket) = bucket {
        span.text("db.collection.name", &Escaped(&bucket).to_string());
    }
}

/// Adds how durable a write is to be.
pub(crate) fn describe_durability(span: &mut OpenSpan, durability: Durability) {
    let text = match durability {
        Durability::Buffered => "buffered",
        Durability::Written => "written",
        Durability::Synced => "synced",
    };
    span.text("jedlik.durability", text);
}

/// Adds what a client is answered.
pub(crate) fn answered_client(span: &mut OpenSpan, response: &ClientResponse) {
    match response {
        ClientResponse::Got(answer) => {
            span.number("jedlik.replicas.answered", answer.answered.into());
            span.number("jedlik.versions", answer.versions.len() as u64);
        }
        ClientResponse::Put(answer) => {
            span.number("jedlik.replicas.synced", answer.synced.into());
            let node = |one: &Acknowledgement| one.node.to_string();
            span.texts("jedlik.replicas", answer.by.iter().map(node));
            let hinted = answer.by.iter().filter_map(|one| one.stands_in_for);
            span.texts("jedlik.hint.targets", hinted.map(|node| node.to_string()));
        }
        ClientResponse::Scanned(answer) => {
            span.number("db.response.returned_rows", answer.items.len() as u64);
        }
        ClientResponse::Failed(failure) => failed(span, failure),
        ClientResponse::Topology(_) | ClientResponse::Admin(_) => {}
    }
}

/// Adds what a peer is answered, or has answered.
pub(crate) fn answered_peer(span: &mut OpenSpan, response: &PeerResponse) {
    match response {
        PeerResponse::Refused(failure) => failed(span, failure),
        PeerResponse::Forwarded(response) => answered_client(span, response),
        PeerResponse::Unknown { .. } => span.text("jedlik.vote", "none"),
        PeerResponse::Same => span.text("jedlik.read", "same"),
        _ => {}
    }
}

/// Marks a span as failed. A failure's message may name a key; its code doesn't.
fn failed(span: &mut OpenSpan, failure: &Failure) {
    span.fail(&format!("{:?}", failure.code));
}
