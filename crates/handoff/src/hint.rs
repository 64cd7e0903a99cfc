//! What goes into the handoff machine and what comes out.

use jedlik_hashing::NodeId;
use jedlik_protocol::{Digest, EncodedRecord, PlacedKey};

/// What storage holds for one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HintTotals {
    /// Keys.
    pub count: u64,
    /// Their records' size.
    pub bytes: u64,
    /// Since when the oldest waits, in milliseconds since the Unix epoch, by this node's clock.
    pub oldest_ms: Option<u64>,
}

/// One hint as storage holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldHint {
    /// Of which key.
    pub key: PlacedKey,
    /// Since when there is a hint of it, in milliseconds since the Unix epoch; a hint that grows
    /// keeps it.
    pub since_ms: u64,
    /// All that was hinted of the key, merged.
    pub record: EncodedRecord,
}

/// A hint's place among those of its target: oldest first, keys in order where times are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HintMark {
    /// See [`HeldHint::since_ms`].
    pub since_ms: u64,
    /// The hint's key.
    pub key: PlacedKey,
}

/// What the machine wants of storage. None of it waits for the budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoffOutput {
    /// Read a page of a target's hints, in the order of [`HintMark`]; answered once, by
    /// [`handle_page`](crate::Handoff::handle_page) or
    /// [`handle_page_failed`](crate::Handoff::handle_page_failed).
    LoadPage {
        /// For whom.
        target: NodeId,
        /// Past which hint; `None` for the oldest.
        after: Option<HintMark>,
        /// The most hints.
        limit_records: u32,
        /// The page ends with the hint that takes it past this size.
        limit_bytes: u32,
    },
    /// Remove a hint if its record still has this digest; answered once, by
    /// [`handle_released`](crate::Handoff::handle_released) or
    /// [`handle_release_failed`](crate::Handoff::handle_release_failed).
    Release {
        /// For whom it was.
        target: NodeId,
        /// Of which key.
        key: PlacedKey,
        /// Of the record that the target has synced; one that grew meanwhile has another, and stays.
        digest: Digest,
    },
}

/// A record to be sent to its target, who answers once it has synced it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// To whom.
    pub target: NodeId,
    /// Which key.
    pub key: PlacedKey,
    /// The hint's record.
    pub record: EncodedRecord,
}
