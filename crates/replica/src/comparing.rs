//! Answers to peers that compare a partition with this node, or fetch a range of it.
//!
//! Invariant: a tree that is not whole answers for nothing.

use alloc::format;

use jedlik_hashing::Partition;
use jedlik_membership::View;
use jedlik_merkle::LEAF_BITS;
use jedlik_protocol::PlacedKey;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{DigestPage, PeerResponse};
use jedlik_storage_port::RangePage;

use crate::cx::{Cx, Fact};
use crate::exchanges::Exchanges;
use crate::io::{Output, StorageFault};
use crate::keyset::Keyset;
use crate::keyset::Leaves;
use crate::range;
use crate::range::digests;
use crate::reasons::PageFor;
use crate::scan::mark;

impl Exchanges {
    /// Answers with the hashes of a tree's branch, unless they are the ones that the peer has.
    pub(crate) fn serve_hashes(
        &mut self,
        cx: &mut Cx,
        reply: u64,
        Keyset { partition, n }: Keyset,
        (branch, known): (Option<u8>, u64),
        synced: bool,
    ) {
        let response = match self.trees.whole(partition, n) {
            Some(tree) => {
                let own = branch.map_or_else(|| tree.root(), |branch| tree.branch(branch));
                if own == known {
                    PeerResponse::Same
                } else {
                    PeerResponse::Hashes(tree.children(branch))
                }
            }
            None => {
                self.read_soon(cx, partition);
                let message = format!("the tree of partition {partition} is still being read");
                PeerResponse::Refused(Failure::new(ErrorCode::NotReady, message))
            }
        };
        cx.answer_compared(reply, response, synced);
    }

    /// Answers with the digests of a page of records.
    pub(crate) fn serve_digests(
        &mut self,
        cx: &mut Cx,
        (reply, n): (u64, u8),
        (clocks, synced): (bool, bool),
        result: Result<RangePage, StorageFault>,
    ) {
        let Some(view) = cx.view.clone() else { return };
        let response = match result {
            Ok(range) => {
                self.trees.note_damage(&range.damaged);
                let until = range.until.clone().map(mark);
                let digests = digests(range, &view, n, clocks);
                PeerResponse::Digests(DigestPage { digests, until })
            }
            Err(fault) => PeerResponse::Refused(fault.failure()),
        };
        cx.answer_compared(reply, response, synced);
    }

    /// Has a partition's tree read soon, since another node waits for it. A node that owns the partition only under a
    /// layout in between takes nothing over, so that only the next round would read it.
    fn read_soon(&self, cx: &mut Cx, partition: Partition) {
        if self.trees.keeps(partition) && !self.is_at(partition) {
            cx.tell(Fact::Wanted(partition));
        }
    }
}

impl Cx {
    /// Reads a page of the records in neighbouring leaves.
    pub(crate) fn serve_leaves(
        &mut self,
        view: &View,
        ticket: PageFor,
        leaves: Leaves,
        after: Option<PlacedKey>,
        limit: u32,
    ) {
        let range =
            |leaf: u16| view.partitions().leaf_range(leaves.partition, leaf.into(), LEAF_BITS);
        let span = Some((range(leaves.first).0, range(leaves.last).1));
        let ticket = self.pending.page(ticket);
        let range = range::stored(leaves.partition, span, after, limit);
        self.emit(Output::Range { ticket, range });
    }
}
