//! Departure of a node that leaves for good, or that has left and does not know it.
//!
//! Invariant: a process ends as one that has left only when no member can remember it as one that is there.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, RingNode};
use jedlik_protocol::gossip::{Delta, Gossip, MemberRecord, Ready, Status};
use jedlik_protocol::{LayoutId, Now, WireLayout};

use crate::Membership;
use crate::knowledge::{Age, age};
use crate::layout_history::ActiveLayout;
use crate::machine::NodePhase;
use crate::output::{Destination, Event, Output};
use crate::rounds::NEWS_FANOUT;

/// Most other nodes that a node which has left is told of at once.
const INTRODUCED: usize = 8;

/// Progress of this node's departure notice.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Departure {
    /// Age of this life's first record that says that the node has left; `None` if it has not left.
    since: Option<Age>,
    /// Nodes with a record on their disks that says so, as new as `since` or newer.
    heard: BTreeSet<NodeId>,
    /// Layout under which an earlier life has left, as others have told this one.
    told: Option<LayoutId>,
    /// Whether enough nodes have heard the notice.
    done: bool,
}

impl Membership {
    /// Leaves for good, once all of its data is on other nodes. Peers are told until more than half of the layout's
    /// nodes have it on their disks; [`Event::Left`] then says that the process need not go on. Until then a start
    /// makes it a member again: otherwise others would wait for a departure notice that nobody has heard, or only
    /// nodes whose disks are lost.
    ///
    /// Its record says that all has moved under the layout that it names. A life that does not know yet what others
    /// remember of it can't leave, and has to be told again later: they may know that an earlier life has left, and
    /// then answer nothing else, while this one says nothing before they have answered.
    pub fn handle_left(&mut self, _now: Now) {
        // Another layout may have followed the one that had it leave: it stays under that, or all has yet to move.
        let newest = self.known.newest().filter(|newest| newest.is_settled());
        let newest = newest.map(ActiveLayout::id).filter(|id| *id == self.config.me.layout);
        let may = self.phase == NodePhase::In && !self.lives.is_asking() && self.leaves();
        if let Some(layout) = newest.filter(|_| may) {
            self.part(layout);
        }
        self.settle();
    }

    /// Whether the layout in force has this node leave, or have left.
    fn leaves(&self) -> bool {
        let departed =
            self.known.newest().and_then(|newest| newest.layout().departed(self.config.me.node));
        departed.is_some_and(|departed| !departed.forced)
    }

    fn part(&mut self, layout: LayoutId) {
        self.phase = NodePhase::Departing;
        self.rewrite(|me| {
            me.status = Status::Left;
            if me.layout != layout {
                (me.layout, me.ready) = (layout, Ready { layout, ..Ready::default() });
            }
        });
        let departure = &mut self.own.departure;
        departure.since = Some(age(&self.config.me));
        departure.heard.clear();
        self.say_goodbye();
    }

    /// Stays in the cluster, since an admin has taken back that this node leaves.
    pub(crate) fn stay(&mut self) {
        self.phase = NodePhase::In;
        self.own.departure = Departure::default();
        self.rewrite(|me| me.status = Status::Up);
    }

    /// Whether this node says that it has left, and not enough others are known to have heard it.
    pub(crate) fn is_departure_owed(&self) -> bool {
        self.config.me.status == Status::Left && !self.own.departure.done
    }

    /// Sends offers to some nodes that have yet to hear that this one has left, also to those that seem to be down: a
    /// node that knows of an earlier departure notice answers nothing else.
    pub(crate) fn offer_departure(&mut self, now: Now) {
        if self.phase != NodePhase::Departing {
            return;
        }
        let Some(newest) = self.known.newest() else { return };
        let nodes = newest.layout().ring.nodes().iter().map(|placed| placed.node);
        let heard = &self.own.departure.heard;
        let mut unheard: Vec<NodeId> = nodes.filter(|node| !heard.contains(node)).collect();
        let offer = self.offer(now);
        for _ in 0..NEWS_FANOUT {
            let Some(node) = self.chance.draw(&mut unheard) else { return };
            self.send(node, offer.clone());
        }
    }

    /// Notes that `peer` has it on its disk that this node has left. More than half of the nodes have to; all of
    /// them, if this life does not know all that the lives before it have said: one of those may have been there
    /// again since it left, and one peer alone may know.
    fn end_departure(&mut self, peer: NodeId) {
        let departure = &mut self.own.departure;
        departure.heard.insert(peer);
        let nodes = self.known.newest().map_or(&[][..], |newest| newest.layout().ring.nodes());
        let heard = |placed: &&RingNode| departure.heard.contains(&placed.node);
        let count = nodes.iter().filter(heard).count();
        let forgets = departure.told.is_some() || self.lives.has_lost_its_past();
        let is_known = if forgets { count == nodes.len() } else { count > nodes.len() / 2 };
        if self.phase != NodePhase::Departing || !is_known {
            return;
        }
        departure.done = true;
        self.touch();
        if self.own.departure.told.is_some() {
            self.fence(self.known.history().newest_id(), false);
        } else {
            self.phase = NodePhase::Stopping;
            self.outputs.push_back(Output::Event(Event::Left));
        }
    }

    /// Answers a node that is gone with this node's record, since it may have turned to a seed that it does not know,
    /// and with the layout by which it can see for itself.
    pub(crate) fn tell_that_it_is_fenced(&mut self, from: NodeId) {
        let is_removed = self.known.is_removed(from);
        if !is_removed && !self.saving.has_departures() {
            // The node counts on this one never to forget; it asks again.
            return;
        }
        let Some(layout) = self.known.newest().map(ActiveLayout::placed) else { return };
        let left = self.known.members().get(&from).filter(|_| !is_removed);
        let left = left.cloned().map(Box::new);
        let members = vec![self.config.me.clone()];
        let introduction = Gossip::Close(Delta { members, ..Delta::default() });
        self.send_to(Destination::Caller(from), introduction);
        if !is_removed {
            self.introduce_others(from);
        }
        self.send_to(Destination::Caller(from), Gossip::Fenced(Box::new(layout), left));
    }

    /// Tells a node that has left of some randomly drawn nodes that may have to hear it: it is told nothing else, and
    /// may know nobody any more.
    fn introduce_others(&mut self, to: NodeId) {
        let Some(newest) = self.known.newest() else { return };
        let nodes = newest.layout().ring.nodes().iter().map(|placed| placed.node);
        let mut others: Vec<NodeId> = nodes.filter(|node| *node != self.config.me.node).collect();
        let mut members = Vec::new();
        while members.len() < INTRODUCED
            && let Some(node) = self.chance.draw(&mut others)
        {
            members.extend(self.known.members().get(&node).cloned());
        }
        if !members.is_empty() {
            let introduction = Gossip::Close(Delta { members, ..Delta::default() });
            self.send_to(Destination::Caller(to), introduction);
        }
    }

    /// Takes from a node that has left only one thing: a newer record that says so.
    pub(crate) fn take_departure(&mut self, now: Now, from: NodeId, gossip: &Gossip) {
        let said = match gossip {
            Gossip::Offer(record, _, _) => Some(&**record),
            Gossip::Close(delta) => delta.members.iter().find(|record| record.node == from),
            _ => None,
        };
        let is_departure = |record: &&MemberRecord| {
            record.node == from && record.status == Status::Left && from != self.config.me.node
        };
        let Some(record) = said.filter(is_departure) else { return };
        let members = vec![record.clone()];
        self.merge(now, from, Delta { members, ..Delta::default() });
    }

    /// Takes a peer's word that this node is gone, with what the peer remembers of it if it has left. For a node that
    /// has just left it means that its departure notice was heard. Any other believes only the layout that is in
    /// force once it has merged this one.
    pub(crate) fn take_fence(
        &mut self,
        now: Now,
        from: NodeId,
        layout: WireLayout,
        left: Option<&MemberRecord>,
    ) {
        let me = self.config.me.node;
        self.merge(now, from, Delta { layouts: vec![layout], ..Delta::default() });
        let Some(newest) = self.known.newest() else { return };
        let (id, departed) = (newest.id(), newest.layout().departed(me));
        let stays = newest.layout().ring.node(from).is_some();
        let Some(departed) = departed else { return };
        if departed.forced {
            return self.fence(id, true);
        }
        // Nodes that stay know whether one that was to leave has done so already.
        let left = left.filter(|record| record.node == me && record.status == Status::Left);
        let Some(left) = left.filter(|_| stays) else { return };
        if self.config.me.status != Status::Left {
            self.own.departure.told = Some(left.layout);
            if !self.weigh_departure(now, from, left) {
                if age(left) > age(&self.config.me) {
                    let me = &mut self.config.me;
                    (me.generation, me.version) = (left.generation, left.version);
                }
                self.part_again();
            }
        } else if Some(age(left)) >= self.own.departure.since {
            self.end_departure(from);
        } else {
            let members = vec![self.config.me.clone()];
            self.send(from, Gossip::Close(Delta { members, ..Delta::default() }));
        }
    }

    /// Leaves again, where others have told this life that an earlier one has left and the layout in force still says
    /// so: this life, or one before it, has told others that the node is there. Returns whether it does. Its record
    /// names the layout under which the earlier life knew that all had moved.
    pub(crate) fn part_again(&mut self) -> bool {
        let told = self.own.departure.told.filter(|_| self.leaves());
        let Some(layout) = told.filter(|_| self.phase == NodePhase::In) else { return false };
        self.part(layout);
        true
    }
}
