//! What came of an exchange.

/// How an exchange stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Outcome {
    /// There is more to do.
    #[default]
    Running,
    /// It came to its end.
    Finished,
    /// The peer was lost, refused, or answered what no replica answers; another exchange has to be run.
    Failed,
}

/// What an exchange found and did, so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExchangeReport {
    /// The roots were equal: there was nothing to do.
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
    /// Records that the peer was sent.
    pub pushed: u64,
    /// Records that could not be fetched or sent.
    pub failed_records: u64,
    /// Of those the ones that both sides hold and that are over the largest size together: trying again changes
    /// nothing before one of them changes.
    pub clashes: u64,
    /// It came to its end, and no record failed on the way.
    pub complete: bool,
}
