//! Damaged records that no other owner can mend: all of them have forgotten the key since, or never had it.
//!
//! Invariant: such a record goes only while every other owner of its key is up, once two whole readings in a
//! row could not read it; as a rule a round of exchanges lies between them. Nothing rests on that round: this
//! node says nothing of what is absent there until it has been compared with as many owners as one that has
//! lost its past (decision 16), and what the record held was destroyed when it rotted.

use jedlik_hashing::Partition;
use jedlik_membership::View;
use jedlik_protocol::PlacedKey;

use crate::cx::Cx;
use crate::io::Output;
use crate::reasons::ApplyFor;
use crate::transfers::Transfers;
use crate::trees::Trees;

impl Transfers {
    /// Removes damaged records that two readings in a row have found. Otherwise the partition would never vote again: a
    /// tombstone rots while it is being collected, and nobody holds anything that could mend it.
    pub(crate) fn discard_unmended(
        &mut self,
        cx: &mut Cx,
        (trees, view): (&mut Trees, &View),
        partition: Partition,
    ) {
        let unmended = trees.take_unmended(partition);
        // While the partition moves, others may hold records that this node has yet to be sent.
        if view.layouts().len() > 1 {
            return;
        }
        for key in unmended {
            let owners = view.owners(partition, view.bucket(key.key.bucket()).n);
            let me = cx.config.me;
            if !owners.contains(&me)
                || owners.iter().any(|node| *node != me && !view.is_alive(*node))
            {
                continue;
            }
            self.handle_mended(cx, trees, &key);
            let (sweep, discarded) = (None, key.clone());
            let ticket = cx.pending.apply(ApplyFor::Discarded { sweep, key: discarded });
            cx.emit(Output::Discard { ticket, key });
        }
    }

    /// Forgets a damaged record that is gone, and counts it for the sweep that removed it.
    pub(crate) fn handle_discarded(
        &mut self,
        cx: &mut Cx,
        trees: &mut Trees,
        sweep: Option<u64>,
        key: &PlacedKey,
        removed: bool,
    ) {
        if removed {
            trees.forget_damage(key);
        }
        if let Some(sweep) = sweep {
            self.handle_thinned(cx, trees, sweep, removed);
        }
    }
}
