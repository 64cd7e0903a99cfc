//! What an exchange is for, and what it wants done.

use jedlik_protocol::client::ScanMark;
use jedlik_protocol::{Digest, Key};

/// Which side gets what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Both sides, as between owners of a partition. A complete exchange means that each has merged all
    /// that the other held when it began.
    Both,
    /// Both sides too, while this node takes over what the peer owns: it holds what clients have written to it
    /// meanwhile, so that most of what it lacks is fetched across that.
    Inbound,
    /// The peer alone, as when this node hands over records that it owns no more: nothing is pulled or
    /// fetched, leaves in which it holds nothing are skipped, and so is a record of which the peer's has seen
    /// all, as the clocks tell. A complete exchange means that the peer has seen all that this node held when
    /// it began, unless this node itself has dropped it since.
    Push,
}

impl Direction {
    /// Whether clocks are compared where digests differ: whoever pulls nothing does not learn otherwise that
    /// the peer's record is the newer one.
    pub(crate) fn wants_clocks(self) -> bool {
        self == Self::Push
    }
}

/// What an exchange wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExchangeOutput {
    /// Ask the peer for the hashes below one node of its tree:
    /// [`Exchange::handle_hashes`](crate::Exchange::handle_hashes) or
    /// [`Exchange::handle_same`](crate::Exchange::handle_same).
    AskHashes {
        /// Below which branch; `None` for the root.
        branch: Option<u8>,
        /// The own hash of that node.
        known: u64,
    },
    /// List this node's own digests in neighbouring leaves, all of them:
    /// [`Exchange::handle_own_digests`](crate::Exchange::handle_own_digests).
    LoadDigests {
        /// The first of them.
        first_leaf: u16,
        /// The last of them.
        last_leaf: u16,
        /// The records' clocks too.
        clocks: bool,
    },
    /// Ask the peer for a page of its digests in neighbouring leaves:
    /// [`Exchange::handle_digests`](crate::Exchange::handle_digests).
    AskDigests {
        /// The first of them.
        first_leaf: u16,
        /// The last of them.
        last_leaf: u16,
        /// Past which key.
        after: Option<ScanMark>,
        /// The records' clocks too.
        clocks: bool,
    },
    /// Ask the peer for a page of its records in neighbouring leaves, in which this node held nothing,
    /// and merge them into the own: [`Exchange::handle_page`](crate::Exchange::handle_page) when it has
    /// come, then [`Exchange::handle_page_merged`](crate::Exchange::handle_page_merged).
    Fetch {
        /// The first of them.
        first_leaf: u16,
        /// The last of them.
        last_leaf: u16,
        /// Past which key.
        after: Option<ScanMark>,
    },
    /// Ask the peer for its record and merge it into the own:
    /// [`Exchange::handle_pulled`](crate::Exchange::handle_pulled),
    /// [`Exchange::handle_gone`](crate::Exchange::handle_gone),
    /// [`Exchange::handle_clash`](crate::Exchange::handle_clash) or
    /// [`Exchange::handle_record_failure`](crate::Exchange::handle_record_failure).
    Pull {
        /// Which.
        key: Key,
        /// The own record's digest when its leaf was listed, which the peer need not send.
        known: Option<Digest>,
        /// The peer's then.
        theirs: Digest,
    },
    /// Send the peer the own record, as it is now:
    /// [`Exchange::handle_pushed`](crate::Exchange::handle_pushed),
    /// [`Exchange::handle_gone`](crate::Exchange::handle_gone),
    /// [`Exchange::handle_clash`](crate::Exchange::handle_clash) or
    /// [`Exchange::handle_record_failure`](crate::Exchange::handle_record_failure).
    Push {
        /// Which.
        key: Key,
        /// The digest of the record that the peer holds, if it was told one.
        theirs: Option<Digest>,
    },
}
