//! The active layouts in order, and the partitions that have flipped under each.
//!
//! Invariant: layouts are only added and sets of flipped partitions only grow, and every order of arrival gives the
//! same result, also for rivals with one version. A layout older than one under which every partition has flipped is
//! dropped and not taken in again: the data has left it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition, Preferences};
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::{Layout, LayoutId, PartitionSet, WireLayout};

use crate::acceptable::{Unacceptable, check_layout, check_version};

/// Length of preference lists: far more nodes than N ever has, so that fallbacks don't run out, and few enough that
/// the lists of 65,536 partitions take 16 MiB.
pub(crate) const PREFERENCES_MAX: usize = 32;

/// An active layout with its flipped partitions and its preference lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveLayout {
    layout: Arc<Layout>,
    id: LayoutId,
    flipped: PartitionSet,
    preferences: Arc<Preferences>,
}

impl ActiveLayout {
    fn of(placed: WireLayout, id: LayoutId) -> Self {
        let preferences = Arc::new(Preferences::new(&placed.layout.ring, PREFERENCES_MAX));
        Self { layout: Arc::new(placed.layout), id, flipped: placed.flipped, preferences }
    }

    /// Returns the layout as it was committed.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Returns the layout's identity.
    #[must_use]
    pub fn id(&self) -> LayoutId {
        self.id
    }

    /// Returns the partitions known to have flipped under the layout: their older owners are not asked any more.
    #[must_use]
    pub fn flipped(&self) -> &PartitionSet {
        &self.flipped
    }

    /// Returns the partition's preference list under this layout, with at most 32 nodes.
    ///
    /// # Panics
    /// The partition is not one of the ring's.
    #[must_use]
    pub fn preference_list(&self, partition: Partition) -> &[NodeId] {
        self.preferences.of(partition)
    }

    /// Whether all partitions have flipped, so that nothing moves to the layout any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.flipped.is_full(self.layout.ring.partitions())
    }

    /// Returns the layout and its flips as they travel.
    #[must_use]
    pub fn placed(&self) -> WireLayout {
        WireLayout { layout: (*self.layout).clone(), flipped: self.flipped.clone() }
    }
}

/// Outcome of adding a layout or flips.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Added {
    /// The layout is the newest now; `rival` is the one of the same version that was the newest before.
    Newest { rival: Option<LayoutId> },
    /// An older layout or more flipped partitions are new.
    Other,
    /// Nothing was added, since all of it was known or is retired.
    Nothing,
}

/// The active layouts, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LayoutHistory {
    /// Active layouts, newest first; shared with the views.
    layouts: Arc<Vec<ActiveLayout>>,
}

impl LayoutHistory {
    pub(crate) fn layouts(&self) -> &Arc<Vec<ActiveLayout>> {
        &self.layouts
    }

    pub(crate) fn newest(&self) -> Option<&ActiveLayout> {
        self.layouts.first()
    }

    /// Returns the identity of the newest layout; the default before the first.
    pub(crate) fn newest_id(&self) -> LayoutId {
        self.newest().map_or(LayoutId::default(), ActiveLayout::id)
    }

    pub(crate) fn find(&self, id: LayoutId) -> Option<&ActiveLayout> {
        self.place(id).ok().map(|index| &self.layouts[index])
    }

    /// Whether the layout is too old to be taken in.
    pub(crate) fn is_retired(&self, id: LayoutId) -> bool {
        self.layouts.last().is_some_and(|oldest| id < oldest.id && oldest.is_settled())
    }

    /// Takes in a layout, or what has flipped under a known one.
    pub(crate) fn add(&mut self, placed: WireLayout) -> Result<Added, Unacceptable> {
        check_layout(&placed)?;
        let version = placed.layout.version;
        check_version("a layout", version, self.newest().map(|newest| newest.id.version))?;
        let found = placed.layout.ring.partitions().get();
        let known = self.newest().map_or(found, |newest| newest.layout.ring.partitions().get());
        if found != known {
            return Err(Unacceptable::PartitionCount { version, found, known });
        }
        let id = placed.layout.id();
        if self.is_retired(id) {
            return Ok(Added::Nothing);
        }
        let Err(index) = self.place(id) else {
            return Ok(self.flip(id, &placed.flipped));
        };
        let former = self.newest_id();
        Arc::make_mut(&mut self.layouts).insert(index, ActiveLayout::of(placed, id));
        self.retire();
        let rival = (former.version == version).then_some(former);
        Ok(if index == 0 { Added::Newest { rival } } else { Added::Other })
    }

    /// Adds flipped partitions; those of an unknown layout count for nothing.
    pub(crate) fn merge_flips(
        &mut self,
        id: LayoutId,
        flipped: &PartitionSet,
    ) -> Result<Added, Unacceptable> {
        let Some(known) = self.find(id) else { return Ok(Added::Nothing) };
        let partitions = known.layout.ring.partitions().get();
        if !flipped.is_well_formed(partitions) {
            return Err(Unacceptable::Flipped { version: id.version, partitions });
        }
        Ok(self.flip(id, flipped))
    }

    /// Flips all partitions of a layout that had `who` leave, since it knew that all data had moved. Returns whether
    /// any is new.
    pub(crate) fn settle(&mut self, id: LayoutId, who: NodeId) -> bool {
        let left = |known: &&ActiveLayout| {
            known.layout.departed(who).is_some_and(|departed| !departed.forced)
        };
        let Some(known) = self.find(id).filter(left).filter(|known| !known.is_settled()) else {
            return false;
        };
        let all: PartitionSet = known.layout.ring.partitions().partitions().collect();
        self.flip(id, &all) == Added::Other
    }

    /// Flips those of `candidates` under the newest layout whose first `n` owners are all `ready`. Returns whether
    /// any is new.
    pub(crate) fn flip_ready(
        &mut self,
        n: usize,
        candidates: impl Iterator<Item = Partition>,
        ready: impl Fn(NodeId, Partition) -> bool,
    ) -> bool {
        let Some(newest) = self.newest() else { return false };
        let allowed = usize::from(planted::on(Bug::FlippedBeforeAllReady));
        let all_ready = |partition: &Partition| {
            let owners = newest.preference_list(*partition).iter().take(n);
            owners.filter(|owner| !ready(**owner, *partition)).count() <= allowed
        };
        let count = newest.layout.ring.partitions().get();
        let flipped: PartitionSet = candidates
            .filter(|partition| partition.0 < count && !newest.flipped.contains(*partition))
            .filter(all_ready)
            .collect();
        !flipped.is_empty() && self.flip(newest.id, &flipped) == Added::Other
    }

    fn flip(&mut self, id: LayoutId, flipped: &PartitionSet) -> Added {
        let Ok(index) = self.place(id) else { return Added::Nothing };
        // Copied only if there is something to add.
        let mut grown = self.layouts[index].flipped.clone();
        if !grown.union(flipped) {
            return Added::Nothing;
        }
        Arc::make_mut(&mut self.layouts)[index].flipped = grown;
        self.retire();
        Added::Other
    }

    /// Drops layouts older than the newest one to which all data has moved.
    fn retire(&mut self) {
        if let Some(settled) = self.layouts.iter().position(ActiveLayout::is_settled)
            && settled + 1 < self.layouts.len()
        {
            Arc::make_mut(&mut self.layouts).truncate(settled + 1);
        }
    }

    fn place(&self, id: LayoutId) -> Result<usize, usize> {
        self.layouts.binary_search_by(|known| id.cmp(&known.id))
    }
}
