//! What a client asks of a node, and the answers.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::{NodeId, Partition, Position};
use jedlik_vclock::{Content, WriteId};
use rkyv::{Archive, Deserialize, Serialize};

use crate::admin::{AdminRequest, AdminResponse};
use crate::error::Failure;
use crate::{Blob, ClusterId, Key, Layout, LayoutVersion, Quorum};

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum ClientRequest {
    /// Read a key.
    Get(GetRequest),
    /// Write a key, or delete it by writing a tombstone.
    Put(PutRequest),
    /// Read a page of one partition of a bucket.
    Scan(ScanRequest),
    /// Learn the layout and the members' addresses.
    Topology,
    /// Something that needs the admin role, or is only of interest to admins.
    Admin(AdminRequest),
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum ClientResponse {
    /// To a get.
    Got(GetAnswer),
    /// To a put.
    Put(PutAnswer),
    /// To a scan.
    Scanned(ScanAnswer),
    /// To a topology request.
    Topology(Topology),
    /// To an admin's request.
    Admin(AdminResponse),
    /// To any.
    Failed(Failure),
}

/// Read a key.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct GetRequest {
    /// Which.
    pub key: Key,
    /// How many replicas to use, at most the bucket's N; `None` for the bucket's.
    pub n: Option<u8>,
    /// How many must answer.
    pub r: Quorum,
    /// How many of those must be primaries.
    pub pr: Quorum,
    /// How long it may take.
    pub timeout_ms: u32,
}

/// Write a key.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PutRequest {
    /// Which.
    pub key: Key,
    /// The value, or a tombstone to delete.
    pub content: Content<Blob>,
    /// The context of the get that this put follows.
    pub context: Option<Blob>,
    /// The client's name for this put; the same in every retry.
    pub write_id: WriteId,
    /// How long the version lives, instead of the bucket's `ttl_ms`.
    pub ttl_ms: Option<u64>,
    /// How many replicas to use, at most the bucket's N; `None` for the bucket's.
    pub n: Option<u8>,
    /// How many must acknowledge.
    pub w: Quorum,
    /// How many of those must be primaries.
    pub pw: Quorum,
    /// How many of those must have synced.
    pub dw: Quorum,
    /// How long it may take.
    pub timeout_ms: u32,
}

/// Where a scan goes on: just past this key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub struct ScanMark {
    /// Records lie in the order of position, then key.
    pub position: Position,
    /// The last key that was seen.
    pub key: Key,
}

/// Which buckets a scan reads.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum ScanOf {
    /// The one of this name.
    Bucket(Blob),
    /// All that have so many replicas: each N has its own owners.
    EveryBucket(u8),
}

/// Read a page of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ScanRequest {
    /// Whose keys.
    pub of: ScanOf,
    /// Which of the Q ranges.
    pub partition: Partition,
    /// Where to go on, from the answer before.
    pub after: Option<ScanMark>,
    /// The most keys in the answer, up to [`crate::limits::SCAN_PAGE_RECORDS`].
    pub limit: u32,
    /// Whether values are wanted, or keys alone.
    pub values: bool,
    /// How many replicas must answer.
    pub r: Quorum,
    /// How long it may take.
    pub timeout_ms: u32,
}

/// One version of a key, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Version {
    /// The value, or a tombstone that is concurrent with other versions.
    pub content: Content<Blob>,
    /// Tells this version from every other of the key.
    pub tag: u64,
    /// In milliseconds since the Unix epoch, by the coordinator's clock.
    pub written_at_ms: u64,
    /// In the same unit.
    pub expires_at_ms: Option<u64>,
}

/// What a get found. No value among the versions means that the key is absent.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct GetAnswer {
    /// More than one: siblings. One tombstone: deleted. None: never written, or expired.
    pub versions: Vec<Version>,
    /// To be sent with the put that follows; `None` if the key was never written.
    pub context: Option<Blob>,
    /// How many replicas had answered.
    pub answered: u8,
    /// Of those, how many were primaries.
    pub primaries: u8,
    /// There are more siblings than one answer carries. The context covers those that are here: a put with it
    /// replaces them and leaves the others, which the next get shows.
    pub partial: bool,
}

/// A put that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PutAnswer {
    /// Covers what the coordinator holds, this put included: a put with it replaces all of that.
    pub context: Blob,
    /// How many siblings the key has now at the coordinator.
    pub siblings: u16,
    /// The bucket's sibling warning is reached.
    pub warning: bool,
    /// How many replicas had acknowledged, and how many of these had synced.
    pub acknowledged: u8,
    /// Of those, how many had synced it.
    pub synced: u8,
    /// Which they were.
    pub by: Vec<Acknowledgement>,
}

/// One node's part in a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub node: NodeId,
    /// The primary that it keeps the version for; `None` if it is one itself.
    pub stands_in_for: Option<NodeId>,
    /// Whether it was on disk.
    pub synced: bool,
}

/// One key of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ScanItem {
    /// The key's bucket.
    pub bucket: Blob,
    /// Which.
    pub key: Blob,
    /// The lengths of its values together, whether they are here or not.
    pub value_bytes: u64,
    /// Its live versions; without their values where only keys were asked for.
    pub versions: Vec<Version>,
}

/// A page of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ScanAnswer {
    /// In the order of position, then key. Deleted and expired keys are left out.
    pub items: Vec<ScanItem>,
    /// Where to go on; `None` at the partition's end.
    pub next: Option<ScanMark>,
}

/// What a client needs to find coordinators by itself.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Topology {
    /// The seed of positions.
    pub cluster: ClusterId,
    /// `None` before the first commit.
    pub layout: Option<Layout>,
    /// Every member and where it listens.
    pub members: Vec<MemberAddress>,
}

/// Where a member listens.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct MemberAddress {
    /// Who.
    pub node: NodeId,
    /// Its name for people.
    pub name: String,
    /// For peers and clients alike.
    pub address: SocketAddr,
    /// Whether the node that answers takes it to be up.
    pub alive: bool,
}

/// Rides on every response: a client with an older layout fetches the topology again.
pub type Freshness = LayoutVersion;
