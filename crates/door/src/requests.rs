//! Requests for data as doors make them, with the options that their clients may set.

use jedlik_protocol::client::{ClientRequest, GetRequest, PutRequest};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::{Blob, Key, Quorum, Value};
use jedlik_vclock::{Content, WriteId};

/// Time that a request may take unless its client says otherwise.
pub const TIMEOUT_MS: u32 = 5_000;

/// Options of a get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Number of replicas to use; `None` for the bucket's N.
    pub n: Option<u8>,
    /// Number of replicas that must answer.
    pub r: Quorum,
    /// Number of primaries among them.
    pub pr: Quorum,
    /// Time that the request may take.
    pub timeout_ms: u32,
}

/// Options of a put or a delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOptions {
    /// Number of replicas to use; `None` for the bucket's N.
    pub n: Option<u8>,
    /// Number of replicas that must acknowledge.
    pub w: Quorum,
    /// Number of primaries among them.
    pub pw: Quorum,
    /// Number of replicas that must have synced.
    pub dw: Quorum,
    /// Time to live of the version; `None` for the bucket's.
    pub ttl_ms: Option<u64>,
    /// Time that the request may take.
    pub timeout_ms: u32,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { n: None, r: Quorum::Default, pr: Quorum::Default, timeout_ms: TIMEOUT_MS }
    }
}

impl Default for WriteOptions {
    fn default() -> Self {
        let [w, pw, dw] = [Quorum::Default; 3];
        Self { n: None, w, pw, dw, ttl_ms: None, timeout_ms: TIMEOUT_MS }
    }
}

/// Makes the request that reads a key.
#[must_use]
pub fn get(key: Key, options: &ReadOptions) -> ClientRequest {
    let ReadOptions { n, r, pr, timeout_ms } = options.clone();
    ClientRequest::Get(GetRequest { key, n, r, pr, timeout_ms })
}

/// Makes the request that writes a key, or deletes it, with a fresh write id.
///
/// # Errors
/// The system has no randomness for the id.
pub fn put(
    key: Key,
    content: Content<Value>,
    context: Option<Blob>,
    options: &WriteOptions,
) -> Result<ClientRequest, Failure> {
    let WriteOptions { n, w, pw, dw, ttl_ms, timeout_ms } = options.clone();
    let write_id = write_id()?;
    let put = PutRequest { key, content, context, write_id, ttl_ms, n, w, pw, dw, timeout_ms };
    Ok(ClientRequest::Put(put))
}

/// Returns a random name of letters and digits, which no two calls share: a key that a node chooses, a boundary.
///
/// # Errors
/// The system has no randomness.
pub fn unique_name() -> Result<String, Failure> {
    Ok(format!("{:032x}", random()?))
}

/// Returns a random write id, which no two puts share.
fn write_id() -> Result<WriteId, Failure> {
    random().map(WriteId)
}

fn random() -> Result<u128, Failure> {
    let mut bytes = [0; 16];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| Failure::new(ErrorCode::Internal, format!("no randomness: {error}")))?;
    Ok(u128::from_le_bytes(bytes))
}
