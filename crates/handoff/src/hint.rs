//! The handoff machine's inputs and outputs.

use jedlik_hashing::NodeId;
use jedlik_protocol::{Digest, EncodedRecord, PlacedKey};
use jedlik_storage_port::HintMark;

/// Effect that the machine wants of storage. None of them waits for the budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoffOutput {
    /// Read a page of a target's hints, in the order of [`HintMark`]; answered once, by
    /// [`handle_page`](crate::Handoff::handle_page) or
    /// [`handle_page_failed`](crate::Handoff::handle_page_failed).
    LoadPage {
        /// Node that the hints are for.
        target: NodeId,
        /// Hint after which the page begins; `None` for the oldest.
        after: Option<HintMark>,
        /// Most hints on the page.
        limit_records: u32,
        /// Size in bytes at which the page ends, with the hint that reaches it.
        limit_bytes: u32,
    },
    /// Remove a hint if its record still has this digest; answered once, by
    /// [`handle_released`](crate::Handoff::handle_released) or
    /// [`handle_release_failed`](crate::Handoff::handle_release_failed).
    Release {
        /// Node that the hint was for.
        target: NodeId,
        /// Key that the hint is of.
        key: PlacedKey,
        /// Digest of the record that the target has synced. A hint that grew meanwhile has another, and stays.
        digest: Digest,
    },
}

/// Record to be sent to its target, which answers once it has synced the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Node that the record is sent to.
    pub target: NodeId,
    /// Key that the hint is of.
    pub key: PlacedKey,
    /// Merge of all records of the key that were hinted, when the hint was read.
    pub record: EncodedRecord,
}
