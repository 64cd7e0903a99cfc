//! What a replica counts, for whoever looks after the node.

/// What a replica counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// Gets coordinated here.
    Gets,
    /// Puts coordinated here.
    Puts,
    /// Scans coordinated here.
    Scans,
    /// Requests passed on to an owner.
    Forwards,
    /// Replicas found without a record after a get and sent the merge.
    ReadRepairsMissing,
    /// Replicas found behind after a get and sent the merge.
    ReadRepairsStale,
    /// Read repairs of either kind that went to a fallback.
    ReadRepairsFallback,
    /// Reads that asked more replicas because the first were slow.
    Hedges,
    /// Puts recognised as a retry of one that is held already.
    RetriedPuts,
    /// Clock entries dropped by the last-resort truncation.
    TruncatedEntries,
    /// Records that failed their checksum.
    DamagedRecords,
    /// Requests refused because of a stale layout.
    StaleLayouts,
    /// Puts that asked fallbacks because primaries were silent.
    PutHedges,
    /// Hints kept for other nodes, each time that one was written to.
    HintsKept,
    /// Hints handed to their targets.
    HintsDelivered,
    /// Records taken over from peers in the background.
    Deliveries,
    /// Messages dropped because they were too old.
    TooOldMessages,
    /// Tombstones and expired records collected.
    Collected,
    /// Clocks pruned under the collector's conditions.
    Pruned,
}
