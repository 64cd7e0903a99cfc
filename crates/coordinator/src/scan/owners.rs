//! One owner set of a scan: the owners whose pages count, and the fallbacks that may keep hints for owners
//! that are away.
//!
//! A hint lies with the fallback that was the first to be up when it was kept, and that changes. So while an
//! owner is away a scan asks the first few fallbacks that are up, and not one in its place, as a get does.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::PlacedKey;
use jedlik_protocol::peer::Doubt;

use super::{ScanPage, State};
use crate::plan::{ListedNode, ReadPlan};
use crate::tally::Needs;

/// Most fallbacks that are asked for one page: all of them in clusters of up to N + 8 nodes.
const STAND_INS_MAX: usize = 8;

/// Owners by their places among all nodes of the scan, and what is needed of them.
#[derive(Debug)]
pub(super) struct OwnerSet {
    pub(super) primaries: Vec<usize>,
    pub(super) needs: Needs,
    /// Fallbacks that were asked, by their places.
    stand_ins: Vec<usize>,
    /// Living fallbacks that have not been asked yet, in order.
    fallbacks: VecDeque<NodeId>,
    /// Places of owners that have been silent for long.
    silent: Vec<usize>,
}

impl OwnerSet {
    pub(super) fn new(primaries: Vec<usize>, plan: &ReadPlan) -> Self {
        let living = plan.fallbacks.iter().filter(|listed| listed.alive);
        Self {
            primaries,
            needs: plan.needs,
            stand_ins: Vec::new(),
            fallbacks: living.map(|listed| listed.node).collect(),
            silent: Vec::new(),
        }
    }

    pub(super) fn states<'a>(&'a self, states: &'a [State]) -> impl Iterator<Item = &'a State> {
        self.primaries.iter().map(|index| &states[*index])
    }

    /// Returns the next fallback to ask, while an owner is away.
    pub(super) fn next_stand_in(
        &mut self,
        nodes: &[ListedNode],
        states: &[State],
    ) -> Option<NodeId> {
        let heard = self.stand_ins.iter().filter(|index| states[**index] != State::Failed).count();
        if heard >= STAND_INS_MAX || !self.is_any_away(nodes, states) {
            return None;
        }
        self.fallbacks.pop_front()
    }

    fn is_any_away(&self, nodes: &[ListedNode], states: &[State]) -> bool {
        self.primaries.iter().any(|&index| match states[index] {
            State::Answered(_) => false,
            State::Failed => true,
            State::Idle | State::Asked => !nodes[index].alive || self.silent.contains(&index),
        })
    }

    pub(super) fn add_stand_in(&mut self, index: usize) {
        self.stand_ins.push(index);
    }

    /// Takes owners that were asked and have not answered to be away.
    pub(super) fn stand_in_for_silent(&mut self, states: &[State]) {
        let asked = self.primaries.iter().copied().filter(|index| states[*index] == State::Asked);
        self.silent = asked.collect();
    }

    /// Returns whether a fallback has yet to answer that may keep a hint for an owner that is away.
    pub(super) fn waits_for_stand_in(&self, nodes: &[ListedNode], states: &[State]) -> bool {
        let waits = self.stand_ins.iter().any(|index| states[*index] == State::Asked);
        waits && self.is_any_away(nodes, states)
    }

    /// Returns how many owners have said something of every key up to `until`, or with `at_best` may: the
    /// number for the key of which the fewest have. Names that key if damage is the reason.
    pub(super) fn count(
        &self,
        states: &[State],
        until: Option<&PlacedKey>,
        at_best: bool,
    ) -> (usize, Option<PlacedKey>) {
        let may = |state: &&State| at_best && matches!(state, State::Idle | State::Asked);
        let open = self.states(states).filter(may).count();
        let pages: Vec<&ScanPage> = self
            .states(states)
            .filter_map(|state| match state {
                State::Answered(page) if votes(page) => Some(page),
                _ => None,
            })
            .collect();
        let damaged = pages.iter().flat_map(|page| &page.damaged);
        let damaged = damaged.filter(|key| until.is_none_or(|until| *key <= until));
        let readers = |key: &PlacedKey| pages.iter().filter(|p| !p.damaged.contains(key)).count();
        match damaged.min_by_key(|key| readers(key)) {
            Some(key) => (open + readers(key), Some(key.clone())),
            None => (open + pages.len(), None),
        }
    }

    /// Returns the owners whose pages say nothing of some key, and why.
    pub(super) fn in_doubt(&self, nodes: &[ListedNode], states: &[State]) -> Vec<(NodeId, Doubt)> {
        let doubt = |index: &usize| match &states[*index] {
            State::Answered(ScanPage { doubt: Some(doubt), .. }) => Some(*doubt),
            State::Answered(page) if !page.damaged.is_empty() => Some(Doubt::Damaged),
            _ => None,
        };
        let owners = self.primaries.iter();
        owners.filter_map(|index| Some((nodes[*index].node, doubt(index)?))).collect()
    }
}

/// Returns whether a key that is missing on the page is absent at the replica.
fn votes(page: &ScanPage) -> bool {
    page.doubt.is_none()
}
