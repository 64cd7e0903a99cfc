//! Requests of a client to a node, and the answers.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::{NodeId, Partition, Position};
use jedlik_vclock::{Content, WriteId};
use rkyv::{Archive, Deserialize, Serialize};

use crate::admin::{AdminRequest, AdminResponse};
use crate::error::Failure;
use crate::{Blob, ClusterId, Key, Layout, LayoutVersion, Quorum, Value};

/// A request that a client sends to a node.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum ClientRequest {
    /// Reads one key, with its siblings.
    Get(GetRequest),
    /// Writes a key, or deletes it by writing a tombstone.
    Put(PutRequest),
    /// Reads a page of one partition of a bucket.
    Scan(ScanRequest),
    /// Asks for the layout and the members' addresses.
    Topology,
    /// Asks for something that needs the admin role or is of interest to admins only.
    Admin(AdminRequest),
}

/// The answer to one client request.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum ClientResponse {
    /// Answers [`ClientRequest::Get`] with the versions found.
    Got(GetAnswer),
    /// Answers [`ClientRequest::Put`] once the quorum has acknowledged it.
    Put(PutAnswer),
    /// Answers [`ClientRequest::Scan`] with a page of keys.
    Scanned(ScanAnswer),
    /// Answers [`ClientRequest::Topology`] with layout and addresses.
    Topology(Topology),
    /// Answers [`ClientRequest::Admin`] with the answer to the admin's request.
    Admin(AdminResponse),
    /// Refuses a request of any kind.
    Failed(Failure),
}

/// Read of one key from a quorum of its replicas.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct GetRequest {
    /// Bucket and key to read.
    pub key: Key,
    /// Number of replicas to use, at most the bucket's N; `None` for the bucket's N.
    pub n: Option<u8>,
    /// Number of replicas that must answer.
    pub r: Quorum,
    /// Number of primaries among the replicas that must answer.
    pub pr: Quorum,
    /// Time that the request may take, from 1 to [`crate::limits::TIMEOUT_MAX_MS`].
    pub timeout_ms: u32,
}

/// Write of one key to a quorum of its replicas.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PutRequest {
    /// Bucket and key to write.
    pub key: Key,
    /// Value to store, or a tombstone to delete the key.
    pub content: Content<Value>,
    /// Context from the get that this put follows; `None` if the client has read nothing.
    pub context: Option<Blob>,
    /// Identifier that the client gives this put; the same in every retry.
    pub write_id: WriteId,
    /// Time to live of the version, at least 1; `None` for the bucket's `ttl_ms`.
    pub ttl_ms: Option<u64>,
    /// Number of replicas to use, at most the bucket's N; `None` for the bucket's N.
    pub n: Option<u8>,
    /// Number of replicas that must acknowledge the put.
    pub w: Quorum,
    /// Number of primaries among the replicas that must acknowledge the put.
    pub pw: Quorum,
    /// Number of replicas that must have synced the put.
    pub dw: Quorum,
    /// Time that the request may take, from 1 to [`crate::limits::TIMEOUT_MAX_MS`].
    pub timeout_ms: u32,
}

/// Position in a scan: it continues just past this key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub struct ScanMark {
    /// Position of the key on the ring; records are in the order of position, then key.
    pub position: Position,
    /// Last key that was seen.
    pub key: Key,
}

/// Buckets that a scan reads.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum ScanOf {
    /// The bucket with this name.
    Bucket(Blob),
    /// All buckets with this many replicas; each N has its own owners.
    EveryBucket(u8),
}

/// Read of a page of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ScanRequest {
    /// Bucket, or all buckets with one N, whose keys are read.
    pub of: ScanOf,
    /// Partition to read, one of the Q ranges.
    pub partition: Partition,
    /// Mark from the preceding answer, past which the page begins; `None` for the partition's start.
    pub after: Option<ScanMark>,
    /// Most keys in the answer, up to [`crate::limits::SCAN_PAGE_RECORDS`].
    pub limit: u32,
    /// Whether the answer carries values; otherwise it carries keys alone.
    pub values: bool,
    /// Number of replicas that must answer.
    pub r: Quorum,
    /// Time that the request may take, from 1 to [`crate::limits::TIMEOUT_MAX_MS`].
    pub timeout_ms: u32,
}

/// A version of a key as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Version {
    /// Value, or a tombstone that is concurrent with other versions.
    pub content: Content<Value>,
    /// Opaque tag, unique among a key's versions.
    pub tag: u64,
    /// When the version was written, in milliseconds since the Unix epoch, by the coordinator's clock.
    pub written_at_ms: u64,
    /// When the version expires, in milliseconds since the Unix epoch; `None` if it doesn't.
    pub expires_at_ms: Option<u64>,
}

/// Versions that a get found. The key is absent if none of them is a value.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct GetAnswer {
    /// Versions that no other one descends from. Several are siblings; one tombstone means deleted; none means never
    /// written, or expired.
    pub versions: Vec<Version>,
    /// Context to be sent with the put that follows; `None` if the key was never written.
    pub context: Option<Blob>,
    /// Number of replicas that had answered.
    pub answered: u8,
    /// Number of primaries among the replicas that had answered.
    pub primaries: u8,
    /// Whether there are more siblings than one answer carries. The context covers only the siblings in the answer: a
    /// put with it replaces them and leaves the others, which the next get shows.
    pub partial: bool,
}

/// Answer to a put that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PutAnswer {
    /// Context that covers all that the coordinator holds, this put included: a put with it replaces all of that.
    pub context: Blob,
    /// Number of siblings that the key now has at the coordinator.
    pub siblings: u16,
    /// Whether the key has reached the bucket's sibling warning.
    pub warning: bool,
    /// Number of replicas that had acknowledged the put.
    pub acknowledged: u8,
    /// Number of replicas that had synced the put, among those that had acknowledged it.
    pub synced: u8,
    /// Replicas that had acknowledged the put.
    pub by: Vec<Acknowledgement>,
}

/// A node's acknowledgement of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Node that acknowledged the put.
    pub node: NodeId,
    /// Primary for which the node keeps the version as a hint; `None` if the node is a primary itself.
    pub stands_in_for: Option<NodeId>,
    /// Whether the node had synced the version.
    pub synced: bool,
}

/// A key that a scan found.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ScanItem {
    /// Bucket that the key is in.
    pub bucket: Blob,
    /// Key within its bucket.
    pub key: Blob,
    /// Total length of the key's values, whether they are sent or not.
    pub value_bytes: u64,
    /// Versions that have not expired; without their values where only keys were asked for.
    pub versions: Vec<Version>,
}

/// Answer to a scan: a page of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ScanAnswer {
    /// Keys in the order of position, then key. Deleted and expired keys are left out.
    pub items: Vec<ScanItem>,
    /// Mark past which the next page begins; `None` at the partition's end.
    pub next: Option<ScanMark>,
}

/// Layout and addresses by which a client finds coordinators by itself.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Topology {
    /// Identity of the cluster, which seeds the positions of keys.
    pub cluster: ClusterId,
    /// Layout in force; `None` before the first commit.
    pub layout: Option<Layout>,
    /// All members with their addresses.
    pub members: Vec<MemberAddress>,
}

/// Address of a member, for peers and clients.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct MemberAddress {
    /// Member that listens at the address.
    pub node: NodeId,
    /// Name of the member for people, from its certificate.
    pub name: String,
    /// Address on which the member serves peers and clients alike.
    pub address: SocketAddr,
    /// Whether the answering node takes the member to be up.
    pub alive: bool,
}

/// Version of the answering node's layout, sent with every response: a client with an older layout fetches the
/// topology again.
pub type Freshness = LayoutVersion;
