//! Parting from nodes that are no members any more: their connections end, open ones too.
//!
//! Invariant: a node that has just said that it has left hears that this was heard, and its connections stay no longer
//! than that takes.

use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_net::Connection;

use crate::membership_task::MembershipTask;

/// Time that an answer has to arrive at a node that has left, in microseconds.
const FAREWELL_US: u64 = 5_000_000;

/// Connection that is being answered, and the time at which spared ones are closed.
#[derive(Default)]
pub(crate) struct Parting {
    /// Connection by which the gossip came that is dealt with now.
    pub(crate) caller: Option<Connection>,
    /// Time until which connections of a node that has left stay open, in microseconds of the monotonic clock.
    spared_until_us: Option<u64>,
}

impl MembershipTask {
    /// Closes the caller's connection if it is no member's: it has been told so, and is not listened to any longer.
    pub(crate) fn part_from_caller(&mut self, from: NodeId) {
        if let Some(caller) = self.parting.caller.take()
            && self.machine.view().is_barred(from)
            && !self.machine.owes_answers()
        {
            caller.finish();
        }
    }

    /// Closes the connections of nodes that are no members by this view, except those of the node that is being
    /// answered.
    pub(crate) fn part_from_gone(&mut self, view: &View) {
        let caller = self.parting.caller.as_ref().and_then(|caller| caller.peer().node);
        if caller.is_some_and(|node| view.is_barred(node)) {
            self.parting.spared_until_us = Some(self.clock.now().mono_us + FAREWELL_US);
        }
        self.endpoint.close_nodes(|node| view.is_barred(node) && Some(node) != caller);
    }

    /// Closes the connections that were spared, once their time is over.
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
