//! The outcome and the counts of an exchange.

/// Outcome of an exchange, or that there is none yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Outcome {
    /// The exchange goes on: there is more to do.
    #[default]
    Running,
    /// The exchange came to its end, though perhaps not with every record.
    Finished,
    /// The peer was lost, refused, or answered what no replica answers. Another exchange has to be run.
    Failed,
}

/// Counts of what an exchange found and did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExchangeReport {
    /// Whether the roots were equal, so that there was nothing to do.
    pub agreed: bool,
    /// Requests for hashes sent to the peer.
    pub hash_requests: u64,
    /// Requests for digests sent to the peer.
    pub digest_requests: u64,
    /// Requests for pages of records sent to the peer.
    pub page_requests: u64,
    /// Keys of either side whose digests were compared.
    pub keys_compared: u64,
    /// Records that the peer sent in pages, since this node held nothing in their leaves.
    pub fetched: u64,
    /// Records that the peer sent one by one.
    pub pulled: u64,
    /// Records that the peer was sent and has synced.
    pub pushed: u64,
    /// Records that could not be fetched or sent.
    pub failed_records: u64,
    /// Failed records that both sides hold and that exceed the largest size together. Trying again changes
    /// nothing before one of them changes.
    pub clashes: u64,
    /// Whether the exchange came to its end and no record failed on the way.
    pub complete: bool,
}
