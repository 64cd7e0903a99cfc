//! The machines driven by hand: tables for quorums, properties for any order of events.

mod gets;
mod joint_gets;
mod joint_laws;
mod joint_puts;
mod laws;
mod puts;
mod quorum_status;
mod requests;
mod scans;
mod sloppy;

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::{EncodedRecord, Record};
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};

use crate::ListedNode;

pub(crate) const ME: NodeId = NodeId(1);

pub(crate) fn node(name: char) -> NodeId {
    NodeId(u64::from(name) - u64::from('a') + 1)
}

pub(crate) fn name(node: NodeId) -> char {
    u8::try_from(node.0).map_or('?', |number| char::from(b'a' + number - 1))
}

/// Splits "abc|de" into primaries and fallbacks, if there are any.
pub(crate) fn split(nodes: &str) -> (&str, &str) {
    nodes.split_once('|').unwrap_or((nodes, ""))
}

/// Returns the nodes of "abC": 1, 2 and 3, the capital one believed to be down.
pub(crate) fn targets(names: &str) -> Vec<ListedNode> {
    let target = |name: char| ListedNode {
        node: node(name.to_ascii_lowercase()),
        alive: name.is_ascii_lowercase(),
    };
    names.chars().map(target).collect()
}

/// Returns a record that one blind put under `actor` made.
pub(crate) fn record(actor: u64, value: &str) -> Record {
    let mut record = Record::new();
    let write = Write {
        write_id: WriteId(u128::from(actor)),
        written_at_ms: actor,
        expires_at_ms: None,
        content: Content::Value(value.into()),
    };
    record.put(&VectorClock::default(), ActorId(actor), write);
    record
}

pub(crate) fn encoded(actor: u64, value: &str) -> EncodedRecord {
    EncodedRecord::encode(&record(actor, value))
}
