//! The bodies of the fuzz targets: the files that the crates' own tests run on stable, a bounded time.
//!
//! Each panics if its decoder does, or if that accepts what breaks an invariant of the type it gives.

#[path = "../../crates/server/tests/configuration/bodies.rs"]
mod configuration_bodies;
#[expect(dead_code, reason = "the storage crate's own; a target needs the reading half")]
#[path = "../../crates/storage/src/format.rs"]
mod format;
mod journal;
#[path = "../../crates/protocol/tests/decoders/bodies.rs"]
mod protocol_bodies;
#[path = "../../crates/riak-pb/tests/decoders/bodies.rs"]
mod riak_pb_bodies;

/// A frame from the network.
pub fn frame(bytes: &[u8]) {
    protocol_bodies::frame(bytes);
}

/// A record from the network or a disk.
pub fn record(bytes: &[u8]) {
    protocol_bodies::record(bytes);
}

/// A context from a client.
pub fn context(bytes: &[u8]) {
    protocol_bodies::context(bytes);
}

/// A node's configuration file.
pub fn configuration(bytes: &[u8]) {
    configuration_bodies::text(bytes);
}

/// A frame in a journal: its header, its key and its record.
pub fn journal_frame(bytes: &[u8]) {
    journal::bodies::frame(bytes);
}

/// A connection of a Riak client.
pub fn riak_pb(bytes: &[u8]) {
    riak_pb_bodies::connection(bytes);
}
