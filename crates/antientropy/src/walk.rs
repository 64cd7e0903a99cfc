//! The walk down two trees: which leaves differ, and whether the own tree holds anything in them.
//!
//! Invariant: hashes are asked for only below a node that differs and in which the own tree holds
//! something. Below one in which it holds nothing they would tell nothing: each leaf is either empty on
//! both sides, or only the peer holds something in it.

use alloc::collections::{BTreeSet, VecDeque};

use jedlik_merkle::{LEAVES_PER_BRANCH, Tree};

use crate::output::Direction;
use crate::span::Nonsense;

/// Leaves from a first one to a last one.
pub(crate) type Run = (u16, u16);

/// How far the walk is.
#[derive(Debug)]
pub(crate) struct Walk {
    tree: Tree,
    direction: Direction,
    /// Nodes whose hashes are to be asked for.
    branches: VecDeque<Option<u8>>,
    /// Nodes whose hashes have been.
    asked: BTreeSet<Option<u8>>,
    /// Bit i is set if branch i differs.
    differing: u32,
    /// Leaves that differ. When only pushing, the first of them is one in which something is held.
    leaves: VecDeque<u16>,
}

impl Walk {
    /// Begins at the root, unless there is nothing to be pushed.
    pub(crate) fn new(tree: Tree, direction: Direction) -> Self {
        let is_idle = direction == Direction::Push && tree.is_empty();
        Self {
            tree,
            direction,
            branches: (!is_idle).then_some(None).into_iter().collect(),
            asked: BTreeSet::new(),
            differing: 0,
            leaves: VecDeque::new(),
        }
    }

    /// The next node whose hashes are to be asked for, and its own hash; it counts as asked for then.
    pub(crate) fn ask(&mut self) -> Option<(Option<u8>, u64)> {
        let branch = self.branches.pop_front()?;
        self.asked.insert(branch);
        Some((branch, branch.map_or_else(|| self.tree.root(), |branch| self.tree.branch(branch))))
    }

    /// For how many nodes' hashes the peer has been asked and has not answered.
    pub(crate) fn under_way(&self) -> usize {
        self.asked.len()
    }

    /// The peer's hash of a node is the own one; false if that was not asked.
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
        for index in own.iter().zip(hashes).enumerate().filter_map(differs) {
            match branch {
                None => self.descend(index as u8),
                Some(branch) => self.leaves.push_back(first_leaf(branch) + index as u16),
            }
        }
        self.skip();
        Some(Ok(()))
    }

    /// The next leaves that differ and in which nothing is held, as many as there are side by side;
    /// none while others come first.
    pub(crate) fn next_empty(&mut self) -> Option<Run> {
        let first = *self.leaves.front()?;
        self.tree.leaf_is_empty(first).then(|| self.take_run(u64::MAX)).flatten()
    }

    /// The next leaves that differ and in which something is held, at most so many side by side but
    /// at least one; none while others come first.
    pub(crate) fn next_held(&mut self, limit: u64) -> Option<Run> {
        let first = *self.leaves.front()?;
        (!self.tree.leaf_is_empty(first)).then(|| self.take_run(limit)).flatten()
    }

    /// Whether all nodes were compared and all leaves taken.
    pub(crate) fn is_over(&self) -> bool {
        self.branches.is_empty() && self.asked.is_empty() && self.leaves.is_empty()
    }

    fn descend(&mut self, branch: u8) {
        self.differing |= 1 << branch;
        if self.tree.branch_is_empty(branch) {
            let first = first_leaf(branch);
            self.leaves.extend(first..first + LEAVES_PER_BRANCH as u16);
        } else {
            self.branches.push_back(Some(branch));
        }
    }

    fn take_run(&mut self, limit: u64) -> Option<Run> {
        let first = self.leaves.pop_front()?;
        let mut last = first;
        while let Some(&next) = self.leaves.front() {
            let is_alike = self.tree.leaf_is_empty(next) == self.tree.leaf_is_empty(first);
            if !is_alike || !self.are_neighbours(last, next) || u64::from(next - first) >= limit {
                break;
            }
            self.leaves.pop_front();
            last = next;
        }
        self.skip();
        Some((first, last))
    }

    /// Whether nothing lies between two leaves that wait one after the other. Those between in their
    /// own branches agree, and so does a branch between that is not known to differ: what is empty on
    /// this side is empty on both.
    fn are_neighbours(&self, leaf: u16, next: u16) -> bool {
        let branch = |leaf: u16| usize::from(leaf) / LEAVES_PER_BRANCH;
        leaf < next
            && (branch(leaf) + 1..branch(next)).all(|between| self.differing & (1 << between) == 0)
            && (leaf + 1..next).all(|between| self.tree.leaf_is_empty(between))
    }

    /// Drops what only the peer holds, if that is no concern of this exchange.
    fn skip(&mut self) {
        if self.direction == Direction::Push {
            while self.leaves.front().is_some_and(|leaf| self.tree.leaf_is_empty(*leaf)) {
                self.leaves.pop_front();
            }
        }
    }
}

fn first_leaf(branch: u8) -> u16 {
    u16::from(branch) * LEAVES_PER_BRANCH as u16
}

#[cfg(test)]
mod tests;
