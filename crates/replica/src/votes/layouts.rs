//! Flips of partitions while a lost past is not refilled yet (decision 16).
//!
//! Invariant: of a layout that was learned of since the past was lost, what has flipped to this node counts
//! as held only where a life since then has said that it is ready for it; a later life of the process finds
//! the same, whatever of the row did not reach the disk.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use jedlik_membership::{ActiveLayout, View};
use jedlik_protocol::{LayoutId, PartitionSet};

use super::{Basis, flipped_for};
use crate::cx::Cx;

/// State of one active layout as this shard last knew it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Followed {
    /// Whether the layout was learned of later than in the first view: where a past was lost, since then.
    pub(super) learned: bool,
    /// Partitions of this shard that had flipped under a layout that was learned of so.
    pub(super) flipped: PartitionSet,
}

/// Layouts that were active by the last view.
pub(super) type Layouts = BTreeMap<LayoutId, Followed>;

impl Cx {
    /// Takes away votes on what has flipped to this node under a layout that was learned of since the past
    /// was lost, unless it has said since then that it is ready: an earlier life was ready for it, and of
    /// that nothing is known here. Where no past is lost, such a partition is this node's by an `n` that was
    /// raised since ([`Self::follow_counts`]).
    ///
    /// Returns whether something has no vote for that.
    pub(super) fn follow_flips(&mut self, view: &View) -> bool {
        let Some(before) = self.votes.layouts.as_ref().filter(|_| self.votes.catching_up) else {
            return false;
        };
        let said = view.ready_of(self.config.me);
        let mut lost = Vec::new();
        for keys in self.owned_keysets(view) {
            let partition = keys.partition;
            let Some(id) = flipped_for(view, partition).map(ActiveLayout::id) else { continue };
            let known = before.get(&id);
            let is_learned = known.is_none_or(|known| known.learned);
            let was_flipped = known.is_some_and(|known| known.flipped.contains(partition));
            // What it has said of an older layout is not known any more; of one that is new it has said nothing.
            let was_ready = match id == view.layout_id() {
                true => said.contains(partition),
                false => known.is_some(),
            };
            let is_held = !is_learned || was_flipped || was_ready;
            let has_entry = self.votes.entries.contains_key(&keys);
            if !is_held && !has_entry && self.has_flipped_to_me(view, keys) {
                lost.push(keys);
            }
        }
        for keys in &lost {
            let basis = Basis { n: keys.n, least_w: view.least_w(keys.n) };
            self.votes.add(*keys, basis, true);
        }
        !lost.is_empty()
    }

    /// Notes which layouts are active, and what has flipped. Returns whether the row has changed by that.
    pub(super) fn note_layouts(&mut self, view: &View) -> bool {
        let before = self.votes.layouts.as_ref();
        let followed = |known: &ActiveLayout| {
            let is_learned = |before: &Layouts| before.get(&known.id()).is_none_or(|f| f.learned);
            let learned = before.is_some_and(is_learned);
            let flipped =
                self.of_this_shard(view).filter(|p| learned && known.flipped().contains(*p));
            (known.id(), Followed { learned, flipped: flipped.collect() })
        };
        let layouts = Some(view.layouts().iter().map(followed).collect());
        let is_another = self.votes.catching_up && layouts != self.votes.layouts;
        self.votes.layouts = layouts;
        is_another
    }
}
