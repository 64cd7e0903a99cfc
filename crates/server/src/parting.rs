//! Connections of nodes that are no members any more: they end, open ones too.
//!
//! Invariant: the one that has just said that it has left hears that this was heard, and its connections stay no longer
//! than that takes.

use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_net::Connection;

use crate::membership_task::MembershipTask;

/// How long an answer has to arrive at a node that has left.
const FAREWELL_US: u64 = 5_000_000;

/// Who is answered, and who is still to be parted from.
#[derive(Default)]
pub(crate) struct Parting {
    /// By which the gossip came that is dealt with now.
    pub(crate) caller: Option<Connection>,
    /// Until when connections of one that has left stay open.
    spared_until_us: Option<u64>,
}

impl MembershipTask {
    /// Who is no member has been told so, and is not listened to any longer.
    pub(crate) fn part_from_caller(&mut self, from: NodeId) {
        if let Some(caller) = self.parting.caller.take()
            && self.machine.view().is_barred(from)
            && !self.machine.owes_answers()
        {
            caller.finish();
        }
    }

    /// Closes what is open of those who are no members by this view, but for the one that is being answered.
    pub(crate) fn part_from_gone(&mut self, view: &View) {
        let caller = self.parting.caller.as_ref().and_then(|caller| caller.peer().node);
        if caller.is_some_and(|node| view.is_barred(node)) {
            self.parting.spared_until_us = Some(self.clock.now().mono_us + FAREWELL_US);
        }
        self.endpoint.close_nodes(|node| view.is_barred(node) && Some(node) != caller);
    }

    /// Closes what was spared then.
    pub(crate) fn part_from_spared(&mut self) {
        let is_due =
            self.parting.spared_until_us.is_some_and(|at_us| at_us <= self.clock.now().mono_us);
        if is_due && !self.machine.owes_answers() {
            self.parting.spared_until_us = None;
            let view = self.machine.view();
            self.endpoint.close_nodes(|node| view.is_barred(node));
        }
    }
}
