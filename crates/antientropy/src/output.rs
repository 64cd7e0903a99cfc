//! An exchange's direction and its outputs.

use jedlik_protocol::client::ScanMark;
use jedlik_protocol::{Digest, Key};

/// Direction of an exchange: which side gets what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Both sides, as between owners of a partition. A complete exchange means that each has merged all that
    /// the other held when it began.
    Both,
    /// Both sides too, while this node takes over what the peer owns. It holds only what clients have written
    /// to it meanwhile, so that most of what it lacks is fetched in long runs, across those leaves.
    Inbound,
    /// The peer alone, as when this node hands over records that it no longer owns. Nothing is pulled or
    /// fetched; leaves in which this node holds nothing are skipped, and so are records of which the peer has
    /// seen all, as the clocks tell. A complete exchange means that the peer has seen all that this node held
    /// when it began, unless this node itself has dropped it since.
    Push,
}

impl Direction {
    /// Returns whether clocks are compared where digests differ: a node that pulls nothing does not learn
    /// otherwise that the peer's record is the newer one.
    pub(crate) fn wants_clocks(self) -> bool {
        self == Self::Push
    }
}

/// Effect that an exchange asks for; the method that takes its answer is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExchangeOutput {
    /// Ask the peer for the hashes below one node of its tree:
    /// [`Exchange::handle_hashes`](crate::Exchange::handle_hashes) or
    /// [`Exchange::handle_same`](crate::Exchange::handle_same).
    AskHashes {
        /// Branch below which hashes are asked for; `None` for the root.
        branch: Option<u8>,
        /// This node's hash of that branch or root; if the peer's is the same it need not send the hashes below.
        known: u64,
    },
    /// List this node's own digests in neighbouring leaves, all of them:
    /// [`Exchange::handle_own_digests`](crate::Exchange::handle_own_digests).
    LoadDigests {
        /// First of the leaves.
        first_leaf: u16,
        /// Last of the leaves.
        last_leaf: u16,
        /// Whether the records' clocks are wanted too.
        clocks: bool,
    },
    /// Ask the peer for a page of its digests in neighbouring leaves:
    /// [`Exchange::handle_digests`](crate::Exchange::handle_digests).
    AskDigests {
        /// First of the leaves.
        first_leaf: u16,
        /// Last of the leaves.
        last_leaf: u16,
        /// Key after which the page begins; `None` for the first page.
        after: Option<ScanMark>,
        /// Whether the records' clocks are wanted too.
        clocks: bool,
    },
    /// Ask the peer for a page of its records in neighbouring leaves, in which this node held nothing, and
    /// merge them: [`Exchange::handle_page`](crate::Exchange::handle_page) when it has come, then
    /// [`Exchange::handle_page_merged`](crate::Exchange::handle_page_merged).
    Fetch {
        /// First of the leaves.
        first_leaf: u16,
        /// Last of the leaves.
        last_leaf: u16,
        /// Key after which the page begins; `None` for the first page.
        after: Option<ScanMark>,
    },
    /// Ask the peer for its record and merge it into this node's:
    /// [`Exchange::handle_pulled`](crate::Exchange::handle_pulled),
    /// [`Exchange::handle_gone`](crate::Exchange::handle_gone),
    /// [`Exchange::handle_clash`](crate::Exchange::handle_clash) or
    /// [`Exchange::handle_record_failure`](crate::Exchange::handle_record_failure).
    Pull {
        /// Key of the record that is pulled.
        key: Key,
        /// Digest of this node's record when its leaf was listed, which the peer need not send; `None` if it held none.
        known: Option<Digest>,
        /// Digest of the peer's record when its leaf was listed.
        theirs: Digest,
    },
    /// Send the peer this node's record, as it is now:
    /// [`Exchange::handle_pushed`](crate::Exchange::handle_pushed),
    /// [`Exchange::handle_gone`](crate::Exchange::handle_gone),
    /// [`Exchange::handle_clash`](crate::Exchange::handle_clash) or
    /// [`Exchange::handle_record_failure`](crate::Exchange::handle_record_failure).
    Push {
        /// Key of the record that is pushed.
        key: Key,
        /// Digest of the record that the peer holds, as far as it is known; `None` otherwise.
        theirs: Option<Digest>,
    },
}
