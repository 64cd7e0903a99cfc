//! The outputs of a node's membership, carried out.
//!
//! Invariant: what a node finds out about its lives is on its disk before it acts on that, as under the server.

use jedlik_membership::{Destination, Event as MembershipEvent, Output as MembershipOutput, Past};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::gossip::Gossip;
use jedlik_replica::Input;

use crate::node::at_address;
use crate::world::World;

impl World {
    /// Carries out the membership's outputs, in order.
    pub(crate) fn carry_out(&mut self, node: u8) {
        while let Some(output) = self.running(node).and_then(|r| r.membership.poll_output()) {
            match output {
                MembershipOutput::Persist { state, whole } => self.persist(node, state, whole),
                MembershipOutput::View(view) => {
                    self.check_removals(&view);
                    if self.nodes[usize::from(node)].papers.layout != view.layout_id() {
                        self.note_layout(&view);
                    }
                    self.feed(node, Input::View(view));
                }
                MembershipOutput::Send { to, gossip } => self.gossip(node, to, gossip),
                MembershipOutput::Event(event) => {
                    self.say(node, || format!("learns: {event}"));
                    match event {
                        MembershipEvent::Serves { past } => self.serve(node, past),
                        MembershipEvent::Forgotten(record) => return self.forget(node, &record),
                        MembershipEvent::Rival(rival) => self.dispute(node, rival),
                        MembershipEvent::Absent { outlived } => {
                            self.nodes[usize::from(node)].papers.note_absence(outlived);
                        }
                        MembershipEvent::Prevails { outlived } => {
                            return self.prevail(node, outlived);
                        }
                        MembershipEvent::Fenced { .. } => {
                            self.nodes[usize::from(node)].over = true;
                        }
                        MembershipEvent::Ousted { .. } => {
                            self.damage.unnoticed = self.history.writes_begun();
                            let place = &mut self.nodes[usize::from(node)];
                            (place.over, place.removed) = (true, true);
                        }
                        MembershipEvent::Left => self.leave(node),
                        _ => {}
                    }
                }
            }
        }
        if self.nodes[usize::from(node)].over {
            self.end(node, false, false);
        }
    }

    fn gossip(&mut self, node: u8, to: Destination, gossip: Gossip) {
        let to = match to {
            Destination::Node(_, address) | Destination::Seed(address) => at_address(address),
            Destination::Caller(_) => {
                let Some((caller, epoch)) = self.running(node).map(|r| r.caller) else { return };
                if self.network.epoch(node, caller) != epoch {
                    return;
                }
                caller
            }
        };
        self.send(node, to, &Frame::Gossip(gossip));
    }

    /// Lets a node take requests; by then its shard has recorded what it has lost.
    fn serve(&mut self, node: u8, past: Past) {
        let place = &mut self.nodes[usize::from(node)];
        if past != Past::Unconfirmed {
            place.papers.note_marked();
        }
        if let Some(running) = &mut place.running {
            running.serves = true;
        }
    }
}
