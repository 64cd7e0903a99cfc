//! The walk down two trees: which leaves differ, and whether this node's tree holds anything in them.
//!
//! Invariant: hashes are asked for only below a node that differs and in which this node's tree holds
//! something. Elsewhere they would tell nothing: each leaf is either empty on both sides, or only the peer
//! holds something in it. When only pushing, nothing is taken from there. A node that takes over and holds
//! little of what differs, here and there, does not ask for hashes either: all that differs is fetched, and
//! what was held there is compared after that.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::ops::Range;

use jedlik_merkle::{LEAVES, LEAVES_PER_BRANCH, Tree};

use crate::output::Direction;
use crate::span::Nonsense;

/// Most held leaves of a branch for which, when only pushing to a peer that holds much the same, a listing
/// takes the place of hashes. With three leaves of four held there are about 45 keys below, so it weighs
/// little more.
const SPARSE_LEAVES: usize = LEAVES_PER_BRANCH * 3 / 4;
/// Divisor of the keys read together, for the gap between two leaves that differ that is read with them when
/// only pushing. A request costs as much as reading some keys in vain, and owners' writes leave differences
/// everywhere.
const GAP_PARTS: u64 = 32;

/// Fewest branches that differ and hold something for which, when taking over, all that differs is fetched ...
const SCATTERED_BRANCHES: usize = 4;
/// ... if in all that differ no more than one leaf in so many holds something. So it is where clients have
/// written meanwhile: each of their records would cost a branch's hashes and part a run in two. What is held
/// is fetched in vain, but that is some hundred records at most, as more would leave few leaves empty. A
/// stream that broke off leaves branches that agree, and one that is there in part.
const LITTLE_PARTS: usize = 4;

/// First and last of some neighbouring leaves.
pub(crate) type Run = (u16, u16);

/// Walk down the two trees, and how far it has come.
#[derive(Debug)]
pub(crate) struct Walk {
    tree: Tree,
    direction: Direction,
    /// Nodes whose hashes are to be asked for.
    branches: VecDeque<Option<u8>>,
    /// Nodes whose hashes have been asked for.
    asked: BTreeSet<Option<u8>>,
    /// Bits of the branches: bit i is set if branch i differs.
    differing: u32,
    /// Leaves that differ, or may; when only pushing, those in which something is held.
    leaves: VecDeque<u16>,
    /// Whether, when only pushing, the peer holds little where nothing is held here, so that this node's tree
    /// tells how many keys it may have. Not so if this node holds a few strays of a full partition.
    alike: bool,
    /// Whether all that differs is fetched, and the leaves that wait are those in which something was held.
    fetches_across: bool,
    /// Runs of leaves that differ and are still to be fetched, if all that differs is.
    across: VecDeque<Run>,
}

impl Walk {
    /// Creates a walk that begins at the root, unless there is nothing to be pushed.
    pub(crate) fn new(tree: Tree, direction: Direction) -> Self {
        let is_idle = direction == Direction::Push && tree.is_empty();
        Self {
            tree,
            direction,
            branches: (!is_idle).then_some(None).into_iter().collect(),
            asked: BTreeSet::new(),
            differing: 0,
            leaves: VecDeque::new(),
            alike: false,
            fetches_across: false,
            across: VecDeque::new(),
        }
    }

    /// Returns the next node whose hashes are to be asked for, and this node's hash of it; it counts as asked for then.
    pub(crate) fn ask(&mut self) -> Option<(Option<u8>, u64)> {
        let branch = self.branches.pop_front()?;
        self.asked.insert(branch);
        Some((branch, branch.map_or_else(|| self.tree.root(), |branch| self.tree.branch(branch))))
    }

    /// Returns the number of nodes for whose hashes the peer has been asked and has not answered.
    pub(crate) fn under_way(&self) -> usize {
        self.asked.len()
    }

    /// Notes that the peer's hash of a node equals this node's; returns false if it was not asked for.
    pub(crate) fn end_same(&mut self, branch: Option<u8>) -> bool {
        self.asked.remove(&branch)
    }

    /// Takes the peer's hashes below a node, if they were asked for.
    pub(crate) fn compare(
        &mut self,
        branch: Option<u8>,
        hashes: &[u64],
    ) -> Option<Result<(), Nonsense>> {
        if !self.asked.remove(&branch) {
            return None;
        }
        let own = self.tree.children(branch);
        if hashes.len() != own.len() {
            return Some(Err(Nonsense));
        }
        let differs =
            |(index, (own, theirs)): (usize, (&u64, &u64))| (own != theirs).then_some(index);
        let differing = own.iter().zip(hashes).enumerate().filter_map(differs);
        let differing: Vec<usize> = differing.collect();
        match branch {
            None => {
                let is_empty = |index: &&usize| self.tree.branch_is_empty(**index as u8);
                let unheld = differing.iter().filter(is_empty).count();
                self.alike = self.direction == Direction::Push && 3 * unheld <= differing.len();
                let branches = differing.into_iter().map(|index| index as u8).collect::<Vec<_>>();
                self.fetches_across = self.holds_little(&branches);
                for branch in branches {
                    if self.fetches_across { self.cross(branch) } else { self.descend(branch) }
                }
            }
            Some(branch) => {
                differing.into_iter().for_each(|leaf| self.add(first_leaf(branch) + leaf as u16));
            }
        }
        Some(Ok(()))
    }

    /// Returns the next leaves that differ and in which nothing is held, as many as there are side by side;
    /// none while others come first. If all that differs is fetched, it is returned whatever is held there.
    pub(crate) fn next_empty(&mut self) -> Option<Run> {
        if let Some(run) = self.across.pop_front() {
            return Some(run);
        }
        let first = *self.leaves.front()?;
        self.tree.leaf_is_empty(first).then(|| self.take_run(u64::MAX, 0)).flatten()
    }

    /// Returns the next leaves that differ and in which something is held, at most `limit` side by side but
    /// at least one; none while others come first. When only pushing, small gaps between them are taken too.
    pub(crate) fn next_held(&mut self, limit: u64) -> Option<Run> {
        let first = *self.leaves.front()?;
        let gap = match self.direction {
            Direction::Push => limit / GAP_PARTS,
            Direction::Inbound if self.fetches_across => limit,
            Direction::Inbound | Direction::Both => 0,
        };
        (!self.tree.leaf_is_empty(first)).then(|| self.take_run(limit, gap)).flatten()
    }

    /// Returns whether all that differs is fetched, so that what was held is to be compared once that is merged.
    pub(crate) fn fetches_across(&self) -> bool {
        self.fetches_across
    }

    /// Returns how many leaves are likely to hold so many keys, judged by how many hold none: where half of them do,
    /// there is about one key for each. 0 if there is no telling, since no leaf is empty or the peer is unlike.
    pub(crate) fn fitting(&self, keys: u64) -> u64 {
        if !self.alike {
            return 0;
        }
        let empty = (0..LEAVES as u16).filter(|leaf| self.tree.leaf_is_empty(*leaf)).count() as u64;
        keys * empty / (LEAVES as u64 - empty).max(1)
    }

    /// Returns whether all nodes were compared and all leaves taken.
    pub(crate) fn is_over(&self) -> bool {
        self.branches.is_empty()
            && self.asked.is_empty()
            && self.leaves.is_empty()
            && self.across.is_empty()
    }

    fn holds_little(&self, differing: &[u8]) -> bool {
        let held =
            |branch: &u8| leaves_of(*branch).filter(|leaf| !self.tree.leaf_is_empty(*leaf)).count();
        let held: Vec<usize> = differing.iter().map(held).collect();
        self.direction == Direction::Inbound
            && held.iter().filter(|held| **held > 0).count() >= SCATTERED_BRANCHES
            && held.iter().sum::<usize>() * LITTLE_PARTS <= differing.len() * LEAVES_PER_BRANCH
    }

    /// Has all of a branch fetched, and then compared what is held in it.
    fn cross(&mut self, branch: u8) {
        let leaves = leaves_of(branch);
        let (first, last) = (leaves.start, leaves.end - 1);
        match self.across.back_mut() {
            Some(run) if run.1 + 1 == first => run.1 = last,
            _ => self.across.push_back((first, last)),
        }
        self.leaves.extend(leaves.filter(|leaf| !self.tree.leaf_is_empty(*leaf)));
    }

    fn descend(&mut self, branch: u8) {
        let leaves = leaves_of(branch);
        let held = leaves.clone().filter(|leaf| !self.tree.leaf_is_empty(*leaf)).count();
        if held == 0 && self.direction == Direction::Push {
            return;
        }
        self.differing |= 1 << branch;
        if held == 0 || (self.alike && held <= SPARSE_LEAVES) {
            leaves.for_each(|leaf| self.add(leaf));
        } else {
            self.branches.push_back(Some(branch));
        }
    }

    /// Adds a leaf that differs, or may, unless only the peer can hold something in it and nothing is taken from there.
    fn add(&mut self, leaf: u16) {
        if self.direction != Direction::Push || !self.tree.leaf_is_empty(leaf) {
            self.leaves.push_back(leaf);
        }
    }

    /// Takes the first leaves that wait and are alike in whether something is held, with gaps of up to `gap` leaves.
    fn take_run(&mut self, limit: u64, gap: u64) -> Option<Run> {
        let first = self.leaves.pop_front()?;
        let mut last = first;
        while let Some(&next) = self.leaves.front() {
            let is_alike = self.tree.leaf_is_empty(next) == self.tree.leaf_is_empty(first);
            let are_near = self.are_neighbours(last, next, gap);
            if !is_alike || !are_near || u64::from(next - first) >= limit {
                break;
            }
            self.leaves.pop_front();
            last = next;
        }
        Some((first, last))
    }

    /// Returns whether nothing lies between two leaves that wait one after the other, or so few leaves that
    /// they are read in vain. Leaves between them in their own branches agree, and so does a branch between
    /// that is not known to differ: what is empty on this side is empty on both. When only pushing there may
    /// be some that only the peer holds, so that emptiness tells something only if it holds much the same.
    fn are_neighbours(&self, leaf: u16, next: u16, gap: u64) -> bool {
        let branch = |leaf: u16| usize::from(leaf) / LEAVES_PER_BRANCH;
        let tells = self.alike || self.direction != Direction::Push;
        let are_empty = || (leaf + 1..next).all(|between| self.tree.leaf_is_empty(between));
        leaf < next
            && (branch(leaf) + 1..branch(next)).all(|between| self.differing & (1 << between) == 0)
            && (u64::from(next - leaf) <= gap + 1 || (tells && are_empty()))
    }
}

fn leaves_of(branch: u8) -> Range<u16> {
    first_leaf(branch)..first_leaf(branch) + LEAVES_PER_BRANCH as u16
}

fn first_leaf(branch: u8) -> u16 {
    u16::from(branch) * LEAVES_PER_BRANCH as u16
}

#[cfg(test)]
mod tests;
