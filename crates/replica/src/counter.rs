//! Events that a replica counts, for the operator of the node.

/// Event that a replica counts by [`Output::Count`](crate::Output::Count).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// Gets that this node coordinated.
    Gets,
    /// Puts that this node coordinated, retries and refusals while minting included.
    Puts,
    /// Pages of scans that this node coordinated.
    Scans,
    /// Puts passed on to an owner of their key.
    Forwards,
    /// Read repairs of replicas that had no record, each of which was sent the merge.
    ReadRepairsMissing,
    /// Read repairs of replicas that were behind, each of which was sent the merge.
    ReadRepairsStale,
    /// Read repairs of either kind that went to a fallback, as a hint.
    ReadRepairsFallback,
    /// Times that a get asked more replicas because the first were slow.
    Hedges,
    /// Puts recognised as a retry of one that is held already.
    RetriedPuts,
    /// Clock entries dropped by the last-resort truncation.
    TruncatedEntries,
    /// Records that failed their checksums, counted each time that one was read.
    DamagedRecords,
    /// Peers' requests refused because they were made under a stale layout.
    StaleLayouts,
    /// Puts that asked fallbacks because primaries did not answer in time.
    PutHedges,
    /// Writes of hints for other nodes.
    HintsKept,
    /// Hints that their targets have synced.
    HintsDelivered,
    /// Records that peers delivered in the background and that were synced here.
    Deliveries,
    /// Peers' requests refused because they may have outlived a message's life.
    TooOldMessages,
    /// Records removed by the collector: tombstones and expired values.
    Collected,
    /// Records whose clocks the collector pruned.
    Pruned,
}
