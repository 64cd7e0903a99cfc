//! A node that knows no layout: whether it may make the first one, or would found a second cluster beside one that it
//! has not heard of; and how long it waits, before it serves, for a layout that it was told of.
//!
//! Invariant: a node that was given seeds makes no first layout before one of them has told what it knows.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::NodeId;
use jedlik_protocol::gossip::{Gossip, MemberRecord};
use jedlik_protocol::{LayoutId, Now};

use crate::Membership;

/// Most seeds that a refusal names.
const NAMED: usize = 5;
/// Time that a starting node waits for the layout that others know, before it serves without one.
const LAYOUT_LIMIT_US: u64 = 5_000_000;

/// Word of others, as heard by this life while it knows no layout.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Founding {
    /// Nodes that have told this life what they know.
    heard: BTreeSet<NodeId>,
    /// Nodes that listen at a seed's address, though their records may say another one.
    at_seeds: BTreeSet<NodeId>,
    /// Newest layout that a node said it knows.
    elsewhere: LayoutId,
    /// Time before which the node does not serve unless a layout comes; `None` if it does not wait.
    serves_at_us: Option<u64>,
}

impl Founding {
    /// Returns when the node serves although no layout has come.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.serves_at_us
    }
}

impl Membership {
    /// Learns the address at which `node` answers, which may differ from the one that its record advertises.
    pub fn handle_answers_at(&mut self, node: NodeId, address: SocketAddr) {
        if self.known.newest().is_none() && self.config.seeds.contains(&address) {
            self.founding.at_seeds.insert(node);
        }
    }

    /// Notes that a node has told what it knows. An offer does not: it carries a digest.
    pub(crate) fn note_heard(&mut self, from: NodeId, gossip: &Gossip) {
        if self.known.newest().is_some() {
            return;
        }
        match gossip {
            Gossip::Recalled { layout, .. } => {
                self.founding.elsewhere = self.founding.elsewhere.max(*layout);
            }
            Gossip::Same | Gossip::Exchange(..) | Gossip::Close(_) => {}
            _ => return,
        }
        self.founding.heard.insert(from);
    }

    /// Begins to wait for the layout that others have said they know; `false` if there is none to wait for.
    pub(crate) fn waits_for_layout(&mut self, now: Now) -> bool {
        let waits = self.known.newest().is_none() && self.founding.elsewhere > LayoutId::default();
        self.founding.serves_at_us = waits.then_some(now.mono_us + LAYOUT_LIMIT_US);
        waits
    }

    /// Ends the wait for a layout, if there is one, and serves.
    pub(crate) fn end_wait_for_layout(&mut self) {
        if self.founding.serves_at_us.take().is_some() {
            self.tell_to_serve();
        }
    }

    /// Serves without a layout once the node has waited long enough for one.
    pub(crate) fn wait_for_layout(&mut self, now: Now) {
        if self.founding.serves_at_us.is_some_and(|at_us| at_us <= now.mono_us) {
            self.end_wait_for_layout();
        }
    }

    /// Whether the node knows no layout and none of its seeds has told it what it knows, so that it turns to one each
    /// round.
    pub(crate) fn waits_for_a_seed(&self) -> bool {
        let is_seed = |record: &MemberRecord| {
            let at_seed = self.founding.at_seeds.contains(&record.node);
            at_seed || self.other_seeds().any(|at| *at == record.address)
        };
        let heard = |record: &MemberRecord| self.founding.heard.contains(&record.node);
        let told = || self.known.members().values().any(|record| heard(record) && is_seed(record));
        self.known.newest().is_none() && self.other_seeds().next().is_some() && !told()
    }

    fn other_seeds(&self) -> impl Iterator<Item = &SocketAddr> {
        self.config.seeds.iter().filter(|seed| **seed != self.config.me.address)
    }

    /// Returns why a first layout can't be made here now; `None` if it can.
    pub(crate) fn objection_to_founding(&self) -> Option<String> {
        if self.known.newest().is_some() {
            return None;
        }
        let me = self.name(self.config.me.node);
        let members = || self.known.members().values();
        let knows = |record: &&MemberRecord| record.layout > LayoutId::default();
        let elsewhere = members().filter(knows).max_by_key(|record| record.layout);
        let named = elsewhere.map(|record| (record.name.as_str(), record.layout));
        let told = Some(("another node", self.founding.elsewhere));
        if let Some((name, layout)) = named.or(told.filter(|(_, at)| *at > LayoutId::default())) {
            return Some(format!(
                "there is a cluster already: {name} knows layout {}, and {me} has not received it yet; wait \
                 until `jedlik-admin cluster status` shows it",
                layout.version
            ));
        }
        if !self.waits_for_a_seed() {
            return None;
        }
        let named: Vec<String> = self.other_seeds().take(NAMED).map(ToString::to_string).collect();
        Some(format!(
            "none of {me}'s seeds ({}) has answered since it started, so there may be a cluster that it has \
             not heard of: wait until one answers (the log of {me} says why none does), or commit at a node \
             that has reached one; to found a new cluster, take `seeds` out of its configuration and restart it",
            named.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests;
